//! Contacts across a tenant's numbers, and their erasure.
//!
//! First the aliases are detached: nothing leads to the contact any more, and later messages under them belong to a new
//! contact. A quarter of an hour later no function has the aliases in memory any more, and the stored data is deleted.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::domain::accounts::number::Number;
use crate::domain::conversations::contact::Alias;
use crate::domain::conversations::content::Content;
use crate::domain::conversations::conversation::Conversation;
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{ContactId, ConversationId, ErasureId, MetaFileId, NumberId, TenantId};
use crate::domain::lifecycle::erasure::{Erasure, SUPPRESSED_FOR};
use crate::limits::BATCH_CONCURRENCY;
use crate::storage::conversations::conversation::{self, Part};
use crate::storage::conversations::users::USER;
use crate::storage::table::item::{Item, expiry, number, text, time};
use crate::storage::table::page::{FEED, LIST};
use crate::storage::{
    Page, StorageError, Table, conversations::message, conversations::search, table::keys, unavailable,
};

/// Page size when a tenant's numbers are read.
const NUMBERS_PAGE: u16 = 100;
/// Time for which the record of an erasure is stored, because evidence of it may be requested. It names nobody.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(3 * 365 * 24);

/// A person across a tenant's numbers.
#[derive(Debug, Clone)]
pub struct Person {
    /// Everything that is known about the person, as one conversation; its id names the oldest contact.
    pub whole: Conversation,
    /// The person's conversations, one per number.
    pub conversations: Vec<Conversation>,
}

/// One page of the data that is left of a contact on a number.
#[derive(Debug)]
pub struct Leftover {
    /// Objects of the bucket that belong to the items. They are deleted first, because only the items lead to them.
    pub objects: Vec<String>,
    /// Whether another page follows.
    pub more: bool,
    id: ConversationId,
    files: Vec<MetaFileId>,
    items: Vec<Item>,
}

/// Returns the files in a message that somebody else wrote.
fn files_in(item: &Item) -> Vec<MetaFileId> {
    let named = |json: &str| {
        let content: Content = serde_json::from_str(json).ok()?;
        MetaFileId::parse(content.file()?.id.as_deref()?).ok()
    };
    ["content", crate::storage::conversations::message::EDITED]
        .into_iter()
        .filter_map(|name| named(item.text(name)?))
        .collect()
}

/// Aliases and search words in an item of a conversation that lead to the contact.
#[derive(Default)]
struct Traces {
    /// Aliases in the form of their keys.
    aliases: BTreeSet<String>,
    /// Search words that lead to the conversation.
    words: BTreeSet<String>,
}

impl Traces {
    fn of(item: &Item) -> Result<Self, StorageError> {
        let mut traces = Self { aliases: item.set("known_as").into_iter().collect(), ..Self::default() };
        traces.words.extend(item.set("words"));
        if let Some(phone) = item.parsed_optional("to_phone", PhoneNumber::parse_wa_id)? {
            traces.aliases.insert(keys::alias_name(&Alias::Phone(phone.canonical())));
        }
        traces.aliases.extend(item.owned("to_user_id").map(|id| keys::alias_name(&Alias::UserId(id))));
        if item.text("sk") == Some("CONV") {
            let id = keys::parse_conversation(item.required("pk")?)?;
            traces.words.extend(search::words_of(&conversation::read(id, item)?.conversation));
        }
        Ok(traces)
    }
}

impl Table {
    /// Returns all numbers of a tenant.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn number_list_all(&self, tenant: TenantId) -> Result<Vec<Number>, StorageError> {
        let (mut numbers, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.number_list(tenant, NUMBERS_PAGE, cursor.as_deref()).await?;
            numbers.extend(page.items.into_iter().filter(|number| number.tenant == tenant));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(numbers);
            }
        }
    }

    /// Returns a contact of this tenant, with everything that is known of it on any number; `None` if there is no
    /// conversation with it. Two read units per number of the tenant and contact of the person.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_get(&self, tenant: TenantId, contact: ContactId) -> Result<Option<Person>, StorageError> {
        let Some(group) = self.person(contact).await? else { return Ok(None) };
        let numbers: Vec<NumberId> = self.number_list_all(tenant).await?.into_iter().map(|one| one.id).collect();
        let of = |number: &NumberId| {
            group.iter().map(|contact| ConversationId::new(number.clone(), *contact)).collect::<Vec<_>>()
        };
        let ids: Vec<ConversationId> = numbers.iter().flat_map(&of).collect();
        let mut parts = self.conversation_parts(&ids).await?;
        parts.retain(|part| part.conversation.tenant == tenant);
        let mut conversations = Vec::new();
        for number in &numbers {
            let here: Vec<Part> = parts.iter().filter(|one| one.conversation.id.number() == number).cloned().collect();
            conversations.extend(conversation::join(here).map(|part| part.conversation));
        }
        if conversations.is_empty() {
            // A conversation that only a broadcast has written to has no item before the customer answers.
            for id in numbers.iter().flat_map(of) {
                conversations.extend(self.conversation_get(tenant, &id).await?);
            }
            let whole = conversations.first().cloned();
            return Ok(whole.map(|whole| Person { whole, conversations }));
        }
        conversations.sort_by_key(|one| std::cmp::Reverse(one.last_activity_at));
        let Some(Part { conversation: mut whole, .. }) = conversation::join(parts) else { return Ok(None) };
        whole.also.sort_unstable();
        whole.also.dedup();
        whole.also.retain(|contact| *contact != whole.id.contact());
        Ok(Some(Person { whole, conversations }))
    }

    /// Begins an erasure: from now on the contacts are treated as missing. A repetition changes nothing. 1 WRU, 1 per
    /// contact, and 2 for the lists.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn contact_erasure_begin(&self, erasure: &Erasure) -> Result<(), StorageError> {
        let (tenant, now) = (text(erasure.tenant.to_string()), erasure.asked_at);
        let contacts = erasure.contacts.iter().map(ToString::to_string).collect();
        self.update(keys::erasure(erasure.id))
            .set_once("tenant", tenant.clone())
            .set_once("contacts", AttributeValue::Ss(contacts))
            .set_once("asked_at", time(now))
            .set_once("feed", text(keys::erasures(erasure.tenant)))
            .set_once("feed_at", time(now))
            .set_once("list", text(keys::ERASURES))
            .set_once("list_at", time(now))
            .set_once("expires_at", expiry(crate::clock::after(now, KEPT_FOR)))
            .run()
            .await?;
        for contact in &erasure.contacts {
            let mark = self.update(keys::contact(*contact)).set("tenant", tenant.clone());
            mark.set_once("erased_at", time(now)).run().await?;
        }
        Ok(())
    }

    /// Detaches the aliases of a contact, on all these numbers.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_close_conversations(&self, erasure: &Erasure, numbers: &[Number]) -> Result<(), StorageError> {
        // Collected first: a stream over a closure that borrows is not `Send`.
        let ids: Vec<ConversationId> = Self::contact_list_conversations(erasure, numbers);
        let closed: Vec<_> = ids.iter().map(|id| self.close_conversation(erasure, id)).collect();
        stream::iter(closed).buffer_unordered(BATCH_CONCURRENCY).try_collect().await
    }

    /// Returns all conversations that a contact may have on these numbers.
    #[must_use]
    pub fn contact_list_conversations(erasure: &Erasure, numbers: &[Number]) -> Vec<ConversationId> {
        let on = |number: &Number| {
            erasure.contacts.iter().map(|contact| ConversationId::new(number.id.clone(), *contact)).collect::<Vec<_>>()
        };
        numbers.iter().flat_map(on).collect()
    }

    /// Detaches the aliases of a conversation's contact: messages under them from now on belong to a new contact. A
    /// function that still has the contact in memory gets [`StorageError::Erased`] when it writes. 1 WRU, and 1 per
    /// alias.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    async fn close_conversation(&self, erasure: &Erasure, id: &ConversationId) -> Result<(), StorageError> {
        // Also without a conversation: a function that has the contact in memory from another number could begin one.
        let mark = self.update(keys::conversation(id)).set_once("erased_at", time(erasure.asked_at));
        mark.set_once("tenant", text(erasure.tenant.to_string())).run().await?;
        // Read after the mark, so later writes add no alias. The first message that we sent covers a broadcast, which
        // creates no item before the customer answers.
        for item in [self.read(&keys::conversation(id)).await?, self.first_of_ours(id).await?].into_iter().flatten() {
            self.take_names(erasure, &Traces::of(&item)?).await?;
        }
        Ok(())
    }

    /// Returns the names of a conversation's contact in the form that webhooks contain.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_list_names(&self, id: &ConversationId) -> Result<Vec<String>, StorageError> {
        let items = [self.read(&keys::conversation(id)).await?, self.first_of_ours(id).await?];
        let mut names = BTreeSet::new();
        for item in items.into_iter().flatten() {
            names.extend(Traces::of(&item)?.aliases);
        }
        Ok(names.iter().filter_map(|name| name.split_once('#')).map(|(_, name)| name.to_owned()).collect())
    }

    async fn take_names(&self, erasure: &Erasure, traces: &Traces) -> Result<(), StorageError> {
        let until = expiry(crate::clock::after(erasure.asked_at, SUPPRESSED_FOR));
        for name in &traces.aliases {
            for contact in &erasure.contacts {
                let nobodys = self
                    .update(keys::alias_named(erasure.tenant, name))
                    .set("erased_at", time(erasure.asked_at))
                    .set("expires_at", until.clone())
                    .remove(&["contact", "typed", "since", "former", "moved_at"])
                    // An alias that was only found by its other spelling has no item of its own.
                    .when("#contact = :whose OR attribute_not_exists(#pk)")
                    .value("whose", text(contact.to_string()));
                nobodys.run().await?;
                // Late data from before the number moved to somebody else has no contact any more.
                let former = self.update(keys::alias_named(erasure.tenant, name)).remove(&["former"]);
                former.when("#former = :whose").value("whose", text(contact.to_string())).run().await?;
            }
        }
        Ok(())
    }

    /// Returns the erasures that are due, the longest overdue first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn contact_erasure_list_due(&self, now: Timestamp, limit: u16) -> Result<Vec<Erasure>, StorageError> {
        let found = self.oldest(LIST, keys::ERASURES, now, limit).await?;
        self.read_all(&crate::storage::table::page::keys_of(&found)?).await?.iter().map(read).collect()
    }

    /// Returns an erasure of the tenant.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn contact_erasure_get(&self, tenant: TenantId, id: ErasureId) -> Result<Option<Erasure>, StorageError> {
        let erasure = self.read(&keys::erasure(id)).await?.map(|item| read(&item)).transpose()?;
        Ok(erasure.filter(|erasure| erasure.tenant == tenant))
    }

    /// Returns a tenant's erasures, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor belongs to another list.
    pub async fn contact_erasure_list(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Erasure>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("ERASURE#") && sk == "ERASURE";
        self.list(FEED, &keys::erasures(tenant), limit, cursor, accepts, read).await
    }

    /// Returns one page of the data that is left of a contact on a number: messages, annotations, notes, and last the
    /// conversation item.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_list_left(&self, id: &ConversationId) -> Result<Leftover, StorageError> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(keys::conversation_partition(id)))
            .scan_index_forward(false)
            .consistent_read(true);
        let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
        let more = answer.last_evaluated_key.is_some();
        let items: Vec<Item> = answer.items.unwrap_or_default().into_iter().map(Item).collect();
        let files: Vec<MetaFileId> = items.iter().flat_map(files_in).collect();
        let wanted: Vec<keys::Key> = files.iter().map(|file| keys::file(id.number(), file)).collect();
        let copies = self.read_all(&wanted).await?;
        let objects = copies.iter().filter_map(|copy| copy.owned("stored_at")).collect();
        Ok(Leftover { objects, more, id: id.clone(), files, items })
    }

    /// Erases such a page, whose objects are already deleted, and returns its number of items. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_erase_left(&self, erasure: &Erasure, page: &Leftover) -> Result<u64, StorageError> {
        let mut traces = Traces::default();
        for item in &page.items {
            let found = Traces::of(item)?;
            traces.aliases.extend(found.aliases);
            traces.words.extend(found.words);
        }
        self.take_names(erasure, &traces).await?;
        let moments: Vec<Timestamp> = page.items.iter().filter_map(message::written_at).collect();
        self.forget_activity(erasure.tenant, &page.id, &moments).await?;
        let words = traces.words.iter().map(|word| keys::name(erasure.tenant, word, &page.id));
        let mut going: Vec<keys::Key> = words.chain([keys::pair(&page.id)]).collect();
        for item in &page.items {
            going.push(item.key()?);
        }
        // Meta serves the files for a week; this mark prevents another copy.
        for file in &page.files {
            self.forget_file(page.id.number(), file, erasure.asked_at).await?;
        }
        // One after the other, because the conversation item leads to the rest and must be deleted last.
        for key in &going {
            self.delete(key).await?;
        }
        Ok(u64::try_from(page.items.len()).unwrap_or(u64::MAX))
    }

    /// Erases the contact itself: its merges and its preferences. Returns the number of items. 1 WRU each.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_erase(&self, contact: ContactId, now: Timestamp) -> Result<u64, StorageError> {
        let items = self.partition(&keys::contact_partition(contact), "").await?;
        let items: Vec<Item> = items.into_iter().filter(|item| !item.0.contains_key("expires_at")).collect();
        let mut going = Vec::new();
        for item in &items {
            for other in item.set("same_as") {
                let other = ContactId::parse(&other).map_err(|_| StorageError::Corrupt("same_as"))?;
                going.push(keys::merge(contact, other));
            }
            going.extend(Some(item.key()?).filter(|key| *key != keys::contact(contact)));
        }
        for key in &going {
            self.delete(key).await?;
        }
        // The tombstone keeps a repeated request, with the Idempotency-Key of an erased message, from creating another
        // message.
        let until = crate::clock::after(now, SUPPRESSED_FOR);
        let stone = self.update(keys::contact(contact)).set("expires_at", expiry(until));
        let own = items.iter().find(|item| item.text("sk") == Some(keys::contact(contact).sk.as_str()));
        let users = own.iter().flat_map(|item| item.0.keys()).filter(|name| name.starts_with(USER));
        let going: Vec<&str> =
            ["tenant", "same_as", "apart_from"].into_iter().chain(users.map(String::as_str)).collect();
        stone.set_once("erased_at", time(now)).remove(&going).run().await?;
        Ok(u64::try_from(items.len()).unwrap_or(u64::MAX))
    }

    /// Returns whether a contact is being erased, or was erased within the last 15 days (`SUPPRESSED_FOR`). 1 read
    /// unit.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn contact_is_erased(&self, contact: ContactId) -> Result<bool, StorageError> {
        Ok(self.person(contact).await?.is_none())
    }

    /// Records the progress of an erasure; with `done_at` it has ended. 1 WRU, and 1 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn contact_erasure_record(&self, erasure: &Erasure, again_at: Timestamp) -> Result<(), StorageError> {
        let count = number(i64::try_from(erasure.erased).unwrap_or(i64::MAX));
        let update = self.update(keys::erasure(erasure.id)).set("erased", count);
        let update = update.put("closed_at", erasure.closed_at.map(time));
        let update = match erasure.done_at {
            Some(done_at) => update.set("done_at", time(done_at)).remove(&["list", "list_at"]),
            None => update.set("list_at", time(again_at)),
        };
        update.when("attribute_exists(#list)").run().await?;
        Ok(())
    }
}

fn read(item: &Item) -> Result<Erasure, StorageError> {
    let contacts = item.set("contacts");
    let contacts = contacts.iter().map(|id| ContactId::parse(id).map_err(|_| StorageError::Corrupt("contacts")));
    Ok(Erasure {
        id: item.parsed("pk", |pk| ErasureId::parse(pk.trim_start_matches("ERASURE#")))?,
        tenant: item.parsed("tenant", TenantId::parse)?,
        contacts: contacts.collect::<Result<_, _>>()?,
        asked_at: item.required_time("asked_at")?,
        closed_at: item.time("closed_at"),
        erased: item.number("erased").and_then(|many| u64::try_from(many).ok()).unwrap_or(0),
        done_at: item.time("done_at"),
    })
}
