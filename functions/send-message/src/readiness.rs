//! The answer to "may this message go now?", with everything that its request needs.

use shared::clock::{self, SignedDuration};
use shared::domain::accounts::number::Number;
use shared::domain::event::ProviderError;
use shared::domain::outgoing::{Outgoing, Template};
use shared::domain::sending::outbound::Intent;
use shared::domain::sending::pacing::Pace;
use shared::storage::StorageError;

use crate::not_ready::{Hold, Missing, NotReady, Stop};
use crate::prepare::{Prepared, prepare};
use crate::{Deps, gate, number_of};

/// Wait of a message whose token, key or file is missing. Each check costs a receive.
const NOT_READY_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// The answer.
pub(crate) enum Readiness {
    /// The message may be claimed and sent.
    Ready(Box<Ready>),
    /// The message waits.
    Hold(Hold),
    /// The message will never be sent.
    Stop(Stop),
}

/// A message that is ready to be claimed.
pub(crate) struct Ready {
    pub(crate) number: Number,
    pub(crate) pace: Pace,
    pub(crate) instead: Option<Template>,
    pub(crate) prepared: Prepared,
}

/// Runs all checks and prepares the request.
pub(crate) async fn check(deps: &Deps, intent: &Intent) -> Result<Readiness, StorageError> {
    match ready(deps, intent).await {
        Ok(ready) => Ok(Readiness::Ready(Box::new(ready))),
        Err(NotReady::Hold(hold)) => Ok(Readiness::Hold(hold)),
        Err(NotReady::Stop(stop)) => Ok(Readiness::Stop(stop)),
        Err(NotReady::Storage(error)) => Err(error),
    }
}

async fn ready(deps: &Deps, intent: &Intent) -> Result<Ready, NotReady> {
    let number = number_of(deps, intent)
        .await?
        .ok_or_else(|| NotReady::refused(ProviderError::ours("number_gone", "the number is not connected any more")))?;
    gate::broadcast(deps, intent).await?;
    let instead = gate::rules(deps, &number, intent).await?;
    let pace = gate::pace(deps, &number).await?;
    let says = instead.clone().map(Outgoing::Template);
    let prepared = match prepare(deps, &number, says.as_ref().unwrap_or(&intent.body)).await {
        Ok(prepared) => prepared,
        Err(missing) => return Err(not_prepared(deps, intent, &number, missing).await?),
    };
    // Last check, because it takes a slot.
    gate::pair(deps, intent).await?;
    Ok(Ready { number, pace, instead, prepared })
}

/// Returns the consequence of a missing part.
async fn not_prepared(
    deps: &Deps,
    intent: &Intent,
    number: &Number,
    missing: Missing,
) -> Result<NotReady, StorageError> {
    let of_number = match missing {
        Missing::Storage(error) => return Err(error),
        Missing::Refused(error) => return Ok(NotReady::refused(error)),
        Missing::Vault(_) | Missing::Waiting(_) => true,
        Missing::File(_) | Missing::NotUploaded(_) => false,
    };
    tracing::warn!(event = "send.not_ready", message_id = %intent.id, reason = %missing);
    let later = clock::after(deps.clock.now(), NOT_READY_WAIT);
    if of_number {
        // The token or key is missing for every message of the number, so the number is paused, including its bulk
        // lane.
        deps.table.pace_pause(&number.id, later, "not_ready").await?;
        deps.paces.forget(&number.id);
    }
    Ok(NotReady::conversation_until(later))
}
