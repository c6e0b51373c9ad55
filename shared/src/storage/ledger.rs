//! What was accepted in a while, read again.

use jiff::Timestamp;

use super::intent::{read_facts, read_intent};
use super::item::{Item, text, time};
use super::{StorageError, Table, keys, unavailable};
use crate::domain::ids::{ConversationId, MessageId, OutboundId, TenantId};
use crate::domain::outbound::{Intent, SendFacts, SendState};

/// Messages of ours that are looked at to find one that stands before another.
const BEFORE: i32 = 25;

/// A message that was accepted, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The message.
    pub intent: Intent,
    /// What is known of its sending.
    pub facts: SendFacts,
    /// It stands on the due list or in a bulk lane.
    pub is_listed: bool,
}

impl Table {
    /// The tenant's messages that the inbox shows as accepted from `from` until before `until`, at most `limit` entries of the inbox
    /// looked through: a broadcast's are not among them. A read unit for each of ours, and one for some 40 entries.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn accepted_between(
        &self,
        tenant: TenantId,
        (from, until): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<Vec<Entry>, StorageError> {
        let (mut found, mut seen, mut start) = (Vec::new(), 0, None);
        while seen < limit {
            let query = self.client.query().table_name(&self.name).index_name(keys::FEED);
            let answer = query
                .key_condition_expression("feed = :feed AND feed_at BETWEEN :from AND :until")
                .expression_attribute_values(":feed", text(keys::inbox(tenant)))
                .expression_attribute_values(":from", time(from))
                .expression_attribute_values(":until", time(until))
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(|error| unavailable("Query", &error))?;
            for entry in answer.items.unwrap_or_default().into_iter().map(Item) {
                seen += 1;
                let (conversation, message) = keys::parse_feed_entry(entry.required("pk")?, entry.required("sk")?)?;
                if let MessageId::Outbound(message) = message
                    && message.made_at() < until
                {
                    found.push(keys::ours(&conversation, message));
                }
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        self.read_all(&found).await?.iter().map(read).collect()
    }

    /// Whether an unsent message of ours stands before this one in its conversation: the queue keeps the order. Of one millisecond nobody knows
    /// which was first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn waits_behind(&self, conversation: &ConversationId, id: OutboundId) -> Result<bool, StorageError> {
        let own = keys::ours(conversation, id);
        let answer = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :own")
            .expression_attribute_values(":pk", text(&own.pk))
            .expression_attribute_values(":first", text(keys::OUR_MESSAGES))
            .expression_attribute_values(":own", text(keys::ours_behind(id.made_at())))
            .scan_index_forward(false)
            .limit(BEFORE)
            .send()
            .await
            .map_err(|error| unavailable("Query", &error))?;
        let mut before = answer.items.unwrap_or_default().into_iter().map(Item);
        Ok(before
            .any(|item| item.text("sk") != Some(&own.sk) && item.text("state") == Some(SendState::Queued.as_str())))
    }
}

fn read(item: &Item) -> Result<Entry, StorageError> {
    let (MessageId::Outbound(id), _) = keys::parse_message(item.required("sk")?)? else {
        return Err(StorageError::Corrupt("sk"));
    };
    let conversation = keys::parse_conversation(item.required("pk")?)?;
    Ok(Entry {
        intent: read_intent(conversation, id, item)?,
        facts: read_facts(item)?,
        is_listed: item.text("list").is_some(),
    })
}
