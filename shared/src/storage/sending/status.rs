//! Merges statuses into their messages: the earliest time of each step counts, everything else is written once.

use jiff::Timestamp;

use crate::domain::event::{Payment, StatusUpdate};
use crate::domain::ids::{ConversationId, OutboundId};
use crate::domain::outgoing::{Outgoing, Template};
use crate::domain::sending::outbound::{SendState, SentMessage};
use crate::domain::sending::status::Status;
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys};

/// Effect of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// The step was not recorded, or only with a later time.
    New {
        /// The outcome of the message was unknown until now.
        settled_doubt: bool,
        /// Another provider id was recorded for the message: the provider accepted it twice.
        duplicate_send: bool,
        /// The provider had answered this attempt with "try again", and sent the message nevertheless.
        false_refusal: bool,
        /// The message's template, if the status carries an error.
        template: Option<Template>,
    },
    /// The step was recorded already.
    Repeated,
    /// The message does not exist any more.
    NoMessage,
}

impl Table {
    /// Merges a status of the `attempt`-th attempt, whose callback data has been verified; without callback data the
    /// message was found by its wamid, and the attempt is unknown.
    ///
    /// A status is evidence that the provider accepted the message, so it settles an unknown outcome, whatever our own
    /// record is. 1 WRU; 2 more if the message moves from the due list to the list of its wamid, and 1 more if the step
    /// was recorded with a later time.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn status_put(
        &self,
        conversation: &ConversationId,
        message: OutboundId,
        attempt: Option<u32>,
        update: &StatusUpdate,
    ) -> Result<Applied, StorageError> {
        let key = keys::ours(conversation, message);
        let step = format!("{}_at", update.status.as_str());
        let error = update.error.as_ref();
        let written = self
            .update(key.clone())
            .set("state", text(SendState::Sent.as_str()))
            .set_once(&step, time(update.at))
            .set_once_if(pricing_name(update.status), update.pricing.as_ref().map(text))
            .set_once_if("error_code", error.map(|error| number(error.code)))
            .set_once_if("error_title", error.map(|error| text(&error.title)))
            .set_once_if("error_details", error.and_then(|error| error.details.as_ref()).map(text))
            .set("list", text(keys::accepted(conversation.number(), &update.wamid)))
            .set_once("wamid", text(update.wamid.as_str()))
            .set("list_at", time(message.made_at()))
            .when("attribute_exists(#pk)")
            .run()
            .await?;
        let Updated::Done(old) = written else { return Ok(Applied::NoMessage) };
        let known = old.time(&step);
        if known.is_some_and(|known| known > update.at) {
            let earlier = self
                .update(key.clone())
                .set(&step, time(update.at))
                .when(&format!("attribute_not_exists(#{step}) OR #{step} > :{step}"));
            earlier.run().await?;
        }
        if known.is_some_and(|known| known <= update.at) {
            return Ok(Applied::Repeated);
        }
        Ok(Applied::New {
            settled_doubt: in_doubt(&old),
            duplicate_send: old.text("wamid").is_some_and(|wamid| wamid != update.wamid.as_str()),
            false_refusal: old.number("retryable_answer") == Some(1)
                && (attempt.is_some_and(|attempt| attempt < old.count("attempt")) || is_waiting(&old)),
            template: match old.text("content").and_then(|json| serde_json::from_str(json).ok()) {
                Some(Outgoing::Template(template)) if error.is_some() => Some(template),
                _ => None,
            },
        })
    }

    /// Records the state of the payment that a message asked for; the latest report counts. A message that was erased
    /// stays erased. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn payment_put(
        &self,
        message: &SentMessage,
        payment: &Payment,
        at: Timestamp,
    ) -> Result<(), StorageError> {
        self.update(keys::ours(&message.conversation, message.id))
            .set("payment_status", text(&payment.status))
            .set("payment_detail", text(&payment.detail))
            .set("payment_at", time(at))
            .when("attribute_exists(#pk) AND (attribute_not_exists(#payment_at) OR #payment_at <= :payment_at)")
            .run()
            .await?;
        Ok(())
    }
}

/// Returns the latest reported state of the payment that a message asked for, with its time.
pub(in crate::storage) fn read_payment(item: &Item) -> Option<(Payment, Timestamp)> {
    let (status, detail) = item.owned("payment_status").zip(item.owned("payment_detail"))?;
    Some((Payment { status, detail }, item.time("payment_at")?))
}

/// Returns the attribute of the price: `sent` may report one before the charge is decided, so it is stored apart and
/// the price of a later step takes precedence.
fn pricing_name(status: Status) -> &'static str {
    if status == Status::Sent { "pricing_sent" } else { "pricing" }
}

/// Returns whether no call is under way, because the outcome is unknown or the message was queued again.
fn is_waiting(item: &Item) -> bool {
    let state = item.text("state").and_then(SendState::from_word);
    matches!(state, Some(SendState::Unknown | SendState::Review | SendState::Queued))
}

pub(in crate::storage) fn in_doubt(item: &Item) -> bool {
    let state = item.text("state").and_then(SendState::from_word);
    item.text("wamid").is_none() && matches!(state, Some(SendState::Unknown | SendState::Review))
}
