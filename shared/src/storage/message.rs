//! Messages: each a set of write-once facts under the provider's id (theirs) or ours (ours).

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::intent::read_facts;
use super::item::{Item, number, text, time};
use super::update::Updated;
use super::{Page, StorageError, Stored, Table, keys, unavailable};
use crate::domain::ids::{ConversationId, MessageId, Wamid};
use crate::domain::message::{Content, InboundMessage, Text, Unsupported};
use crate::domain::outbound::SendFacts;

/// Items that DynamoDB reads in one batch.
const BATCH_READ_MAX: usize = 100;
/// Repeats of a batch read that DynamoDB answered in part.
const BATCH_READ_ROUNDS: u32 = 5;

/// Who wrote a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// The customer.
    Inbound,
    /// Us; with what became of it.
    Outbound(Box<SendFacts>),
}

/// A message as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// When it was written (theirs) or accepted (ours).
    pub at: Timestamp,
    /// What it says.
    pub content: Content,
    /// The message it answers.
    pub quotes: Option<Wamid>,
    /// Who wrote it.
    pub direction: Direction,
    /// The provider's price facts, JSON.
    pub pricing: Option<String>,
}

impl Table {
    /// Stores a customer's message once. 1 WRU for each KB and 1 for the time index; a repetition costs as much.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn put_inbound(
        &self,
        conversation: &ConversationId,
        message: &InboundMessage,
        received_at: Timestamp,
    ) -> Result<Stored, StorageError> {
        let key = keys::message(conversation, &MessageId::Inbound(message.id.clone()));
        let update = self
            .update(key)
            .set_once("direction", text("inbound"))
            .set_once("at", time(message.at))
            .set_once("received_at", time(received_at))
            .set_once("kind", text(message.content.kind()))
            .set_once_if("quotes", message.quotes.as_ref().map(|id| text(id.as_str())));
        let update = match &message.content {
            Content::Text(content) => update.set_once("body", text(&content.body)),
            Content::Unsupported(content) => update.set_once("raw", text(&content.raw)),
        };
        match update.run().await? {
            Updated::Done(old) if old.text("direction").is_some() => Ok(Stored::Known),
            Updated::Done(_) | Updated::Refused(_) => Ok(Stored::New),
        }
    }

    /// A conversation's messages, the newest first. One index query and one batch read a page.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn messages(
        &self,
        conversation: &ConversationId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<StoredMessage>, StorageError> {
        let partition = keys::conversation_partition(conversation);
        let start = cursor.map(|cursor| decode_cursor(cursor, "pk", "at", &partition)).transpose()?;
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(keys::BY_TIME)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text(partition))
            .scan_index_forward(false)
            .consistent_read(true)
            .limit(i32::from(limit))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| unavailable("Query", &error))?;
        let next = answer.last_evaluated_key.as_ref().and_then(|key| encode_cursor(key, "at"));
        let found: Vec<Item> = answer.items.unwrap_or_default().into_iter().map(Item).collect();
        let mut items = Vec::with_capacity(found.len());
        for item in self.read_all(&found).await? {
            items.push(read(conversation.clone(), &item)?);
        }
        Ok(Page { items, next })
    }

    /// One page of the `list` index, newest first: the keys found and the next cursor.
    pub(super) async fn list_page(
        &self,
        list: &str,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<(Vec<Item>, Option<String>), StorageError> {
        let start = cursor.map(|cursor| decode_cursor(cursor, "list", "list_at", list)).transpose()?;
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .index_name(keys::LIST)
            .key_condition_expression("#list = :list")
            .expression_attribute_names("#list", "list")
            .expression_attribute_values(":list", text(list))
            .scan_index_forward(false)
            .limit(i32::from(limit))
            .set_exclusive_start_key(start)
            .send()
            .await
            .map_err(|error| unavailable("Query", &error))?;
        let next = answer.last_evaluated_key.as_ref().and_then(|key| encode_cursor(key, "list_at"));
        Ok((answer.items.unwrap_or_default().into_iter().map(Item).collect(), next))
    }

    /// The whole items behind index entries, in the entries' order. An entry whose item is gone is left out.
    pub(super) async fn read_all(&self, entries: &[Item]) -> Result<Vec<Item>, StorageError> {
        let mut wanted = Vec::with_capacity(entries.len());
        for entry in entries {
            wanted.push((entry.required("pk")?.to_owned(), entry.required("sk")?.to_owned()));
        }
        let mut read: HashMap<(String, String), Item> = HashMap::with_capacity(wanted.len());
        for chunk in wanted.chunks(BATCH_READ_MAX) {
            for item in self.read_batch(chunk).await? {
                read.insert((item.required("pk")?.to_owned(), item.required("sk")?.to_owned()), item);
            }
        }
        Ok(wanted.iter().filter_map(|key| read.remove(key)).collect())
    }

    async fn read_batch(&self, wanted: &[(String, String)]) -> Result<Vec<Item>, StorageError> {
        let refused = |code: &str| StorageError::Unavailable { operation: "BatchGetItem", code: code.to_owned() };
        let mut request = KeysAndAttributes::builder().consistent_read(true);
        for (pk, sk) in wanted {
            let key = keys::Key { pk: pk.clone(), sk: sk.clone() };
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

fn read(conversation: ConversationId, item: &Item) -> Result<StoredMessage, StorageError> {
    let id = keys::parse_message(item.required("sk")?)?;
    let direction = match &id {
        MessageId::Inbound(_) => Direction::Inbound,
        MessageId::Outbound(_) => Direction::Outbound(Box::new(read_facts(item)?)),
    };
    Ok(StoredMessage {
        id,
        conversation,
        at: item.required_time("at")?,
        content: read_content(item)?,
        quotes: item.parsed_optional("quotes", Wamid::parse)?,
        direction,
        pricing: item.owned("pricing"),
    })
}

pub(super) fn read_content(item: &Item) -> Result<Content, StorageError> {
    match item.required("kind")? {
        "text" if item.text("body").is_some() => Ok(Content::Text(Text {
            body: item.owned("body").unwrap_or_default(),
            preview_url: item.number("preview_url") == Some(1),
        })),
        kind => Ok(Content::Unsupported(Unsupported {
            kind: kind.to_owned(),
            raw: item.owned("raw").unwrap_or_else(|| "{}".to_owned()),
        })),
    }
}

/// A cursor is a position (`sort key`, `pk`, `sk`), so it stays right while the list moves under it.
fn encode_cursor(key: &HashMap<String, AttributeValue>, sort: &str) -> Option<String> {
    let key = Item(key.clone());
    Some(URL_SAFE_NO_PAD.encode(format!("{}\n{}\n{}", key.number(sort)?, key.text("pk")?, key.text("sk")?)))
}

fn decode_cursor(
    cursor: &str,
    partition: &str,
    sort: &str,
    value: &str,
) -> Result<HashMap<String, AttributeValue>, StorageError> {
    let position = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let position = position.ok_or(StorageError::BadCursor)?;
    let mut parts = position.split('\n');
    let (Some(at), Some(pk), Some(sk), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(StorageError::BadCursor);
    };
    let at: i64 = at.parse().map_err(|_| StorageError::BadCursor)?;
    let in_list = if partition == "pk" {
        pk == value && keys::parse_message(sk).is_ok()
    } else {
        keys::parse_conversation(pk).is_ok() && sk == "CONV"
    };
    if !in_list {
        return Err(StorageError::BadCursor);
    }
    let mut key = keys::Key { pk: pk.to_owned(), sk: sk.to_owned() }.attributes();
    key.insert(partition.to_owned(), text(value));
    key.insert(sort.to_owned(), number(at));
    Ok(key)
}
