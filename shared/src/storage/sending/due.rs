//! The due list: intents that have to be checked at a given time, because no queue message may exist for them. An
//! intent enters it when it has to wait for long, when its outcome is unknown, or when its job could not be queued. It
//! leaves the list when this is over. The index only suggests intents; the item decides.

use jiff::Timestamp;

use crate::domain::event::ProviderError;
use crate::domain::ids::{ConversationId, MessageId, NumberId, OutboundId};
use crate::domain::sending::outbound::{Claim, EVIDENCE_WINDOW, Intent, SendState};
use crate::storage::sending::attempt::with_error;
use crate::storage::sending::intent::CHECK_ACCEPTED_AFTER;
use crate::storage::table::item::{text, time};
use crate::storage::table::page::LIST;
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys};

/// An intent from the due list or a bulk lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its id.
    pub message: OutboundId,
}

impl Table {
    /// Returns up to `limit` intents per shard that are due at `now`, the longest overdue first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn due_list(&self, now: Timestamp, limit: u16) -> Result<Vec<Due>, StorageError> {
        let mut due = Vec::new();
        for shard in 0..keys::DUE_SHARDS {
            due.extend(self.longest_waiting(&keys::due(shard), now, limit).await?);
        }
        Ok(due)
    }

    /// Returns up to `limit` messages of a number's bulk lane, the longest waiting first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn bulk_lane_list(&self, number: &NumberId, limit: u16) -> Result<Vec<Due>, StorageError> {
        self.longest_waiting(&keys::line(number), Timestamp::MAX, limit).await
    }

    async fn longest_waiting(&self, list: &str, until: Timestamp, limit: u16) -> Result<Vec<Due>, StorageError> {
        let mut due = Vec::new();
        for item in self.oldest(LIST, list, until, limit).await? {
            let (MessageId::Outbound(message), _) = keys::parse_message(item.required("sk")?)? else { continue };
            due.push(Due { conversation: keys::parse_conversation(item.required("pk")?)?, message });
        }
        Ok(due)
    }

    /// Moves a message from its bulk lane to the due list, where the sweep finds it if it is not sent soon. Returns
    /// `false` if the message had already left the lane. 1 WRU and 2 for the index.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn bulk_lane_leave(&self, number: &NumberId, due: &Due, now: Timestamp) -> Result<bool, StorageError> {
        let leave = self
            .update_intent(&due.conversation, due.message)
            .set("list", text(keys::due(keys::due_shard(due.message))))
            .set("list_at", time(crate::clock::after(now, CHECK_ACCEPTED_AFTER)))
            .when("#list = :line")
            .value("line", text(keys::line(number)));
        Ok(matches!(leave.run().await?, Updated::Done(_)))
    }

    /// Moves the next check of an intent to `next`, unless the intent left the list meanwhile. 1 WRU and 2 for the
    /// index.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn due_check_again(&self, due: &Due, next: Timestamp) -> Result<(), StorageError> {
        self.update(keys::ours(&due.conversation, due.message))
            .set("list_at", time(next))
            .when("#list = :due")
            .value("due", text(keys::due(keys::due_shard(due.message))))
            .run()
            .await?;
        Ok(())
    }

    /// Removes an intent from the due list, because nothing is left to do.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn due_leave(&self, due: &Due) -> Result<(), StorageError> {
        self.update(keys::ours(&due.conversation, due.message))
            .remove(&["list", "list_at"])
            .when("#list = :due")
            .value("due", text(keys::due(keys::due_shard(due.message))))
            .run()
            .await?;
        Ok(())
    }

    /// Records that the outcome is unknown, because the worker that holds `claim` died while it was sending. Returns
    /// `false` if the claim is no longer current or evidence was recorded; nothing is changed then.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn message_mark_unknown(
        &self,
        intent: &Intent,
        claim: Option<Claim>,
        why: &ProviderError,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = self
            .update_intent(&intent.conversation, intent.id)
            .set("state", text(SendState::Unknown.as_str()))
            .set("retryable_answer", crate::storage::table::item::number(0))
            .set("list", text(keys::due(keys::due_shard(intent.id))))
            .set("list_at", time(now.checked_add(EVIDENCE_WINDOW).unwrap_or(now)))
            .value("in_flight", text(SendState::InFlight.as_str()));
        let update = with_error(update, why);
        let update = match claim {
            Some(claim) => update
                .when("#state = :in_flight AND attribute_not_exists(#wamid) AND #claim = :held")
                .value("held", text(claim.id.to_string())),
            None => {
                update.when("#state = :in_flight AND attribute_not_exists(#wamid) AND attribute_not_exists(#claim)")
            }
        };
        Ok(matches!(update.run().await?, Updated::Done(_)))
    }
}
