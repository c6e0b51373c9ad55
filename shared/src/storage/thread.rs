//! A conversation's messages on pages: what others wrote in the order of the time index, what we sent in the order of our
//! ids, which begin with their time; of all contacts that are one person.

use std::cmp::{Ordering, Reverse};

use super::item::{Item, number, text};
use super::message::{self, StoredMessage};
use super::page::{self, BY_TIME, Position};
use super::{Page, StorageError, Table, keys, unavailable};
use crate::clock::at_millis;
use crate::domain::ids::{ConversationId, MessageId, Wamid};

/// What we sent that is read at once where one message is looked for.
const LOOKED_THROUGH_AT_ONCE: u16 = 25;

/// Whose messages of one contact. Of one moment theirs come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    Theirs,
    Ours,
}

/// Which messages of a conversation come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The newest.
    Newest,
    /// The oldest.
    Oldest,
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
    /// A conversation's messages: of all contacts that are this person. A cursor of one order continues in the other one too. For each of them one index query,
    /// one query of what we sent, and one batch read a page.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn messages(
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
            // One order is the other one backwards, also within a moment.
            lists.reverse();
        }
        for (place, whose) in lists {
            if let Some(partition) = partitions.get(place) {
                let start = after.as_ref().map(|after| start_in(after, partition, (place, whose), order));
                let more = limit.saturating_add(1);
                entries.extend(match whose {
                    Whose::Theirs => self.theirs(partition, order, more, start.as_ref()).await?,
                    Whose::Ours => {
                        let start = start.map(|start| start.among_ours(partition, order));
                        self.ours(partition, order, more, start).await?
                    }
                });
            }
        }
        // Stable: of one moment the first list's come first, in the list's own order.
        match order {
            Order::Newest => entries.sort_by_key(|entry| Reverse(entry.at)),
            Order::Oldest => entries.sort_by_key(|entry| entry.at),
        }
        let more = entries.len() > usize::from(limit);
        entries.truncate(usize::from(limit));
        let next = entries.last().filter(|_| more).map(position).transpose()?;
        let id = parts.first().unwrap_or(conversation).clone();
        let items = self.united(entries, &parts).await?;
        let items = items.iter().map(|item| message::read(id.clone(), item)).collect::<Result<_, _>>()?;
        Ok(Page { items, next: next.and_then(|next| page::encode(&next, BY_TIME)) })
    }

    async fn theirs(
        &self,
        partition: &str,
        order: Order,
        limit: u16,
        start: Option<&Start>,
    ) -> Result<Vec<Entry>, StorageError> {
        let query = self.client.query().table_name(&self.name).index_name(keys::BY_TIME);
        let query = query.expression_attribute_values(":pk", text(partition));
        // The order of one moment's entries is DynamoDB's own: no position among them can be made up.
        let query = match start {
            None => query.key_condition_expression("pk = :pk"),
            Some(Start::Behind(position)) => {
                query.key_condition_expression("pk = :pk").set_exclusive_start_key(Some(position.clone()))
            }
            Some(Start::Beyond(at) | Start::With(at)) => {
                let with = matches!(start, Some(Start::With(_)));
                let condition = match (order, with) {
                    (Order::Newest, false) => "pk = :pk AND #at < :at",
                    (Order::Newest, true) => "pk = :pk AND #at <= :at",
                    (Order::Oldest, false) => "pk = :pk AND #at > :at",
                    (Order::Oldest, true) => "pk = :pk AND #at >= :at",
                };
                let query = query.key_condition_expression(condition).expression_attribute_names("#at", "at");
                query.expression_attribute_values(":at", number(*at))
            }
        };
        let query = query.scan_index_forward(order == Order::Oldest).consistent_read(true).limit(i32::from(limit));
        let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
        let items = answer.items.unwrap_or_default().into_iter().map(Item);
        items.map(|item| Ok(Entry { at: item.number("at").ok_or(StorageError::Corrupt("at"))?, item })).collect()
    }

    /// What we sent, with everything known of it: as many as asked for, if there are, however large they are.
    async fn ours(
        &self,
        partition: &str,
        order: Order,
        limit: u16,
        start: Option<Position>,
    ) -> Result<Vec<Entry>, StorageError> {
        let (mut entries, mut start) = (Vec::new(), start);
        loop {
            let left = i32::from(limit) - i32::try_from(entries.len()).unwrap_or(i32::MAX);
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :pk AND begins_with(sk, :ours)")
                .expression_attribute_values(":pk", text(partition))
                .expression_attribute_values(":ours", text(keys::OUR_MESSAGES))
                .scan_index_forward(order == Order::Oldest)
                .consistent_read(true)
                .limit(left)
                .set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
            for item in answer.items.unwrap_or_default().into_iter().map(Item) {
                entries.push(Entry { at: sent_at(&item)?, item });
            }
            start = answer.last_evaluated_key;
            if start.is_none() || entries.len() >= usize::from(limit) {
                return Ok(entries);
            }
        }
    }

    /// What we sent in a conversation, newest first, up to the first that `is_last`; and whether there was one.
    pub(super) async fn ours_until(
        &self,
        conversation: &ConversationId,
        is_last: impl Fn(&Item) -> bool,
    ) -> Result<(Vec<Item>, bool), StorageError> {
        let partition = keys::conversation_partition(conversation);
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let entries = self.ours(&partition, Order::Newest, LOOKED_THROUGH_AT_ONCE, start).await?;
            let last = entries.last().filter(|_| entries.len() >= usize::from(LOOKED_THROUGH_AT_ONCE));
            start = last.map(|last| last.item.key().map(|key| key.attributes())).transpose()?;
            for entry in entries {
                let found = is_last(&entry.item);
                items.push(entry.item);
                if found {
                    return Ok((items, true));
                }
            }
            if start.is_none() {
                return Ok((items, false));
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

/// Where a list continues.
enum Start {
    /// Behind an entry of its own.
    Behind(Position),
    /// With what comes after this moment in the order.
    Beyond(i64),
    /// With this moment.
    With(i64),
}

impl Start {
    /// As a position among what we sent.
    fn among_ours(self, partition: &str, order: Order) -> Position {
        let sk = match (self, order) {
            (Self::Behind(position), _) => return position,
            (Self::Beyond(at), Order::Newest) | (Self::With(at), Order::Oldest) => keys::ours_before(at_millis(at)),
            (Self::With(at), Order::Newest) | (Self::Beyond(at), Order::Oldest) => keys::ours_behind(at_millis(at)),
        };
        keys::Key { pk: partition.to_owned(), sk }.attributes()
    }
}

/// Where one list continues after a position that may be in another one: of the position's moment the lists before are
/// through, those behind have all to come.
fn start_in(after: &After, partition: &str, list: (usize, Whose), order: Order) -> Start {
    let compared = after.list.cmp(&list);
    match if order == Order::Newest { compared } else { compared.reverse() } {
        Ordering::Greater => Start::Beyond(after.at),
        Ordering::Less => Start::With(after.at),
        Ordering::Equal => {
            let mut position = keys::Key { pk: partition.to_owned(), sk: after.sk.clone() }.attributes();
            if list.1 == Whose::Theirs {
                position.insert("at".to_owned(), number(after.at));
            }
            Start::Behind(position)
        }
    }
}
