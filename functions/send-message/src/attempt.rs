//! One attempt: decide from the facts, check the rules, prepare, claim, call Meta, record.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::number::Number;
use shared::domain::accounts::token::AccessToken;
use shared::domain::event::ProviderError;
use shared::domain::ids::{ClaimId, NumberId};
use shared::domain::outgoing::{Outgoing, Template};
use shared::domain::sending::outbound::{Claim, Intent, NextStep, SendFacts};
use shared::domain::sending::pacing::Pace;
use shared::limits::{CLAIM_LEASE, CLAIM_NEEDS};
use shared::provider::meta::graph::SendOutcome;
use shared::storage::{Claimed, Ending, StorageError};

use crate::gate::{self, Gate};
use crate::prepare::{NotReady, Prepared, prepare};
use crate::{Deps, Next, number_of, settle};

/// Wait of a message whose token, key or file is missing. Each check costs a receive.
const NOT_READY_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// Whether the claimed message is already stored or is created by the claim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Known,
    New,
}

/// A message that is ready to be claimed.
pub(crate) struct Ready {
    pub(crate) number: Number,
    pub(crate) pace: Pace,
    pub(crate) instead: Option<Template>,
    pub(crate) prepared: Prepared,
}

/// Reason why a message is not claimed.
pub(crate) enum NotNow {
    /// The message and its conversation wait until this time.
    Wait(Timestamp),
    /// The message waits until this time; its conversation continues.
    Postpone(Timestamp),
    /// The broadcast of the message was cancelled.
    Cancelled,
    /// The message will never be sent.
    Refused(ProviderError),
}

pub(crate) async fn step(
    deps: &Deps,
    intent: &Intent,
    facts: &SendFacts,
    deadline: Timestamp,
) -> Result<Next, StorageError> {
    let now = deps.clock.now();
    match facts.next_step(now, intent.not_before, intent.send_before) {
        NextStep::Done => Ok(Next::Finished),
        NextStep::WaitUntil(at) => Ok(Next::NotBefore(at)),
        NextStep::Expire => {
            deps.table.message_end(&intent.conversation, intent.id, &Ending::Expired, now).await?;
            deps.metrics.count("expired", "send_before", 1);
            Ok(Next::Finished)
        }
        NextStep::Doubt(claim) => {
            if deps.table.message_mark_unknown(intent, claim, &ProviderError::worker_died(), now).await? {
                deps.metrics.count("send_unknown", "worker_died", 1);
            }
            Ok(Next::Finished)
        }
        NextStep::Claim => match ready_at_last(deps, intent, facts).await? {
            Ok(ready) => send(deps, intent, facts, &ready, Store::Known, deadline).await,
            Err(NotNow::Refused(error)) => {
                deps.metrics.count("send_refused_by_us", &reason_of(&error), 1);
                deps.table.message_end(&intent.conversation, intent.id, &Ending::Refused(error), now).await?;
                Ok(Next::Finished)
            }
            Err(NotNow::Cancelled) => {
                deps.table.message_end(&intent.conversation, intent.id, &Ending::Cancelled, now).await?;
                Ok(Next::Finished)
            }
            Err(NotNow::Wait(at)) if intent.broadcast.is_none() => {
                // Never later than `send_before`.
                let at = at.min(intent.send_before);
                deps.table.message_postpone(intent, at).await?;
                Ok(Next::NotBefore(at))
            }
            Err(NotNow::Wait(at) | NotNow::Postpone(at)) => {
                // Moves to the due list: in the queue, the message would block those behind it and be received
                // repeatedly.
                deps.table.message_postpone(intent, at.min(intent.send_before)).await?;
                Ok(Next::Finished)
            }
        },
    }
}

/// Repairs the inbox before the first attempt, because the API may have crashed before recording the activity. Then
/// prepares the message.
async fn ready_at_last(deps: &Deps, intent: &Intent, facts: &SendFacts) -> Result<Result<Ready, NotNow>, StorageError> {
    // Broadcast messages do not appear in the inbox.
    let first = facts.claim.is_none() && intent.broadcast.is_none();
    if first && !deps.table.conversation_shows_activity(&intent.conversation, intent.accepted_at()).await? {
        deps.table.conversation_touch_sent(intent).await?;
    }
    ready(deps, intent).await
}

/// Runs all checks and prepares the request.
pub(crate) async fn ready(deps: &Deps, intent: &Intent) -> Result<Result<Ready, NotNow>, StorageError> {
    let Some(number) = number_of(deps, intent).await? else {
        let gone = ProviderError::ours("number_gone", "the number is not connected any more");
        return Ok(Err(NotNow::Refused(gone)));
    };
    if let Some(not_now) = gate::broadcast(deps, intent).await? {
        return Ok(Err(not_now));
    }
    let instead = match gate::rules(deps, &number, intent).await? {
        Gate::Open => None,
        Gate::Instead(template) => Some(template),
        Gate::Wait(at) => return Ok(Err(NotNow::Wait(at))),
        Gate::Postpone(at) => return Ok(Err(NotNow::Postpone(at))),
        Gate::Refused(error) => return Ok(Err(NotNow::Refused(error))),
    };
    let pace = match gate::pace(deps, &number).await? {
        Ok(pace) => pace,
        Err(until) => return Ok(Err(NotNow::Wait(until))),
    };
    let says = instead.clone().map(Outgoing::Template);
    let prepared = match prepare(deps, &number, says.as_ref().unwrap_or(&intent.body)).await {
        Ok(prepared) => prepared,
        Err(NotReady::Storage(error)) => return Err(error),
        Err(NotReady::Refused(error)) => return Ok(Err(NotNow::Refused(error))),
        Err(not_ready) => {
            tracing::warn!(event = "send.not_ready", message_id = %intent.id, reason = %not_ready);
            let later = deps.clock.now().checked_add(NOT_READY_WAIT).unwrap_or(Timestamp::MAX);
            if matches!(not_ready, NotReady::Vault(_) | NotReady::Waiting(_)) {
                // The token or key is missing for every message of the number, so the number is paused, including its
                // bulk lane.
                deps.table.pace_pause(&number.id, later, "not_ready").await?;
                deps.paces.forget(&number.id);
            }
            return Ok(Err(NotNow::Wait(later)));
        }
    };
    // Last check, because it takes a slot.
    Ok(match gate::pair(deps, intent).await? {
        Some(until) => Err(NotNow::Wait(until)),
        None => Ok(Ready { number, pace, instead, prepared }),
    })
}

pub(crate) async fn send(
    deps: &Deps,
    intent: &Intent,
    facts: &SendFacts,
    ready: &Ready,
    store: Store,
    deadline: Timestamp,
) -> Result<Next, StorageError> {
    let now = deps.clock.now();
    let time_left = deadline.duration_since(now);
    if time_left < SignedDuration::try_from(CLAIM_NEEDS).unwrap_or(SignedDuration::MAX) {
        return Ok(Next::NotBefore(now));
    }
    let claim = Claim {
        id: ClaimId::generate(now)?,
        lease_until: now.checked_add(CLAIM_LEASE).unwrap_or(Timestamp::MAX),
        attempt: facts.claim.map_or(0, |claim| claim.attempt) + 1,
    };
    let body = ready.prepared.body(intent, claim.attempt);
    if claim_surely(deps, intent, ready, store, claim, now).await? == Claimed::Lost {
        deps.metrics.count("claim_lost", "raced", 1);
        return Ok(Next::NotBefore(now));
    }
    // Between claim and call, nothing else is awaited.
    let (outcome, suspected) = match body {
        Ok(body) => {
            let answered = watched(deps, &ready.number.id, &ready.prepared.token, body).await;
            deps.metrics.took_ms("graph_ms", deps.clock.now().duration_since(now));
            answered
        }
        Err(_) => {
            let no_body = ProviderError::ours("no_body", "the request body could not be built");
            (SendOutcome::Refused(no_body), false)
        }
    };
    let suspect = suspected || ready.pace.suspect_until.is_some() || ready.pace.doubts > 0;
    settle::settle(deps, intent, facts, ready, claim, (outcome, suspect)).await
}

/// Calls Meta. If the response takes longer than `silence`, marks the number as suspect, so that other workers do not
/// wait for the same silence. The second value tells whether that happened.
async fn watched(deps: &Deps, number: &NumberId, token: &AccessToken, body: Vec<u8>) -> (SendOutcome, bool) {
    let mut call = std::pin::pin!(deps.graph.send_message(token, number, body));
    if let Ok(outcome) = tokio::time::timeout(deps.silence, &mut call).await {
        return (outcome, false);
    }
    deps.metrics.count("breaker", "silence", 1);
    let suspect = async {
        if let Err(error) = deps.table.pace_suspect(number, deps.clock.now()).await {
            tracing::warn!(event = "send.not_suspected", %error);
        }
        deps.paces.forget(number);
    };
    let (outcome, ()) = tokio::join!(call, suspect);
    (outcome, true)
}

/// Claims the message. If DynamoDB's response is lost, reads the current claim; if it is this one, sending may
/// continue, because nothing was sent yet.
async fn claim_surely(
    deps: &Deps,
    intent: &Intent,
    ready: &Ready,
    store: Store,
    claim: Claim,
    now: Timestamp,
) -> Result<Claimed, StorageError> {
    let instead = ready.instead.as_ref().map(|template| template.name.as_str());
    let claimed = match store {
        Store::Known => deps.table.message_claim(intent, claim, instead, now).await,
        Store::New => deps.table.message_claim_new(intent, claim, now).await,
    };
    match claimed {
        Ok(claimed) => Ok(claimed),
        Err(error) => {
            let facts = deps.table.intent_get(&intent.conversation, intent.id).await?.map(|(_, facts)| facts);
            match facts.and_then(|facts| facts.claim) {
                Some(standing) if standing.id == claim.id => Ok(Claimed::Won),
                _ => Err(error),
            }
        }
    }
}

/// Returns the reason of a refusal for metrics, never a text from the provider.
pub(crate) fn reason_of(error: &ProviderError) -> String {
    if error.is_the_providers() { error.code.to_string() } else { error.title.clone() }
}
