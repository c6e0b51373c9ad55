//! Consequences of an outcome, for the message itself and for future messages.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::event::ProviderError;
use shared::domain::outgoing::Outgoing;
use shared::domain::sending::outbound::{Claim, Intent, SendFacts};
use shared::domain::sending::outcome::SendOutcome;
use shared::domain::sending::pacing;
use shared::provider::meta::error::{self, ErrorClass, Throttled};
use shared::provider::meta::graph::THROTTLED;
use shared::random;
use shared::storage::{Recorded, SendResult, StorageError};

use crate::readiness::Ready;
use crate::{Deps, Next, backoff};

/// Attempts to record Meta's response. A lost response leaves a sent message with outcome unknown.
const RECORD_TRIES: u32 = 3;
/// Pause of a number after Graph's edge throttles us.
const EDGE_PAUSE: SignedDuration = SignedDuration::from_secs(15);
/// Wait of a message whose number must be connected again.
const RECONNECT_WAIT: SignedDuration = SignedDuration::from_mins(5);

pub(crate) async fn settle(
    deps: &Deps,
    intent: &Intent,
    facts: &SendFacts,
    ready: &Ready,
    claim: Claim,
    outcome: SendOutcome,
    suspect: bool,
) -> Result<Next, StorageError> {
    let result = result_of(deps, intent, facts, claim, &outcome);
    let next = record(deps, intent, claim, &result).await;
    if let Err(error) = follow(deps, intent, ready, &outcome, suspect).await {
        // The result is recorded already; the next message will get the same response from Meta.
        tracing::warn!(event = "send.consequence_not_stored", %error);
    }
    next
}

/// Returns the result to record for the message.
fn result_of(deps: &Deps, intent: &Intent, facts: &SendFacts, claim: Claim, outcome: &SendOutcome) -> SendResult {
    let count = |metric: &'static str, error: &ProviderError| deps.metrics.count(metric, &error.code.to_string(), 1);
    match outcome {
        SendOutcome::Accepted { wamid, held } => {
            deps.metrics.count("send_accepted", if *held { "held" } else { "meta" }, 1);
            // Only messages without a planned wait.
            if facts.claim.is_none() && intent.broadcast.is_none() && intent.not_before <= intent.accepted_at() {
                deps.metrics.took_ms("send_lag_ms", deps.clock.now().duration_since(intent.accepted_at()));
            }
            SendResult::Sent(wamid.clone(), *held)
        }
        SendOutcome::Unknown { error, retryable_answer } => {
            count("send_unknown", error);
            SendResult::Unknown(error.clone(), *retryable_answer)
        }
        SendOutcome::Refused(error) => {
            count("send_failed", error);
            SendResult::Failed(error.clone())
        }
        SendOutcome::NotSent(error) => {
            count("send_not_sent", error);
            let unreached = if error.is_the_providers() || error.title == THROTTLED { 0 } else { facts.unreached + 1 };
            if backoff::gives_up(unreached) {
                return SendResult::Failed(error.clone());
            }
            // Not a moment longer than it is good for.
            let not_before = next_try(deps, claim, error).min(intent.send_before);
            SendResult::TryAgain { not_before, error: error.clone(), unreached }
        }
    }
}

/// Returns the time of the next attempt for a message that was certainly not sent.
fn next_try(deps: &Deps, claim: Claim, error: &ProviderError) -> Timestamp {
    let now = deps.clock.now();
    let class = error.is_the_providers().then(|| error::class(error.code));
    let wait = match class {
        Some(ErrorClass::Wait(wait)) => wait,
        Some(ErrorClass::Reconnect) => RECONNECT_WAIT,
        Some(ErrorClass::Throttle(Throttled::Pair)) => pacing::pair_wait(claim.attempt),
        _ => {
            // If randomness fails, messages return without jitter, which is slower but correct.
            let [chance] = random::bytes::<1>().unwrap_or_default();
            return backoff::next_try(now, claim.attempt, chance);
        }
    };
    shared::clock::after(now, wait)
}

async fn record(deps: &Deps, intent: &Intent, claim: Claim, result: &SendResult) -> Result<Next, StorageError> {
    let (outcome, error) = match result {
        SendResult::Sent(..) => ("sent", None),
        SendResult::TryAgain { error, .. } => ("try_again", Some(error)),
        SendResult::Failed(error) => ("failed", Some(error)),
        SendResult::Unknown(error, _) => ("unknown", Some(error)),
    };
    if let Some(ProviderError { code, trace, .. }) = error {
        let trace = trace.as_deref();
        tracing::info!(event = "send.result", message_id = %intent.id, attempt = claim.attempt, outcome, code, trace);
    } else {
        // Debug level, because the stored message has the result, and a log line would add 1 % to its cost.
        tracing::debug!(event = "send.result", message_id = %intent.id, attempt = claim.attempt, outcome);
    }
    let mut written = deps.table.attempt_record(intent, claim, result).await;
    for _ in 1..RECORD_TRIES {
        if written.is_ok() {
            break;
        }
        written = deps.table.attempt_record(intent, claim, result).await;
    }
    match written {
        Ok(Recorded::DuplicateSend) => {
            tracing::error!(event = "send.duplicate_confirmed", message_id = %intent.id, attempt = claim.attempt);
            deps.metrics.count("duplicate_confirmed", "record", 1);
        }
        Ok(Recorded::Done | Recorded::Overtaken) => {}
        Err(error) => {
            // The lease expires, the outcome becomes unknown, and the status webhook settles it.
            tracing::error!(
                event = "send.result_unrecorded",
                message_id = %intent.id,
                attempt = claim.attempt,
                outcome,
                %error
            );
            return Err(error);
        }
    }
    Ok(match result {
        // A long wait of a single message must not block its conversation, so the due list wakes it.
        SendResult::TryAgain { not_before, error, .. } if waits_alone(intent, error) => {
            tracing::debug!(event = "send.postponed", message_id = %intent.id, until = %not_before);
            Next::Finished
        }
        SendResult::TryAgain { not_before, .. } => Next::NotBefore(*not_before),
        SendResult::Sent(..) | SendResult::Failed(_) | SendResult::Unknown(..) => Next::Finished,
    })
}

fn waits_alone(intent: &Intent, error: &ProviderError) -> bool {
    let class = error.is_the_providers().then(|| error::class(error.code));
    matches!(class, Some(ErrorClass::Wait(_))) || (intent.broadcast.is_some() && class == Some(ErrorClass::Reconnect))
}

/// Applies the consequences for future messages.
async fn follow(
    deps: &Deps,
    intent: &Intent,
    ready: &Ready,
    outcome: &SendOutcome,
    suspect: bool,
) -> Result<(), StorageError> {
    let (number, now) = (&ready.number, deps.clock.now());
    if let SendOutcome::Unknown { retryable_answer: false, .. } = outcome {
        deps.metrics.count("breaker", "doubt", 1);
        deps.table.pace_count_unknown(&number.id, now).await?;
        deps.paces.forget(&number.id);
        return Ok(());
    }
    let error = match outcome {
        SendOutcome::Accepted { .. } => None,
        SendOutcome::Unknown { error, .. } | SendOutcome::NotSent(error) | SendOutcome::Refused(error) => Some(error),
    };
    let answered = error.is_none_or(ProviderError::is_the_providers);
    if answered && suspect {
        deps.table.pace_record_answer(&number.id).await?;
        deps.paces.forget(&number.id);
    }
    if error.is_some_and(|error| error.title == THROTTLED) {
        let until = shared::clock::after(now, EDGE_PAUSE);
        deps.table.pace_pause(&number.id, until, THROTTLED).await?;
        deps.metrics.count("number_paused", THROTTLED, 1);
        deps.paces.forget(&number.id);
    }
    let Some(error) = error.filter(|error| error.is_the_providers()) else { return Ok(()) };
    if error::is_stale_proof(error) {
        // `token-refresh`, which may decrypt app secrets, reseals the token within minutes.
        deps.tokens.forget(&number.waba);
        deps.table.token_check_later(&number.waba, now).await?;
    }
    if error::is_token_error(error.code) {
        deps.tokens.forget(&number.waba);
    }
    let Some(consequence) = error::consequence(error.code) else { return Ok(()) };
    let template = match &intent.body {
        Outgoing::Template(template) => Some(template),
        _ => ready.instead.as_ref(),
    };
    if consequence.pauses_number() {
        deps.metrics.count("number_paused", &error.code.to_string(), 1);
    }
    let contact = intent.conversation.contact();
    deps.table.consequence_put(number, contact, template, error, consequence, now).await?;
    deps.paces.forget(&number.id);
    deps.standings.forget(&number.id);
    if let Some(template) = template {
        let key = (number.waba.clone(), template.name.clone(), template.language.code.clone());
        deps.templates.forget(&key);
    }
    Ok(())
}
