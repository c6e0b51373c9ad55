//! What was accepted in a while, read again.

use jiff::Timestamp;

use super::intent::{read_facts, read_intent};
use super::item::{Item, text, time};
use super::{StorageError, Table, keys, unavailable};
use crate::domain::ids::{ConversationId, MessageId, OutboundId, TenantId};
use crate::domain::outbound::{Intent, SendFacts, SendState};

/// Messages of ours that are looked at to find one that stands before another.
const BEFORE: i32 = 25;

/// The set of those that are stranded.
const STRANDED: &str = "stranded";

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

/// A message that was found stranded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranded {
    /// Its conversation.
    pub conversation: ConversationId,
    /// The message.
    pub message: OutboundId,
    /// Where it stands now; `None` if it was erased.
    pub entry: Option<Entry>,
}

impl Table {
    /// The tenant's messages that the inbox shows as accepted from `from` until before `until`: a broadcast's are not among them. The second
    /// part: there are more, because at most some `limit` entries of the inbox are looked through. A read unit for each of ours, and one for some 40
    /// entries.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn accepted_between(
        &self,
        tenant: TenantId,
        (from, until): (Timestamp, Timestamp),
        limit: usize,
    ) -> Result<(Vec<Entry>, bool), StorageError> {
        let (mut found, mut seen, mut start) = (Vec::new(), 0, None);
        let mut is_cut = true;
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
                is_cut = false;
                break;
            }
        }
        let entries = self.read_all(&found).await?.iter().map(read).collect::<Result<_, _>>()?;
        Ok((entries, is_cut))
    }

    /// Messages that were found stranded and were not settled when somebody looked last. A read unit for some 40, and one for each.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn stranded(&self) -> Result<Vec<Stranded>, StorageError> {
        let Some(item) = self.read(&keys::ledger()).await? else { return Ok(Vec::new()) };
        let mut open = Vec::new();
        for named in item.set(STRANDED) {
            let (conversation, message) = named.split_once(' ').ok_or(StorageError::Corrupt(STRANDED))?;
            let conversation = ConversationId::parse(conversation).map_err(|_| StorageError::Corrupt(STRANDED))?;
            let message = OutboundId::parse(message).map_err(|_| StorageError::Corrupt(STRANDED))?;
            let entry = self.read(&keys::ours(&conversation, message)).await?.as_ref().map(read).transpose()?;
            open.push(Stranded { conversation, message, entry });
        }
        Ok(open)
    }

    /// Notes that a message is stranded, or no longer. 1 WRU for each KB of what is.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_stranded(
        &self,
        conversation: &ConversationId,
        message: OutboundId,
        is_stranded: bool,
    ) -> Result<(), StorageError> {
        let (ledger, named) = (self.update(keys::ledger()), format!("{conversation} {message}"));
        let ledger = if is_stranded { ledger.add(STRANDED, named) } else { ledger.delete(STRANDED, named) };
        ledger.run().await?;
        Ok(())
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
