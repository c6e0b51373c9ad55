//! State changes of an accepted intent: conditional claims, results recorded under a claim, settlement by evidence or
//! by a person. `docs/reliability.md#section-2-3-3` describes the protocol.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use jiff::{SignedDuration, Timestamp};

use crate::domain::event::ProviderError;
use crate::domain::ids::{ConversationId, OutboundId, ProviderMessageId};
use crate::domain::sending::outbound::{Claim, EVIDENCE_WINDOW, Intent, SendState};
use crate::storage::sending::intent::intent_item;
use crate::storage::table::item::{number, text, time};
use crate::storage::table::update::{Update, Updated};
use crate::storage::{StorageError, Table, table::keys, unavailable};

/// Time that the queue message of a retry has, after `not_before`, before the sweep checks the message.
const WAKE_UP_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// Result of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The caller holds the claim.
    Won,
    /// Another worker holds the claim, the message is already stored, or it must no longer be sent.
    Lost,
}

/// Result of one send attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendResult {
    /// The provider accepted the message under this id. The flag: the provider holds the message back for now.
    Sent(ProviderMessageId, bool),
    /// The message was certainly not sent and is to be retried.
    TryAgain {
        /// Earliest time of the next attempt.
        not_before: Timestamp,
        /// Reason why the message was not sent.
        error: ProviderError,
        /// Consecutive attempts, including this one, that did not reach the provider.
        unreached: u32,
    },
    /// The message will not be sent.
    Failed(ProviderError),
    /// The message may have been sent. The flag: the provider's own answer was "try again".
    Unknown(ProviderError, bool),
}

/// Effect of recording a send result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The result is recorded.
    Done,
    /// Nothing was changed: the claim is no longer ours, evidence was recorded first, or the message was erased.
    Overtaken,
    /// The message already has another provider id: the provider accepted it twice.
    DuplicateSend,
}

/// Settlement, without an answer from the provider, of a message that is queued or whose outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// `send_before` passed while the message was queued.
    Expired,
    /// The message was cancelled while it was queued.
    Cancelled,
    /// The queued message may not be sent, for this reason.
    Refused(ProviderError),
    /// The outcome is unknown; the message is queued for another attempt.
    TriedAgain,
    /// The outcome is unknown; the message is recorded as failed.
    GivenUp(ProviderError),
    /// The outcome is unknown; a person has to settle it.
    Review,
    /// A person confirmed that the message was sent.
    SaidSent,
    /// Evidence shows that the provider accepted the message under this id.
    Proved(ProviderMessageId),
}

impl Table {
    /// Claims a message for one attempt, if it is queued, due and not expired. `instead` names the fallback template
    /// that is sent in its place. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer. The claim may or may not be stored; nothing was sent.
    pub async fn message_claim(
        &self,
        intent: &Intent,
        claim: Claim,
        instead: Option<&str>,
        now: Timestamp,
    ) -> Result<Claimed, StorageError> {
        let written = self
            .update_intent(&intent.conversation, intent.id)
            // `put` also removes the name: only an earlier attempt may have used the fallback template.
            .put("instead", instead.map(text))
            .set("state", text(SendState::InFlight.as_str()))
            .set("claim", text(claim.id.to_string()))
            .set("attempt", number(i64::from(claim.attempt)))
            .set("claimed_at", time(now))
            .set("lease_until", time(claim.lease_until))
            .when("#state = :queued AND #not_before <= :claimed_at AND #send_before > :claimed_at AND attribute_not_exists(#wamid)")
            .value("queued", text(SendState::Queued.as_str()))
            .run()
            .await?;
        Ok(match written {
            Updated::Done(_) => Claimed::Won,
            // The SDK repeated a call whose answer was lost: the stored claim is our own.
            Updated::Refused(item) if item.text("claim") == Some(claim.id.to_string().as_str()) => Claimed::Won,
            Updated::Refused(_) => Claimed::Lost,
        })
    }

    /// Stores a new message that is already claimed. A broadcast's message is stored only with its first attempt. It
    /// stays out of the inbox, which a broadcast would flood. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer. The claim may or may not be stored; nothing was sent.
    pub async fn message_claim_new(
        &self,
        intent: &Intent,
        claim: Claim,
        now: Timestamp,
    ) -> Result<Claimed, StorageError> {
        let mut item = intent_item(intent)?;
        let attributes = [
            ("state", text(SendState::InFlight.as_str())),
            ("claim", text(claim.id.to_string())),
            ("attempt", number(i64::from(claim.attempt))),
            ("claimed_at", time(now)),
            ("lease_until", time(claim.lease_until)),
        ];
        item.0.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        self.put_new(item.0).await
    }

    /// Stores a new message that will not be sent. Returns [`Claimed::Lost`] if the message is already stored; the
    /// stored message is not changed. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn message_put_refused(
        &self,
        intent: &Intent,
        why: &ProviderError,
        state: SendState,
    ) -> Result<Claimed, StorageError> {
        let mut item = intent_item(intent)?;
        let attributes = [
            ("state", text(state.as_str())),
            ("attempt", number(0)),
            ("last_error_code", number(why.code)),
            ("last_error_title", text(&why.title)),
            ("last_error_details", text(why.details.clone().unwrap_or_default())),
            ("last_error_trace", text(why.trace.clone().unwrap_or_default())),
        ];
        item.0.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        self.put_new(item.0).await
    }

    /// Stores a new message that waits on the due list for its `not_before`. Returns [`Claimed::Lost`] if the message
    /// is already stored; the stored message is not changed. 1 WRU per KB and 1 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn message_put_waiting(&self, intent: &Intent) -> Result<Claimed, StorageError> {
        let mut item = intent_item(intent)?;
        let attributes = [
            ("state", text(SendState::Queued.as_str())),
            ("attempt", number(0)),
            ("list", text(keys::due(keys::due_shard(intent.id)))),
            ("list_at", time(intent.not_before)),
        ];
        item.0.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        self.put_new(item.0).await
    }

    async fn put_new(
        &self,
        item: std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>,
    ) -> Result<Claimed, StorageError> {
        let claim = item.get("claim").cloned();
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        let put = put.condition_expression("attribute_not_exists(pk)").return_values_on_condition_check_failure(
            aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
        );
        match put.send().await {
            Ok(_) => Ok(Claimed::Won),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    let standing = refused.item.as_ref().and_then(|item| item.get("claim").cloned());
                    Ok(if standing.is_some() && standing == claim { Claimed::Won } else { Claimed::Lost })
                }
                _ => Err(unavailable("PutItem", &error)),
            },
        }
    }

    /// Records the result of the attempt that holds `claim`. A provider id is evidence, and is recorded even if another
    /// worker holds the claim by now. Any other result is recorded only while `claim` is current and the message is in
    /// flight. 1 WRU, and 1 per list entered or left: an accepted message leaves the due list, and enters the list of
    /// its wamid.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn attempt_record(
        &self,
        intent: &Intent,
        claim: Claim,
        result: &SendResult,
    ) -> Result<Recorded, StorageError> {
        let update = self.update_intent(&intent.conversation, intent.id);
        let after = |at: Timestamp, wait| crate::clock::after(at, wait);
        let (update, overtaken) = match result {
            SendResult::Sent(wamid, held) => {
                let update = update
                    .set("state", text(SendState::Sent.as_str()))
                    .set("wamid", text(wamid.as_str()))
                    .set_once_if("held", held.then(|| number(1)))
                    .set("list", text(keys::accepted(intent.conversation.number(), wamid)))
                    .set("list_at", time(intent.id.made_at()))
                    .when("attribute_exists(#pk) AND (attribute_not_exists(#wamid) OR #wamid = :wamid)");
                (update, Recorded::DuplicateSend)
            }
            SendResult::TryAgain { not_before, error, unreached } => {
                let update = listed(update, intent.id, after(*not_before, WAKE_UP_WITHIN))
                    .set("state", text(SendState::Queued.as_str()))
                    .set("not_before", time(*not_before))
                    .set("unreached", number(i64::from(*unreached)));
                (fenced(with_error(update, error), claim), Recorded::Overtaken)
            }
            SendResult::Failed(error) => {
                let update = update.set("state", text(SendState::Failed.as_str())).remove(&["list", "list_at"]);
                (fenced(with_error(update, error), claim), Recorded::Overtaken)
            }
            SendResult::Unknown(error, retryable_answer) => {
                let update = listed(update, intent.id, after(claim.claimed_at(), EVIDENCE_WINDOW))
                    .set("state", text(SendState::Unknown.as_str()))
                    .set("retryable_answer", number(i64::from(*retryable_answer)));
                (fenced(with_error(update, error), claim), Recorded::Overtaken)
            }
        };
        Ok(match update.run().await? {
            Updated::Done(_) => Recorded::Done,
            // The message was erased with its contact meanwhile.
            Updated::Refused(item) if item.0.is_empty() => Recorded::Overtaken,
            Updated::Refused(_) => overtaken,
        })
    }

    /// Postpones a queued message to `not_before` and puts it on the due list for that time. 1 WRU and 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn message_postpone(&self, intent: &Intent, not_before: Timestamp) -> Result<(), StorageError> {
        listed(self.update_intent(&intent.conversation, intent.id), intent.id, not_before)
            .set("not_before", time(not_before))
            .when("#state = :queued AND #not_before < :not_before")
            .value("queued", text(SendState::Queued.as_str()))
            .run()
            .await?;
        Ok(())
    }

    /// Settles a message that is queued or whose outcome is unknown. Returns `false` if its state changed meanwhile or
    /// evidence was recorded.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn message_end(
        &self,
        conversation: &ConversationId,
        message: OutboundId,
        ending: &Ending,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let update = self.update_intent(conversation, message);
        let update = match ending {
            Ending::Expired => in_state(update, SendState::Expired),
            Ending::Cancelled => in_state(update, SendState::Cancelled),
            Ending::Refused(why) | Ending::GivenUp(why) => with_error(in_state(update, SendState::Failed), why),
            Ending::Review => in_state(update, SendState::Review),
            Ending::SaidSent => in_state(update, SendState::Sent).set("settled_at", time(now)),
            Ending::Proved(wamid) => {
                let sent = in_state(update, SendState::Sent).set("wamid", text(wamid.as_str()));
                sent.set("list", text(keys::accepted(conversation.number(), wamid)))
                    .set("list_at", time(message.made_at()))
            }
            Ending::TriedAgain => {
                let again = in_state(update, SendState::Queued).set("not_before", time(now)).increase("resent");
                listed(again, message, now.checked_add(WAKE_UP_WITHIN).unwrap_or(now))
            }
        };
        let stays = matches!(ending, Ending::TriedAgain | Ending::Proved(_));
        let update = if stays { update } else { update.remove(&["list", "list_at"]) };
        let word = |state: SendState| text(state.as_str());
        let update = match ending {
            Ending::Expired | Ending::Cancelled | Ending::Refused(_) => update
                .when("#state = :queued AND attribute_not_exists(#wamid)")
                .value("queued", word(SendState::Queued)),
            Ending::TriedAgain | Ending::Review => update
                .when("#state = :unknown AND attribute_not_exists(#wamid)")
                .value("unknown", word(SendState::Unknown)),
            Ending::GivenUp(_) | Ending::SaidSent | Ending::Proved(_) => update
                .when("(#state = :unknown OR #state = :review) AND attribute_not_exists(#wamid)")
                .value("unknown", word(SendState::Unknown))
                .value("review", word(SendState::Review)),
        };
        Ok(matches!(update.run().await?, Updated::Done(_)))
    }

    pub(in crate::storage) fn update_intent(&self, conversation: &ConversationId, message: OutboundId) -> Update<'_> {
        self.update(keys::ours(conversation, message))
    }
}

fn in_state<'a>(update: Update<'a>, state: SendState) -> Update<'a> {
    update.set("state", text(state.as_str()))
}

/// Puts a message on the due list: the sweep checks it at `at`.
fn listed<'a>(update: Update<'a>, message: OutboundId, at: Timestamp) -> Update<'a> {
    update.set("list", text(keys::due(keys::due_shard(message)))).set("list_at", time(at))
}

/// Restricts an update to the attempt that holds `claim` and is in flight, so that a stale worker changes nothing.
fn fenced(update: Update<'_>, claim: Claim) -> Update<'_> {
    update
        .when("#claim = :held AND #state = :in_flight")
        .value("held", text(claim.id.to_string()))
        .value("in_flight", text(SendState::InFlight.as_str()))
}

pub(in crate::storage) fn with_error<'a>(update: Update<'a>, error: &ProviderError) -> Update<'a> {
    update
        .set("last_error_code", number(error.code))
        .set("last_error_title", text(&error.title))
        .set("last_error_details", text(error.details.clone().unwrap_or_default()))
        .set("last_error_trace", text(error.trace.clone().unwrap_or_default()))
}
