//! Contacts as people see them, across a tenant's numbers, and the end of one.
//!
//! First the names are taken away: nothing leads to the contact any more, and who writes under them is somebody new. A quarter of an hour later
//! nobody remembers where they led, and what was stored is deleted.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::conversation::{self, Part};
use super::item::{Item, expiry, number, text, time};
use super::page::{FEED, LIST};
use super::{Page, StorageError, Table, keys, message, search, unavailable};
use crate::domain::contact::Alias;
use crate::domain::conversation::Conversation;
use crate::domain::erasure::{Erasure, SUPPRESSED_FOR};
use crate::domain::ids::{ContactId, ConversationId, ErasureId, MetaFileId, PhoneNumberId, TenantId};
use crate::domain::number::Number;
use crate::domain::phone::PhoneNumber;
use crate::limits::BATCH_CONCURRENCY;

/// Numbers of a tenant read at once.
const NUMBERS_PAGE: u16 = 100;
/// How long it is known that somebody was erased: the proof may be asked for. It names nobody.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(3 * 365 * 24);

/// A person across a tenant's numbers.
#[derive(Debug, Clone)]
pub struct Person {
    /// All that is told of it, as if it were one conversation; its id names the oldest contact.
    pub whole: Conversation,
    /// Its conversations, one a number.
    pub conversations: Vec<Conversation>,
}

/// What is left of a contact on a number, a page of it.
#[derive(Debug)]
pub struct Leftover {
    /// Objects of the bucket that belong to it: they go first, because the items lead to them.
    pub objects: Vec<String>,
    /// Whether there is more behind it.
    pub more: bool,
    id: ConversationId,
    files: Vec<MetaFileId>,
    items: Vec<Item>,
}

/// The files that a message of theirs carries.
fn files_in(item: &Item) -> Vec<MetaFileId> {
    const KINDS: [&str; 5] = ["image", "video", "audio", "document", "sticker"];
    let named = |json: &str| {
        let content: Value = serde_json::from_str(json).ok()?;
        let file = KINDS.iter().find_map(|kind| content.get(kind)?.get("id")?.as_str())?;
        MetaFileId::parse(file).ok()
    };
    ["content", super::message::EDITED].into_iter().filter_map(|name| named(item.text(name)?)).collect()
}

/// What an item of a conversation says about who the other side is.
#[derive(Default)]
struct Traces {
    /// Names of aliases, as they stand in their keys.
    aliases: BTreeSet<String>,
    /// Words that lead to the conversation.
    words: BTreeSet<String>,
}

impl Traces {
    fn of(item: &Item) -> Result<Self, StorageError> {
        let mut traces = Self { aliases: item.set("known_as").into_iter().collect(), ..Self::default() };
        traces.words.extend(item.set("words"));
        if let Some(phone) = item.parsed_optional("to_phone", PhoneNumber::parse)? {
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
    /// All of a tenant's numbers.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn all_numbers(&self, tenant: TenantId) -> Result<Vec<Number>, StorageError> {
        let (mut numbers, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.numbers(tenant, NUMBERS_PAGE, cursor.as_deref()).await?;
            numbers.extend(page.items.into_iter().filter(|number| number.tenant == tenant));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(numbers);
            }
        }
    }

    /// A contact of this tenant, with everything that is told of it on any number. `None` if there is no conversation with it. Two read
    /// units for each of the tenant's numbers.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_card(&self, tenant: TenantId, contact: ContactId) -> Result<Option<Person>, StorageError> {
        let Some(group) = self.person(contact).await? else { return Ok(None) };
        let numbers: Vec<PhoneNumberId> = self.all_numbers(tenant).await?.into_iter().map(|one| one.id).collect();
        let of = |number: &PhoneNumberId| {
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
            // A broadcast may have written to it, and nothing is noted before it answers.
            for id in numbers.iter().flat_map(of) {
                conversations.extend(self.conversation(tenant, &id).await?);
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

    /// Begins to erase: the contact is gone for whoever asks. Again it changes nothing. 2 WRU, and 2 for the lists.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn begin_erasure(&self, erasure: &Erasure) -> Result<(), StorageError> {
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
            .set_once("expires_at", expiry(now.checked_add(KEPT_FOR).unwrap_or(Timestamp::MAX)))
            .run()
            .await?;
        for contact in &erasure.contacts {
            let mark = self.update(keys::contact(*contact)).set("tenant", tenant.clone());
            mark.set_once("erased_at", time(now)).run().await?;
        }
        Ok(())
    }

    /// Takes the names of a contact away, on all these numbers.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn close_conversations(&self, erasure: &Erasure, numbers: &[Number]) -> Result<(), StorageError> {
        // Collected first: a stream over a closure that borrows is not `Send`.
        let ids: Vec<ConversationId> = Self::conversations_of(erasure, numbers);
        let closed: Vec<_> = ids.iter().map(|id| self.close_conversation(erasure, id)).collect();
        stream::iter(closed).buffer_unordered(BATCH_CONCURRENCY).try_collect().await
    }

    /// All conversations that a contact may have on these numbers.
    #[must_use]
    pub fn conversations_of(erasure: &Erasure, numbers: &[Number]) -> Vec<ConversationId> {
        let on = |number: &Number| {
            erasure.contacts.iter().map(|contact| ConversationId::new(number.id.clone(), *contact)).collect::<Vec<_>>()
        };
        numbers.iter().flat_map(on).collect()
    }

    /// Takes the names of a conversation's contact away: what is said under them from now on is of somebody new. Whoever remembers where they
    /// led is told when it writes. 1 WRU, and 1 for each name.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    async fn close_conversation(&self, erasure: &Erasure, id: &ConversationId) -> Result<(), StorageError> {
        // Also where there is none yet: whoever remembers the contact from another number would begin one.
        let mark = self.update(keys::conversation(id)).set_once("erased_at", time(erasure.asked_at));
        mark.set_once("tenant", text(erasure.tenant.to_string())).run().await?;
        // Read after it was marked: what comes later does not add a name. A broadcast may have written, and nothing is noted before it is answered.
        for item in [self.read(&keys::conversation(id)).await?, self.first_of_ours(id).await?].into_iter().flatten() {
            self.take_names(erasure, &Traces::of(&item)?).await?;
        }
        Ok(())
    }

    /// The names that a conversation's contact goes by, as they stand in its webhooks.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn names_of(&self, id: &ConversationId) -> Result<Vec<String>, StorageError> {
        let items = [self.read(&keys::conversation(id)).await?, self.first_of_ours(id).await?];
        let mut names = BTreeSet::new();
        for item in items.into_iter().flatten() {
            names.extend(Traces::of(&item)?.aliases);
        }
        Ok(names.iter().filter_map(|name| name.split_once('#')).map(|(_, name)| name.to_owned()).collect())
    }

    async fn take_names(&self, erasure: &Erasure, traces: &Traces) -> Result<(), StorageError> {
        let until = expiry(erasure.asked_at.checked_add(SUPPRESSED_FOR).unwrap_or(Timestamp::MAX));
        for name in &traces.aliases {
            for contact in &erasure.contacts {
                let nobodys = self
                    .update(keys::alias_named(erasure.tenant, name))
                    .set("erased_at", time(erasure.asked_at))
                    .set("expires_at", until.clone())
                    .remove(&["contact", "typed"])
                    // A name that was only found, in another spelling, has no item of its own.
                    .when("#contact = :whose OR attribute_not_exists(#pk)")
                    .value("whose", text(contact.to_string()));
                nobodys.run().await?;
            }
        }
        Ok(())
    }

    /// Erasures that are due, the longest due first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn erasures_due(&self, now: Timestamp, limit: u16) -> Result<Vec<Erasure>, StorageError> {
        let found = self.oldest(LIST, keys::ERASURES, now, limit).await?;
        self.read_all(&super::page::keys_of(&found)?).await?.iter().map(read).collect()
    }

    /// One of the tenant's erasures.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn erasure(&self, tenant: TenantId, id: ErasureId) -> Result<Option<Erasure>, StorageError> {
        let erasure = self.read(&keys::erasure(id)).await?.map(|item| read(&item)).transpose()?;
        Ok(erasure.filter(|erasure| erasure.tenant == tenant))
    }

    /// A tenant's erasures, the latest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn erasures(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Erasure>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("ERASURE#") && sk == "ERASURE";
        self.list(FEED, &keys::erasures(tenant), limit, cursor, accepts, read).await
    }

    /// One page of what is left of a contact on a number: messages, notes, the conversation itself, which comes last.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn left_of(&self, id: &ConversationId) -> Result<Leftover, StorageError> {
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

    /// Erases such a page, whose objects are gone. Answers how many items it had. 1 WRU a KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn erase_left(&self, erasure: &Erasure, page: &Leftover) -> Result<u64, StorageError> {
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
        // Meta has them for a week: they are not copied again.
        for file in &page.files {
            self.forget_file(page.id.number(), file, erasure.asked_at).await?;
        }
        // One after the other: the conversation itself leads to the rest, and goes last.
        for key in &going {
            self.delete(key).await?;
        }
        Ok(u64::try_from(page.items.len()).unwrap_or(u64::MAX))
    }

    /// Erases what is left of a contact itself: whom it was taken for, what it wants. 1 WRU each.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn erase_contact(&self, contact: ContactId, now: Timestamp) -> Result<u64, StorageError> {
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
        // An id that names nobody: an Idempotency-Key that made a message for it must not make another one.
        let until = now.checked_add(SUPPRESSED_FOR).unwrap_or(Timestamp::MAX);
        let stone = self.update(keys::contact(contact)).set("expires_at", expiry(until));
        stone.set_once("erased_at", time(now)).remove(&["tenant", "same_as", "apart_from"]).run().await?;
        Ok(u64::try_from(items.len()).unwrap_or(u64::MAX))
    }

    /// Whether a contact is being erased, or was within the last two weeks. 1 read unit.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn is_erased(&self, contact: ContactId) -> Result<bool, StorageError> {
        Ok(self.person(contact).await?.is_none())
    }

    /// Records how far an erasure is; with `done_at` it is over. 1 WRU, and 1 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_erasure(&self, erasure: &Erasure, again_at: Timestamp) -> Result<(), StorageError> {
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
