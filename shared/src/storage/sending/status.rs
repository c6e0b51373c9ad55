//! Merges statuses into their messages: the earliest time of each step counts, everything else is written once.

use crate::domain::event::StatusUpdate;
use crate::domain::ids::{ConversationId, OutboundId};
use crate::domain::outgoing::{Outgoing, Template};
use crate::domain::sending::outbound::SendState;
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
    /// Merges a status of the `attempt`-th attempt, whose callback data has been verified.
    ///
    /// A status is evidence that the provider accepted the message, so it settles an unknown outcome, whatever our own
    /// record is. 1 WRU; 1 more if the message leaves the due list, and 1 more if the step was recorded with a later
    /// time.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn status_put(
        &self,
        conversation: &ConversationId,
        message: OutboundId,
        attempt: u32,
        update: &StatusUpdate,
    ) -> Result<Applied, StorageError> {
        let key = keys::ours(conversation, message);
        let step = format!("{}_at", update.status.as_str());
        let error = update.error.as_ref();
        let written = self
            .update(key.clone())
            .set("state", text(SendState::Sent.as_str()))
            .set_once("wamid", text(update.wamid.as_str()))
            .set_once(&step, time(update.at))
            .set_once_if(pricing_name(update.status), update.pricing.as_ref().map(text))
            .set_once_if("error_code", error.map(|error| number(error.code)))
            .set_once_if("error_title", error.map(|error| text(&error.title)))
            .set_once_if("error_details", error.and_then(|error| error.details.as_ref()).map(text))
            .remove(&["list", "list_at"])
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
                && (attempt < old.count("attempt") || is_waiting(&old)),
            template: match old.text("content").and_then(|json| serde_json::from_str(json).ok()) {
                Some(Outgoing::Template(template)) if error.is_some() => Some(template),
                _ => None,
            },
        })
    }
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
