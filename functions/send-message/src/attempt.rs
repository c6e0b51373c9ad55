//! One message: decide from its facts, ask the rules, prepare, claim, call, record.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::event::ProviderError;
use shared::domain::ids::{ClaimId, PhoneNumberId};
use shared::domain::number::Number;
use shared::domain::outbound::{Claim, Intent, NextStep, SendFacts};
use shared::domain::outgoing::{Outgoing, Template};
use shared::domain::pacing::Pace;
use shared::domain::token::AccessToken;
use shared::limits::{CLAIM_LEASE, CLAIM_NEEDS};
use shared::provider::meta::graph::SendOutcome;
use shared::storage::{Claimed, Ending, StorageError};

use crate::gate::{self, Gate};
use crate::prepare::{NotReady, Prepared, prepare};
use crate::{Deps, Next, number_of, settle};

/// How long a message waits whose token, key or file is not there yet: each look costs a receive.
const NOT_READY_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// What is claimed: a message that is stored, or one that exists only from now on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Known,
    New,
}

/// A message with everything decided but the claim.
pub(crate) struct Ready {
    pub(crate) number: Number,
    pub(crate) pace: Pace,
    pub(crate) instead: Option<Template>,
    pub(crate) prepared: Prepared,
}

/// Why a message is not claimed.
pub(crate) enum NotNow {
    /// It waits until then, and so does its conversation.
    Wait(Timestamp),
    /// It waits until then; its conversation goes on.
    Postpone(Timestamp),
    /// Its broadcast was cancelled.
    Cancelled,
    /// It will never be sent.
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
            deps.table.end(&intent.conversation, intent.id, &Ending::Expired, now).await?;
            deps.metrics.count("expired", "send_before", 1);
            Ok(Next::Finished)
        }
        NextStep::Doubt(claim) => {
            if deps.table.doubt(intent, claim, &ProviderError::worker_died(), now).await? {
                deps.metrics.count("send_unknown", "worker_died", 1);
            }
            Ok(Next::Finished)
        }
        NextStep::Claim => match ready_at_last(deps, intent, facts).await? {
            Ok(ready) => send(deps, intent, facts, &ready, Store::Known, deadline).await,
            Err(NotNow::Refused(error)) => {
                deps.metrics.count("send_refused_by_us", &reason_of(&error), 1);
                deps.table.end(&intent.conversation, intent.id, &Ending::Refused(error), now).await?;
                Ok(Next::Finished)
            }
            Err(NotNow::Cancelled) => {
                deps.table.end(&intent.conversation, intent.id, &Ending::Cancelled, now).await?;
                Ok(Next::Finished)
            }
            Err(NotNow::Wait(at)) if intent.broadcast.is_none() => {
                // Not a moment longer than it is good for.
                let at = at.min(intent.send_before);
                deps.table.postpone(intent, at).await?;
                Ok(Next::NotBefore(at))
            }
            Err(NotNow::Wait(at) | NotNow::Postpone(at)) => {
                // The due list wakes it: in the queue it would hold back what is behind it, and be received again and again.
                deps.table.postpone(intent, at.min(intent.send_before)).await?;
                Ok(Next::Finished)
            }
        },
    }
}

/// The first time the API may have died before the conversation showed the message.
async fn ready_at_last(deps: &Deps, intent: &Intent, facts: &SendFacts) -> Result<Result<Ready, NotNow>, StorageError> {
    // A campaign's messages stay out of the inbox.
    let first = facts.claim.is_none() && intent.broadcast.is_none();
    if first && !deps.table.shows_activity(&intent.conversation, intent.accepted_at()).await? {
        deps.table.note_sent(intent).await?;
    }
    ready(deps, intent).await
}

/// Asks everybody who may say no, and gets ready what the wire needs.
pub(crate) async fn ready(deps: &Deps, intent: &Intent) -> Result<Result<Ready, NotNow>, StorageError> {
    let Some(number) = number_of(deps, intent).await? else {
        let gone = ProviderError::ours("number_gone", "the number is no longer connected");
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
                // What the token lacks, every message of the number lacks: the bulk lane stands still meanwhile.
                deps.table.pause(&number.id, later, "not_ready").await?;
                deps.paces.forget(&number.id);
            }
            return Ok(Err(NotNow::Wait(later)));
        }
    };
    // Last, because it takes a slot.
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
    // Between the claim and the wire there is no await but the request itself.
    let (outcome, suspected) = match body {
        Ok(body) => {
            let answered = watched(deps, &ready.number.id, &ready.prepared.token, body).await;
            deps.metrics.took_ms("graph_ms", deps.clock.now().duration_since(now));
            answered
        }
        Err(_) => {
            let no_body = ProviderError::ours("no_body", "the request body could not be made");
            (SendOutcome::Refused(no_body), false)
        }
    };
    let suspect = suspected || ready.pace.suspect_until.is_some() || ready.pace.doubts > 0;
    settle::settle(deps, intent, facts, ready, claim, (outcome, suspect)).await
}

/// The call. While it is not answered its number becomes suspect, so that others do not run into the same silence; the
/// second part tells whether it did.
async fn watched(deps: &Deps, number: &PhoneNumberId, token: &AccessToken, body: Vec<u8>) -> (SendOutcome, bool) {
    let mut call = std::pin::pin!(deps.graph.send_message(token, number, body));
    if let Ok(outcome) = tokio::time::timeout(deps.silence, &mut call).await {
        return (outcome, false);
    }
    deps.metrics.count("breaker", "silence", 1);
    let suspect = async {
        if let Err(error) = deps.table.suspect(number, deps.clock.now()).await {
            tracing::warn!(event = "send.not_suspected", %error);
        }
        deps.paces.forget(number);
    };
    let (outcome, ()) = tokio::join!(call, suspect);
    (outcome, true)
}

/// Claims, and when DynamoDB's answer is lost, reads whose claim stands: nothing was sent yet, so ours may go on.
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
        Store::Known => deps.table.claim(intent, claim, instead, now).await,
        Store::New => deps.table.claim_new(intent, claim, now).await,
    };
    match claimed {
        Ok(claimed) => Ok(claimed),
        Err(error) => {
            let facts = deps.table.intent(&intent.conversation, intent.id).await?.map(|(_, facts)| facts);
            match facts.and_then(|facts| facts.claim) {
                Some(standing) if standing.id == claim.id => Ok(Claimed::Won),
                _ => Err(error),
            }
        }
    }
}

/// Why a message is refused, for the metrics: never a text of the provider's.
pub(crate) fn reason_of(error: &ProviderError) -> String {
    if error.is_the_providers() { error.code.to_string() } else { error.title.clone() }
}
