//! One queue message: read, decide, prepare, claim, call, record.

use aws_lambda_events::event::sqs::SqsMessage;
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::event::ProviderError;
use shared::domain::ids::ClaimId;
use shared::domain::outbound::{Claim, Intent, NextStep, SendFacts};
use shared::limits::{CLAIM_LEASE, CLAIM_NEEDS};
use shared::provider::meta::error::is_token_error;
use shared::provider::meta::graph::SendOutcome;
use shared::queue::{Outcome, SendJob};
use shared::random;
use shared::storage::{Claimed, Recorded, SendResult, StorageError};

use crate::prepare::{NotReady, Prepared, prepare};
use crate::{Deps, backoff};

/// How long a message waits whose token or key is not there yet: people must act, and each look costs a receive.
const NOT_READY_WAIT: SignedDuration = SignedDuration::from_mins(5);
/// Tries to write down what Meta said: losing it makes a sent message doubtful.
const RECORD_TRIES: u32 = 3;

pub(crate) async fn process(deps: &Deps, record: SqsMessage, deadline: Timestamp) -> Outcome {
    let Ok(job) = SendJob::decode(record.body.as_deref().unwrap_or_default()) else {
        // The intent is in the table and on the due list; this message names none.
        deps.metrics.count("send_bad_job", "decode", 1);
        return Outcome::Done;
    };
    let result = match deps.table.intent(&job.conversation, job.message).await {
        Ok(Some((intent, facts))) => step(deps, &intent, &facts, deadline).await,
        Ok(None) => Ok(Next::Finished),
        Err(error) => Err(error),
    };
    match result {
        Ok(Next::Finished) => Outcome::Done,
        Ok(Next::NotBefore(at)) => {
            come_back(deps, &record, at).await;
            Outcome::Retry
        }
        Err(error) => {
            tracing::error!(event = "send.not_stored", message_id = %job.message, %error);
            Outcome::Retry
        }
    }
}

/// What the queue is to do with the message.
enum Next {
    Finished,
    NotBefore(Timestamp),
}

async fn step(deps: &Deps, intent: &Intent, facts: &SendFacts, deadline: Timestamp) -> Result<Next, StorageError> {
    let now = deps.clock.now();
    match facts.next_step(now, intent.not_before, intent.send_before) {
        NextStep::Done => Ok(Next::Finished),
        NextStep::WaitUntil(at) => Ok(Next::NotBefore(at)),
        NextStep::Expire => {
            deps.table.expire(intent).await?;
            deps.metrics.count("expired", "send_before", 1);
            Ok(Next::Finished)
        }
        NextStep::Doubt(claim) => {
            if deps.table.doubt(intent, claim, &ProviderError::worker_died()).await? {
                deps.metrics.count("send_unknown", "worker_died", 1);
            }
            Ok(Next::Finished)
        }
        NextStep::Claim => send(deps, intent, facts, now, deadline).await,
    }
}

async fn send(
    deps: &Deps,
    intent: &Intent,
    facts: &SendFacts,
    now: Timestamp,
    deadline: Timestamp,
) -> Result<Next, StorageError> {
    let prepared = match prepare(deps, intent).await {
        Ok(prepared) => Ok(prepared),
        Err(NotReady::Storage(error)) => return Err(error),
        Err(not_ready) => match not_ready.permanent() {
            Some(error) => Err(error),
            None => {
                tracing::warn!(event = "send.not_ready", message_id = %intent.id, reason = %not_ready);
                let later = now.checked_add(NOT_READY_WAIT).unwrap_or(Timestamp::MAX);
                deps.table.postpone(intent, later).await?;
                return Ok(Next::NotBefore(later));
            }
        },
    };
    let time_left = deadline.duration_since(deps.clock.now());
    if time_left < SignedDuration::try_from(CLAIM_NEEDS).unwrap_or(SignedDuration::MAX) {
        return Ok(Next::NotBefore(now));
    }
    let claim = Claim {
        id: ClaimId::generate(now)?,
        lease_until: now.checked_add(CLAIM_LEASE).unwrap_or(Timestamp::MAX),
        attempt: facts.claim.map_or(0, |claim| claim.attempt) + 1,
    };
    let body = prepared.as_ref().map(|prepared| prepared.body(intent, claim.attempt)).ok();
    if claim_surely(deps, intent, claim, now).await? == Claimed::Lost {
        deps.metrics.count("claim_lost", "raced", 1);
        return Ok(Next::NotBefore(now));
    }
    // Between the claim and the wire there is no await but the request itself.
    let outcome = match (&prepared, body) {
        (Ok(prepared), Some(body)) => deps.graph.send_message(&prepared.token, &prepared.number, body).await,
        (Err(error), _) => SendOutcome::Refused(error.clone()),
        (Ok(_), None) => SendOutcome::Refused(ProviderError::ours("no_body", "the request body could not be made")),
    };
    let result = result_of(deps, facts, claim, prepared.ok().as_ref(), outcome);
    record(deps, intent, claim, &result).await
}

/// Claims, and when DynamoDB's answer is lost, reads whose claim stands: nothing was sent yet, so ours may go on.
async fn claim_surely(deps: &Deps, intent: &Intent, claim: Claim, now: Timestamp) -> Result<Claimed, StorageError> {
    match deps.table.claim(intent, claim, now).await {
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

async fn record(deps: &Deps, intent: &Intent, claim: Claim, result: &SendResult) -> Result<Next, StorageError> {
    let outcome = match result {
        SendResult::Sent(_) => "sent",
        SendResult::TryAgain { .. } => "try_again",
        SendResult::Failed(_) => "failed",
        SendResult::Unknown(_) => "unknown",
    };
    tracing::info!(event = "send.result", message_id = %intent.id, attempt = claim.attempt, outcome);
    let mut written = deps.table.record(intent, claim, result).await;
    for _ in 1..RECORD_TRIES {
        if written.is_ok() {
            break;
        }
        written = deps.table.record(intent, claim, result).await;
    }
    match written {
        Ok(Recorded::DuplicateSend) => deps.metrics.count("duplicate_confirmed", "record", 1),
        Ok(Recorded::Done | Recorded::Overtaken) => {}
        Err(error) => {
            // The claim's lease runs out, the message becomes doubtful, and its status settles it.
            tracing::error!(event = "send.result_unrecorded", message_id = %intent.id, attempt = claim.attempt, %error);
            return Err(error);
        }
    }
    Ok(match result {
        SendResult::TryAgain { not_before, .. } => Next::NotBefore(*not_before),
        SendResult::Sent(_) | SendResult::Failed(_) | SendResult::Unknown(_) => Next::Finished,
    })
}

fn result_of(
    deps: &Deps,
    facts: &SendFacts,
    claim: Claim,
    prepared: Option<&Prepared>,
    outcome: SendOutcome,
) -> SendResult {
    let count = |metric: &'static str, error: &ProviderError| deps.metrics.count(metric, &error.code.to_string(), 1);
    match outcome {
        SendOutcome::Accepted(wamid) => {
            deps.metrics.count("send_accepted", "meta", 1);
            SendResult::Sent(wamid)
        }
        SendOutcome::Doubtful(error) => {
            count("send_unknown", &error);
            SendResult::Unknown(error)
        }
        SendOutcome::Refused(error) => {
            count("send_failed", &error);
            SendResult::Failed(error)
        }
        SendOutcome::NotSent(error) => {
            count("send_not_sent", &error);
            if let Some(prepared) = prepared.filter(|_| is_token_error(error.code)) {
                deps.tokens.forget(&prepared.waba);
            }
            let unreached = if error.is_the_providers() { 0 } else { facts.unreached + 1 };
            if backoff::gives_up(unreached) {
                return SendResult::Failed(error);
            }
            // Without chance all messages come back together: slower, not wrong.
            let [chance] = random::bytes::<1>().unwrap_or_default();
            let not_before = backoff::next_try(deps.clock.now(), claim.attempt, chance);
            SendResult::TryAgain { not_before, error, unreached }
        }
    }
}

/// Asks SQS to show the message again at `at`; otherwise it comes back after the queue's visibility timeout.
pub(crate) async fn come_back(deps: &Deps, record: &SqsMessage, at: Timestamp) {
    let Some(receipt) = record.receipt_handle.as_deref() else { return };
    let wait = at.duration_since(deps.clock.now());
    let seconds = (wait.as_millis() + 999) / 1_000;
    if let Err(error) = deps.outbound.delay(receipt, i64::try_from(seconds).unwrap_or(i64::MAX)).await {
        tracing::warn!(event = "send.not_delayed", %error);
    }
}
