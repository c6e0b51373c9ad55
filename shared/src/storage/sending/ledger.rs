//! Ledger: reads recently accepted messages again and records the stranded ones.

use jiff::Timestamp;

use crate::domain::ids::{ConversationId, MessageId, OutboundId, TenantId};
use crate::domain::sending::outbound::{Intent, SendFacts, SendState};
use crate::storage::sending::intent::{read_facts, read_intent};
use crate::storage::table::item::{Item, text, time};
use crate::storage::{StorageError, Table, table::keys, unavailable};

/// Earlier messages of ours that [`Table::ledger_is_waiting_behind`] examines.
const BEFORE: i32 = 25;

/// Attribute with the set of stranded messages.
const STRANDED: &str = "stranded";

/// An accepted message and its current state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The message.
    pub intent: Intent,
    /// Facts recorded about its sending.
    pub facts: SendFacts,
    /// Whether it is on the due list or in a bulk lane.
    pub is_listed: bool,
}

/// A message that was found stranded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranded {
    /// Its conversation.
    pub conversation: ConversationId,
    /// The message.
    pub message: OutboundId,
    /// Its current state; `None` if the message was erased.
    pub entry: Option<Entry>,
}

impl Table {
    /// Returns the tenant's messages that were accepted from `from` until before `until` and that the inbox shows.
    ///
    /// Messages of broadcasts are not in the inbox, so they are left out. About `limit` inbox entries are read at most;
    /// the boolean is `true` if there are more. 1 read unit per message of ours, and 1 per some 40 entries.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn ledger_list_accepted(
        &self,
        tenant: TenantId,
        from: Timestamp,
        until: Timestamp,
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

    /// Returns the messages recorded as stranded and not yet settled. 1 read unit per some 40 of them, and 1 each.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn ledger_list_stranded(&self) -> Result<Vec<Stranded>, StorageError> {
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

    /// Records that a message is stranded, or no longer is. 1 WRU per KB of the recorded set.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn ledger_record_stranded(
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

    /// Returns whether an earlier message of ours in the same conversation is still queued: the queue keeps the order.
    ///
    /// Messages of the same millisecond count as earlier, because their order is unknown.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn ledger_is_waiting_behind(
        &self,
        conversation: &ConversationId,
        id: OutboundId,
    ) -> Result<bool, StorageError> {
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
        is_listed: item.text("list").is_some_and(keys::awaits_work),
    })
}
