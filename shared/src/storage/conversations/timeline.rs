//! Timeline of a conversation: pages of the messages with all contacts of one person, in the order of their keys, which
//! is chronological.

use std::cmp::{Ordering, Reverse};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::domain::ids::{ConversationId, MessageId, ProviderMessageId};
use crate::limits::BATCH_CONCURRENCY;
use crate::storage::conversations::message::{self, StoredMessage, Whose};
use crate::storage::table::item::{Item, text};
use crate::storage::table::page::{self, Position};
use crate::storage::{Page, StorageError, Table, table::keys, unavailable};

/// Messages read first when one is looked for, which usually is among the latest.
const LOOKED_THROUGH_AT_ONCE: u16 = 4;
/// Most messages read at once; the number doubles with each read until then.
const LOOKED_THROUGH_AT_ONCE_MAX: u16 = 800;

/// Order of a conversation's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    Newest,
    /// Oldest first.
    Oldest,
}

/// A message on a page.
struct Entry {
    key: keys::Key,
    id: MessageId,
    at: Timestamp,
    item: Item,
}

/// End of a page: the time, and the list that holds the last message.
struct After {
    at: Timestamp,
    list: (usize, Whose),
    sk: String,
}

impl Table {
    /// Returns a page of the messages with all contacts of the conversation's person. A cursor of one order is valid in
    /// the other order too. Per contact two queries, and per page one batch read for the
    /// annotations; half a read unit per message that quotes another.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn message_list(
        &self,
        conversation: &ConversationId,
        order: Order,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<StoredMessage>, StorageError> {
        let parts = self.parts(conversation).await?;
        let partitions: Vec<String> = parts.iter().map(keys::conversation_partition).collect();
        let after = cursor.map(|cursor| after(cursor, &partitions)).transpose()?;
        let mut entries = Vec::new();
        let mut lists: Vec<(usize, Whose)> =
            (0..partitions.len()).flat_map(|place| [(place, Whose::Theirs), (place, Whose::Ours)]).collect();
        if order == Order::Oldest {
            // One order is exactly the reverse of the other, also within a millisecond.
            lists.reverse();
        }
        for (place, whose) in lists {
            if let Some(partition) = partitions.get(place) {
                let start = after.as_ref().map(|after| start_in(after, (place, whose), order));
                for item in self.written(partition, whose, order, limit.saturating_add(1), start).await? {
                    let key = item.key()?;
                    let (id, at) = keys::parse_message(&key.sk)?;
                    entries.push(Entry { key, id, at, item });
                }
            }
        }
        // The sort is stable: within a millisecond the lists keep their order, and each list its own.
        match order {
            Order::Newest => entries.sort_by_key(|entry| Reverse(entry.at)),
            Order::Oldest => entries.sort_by_key(|entry| entry.at),
        }
        let more = entries.len() > usize::from(limit);
        entries.truncate(usize::from(limit));
        let next = entries.last().filter(|_| more).map(|last| encode(&last.key));
        let id = parts.first().unwrap_or(conversation).clone();
        let items = self.united(entries, &parts).await?;
        let mut items: Vec<_> = items.iter().map(|item| message::read(id.clone(), item)).collect::<Result<_, _>>()?;
        Box::pin(self.name_quoted(&mut items)).await?;
        Ok(Page { items, next })
    }

    /// Adds our own id of each quoted message that we sent. Half a read unit per message that quotes another.
    pub(super) async fn name_quoted(&self, messages: &mut [StoredMessage]) -> Result<(), StorageError> {
        let quoting = messages.iter_mut().filter(|message| message.context.quotes.is_some());
        let found: Vec<_> = quoting
            .map(|message| async move {
                if let Some(quoted) = &message.context.quotes {
                    let ours = self.message_find_accepted(message.conversation.number(), quoted).await?;
                    message.context.quotes_ours = ours.map(|ours| ours.id);
                }
                Ok::<_, StorageError>(())
            })
            .collect();
        stream::iter(found).buffer_unordered(BATCH_CONCURRENCY).try_collect().await
    }

    /// Reads whole items of one side, in order, until `limit` is reached or there are no more, whatever their size.
    /// `start` is the sort key after which reading begins.
    pub(in crate::storage) async fn written(
        &self,
        partition: &str,
        whose: Whose,
        order: Order,
        limit: u16,
        start: Option<String>,
    ) -> Result<Vec<Item>, StorageError> {
        let mut items = Vec::new();
        let mut start: Option<Position> = start.map(|sk| keys::Key { pk: partition.to_owned(), sk }.attributes());
        loop {
            let left = i32::from(limit) - i32::try_from(items.len()).unwrap_or(i32::MAX);
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :pk AND begins_with(sk, :whose)")
                .expression_attribute_values(":pk", text(partition))
                .expression_attribute_values(":whose", text(whose.prefix()))
                .scan_index_forward(order == Order::Oldest)
                .consistent_read(true)
                .limit(left)
                .set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
            items.extend(answer.items.unwrap_or_default().into_iter().map(Item));
            start = answer.last_evaluated_key;
            if start.is_none() || items.len() >= usize::from(limit) {
                return Ok(items);
            }
        }
    }

    /// Reads the messages of one side in a conversation, newest first, up to the first for which `is_last` holds.
    /// Returns them, and whether there was such a message.
    pub(in crate::storage) async fn written_until(
        &self,
        conversation: &ConversationId,
        whose: Whose,
        is_last: impl Fn(&Item) -> bool,
    ) -> Result<(Vec<Item>, bool), StorageError> {
        let partition = keys::conversation_partition(conversation);
        let (mut items, mut start, mut at_once) = (Vec::new(), None, LOOKED_THROUGH_AT_ONCE);
        loop {
            let found = self.written(&partition, whose, Order::Newest, at_once, start).await?;
            let last = found.last().filter(|_| found.len() >= usize::from(at_once));
            at_once = at_once.saturating_mul(2).min(LOOKED_THROUGH_AT_ONCE_MAX);
            start = last.map(|last| last.required("sk").map(str::to_owned)).transpose()?;
            for item in found {
                let is_last = is_last(&item);
                items.push(item);
                if is_last {
                    return Ok((items, true));
                }
            }
            if start.is_none() {
                return Ok((items, false));
            }
        }
    }

    /// Returns the messages of entries, each with its annotations and with the parts stored under other contacts of the
    /// person.
    async fn united(&self, entries: Vec<Entry>, parts: &[ConversationId]) -> Result<Vec<Item>, StorageError> {
        let mut elsewhere = Vec::new();
        let mut ours = Vec::new();
        for entry in &entries {
            let wamid = match &entry.id {
                MessageId::Inbound(wamid) => Some(wamid.clone()),
                MessageId::Outbound(_) => entry.item.parsed_optional("wamid", ProviderMessageId::parse)?,
            };
            elsewhere.extend(wamid.iter().flat_map(|wamid| parts.iter().map(|part| keys::said(part, wamid))));
            match &entry.id {
                MessageId::Outbound(_) => ours.extend(wamid),
                MessageId::Inbound(wamid) if parts.len() > 1 => {
                    elsewhere.extend(parts.iter().map(|part| keys::theirs(part, entry.at, wamid)));
                }
                MessageId::Inbound(_) => {}
            }
        }
        let elsewhere = self.read_all(&elsewhere).await?;
        let mut united: Vec<Item> = Vec::with_capacity(entries.len());
        for Entry { key, id, mut item, .. } in entries {
            let wamid = match id {
                // An echo of a message that we sent is that message.
                MessageId::Inbound(wamid) if ours.contains(&wamid) => continue,
                MessageId::Inbound(wamid) => {
                    // The same message under another contact, or reported again with another time: a phone's clock
                    // differs from Meta's.
                    let is_it = |known: &&mut Item| known.text("sk").is_some_and(|sk| keys::is_theirs(sk, &wamid));
                    if let Some(known) = united.iter_mut().find(is_it) {
                        message::unite(known, &item);
                        continue;
                    }
                    Some(wamid)
                }
                MessageId::Outbound(_) => item.parsed_optional("wamid", ProviderMessageId::parse)?,
            };
            for other in &elsewhere {
                let sk = other.required("sk")?;
                if sk == key.sk && other.text("pk") != Some(&key.pk) {
                    message::unite(&mut item, other);
                } else if wamid.as_ref().is_some_and(|wamid| keys::is_said_of(sk, wamid)) {
                    message::amend_by(&mut item, other);
                }
            }
            united.push(item);
        }
        Ok(united)
    }
}

fn encode(key: &keys::Key) -> String {
    page::opaque(&format!("{}\n{}", key.pk, key.sk))
}

fn after(cursor: &str, partitions: &[String]) -> Result<After, StorageError> {
    let position = page::transparent(cursor)?;
    let (pk, sk) = position.split_once('\n').ok_or(StorageError::BadCursor)?;
    let place = partitions.iter().position(|partition| partition == pk).ok_or(StorageError::BadCursor)?;
    let (id, at) = keys::parse_message(sk).map_err(|_| StorageError::BadCursor)?;
    let whose = if matches!(id, MessageId::Outbound(_)) { Whose::Ours } else { Whose::Theirs };
    Ok(After { at, list: (place, whose), sk: sk.to_owned() })
}

/// Returns the key after which one list continues from a position that may be in another list. Within the position's
/// millisecond, earlier lists are complete, and later lists have not begun.
fn start_in(after: &After, list: (usize, Whose), order: Order) -> String {
    let compared = after.list.cmp(&list);
    let (before, behind) = (|| list.1.before(after.at), || list.1.behind(after.at));
    match (if order == Order::Newest { compared } else { compared.reverse() }, order) {
        (Ordering::Equal, _) => after.sk.clone(),
        (Ordering::Greater, Order::Newest) | (Ordering::Less, Order::Oldest) => before(),
        (Ordering::Less, Order::Newest) | (Ordering::Greater, Order::Oldest) => behind(),
    }
}
