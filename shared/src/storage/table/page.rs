//! Pages of lists. A cursor is a position (sort key, `pk`, `sk`), so it stays valid while the list changes.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use crate::storage::table::item::{Item, number, text, time};
use crate::storage::{Page, StorageError, Table, table::keys, unavailable};

/// Items that DynamoDB reads in one batch.
const BATCH_READ_MAX: usize = 100;
/// Repeats of a batch read that DynamoDB answered in part.
const BATCH_READ_ROUNDS: u32 = 5;

/// An index and the names of its key attributes.
#[derive(Debug, Clone, Copy)]
pub(in crate::storage) struct Index {
    name: &'static str,
    hash: &'static str,
    range: &'static str,
}

/// Index of lists whose entries never move.
pub(in crate::storage) const FEED: Index = Index { name: keys::FEED, hash: "feed", range: "feed_at" };
/// Index of lists whose entries move or are removed.
pub(in crate::storage) const LIST: Index = Index { name: keys::LIST, hash: "list", range: "list_at" };

/// Position at which a list continues.
pub(in crate::storage) type Position = HashMap<String, AttributeValue>;

impl Table {
    /// Reads one page of an index, newest first: the keys found and where the next page begins.
    pub(in crate::storage) async fn index_page(
        &self,
        index: Index,
        hash: &str,
        limit: u16,
        start: Option<Position>,
    ) -> Result<(Vec<Item>, Option<Position>), StorageError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(index.name)
            .key_condition_expression("#hash = :hash")
            .expression_attribute_names("#hash", index.hash)
            .expression_attribute_values(":hash", text(hash))
            .scan_index_forward(false)
            .limit(i32::from(limit))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| unavailable("Query", &error))?;
        Ok((answer.items.unwrap_or_default().into_iter().map(Item).collect(), answer.last_evaluated_key))
    }

    /// Reads the first entries of an index up to `until`, oldest first.
    pub(in crate::storage) async fn oldest(
        &self,
        index: Index,
        hash: &str,
        until: Timestamp,
        limit: u16,
    ) -> Result<Vec<Item>, StorageError> {
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(index.name)
            .key_condition_expression("#hash = :hash AND #range <= :until")
            .expression_attribute_names("#hash", index.hash)
            .expression_attribute_names("#range", index.range)
            .expression_attribute_values(":hash", text(hash))
            .expression_attribute_values(":until", time(until))
            .limit(i32::from(limit))
            .send()
            .await
            .map_err(|error| unavailable("Query", &error))?;
        Ok(answer.items.unwrap_or_default().into_iter().map(Item).collect())
    }

    /// Reads one page of the items behind an index, each parsed by `read`. `accepts` returns whether the keys in a
    /// cursor can belong to this list.
    pub(in crate::storage) async fn list<T>(
        &self,
        index: Index,
        hash: &str,
        limit: u16,
        cursor: Option<&str>,
        accepts: impl Fn(&str, &str) -> bool,
        read: impl Fn(&Item) -> Result<T, StorageError>,
    ) -> Result<Page<T>, StorageError> {
        let start = cursor.map(|cursor| decode(cursor, index, hash, accepts)).transpose()?;
        let (found, next) = self.index_page(index, hash, limit, start).await?;
        let items = self.read_all(&keys_of(&found)?).await?;
        let items = items.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Page { items, next: next.and_then(|next| encode(&next, index)) })
    }

    /// Reads all items of a partition whose sort key begins with `prefix` (all items for an empty one). Only for
    /// partitions that are known to be small.
    pub(in crate::storage) async fn partition(&self, pk: &str, prefix: &str) -> Result<Vec<Item>, StorageError> {
        let (mut items, mut start) = (Vec::new(), None);
        loop {
            let query = self.client.query().table_name(&self.name).expression_attribute_values(":pk", text(pk));
            // DynamoDB accepts no empty string for a key attribute, not even in a comparison.
            let query = match prefix {
                "" => query.key_condition_expression("pk = :pk"),
                prefix => query
                    .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                    .expression_attribute_values(":prefix", text(prefix)),
            };
            let query = query.consistent_read(true).set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
            items.extend(answer.items.unwrap_or_default().into_iter().map(Item));
            start = answer.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// Reads the whole items behind keys, in the order of the keys. Items that no longer exist are left out.
    pub(in crate::storage) async fn read_all(&self, wanted: &[keys::Key]) -> Result<Vec<Item>, StorageError> {
        let mut read: HashMap<(String, String), Item> = HashMap::with_capacity(wanted.len());
        let mut seen = HashSet::with_capacity(wanted.len());
        let distinct: Vec<&keys::Key> = wanted.iter().filter(|key| seen.insert((&key.pk, &key.sk))).collect();
        for chunk in distinct.chunks(BATCH_READ_MAX) {
            for item in self.read_batch(chunk).await? {
                read.insert((item.required("pk")?.to_owned(), item.required("sk")?.to_owned()), item);
            }
        }
        Ok(wanted.iter().filter_map(|key| read.remove(&(key.pk.clone(), key.sk.clone()))).collect())
    }

    async fn read_batch(&self, wanted: &[&keys::Key]) -> Result<Vec<Item>, StorageError> {
        let refused = |code: &str| StorageError::Unavailable { operation: "BatchGetItem", code: code.to_owned() };
        let mut request = KeysAndAttributes::builder().consistent_read(true);
        for key in wanted {
            request = request.keys(key.attributes());
        }
        let mut pending = Some(request.build().map_err(|_| refused("no keys"))?);
        let mut items = Vec::with_capacity(wanted.len());
        for _ in 0..BATCH_READ_ROUNDS {
            let Some(request) = pending.take() else { break };
            let answer = self
                .client
                .batch_get_item()
                .request_items(&self.name, request)
                .send()
                .await
                .map_err(|error| unavailable("BatchGetItem", &error))?;
            let found = answer.responses.unwrap_or_default().remove(&self.name).unwrap_or_default();
            items.extend(found.into_iter().map(Item));
            pending = answer.unprocessed_keys.and_then(|mut keys| keys.remove(&self.name));
        }
        if pending.is_some() { Err(refused("unprocessed keys")) } else { Ok(items) }
    }
}

/// Returns the primary keys of index entries.
pub(in crate::storage) fn keys_of(entries: &[Item]) -> Result<Vec<keys::Key>, StorageError> {
    entries.iter().map(Item::key).collect()
}

/// Encodes a position as a cursor.
pub(in crate::storage) fn encode(position: &Position, index: Index) -> Option<String> {
    let key = Item(position.clone());
    Some(opaque(&format!("{}\n{}\n{}", key.number(index.range)?, key.text("pk")?, key.text("sk")?)))
}

/// Encodes text as an opaque cursor.
pub(in crate::storage) fn opaque(position: &str) -> String {
    URL_SAFE_NO_PAD.encode(position)
}

/// Decodes the text of a cursor.
pub(in crate::storage) fn transparent(cursor: &str) -> Result<String, StorageError> {
    let position = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    position.ok_or(StorageError::BadCursor)
}

/// Decodes a cursor whose keys `accepts` for this list.
pub(in crate::storage) fn decode(
    cursor: &str,
    index: Index,
    hash: &str,
    accepts: impl Fn(&str, &str) -> bool,
) -> Result<Position, StorageError> {
    let position = transparent(cursor)?;
    let mut parts = position.split('\n');
    let (Some(at), Some(pk), Some(sk), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(StorageError::BadCursor);
    };
    let at: i64 = at.parse().map_err(|_| StorageError::BadCursor)?;
    if !accepts(pk, sk) {
        return Err(StorageError::BadCursor);
    }
    let mut key = keys::Key { pk: pk.to_owned(), sk: sk.to_owned() }.attributes();
    key.insert(index.hash.to_owned(), text(hash));
    key.insert(index.range.to_owned(), number(at));
    Ok(key)
}

/// Returns the position of an entry; a list that stops there continues after it.
pub(in crate::storage) fn position_of(entry: &Item, index: Index, hash: &str) -> Result<Position, StorageError> {
    let mut key = entry.key()?.attributes();
    key.insert(index.hash.to_owned(), text(hash));
    key.insert(index.range.to_owned(), number(entry.number(index.range).ok_or(StorageError::Corrupt(index.range))?));
    Ok(key)
}
