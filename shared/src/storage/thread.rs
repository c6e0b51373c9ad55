//! A conversation's messages on pages: what others wrote in the order of the time index, what we sent in the order of our
//! ids, which begin with their time; of all contacts that are one person.

use std::cmp::{Ordering, Reverse};

use jiff::Timestamp;

use super::item::{Item, number, text};
use super::message::{self, StoredMessage};
use super::page::{self, BY_TIME, Position};
use super::{Page, StorageError, Table, keys, unavailable};
use crate::domain::ids::{ConversationId, MessageId, Wamid};

/// Whose messages of one contact. Of one moment theirs come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Theirs,
    Ours,
}

/// A message on a page: its key, or all of it.
struct Entry {
    at: i64,
    item: Item,
}

/// Where a page ends: the moment, and which of the lists it is in.
struct After {
    at: i64,
    list: (usize, Whose),
    sk: String,
}

impl Table {
    /// A conversation's messages, the newest first: of all contacts that are this person. For each of them one index query,
    /// one query of what we sent, and one batch read a page.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn messages(
        &self,
        conversation: &ConversationId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<StoredMessage>, StorageError> {
        let parts = self.parts(conversation).await?;
        let partitions: Vec<String> = parts.iter().map(keys::conversation_partition).collect();
        let after = cursor.map(|cursor| after(cursor, &partitions)).transpose()?;
        let mut entries = Vec::new();
        for (place, partition) in partitions.iter().enumerate() {
            for whose in [Whose::Theirs, Whose::Ours] {
                let start = after.as_ref().map(|after| start_in(after, partition, (place, whose)));
                let more = limit.saturating_add(1);
                entries.extend(match whose {
                    Whose::Theirs => self.theirs(partition, more, start).await?,
                    Whose::Ours => self.ours(partition, more, start).await?,
                });
            }
        }
        // Stable: of one moment the first list's come first, in the list's own order.
        entries.sort_by_key(|entry| Reverse(entry.at));
        let more = entries.len() > usize::from(limit);
        entries.truncate(usize::from(limit));
        let next = entries.last().filter(|_| more).map(position).transpose()?;
        let id = parts.first().unwrap_or(conversation).clone();
        let items = self.united(entries, &parts).await?;
        let items = items.iter().map(|item| message::read(id.clone(), item)).collect::<Result<_, _>>()?;
        Ok(Page { items, next: next.and_then(|next| page::encode(&next, BY_TIME)) })
    }

    async fn theirs(&self, partition: &str, limit: u16, start: Option<Position>) -> Result<Vec<Entry>, StorageError> {
        let (found, _) = self.index_page(BY_TIME, partition, limit, start).await?;
        let at = |item: &Item| item.number("at").ok_or(StorageError::Corrupt("at"));
        found.into_iter().map(|item| Ok(Entry { at: at(&item)?, item })).collect()
    }

    /// What we sent, with everything known of it.
    async fn ours(&self, partition: &str, limit: u16, start: Option<Position>) -> Result<Vec<Entry>, StorageError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND begins_with(sk, :ours)")
            .expression_attribute_values(":pk", text(partition))
            .expression_attribute_values(":ours", text(keys::OUR_MESSAGES))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(i32::from(limit))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| unavailable("Query", &error))?;
        let items = answer.items.unwrap_or_default().into_iter().map(Item);
        items.map(|item| Ok(Entry { at: sent_at(&item)?, item })).collect()
    }

    /// What we sent in a conversation from `since` on.
    pub(super) async fn ours_since(
        &self,
        conversation: &ConversationId,
        since: Timestamp,
    ) -> Result<Vec<Item>, StorageError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let query = self.client.query().table_name(&self.name).consistent_read(true);
            let query = query
                .key_condition_expression("pk = :pk AND sk BETWEEN :since AND :last")
                .expression_attribute_values(":pk", text(keys::conversation_partition(conversation)))
                .expression_attribute_values(":since", text(keys::ours_before(since)))
                .expression_attribute_values(":last", text(keys::OUR_LAST));
            let answer = query.set_exclusive_start_key(start).send().await;
            let answer = answer.map_err(|error| unavailable("Query", &error))?;
            items.extend(answer.items.unwrap_or_default().into_iter().map(Item));
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// The messages behind entries, each with all that is said of it: under the provider's id where we sent it, and
    /// under another contact of the same person.
    async fn united(&self, entries: Vec<Entry>, parts: &[ConversationId]) -> Result<Vec<Item>, StorageError> {
        let keys_of: Vec<keys::Key> = entries.iter().map(|entry| entry.item.key()).collect::<Result<_, _>>()?;
        let theirs: Vec<keys::Key> = keys_of.iter().filter(|key| !is_ours(&key.sk)).cloned().collect();
        let mut known = self.read_all(&theirs).await?;
        let mut elsewhere = Vec::new();
        for entry in &entries {
            let sk = entry.item.required("sk")?;
            let wamid = entry.item.parsed_optional("wamid", Wamid::parse)?;
            let said_under = match (is_ours(sk), wamid) {
                (true, Some(wamid)) => MessageId::Inbound(wamid),
                (false, _) if parts.len() > 1 => keys::parse_message(sk)?,
                _ => continue,
            };
            elsewhere.extend(parts.iter().map(|part| keys::message(part, &said_under)));
        }
        let said = self.read_all(&elsewhere).await?;
        let wamids: Vec<String> =
            entries.iter().filter_map(|entry| entry.item.text("wamid").map(keys::said_of)).collect();
        let mut united: Vec<Item> = Vec::with_capacity(entries.len());
        for (entry, key) in entries.into_iter().zip(keys_of) {
            let ours = is_ours(&key.sk);
            let said_under = if ours { entry.item.text("wamid").map(keys::said_of) } else { Some(key.sk.clone()) };
            // What the provider tells of our own message as if somebody else had written it is that message.
            if !ours && (wamids.contains(&key.sk) || united.iter().any(|item| item.text("sk") == Some(&key.sk))) {
                continue;
            }
            let mut item = if ours {
                entry.item
            } else {
                let place = known.iter().position(|item| item.key().is_ok_and(|known| known == key));
                let Some(place) = place else { continue };
                known.swap_remove(place)
            };
            for other in said.iter().filter(|other| other.text("sk") == said_under.as_deref()) {
                if ours {
                    message::amend_by(&mut item, other);
                } else if other.key()? != key {
                    message::unite(&mut item, other);
                }
            }
            united.push(item);
        }
        Ok(united)
    }
}

fn is_ours(sk: &str) -> bool {
    sk.starts_with(keys::OUR_MESSAGES)
}

fn sent_at(item: &Item) -> Result<i64, StorageError> {
    match keys::parse_message(item.required("sk")?)? {
        MessageId::Outbound(id) => Ok(id.made_at().as_millisecond()),
        MessageId::Inbound(_) => Err(StorageError::Corrupt("sk")),
    }
}

fn position(entry: &Entry) -> Result<Position, StorageError> {
    let mut position = entry.item.key()?.attributes();
    position.insert("at".to_owned(), number(entry.at));
    Ok(position)
}

fn after(cursor: &str, partitions: &[String]) -> Result<After, StorageError> {
    let accepts = |pk: &str, sk: &str| partitions.iter().any(|part| part == pk) && keys::parse_message(sk).is_ok();
    let first = partitions.first().map(String::as_str).unwrap_or_default();
    let position = Item(page::decode(cursor, BY_TIME, first, accepts)?);
    let place = partitions.iter().position(|partition| position.text("pk") == Some(partition));
    let sk = position.required("sk")?.to_owned();
    let whose = if is_ours(&sk) { Whose::Ours } else { Whose::Theirs };
    let at = position.number("at").ok_or(StorageError::BadCursor)?;
    Ok(After { at, list: (place.ok_or(StorageError::BadCursor)?, whose), sk })
}

/// Where one list continues after a position that may be in another one: of the position's moment the lists before are
/// through, those behind have all to come.
fn start_in(after: &After, partition: &str, list: (usize, Whose)) -> Position {
    let sk = match (after.list.cmp(&list), list.1) {
        (Ordering::Equal, _) => after.sk.clone(),
        (Ordering::Greater, Whose::Theirs) => keys::BEFORE_MESSAGES.to_owned(),
        (Ordering::Less, Whose::Theirs) => keys::BEHIND_MESSAGES.to_owned(),
        (Ordering::Greater, Whose::Ours) => keys::ours_before(moment(after.at)),
        (Ordering::Less, Whose::Ours) => keys::ours_behind(moment(after.at)),
    };
    let mut start = keys::Key { pk: partition.to_owned(), sk }.attributes();
    if list.1 == Whose::Theirs {
        start.insert("at".to_owned(), number(after.at));
    }
    start
}

fn moment(at: i64) -> Timestamp {
    crate::clock::at_millis(at)
}
