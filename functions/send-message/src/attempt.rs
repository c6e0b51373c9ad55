//! One attempt: decide from the facts, check the rules, prepare, claim, call Meta, record.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::token::AccessToken;
use shared::domain::event::ProviderError;
use shared::domain::ids::{ClaimId, NumberId};
use shared::domain::sending::outbound::{Claim, Intent, NextStep, SendFacts};
use shared::domain::sending::outcome::SendOutcome;
use shared::limits::{CLAIM_LEASE, CLAIM_NEEDS};
use shared::storage::{Claimed, Ending, StorageError};

use crate::not_ready::{Held, Hold, Stop};
use crate::readiness::{Readiness, Ready};
use crate::{Deps, Next, readiness, settle};

/// Whether the claimed message is already stored or is created by the claim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Known,
    New,
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
        NextStep::Claim => {
            show_in_inbox(deps, intent, facts).await?;
            match readiness::check(deps, intent).await? {
                Readiness::Ready(ready) => send(deps, intent, facts, &ready, Store::Known, deadline).await,
                Readiness::Hold(hold) => wait(deps, intent, &hold).await,
                Readiness::Stop(stop) => {
                    let ending = match stop {
                        Stop::Cancelled => Ending::Cancelled,
                        Stop::Refused(error) => {
                            deps.metrics.count("send_refused_by_us", &reason_of(&error), 1);
                            Ending::Refused(error)
                        }
                    };
                    deps.table.message_end(&intent.conversation, intent.id, &ending, now).await?;
                    Ok(Next::Finished)
                }
            }
        }
    }
}

/// Puts a message on the due list, until it is stale at the latest.
async fn wait(deps: &Deps, intent: &Intent, hold: &Hold) -> Result<Next, StorageError> {
    let until = hold.until.min(intent.send_before);
    deps.table.message_postpone(intent, until).await?;
    match hold.of {
        // The queue message stays too, hidden, so that the messages behind it wait and keep their order.
        Held::Conversation if intent.broadcast.is_none() => Ok(Next::NotBefore(until)),
        // In the queue, the message would block those behind it and be received repeatedly.
        Held::Conversation | Held::Message => Ok(Next::Finished),
    }
}

/// Repairs the inbox before the first attempt, because the API may have crashed before recording the activity.
async fn show_in_inbox(deps: &Deps, intent: &Intent, facts: &SendFacts) -> Result<(), StorageError> {
    // Broadcast messages do not appear in the inbox.
    let first = facts.claim.is_none() && intent.broadcast.is_none();
    if first && !deps.table.conversation_shows_activity(&intent.conversation, intent.accepted_at()).await? {
        deps.table.conversation_touch_sent(intent).await?;
    }
    Ok(())
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
        lease_until: shared::clock::after(now, CLAIM_LEASE),
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
    settle::settle(deps, intent, facts, ready, claim, outcome, suspect).await
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
