//! Conversations: names of the contact and times of the latest events. A condition lets each time only move forward, so
//! the order of writes does not matter.
//!
//! A person with several contacts has one conversation item per contact. They are shown as one, under the oldest
//! contact.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::conversations::contact::{AddressBookEntry, ContactIdentity};
use crate::domain::conversations::conversation::Conversation;
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{ConversationId, MessageId, TenantId};
use crate::domain::sending::outbound::Intent;
use crate::limits::BATCH_CONCURRENCY;
use crate::storage::conversations::assignment;
use crate::storage::conversations::message::{self, OPENS, Whose};
use crate::storage::conversations::timeline::Order;
use crate::storage::table::item::{Item, text};
use crate::storage::table::merge::Fact;
use crate::storage::{StorageError, Table, table::keys};

/// Limit of messages whose names are read when a name changes. The item was not written for these messages, because it
/// already had their names.
const PASSED_OVER_MAX: u16 = 25;

/// Update of a conversation item.
#[derive(Debug, Clone, Default)]
pub struct ConversationUpdate<'a> {
    /// Message that may be the latest one, and the time it was written.
    pub message: Option<(&'a MessageId, Timestamp)>,
    /// When the customer wrote or called, which opens or extends the customer service window.
    pub opens_window_at: Option<Timestamp>,
    /// When the customer came from an advertisement, which may open a free entry point.
    pub referred_at: Option<Timestamp>,
    /// When the customer called.
    pub called_at: Option<Timestamp>,
    /// Time for which the names of the card are valid.
    pub observed_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct BookWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    full_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_name: Option<String>,
}

impl Table {
    /// Updates a conversation item. 1 WRU if everything is newer than the stored values; up to 1 more per time if they
    /// arrive out of order.
    ///
    /// # Errors
    /// When DynamoDB does not answer. [`StorageError::Erased`] if the contact is being erased: the message belongs to a
    /// new contact.
    pub async fn conversation_touch(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        card: &ContactIdentity,
        noted: &ConversationUpdate<'_>,
    ) -> Result<(), StorageError> {
        let mut facts = Vec::with_capacity(8);
        if let Some((message, at)) = noted.message {
            facts.push(Fact::latest("last_message", message.to_text(), at));
        }
        let moments = [
            ("last_inbound_at", noted.opens_window_at),
            ("last_referral_at", noted.referred_at),
            ("last_call_at", noted.called_at),
        ];
        facts.extend(moments.into_iter().filter_map(|(name, at)| Some(Fact::moment(name, at?))));
        let told = noted.observed_at.map(|at| told(card, at)).unwrap_or_default();
        // Entered names only fill a gap, which most conversations do not have. They are written separately if there is
        // one.
        let typed = noted.observed_at == Some(Timestamp::UNIX_EPOCH) && !facts.is_empty();
        if !typed {
            facts.extend(told.iter().cloned());
        }
        facts.extend(known_as(card));
        let merged = self.merge(&keys::conversation(id), &owner(tenant), &facts).await?;
        still_there(&merged.before)?;
        let nameless = merged.before.text("phone").is_none() && merged.before.text("user_id").is_none();
        if !typed || nameless {
            // On the heap, because a thread's stack may be small and this is rare.
            Box::pin(self.note_names(tenant, id, &merged.before, &told)).await?;
        }
        if typed && nameless {
            self.merge(&keys::conversation(id), &owner(tenant), &told).await?;
        }
        Ok(())
    }

    /// Records an inbound message, which opens the customer service window. Writes nothing if the item already has the
    /// names of the card: the message itself is stored before and records the rest. 1 read unit; 1 WRU if the customer
    /// or a name is new.
    ///
    /// # Errors
    /// As [`Table::conversation_touch`].
    pub async fn conversation_touch_opened(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        card: &ContactIdentity,
        noted: &ConversationUpdate<'_>,
    ) -> Result<(), StorageError> {
        let known = self.read(&keys::conversation(id)).await?.unwrap_or_default();
        still_there(&known)?;
        let told = noted.observed_at.map(|at| told(card, at)).unwrap_or_default();
        let is_new = |fact: &Fact| !fact.is_said_by(&known);
        let opened_before = known.0.contains_key("last_inbound_at");
        if opened_before && !told.iter().chain(&known_as(card)).any(is_new) {
            return Ok(());
        }
        if opened_before {
            // The messages for which the item was not written show until when the old names were valid.
            let partition = keys::conversation_partition(id);
            let passed = self.written(&partition, Whose::Theirs, Order::Newest, PASSED_OVER_MAX, None).await?;
            let mut latest: Vec<Fact> = Vec::new();
            for item in &passed {
                let told = message::names_told(item)?.map(|(card, at)| self::told(&card, at));
                // Items are sorted newest first.
                for fact in told.unwrap_or_default() {
                    if !latest.iter().any(|known| known.name() == fact.name()) {
                        latest.push(fact);
                    }
                }
            }
            self.merge(&keys::conversation(id), &owner(tenant), &latest).await?;
        }
        self.conversation_touch(tenant, id, card, noted).await
    }

    /// Records a message that we send. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn conversation_touch_sent(&self, intent: &Intent) -> Result<(), StorageError> {
        let message = MessageId::Outbound(intent.id);
        // At the epoch: names that the caller entered are replaced by any that the provider reports.
        let observed_at = Some(Timestamp::UNIX_EPOCH);
        let noted = ConversationUpdate {
            message: Some((&message, intent.accepted_at())),
            observed_at,
            ..ConversationUpdate::default()
        };
        self.conversation_touch(intent.tenant, &intent.conversation, &intent.to.card(), &noted).await
    }

    /// Returns whether a conversation shows activity at `at` or later. The read is eventually consistent, so `false`
    /// may be outdated. Half a read unit.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn conversation_shows_activity(&self, id: &ConversationId, at: Timestamp) -> Result<bool, StorageError> {
        let key = keys::conversation(id).attributes();
        let get = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(false);
        let answer = get.send().await.map_err(|error| crate::storage::unavailable("GetItem", &error))?;
        Ok(answer.item.and_then(|item| Item(item).time("last_message_at")).is_some_and(|last| last >= at))
    }

    /// Records until when a free entry point is open. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn conversation_put_entry_point(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        let facts = [Fact::moment("entry_point_until", until)];
        self.merge(&keys::conversation(id), &owner(tenant), &facts).await?;
        Ok(())
    }

    /// Records the contact's entry in the address book of the business's phone; the latest entry counts. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn conversation_put_address_book(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        card: &ContactIdentity,
        entry: &AddressBookEntry,
        at: Timestamp,
    ) -> Result<(), StorageError> {
        let wire = BookWire { full_name: entry.full_name.clone(), first_name: entry.first_name.clone() };
        let json = serde_json::to_string(&wire).map_err(|_| StorageError::Refused("an address book entry"))?;
        let mut facts = vec![Fact::latest("address_book", json, at)];
        let phone = card.phone.as_ref().map(|phone| phone.e164().to_owned());
        // At the epoch: a number from the address book is replaced by any that the provider reports.
        facts.extend(phone.map(|phone| Fact::latest("phone", phone, Timestamp::UNIX_EPOCH)));
        facts.extend(known_as(card));
        let merged = self.merge(&keys::conversation(id), &owner(tenant), &facts).await?;
        still_there(&merged.before)?;
        Box::pin(self.note_names(tenant, id, &merged.before, &facts)).await
    }

    /// Returns a conversation of this tenant, by any contact of the person. A conversation of another tenant is treated
    /// as missing.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn conversation_get(
        &self,
        tenant: TenantId,
        id: &ConversationId,
    ) -> Result<Option<Conversation>, StorageError> {
        self.conversation_of(tenant, id, &self.parts(id).await?).await
    }

    /// Same as [`Table::conversation_get`], with the person's conversations given as `parts`.
    pub(in crate::storage) async fn conversation_of(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        parts: &[ConversationId],
    ) -> Result<Option<Conversation>, StorageError> {
        if parts.is_empty() {
            return Ok(None);
        }
        let mut found = self.conversation_parts(parts).await?;
        found.retain(|part| part.conversation.tenant == tenant);
        match join(found) {
            Some(Part { conversation, .. }) if conversation.has_name() => Ok(Some(conversation)),
            // The item has no names yet if it was assigned, labelled or closed before the customer answered. The first
            // message that we sent has them.
            Some(Part { conversation, .. }) => {
                let addressed = self.addressed(tenant, id).await?;
                let (phone, user_id) = addressed.map(|one| (one.phone, one.user_id)).unwrap_or_default();
                Ok(Some(Conversation { phone, user_id, ..conversation }))
            }
            None => self.addressed(tenant, id).await,
        }
    }

    /// Returns these conversations without joining them: each item with the customer's latest message. Two reads each.
    pub(in crate::storage) async fn conversation_parts(
        &self,
        ids: &[ConversationId],
    ) -> Result<Vec<Part>, StorageError> {
        let wanted: Vec<keys::Key> = ids.iter().map(keys::conversation).collect();
        let mut parts = Vec::with_capacity(ids.len());
        for item in self.read_all(&wanted).await? {
            parts.push(read(keys::parse_conversation(item.required("pk")?)?, &item)?);
        }
        let overlaid: Vec<_> = parts.into_iter().map(|part| self.with_latest(part)).collect();
        stream::iter(overlaid).buffered(BATCH_CONCURRENCY).try_collect().await
    }

    /// Adds the customer's latest message, which the item lacks if the message brought no new name.
    async fn with_latest(&self, mut part: Part) -> Result<Part, StorageError> {
        let id = &part.conversation.id;
        let Some(known) = part.conversation.last_inbound_at else { return Ok(part) };
        // A call updates only `last_inbound_at`, an echo only `last_activity_at`.
        let looked_through = known.min(part.conversation.last_activity_at);
        let at = |item: &Item| item.text("sk").and_then(|sk| keys::parse_message(sk).ok()).map(|(_, at)| at);
        let is_last = |item: &Item| item.0.contains_key(OPENS) || at(item).is_none_or(|at| at < looked_through);
        let (found, _) = self.written_until(id, Whose::Theirs, is_last).await?;
        let Some(latest) = found.last() else { return Ok(part) };
        let (message, at) = keys::parse_message(latest.required("sk")?)?;
        if at < looked_through || !latest.0.contains_key(OPENS) {
            return Ok(part);
        }
        let last = (id.clone(), message.to_text());
        part.conversation.last_inbound_at = Some(at.max(known));
        if place(at, Some(&last)) > place(part.conversation.last_activity_at, part.last.as_ref()) {
            part.conversation.last_activity_at = at;
            part.last = Some(last);
        }
        Ok(part)
    }

    /// Returns a conversation that only a broadcast has written to. It has no item before the customer answers.
    async fn addressed(&self, tenant: TenantId, id: &ConversationId) -> Result<Option<Conversation>, StorageError> {
        let Some(item) = self.first_of_ours(id).await? else { return Ok(None) };
        if item.parsed("tenant", TenantId::parse)? != tenant {
            return Ok(None);
        }
        let phone = item.parsed_optional("to_phone", PhoneNumber::parse_wa_id)?;
        Ok(Some(Conversation { phone, user_id: item.owned("to_user_id"), ..Conversation::silent(id.clone(), tenant) }))
    }

    /// Returns the first message that we sent in a conversation.
    pub(in crate::storage) async fn first_of_ours(&self, id: &ConversationId) -> Result<Option<Item>, StorageError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND begins_with(sk, :ours)")
            .expression_attribute_values(":pk", text(keys::conversation_partition(id)))
            .expression_attribute_values(":ours", text(keys::OUR_MESSAGES))
            .consistent_read(true)
            .limit(1)
            .send()
            .await
            .map_err(|error| crate::storage::unavailable("Query", &error))?;
        Ok(answer.items.unwrap_or_default().into_iter().map(Item).next())
    }

    /// Returns whether two conversations of a number are with the same person.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn conversation_is_same_person(
        &self,
        one: &ConversationId,
        other: &ConversationId,
    ) -> Result<bool, StorageError> {
        Ok(one == other || self.parts(one).await?.contains(other))
    }

    /// Returns the conversations of one number with all contacts of the person of `id`; none for a contact that is
    /// being erased.
    pub(in crate::storage) async fn parts(&self, id: &ConversationId) -> Result<Vec<ConversationId>, StorageError> {
        let Some(group) = self.person(id.contact()).await? else { return Ok(Vec::new()) };
        Ok(group.into_iter().map(|contact| ConversationId::new(id.number().clone(), contact)).collect())
    }
}

/// Returns the facts that a card contains.
fn told(card: &ContactIdentity, at: Timestamp) -> Vec<Fact> {
    let phone = card.phone.as_ref().map(|phone| phone.e164().to_owned());
    let told = [
        ("phone", phone),
        ("user_id", card.user_id.clone()),
        ("profile_name", card.profile_name.clone()),
        ("username", card.username.clone()),
        ("group_id", card.group_id.clone()),
    ];
    told.into_iter().filter_map(|(name, value)| Some(Fact::latest(name, value?, at))).collect()
}

/// Returns the aliases of a card. An erasure of the contact reads them from the item.
fn known_as(card: &ContactIdentity) -> Option<Fact> {
    let values: Vec<String> = card.aliases().iter().map(keys::alias_name).collect();
    (!values.is_empty()).then_some(Fact::Among { name: "known_as", values })
}

fn still_there(conversation: &Item) -> Result<(), StorageError> {
    if conversation.0.contains_key("erased_at") { Err(StorageError::Erased) } else { Ok(()) }
}

fn owner(tenant: TenantId) -> [(&'static str, AttributeValue); 1] {
    [("tenant", text(tenant.to_string()))]
}

/// The conversation with one contact, and its latest message.
#[derive(Debug, Clone)]
pub(in crate::storage) struct Part {
    pub(in crate::storage) conversation: Conversation,
    pub(in crate::storage) last: Option<(ConversationId, String)>,
    told: Vec<Told>,
    desk_at: Option<Timestamp>,
}

/// A reported fact about the contact: name, time, value.
type Told = (&'static str, Timestamp, String);

/// Facts about a contact that may change.
const TOLD: [&str; 6] = ["phone", "user_id", "group_id", "profile_name", "username", "address_book"];

/// Joins the conversations of one person under the oldest contact. Each time and each name is the latest of all.
pub(in crate::storage) fn join(mut parts: Vec<Part>) -> Option<Part> {
    parts.sort_by_key(|part| part.conversation.id.contact());
    let mut parts = parts.into_iter();
    let mut whole = parts.next()?;
    for part in parts {
        let (one, other) = (&mut whole.conversation, part.conversation);
        if place(other.last_activity_at, part.last.as_ref()) > place(one.last_activity_at, whole.last.as_ref()) {
            whole.last = part.last;
        }
        one.last_activity_at = one.last_activity_at.max(other.last_activity_at);
        one.last_inbound_at = one.last_inbound_at.max(other.last_inbound_at);
        one.last_referral_at = one.last_referral_at.max(other.last_referral_at);
        one.last_call_at = one.last_call_at.max(other.last_call_at);
        one.entry_point_until = one.entry_point_until.max(other.entry_point_until);
        one.read_until = one.read_until.max(other.read_until);
        // The latest assignment counts; the revision counts the changes of all parts.
        let revision = one.desk.revision + other.desk.revision;
        if part.desk_at > whole.desk_at {
            (one.desk, whole.desk_at) = (other.desk, part.desk_at);
        }
        one.desk.revision = revision;
        one.also.push(other.id.contact());
        whole.told.extend(part.told);
    }
    tell(&mut whole.conversation, &whole.told);
    Some(whole)
}

/// Position of a latest message in the order of all messages.
fn place(at: Timestamp, last: Option<&(ConversationId, String)>) -> Option<(Timestamp, &str)> {
    last.map(|(_, message)| (at, message.as_str()))
}

fn tell(conversation: &mut Conversation, told: &[Told]) {
    let latest = |wanted: &str| {
        let told = told.iter().filter(|(name, ..)| *name == wanted);
        told.max_by_key(|(_, at, value)| (*at, value)).map(|(_, _, value)| value.clone())
    };
    conversation.phone = latest("phone").and_then(|phone| PhoneNumber::parse_wa_id(&phone).ok());
    conversation.user_id = latest("user_id");
    conversation.group_id = latest("group_id");
    conversation.profile_name = latest("profile_name");
    conversation.username = latest("username");
    let book: Option<BookWire> = latest("address_book").and_then(|json| serde_json::from_str(&json).ok());
    conversation.address_book = book
        .map(|book| AddressBookEntry { full_name: book.full_name, first_name: book.first_name })
        .filter(|book| book.full_name.is_some() || book.first_name.is_some());
}

pub(in crate::storage) fn read(id: ConversationId, item: &Item) -> Result<Part, StorageError> {
    let told = TOLD.into_iter().filter_map(|name| Some((name, item.time(&format!("{name}_at"))?, item.owned(name)?)));
    let told: Vec<Told> = told.collect();
    let last = item.owned("last_message").map(|message| (id.clone(), message));
    let mut conversation = Conversation {
        last_activity_at: item.time("last_message_at").unwrap_or(Timestamp::UNIX_EPOCH),
        last_inbound_at: item.time("last_inbound_at"),
        last_referral_at: item.time("last_referral_at"),
        last_call_at: item.time("last_call_at"),
        entry_point_until: item.time("entry_point_until"),
        read_until: item.time("read_until"),
        desk: assignment::read(item),
        ..Conversation::silent(id, item.parsed("tenant", TenantId::parse)?)
    };
    tell(&mut conversation, &told);
    Ok(Part { last, told, conversation, desk_at: item.time("desk_at") })
}
