//! Broadcasts. Each broadcast is one item. Its recipients are stored in the bucket, a thousand per object. A
//! recipient's message is stored only with its first attempt.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::conversations::contact::Alias;
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{BroadcastId, ContactId, ConversationId, NumberId, OutboundId, TenantId};
use crate::domain::outgoing::Template;
use crate::domain::sending::broadcast::{Broadcast, BroadcastState, Recipients};
use crate::domain::sending::outbound::OnUnknown;
use crate::domain::sending::policy::Category;
use crate::storage::sending::intent::earlier;
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::page::{FEED, LIST};
use crate::storage::table::update::Updated;
use crate::storage::{
    Accepted, Idempotency, Page, StorageError, Stored, StoredMessage, Table, conversations::message, table::keys,
};

#[derive(Serialize, Deserialize)]
struct Wire {
    template: Template,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    category: Option<String>,
    on_unknown: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    value_names: Vec<String>,
}

impl Table {
    /// Stores a broadcast and, if an idempotency key is given, the record of the key. 3 to 5 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn broadcast_put(
        &self,
        broadcast: &Broadcast,
        idempotency: Option<&Idempotency>,
        now: Timestamp,
    ) -> Result<Accepted<BroadcastId>, StorageError> {
        let item = item(broadcast)?;
        let Some(idempotency) = idempotency else {
            self.put_fresh(item).await?;
            return Ok(Accepted::New);
        };
        let record = [("broadcast", text(broadcast.id.to_string()))];
        self.accept_once(broadcast.tenant, item, &record, idempotency, now, read_accepted).await
    }

    /// Returns the earlier result of an idempotency key, while the key is valid. 1 read unit.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn broadcast_by_idempotency_key(
        &self,
        tenant: TenantId,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Accepted<BroadcastId>>, StorageError> {
        let item = self.read(&keys::idempotency(tenant, &idempotency.key)).await?;
        item.map_or(Ok(None), |item| earlier(&item, idempotency, now, read_accepted))
    }

    /// Returns the broadcast with this id, of any tenant.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn broadcast_get(&self, id: BroadcastId) -> Result<Option<Broadcast>, StorageError> {
        self.read(&keys::broadcast(id)).await?.map(|item| read(&item)).transpose()
    }

    /// Returns a tenant's broadcasts, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor belongs to another list.
    pub async fn broadcast_list(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Broadcast>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("BROADCAST#") && sk == "BROADCAST";
        self.list(FEED, &keys::broadcasts(tenant), limit, cursor, accepts, read).await
    }

    /// Returns the running broadcasts of a number, oldest first; at most the 100 newest.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn broadcast_list_running(&self, number: &NumberId) -> Result<Vec<Broadcast>, StorageError> {
        let accepts = |_: &str, _: &str| true;
        let page = self.list(LIST, &keys::running(number), 100, None, accepts, read).await?;
        // The index may lag behind, so the item decides.
        let mut running: Vec<Broadcast> =
            page.items.into_iter().filter(|one| one.state == BroadcastState::Running).collect();
        running.reverse();
        Ok(running)
    }

    /// Records that the recipients up to `released` are queued. The last one ends the broadcast. 1 WRU; 3 the last
    /// time.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn broadcast_advance(&self, broadcast: &Broadcast, released: usize) -> Result<(), StorageError> {
        let update = self.update(keys::broadcast(broadcast.id)).set("released", count(released));
        update.when("#released < :released").run().await?;
        if released >= broadcast.recipients.count {
            // A broadcast that was paused or cancelled meanwhile stays so: that still applies to its last recipients.
            let done = self.update(keys::broadcast(broadcast.id)).set("state", text(BroadcastState::Done.as_str()));
            let done = done.remove(&["list", "list_at"]).when("#state = :running");
            done.value("running", text(BroadcastState::Running.as_str())).run().await?;
        }
        Ok(())
    }

    /// Returns the messages of recipients, given by index and phone number; `None` for a recipient without a message
    /// yet. One batch read of the contacts and one of the messages.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn broadcast_list_messages(
        &self,
        broadcast: &Broadcast,
        recipients: &[(usize, PhoneNumber)],
    ) -> Result<Vec<Option<StoredMessage>>, StorageError> {
        let alias = |phone: &PhoneNumber| keys::alias(broadcast.tenant, &Alias::Phone(phone.canonical()));
        let wanted: Vec<keys::Key> = recipients.iter().map(|(_, phone)| alias(phone)).collect();
        let mut contacts = HashMap::new();
        for item in self.read_all(&wanted).await? {
            // The alias of an erased contact stays, without the contact.
            let contact = item.parsed_optional("contact", ContactId::parse)?;
            contacts.extend(
                contact.map(|contact| Ok::<_, StorageError>((item.required("pk")?.to_owned(), contact))).transpose()?,
            );
        }
        let ids: Vec<Option<(ConversationId, OutboundId)>> = recipients
            .iter()
            .map(|(place, phone)| {
                let contact = contacts.get(&alias(phone).pk)?;
                let conversation = ConversationId::new(broadcast.number.clone(), *contact);
                Some((conversation, OutboundId::of_recipient(broadcast.id, *place)))
            })
            .collect();
        let keys_of: Vec<keys::Key> =
            ids.iter().flatten().map(|(conversation, id)| keys::ours(conversation, *id)).collect();
        let mut items: HashMap<(String, String), Item> = HashMap::new();
        for item in self.read_all(&keys_of).await? {
            items.insert((item.required("pk")?.to_owned(), item.required("sk")?.to_owned()), item);
        }
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let item = id.as_ref().and_then(|(conversation, id)| {
                let key = keys::ours(conversation, *id);
                items.remove(&(key.pk, key.sk))
            });
            found.push(match (id, item) {
                (Some((conversation, _)), Some(item)) => Some(message::read(conversation, &item)?),
                _ => None,
            });
        }
        Ok(found)
    }

    /// Pauses, resumes or cancels a broadcast. Returns `Known` if it has already ended.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn broadcast_set_state(&self, broadcast: &Broadcast, to: BroadcastState) -> Result<Stored, StorageError> {
        let update = self.update(keys::broadcast(broadcast.id)).set("state", text(to.as_str()));
        let update = match to {
            BroadcastState::Running => {
                update.set("list", text(keys::running(&broadcast.number))).set("list_at", time(broadcast.created_at))
            }
            _ => update.remove(&["list", "list_at"]),
        };
        let word = |state: BroadcastState| text(state.as_str());
        let update = update
            .when("#state = :running OR #state = :paused")
            .value("running", word(BroadcastState::Running))
            .value("paused", word(BroadcastState::Paused));
        Ok(if matches!(update.run().await?, Updated::Done(_)) { Stored::New } else { Stored::Known })
    }
}

fn read_accepted(item: &Item) -> Result<BroadcastId, StorageError> {
    item.parsed("broadcast", BroadcastId::parse)
}

fn count(many: usize) -> AttributeValue {
    number(i64::try_from(many).unwrap_or(i64::MAX))
}

fn item(broadcast: &Broadcast) -> Result<Item, StorageError> {
    let wire = Wire {
        template: broadcast.template.clone(),
        category: broadcast.category.map(|category| category.as_str().to_owned()),
        on_unknown: broadcast.on_unknown.as_str().to_owned(),
        value_names: broadcast.value_names.clone(),
    };
    let message = serde_json::to_string(&wire).map_err(|_| StorageError::Refused("a template that is no JSON"))?;
    let mut item = keys::broadcast(broadcast.id).attributes();
    let attributes = [
        ("tenant", text(broadcast.tenant.to_string())),
        ("number", text(broadcast.number.as_str())),
        ("message", text(message)),
        ("state", text(broadcast.state.as_str())),
        ("count", count(broadcast.recipients.count)),
        ("duplicates", count(broadcast.recipients.duplicates)),
        ("released", count(broadcast.released)),
        ("send_before", time(broadcast.send_before)),
        ("feed", text(keys::broadcasts(broadcast.tenant))),
        ("feed_at", time(broadcast.created_at)),
        ("list", text(keys::running(&broadcast.number))),
        ("list_at", time(broadcast.created_at)),
    ];
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    Ok(Item(item))
}

fn read(item: &Item) -> Result<Broadcast, StorageError> {
    let wire: Wire = serde_json::from_str(item.required("message")?).map_err(|_| StorageError::Corrupt("message"))?;
    let many = |name: &'static str| {
        item.number(name).and_then(|many| usize::try_from(many).ok()).ok_or(StorageError::Corrupt(name))
    };
    Ok(Broadcast {
        id: item.parsed("pk", |pk| BroadcastId::parse(pk.trim_start_matches("BROADCAST#")))?,
        tenant: item.parsed("tenant", TenantId::parse)?,
        number: item.parsed("number", NumberId::parse)?,
        template: wire.template,
        value_names: wire.value_names,
        category: wire.category.as_deref().and_then(Category::from_word),
        on_unknown: OnUnknown::from_word(&wire.on_unknown).unwrap_or_default(),
        recipients: Recipients { count: many("count")?, duplicates: many("duplicates")? },
        released: many("released")?,
        state: item.parsed("state", |word| BroadcastState::from_word(word).ok_or(()))?,
        send_before: item.required_time("send_before")?,
        created_at: item.required_time("feed_at")?,
    })
}
