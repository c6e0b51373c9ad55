//! One record: unpack, parse, merge its items. A failing item does not stop the others.

use aws_lambda_events::event::sqs::SqsMessage;
use futures_util::stream::{self, StreamExt};
use shared::clock::{SignedDuration, Timestamp, at_millis};
use shared::domain::event::{InboundEvent, InboundEventKind, QuarantineReason, QuarantinedItem};
use shared::limits::BATCH_CONCURRENCY;
use shared::provider::meta::webhook;
use shared::queue::{InboundJob, InboundWork, Outcome};

use crate::archive::{Unreadable, body};
use crate::effects::{BatchEffects, Context, RecordEffects};
use crate::outcome::NotStored;
use crate::{Deps, dispatch, quarantine, replay};

/// Minimum time left for starting a slice: it makes a few hundred writes, each with retries.
pub(crate) const SLICE_NEEDS: SignedDuration = SignedDuration::from_secs(10);
/// Messages per slice; the clock is checked between slices.
const SLICE: usize = 256;

/// Merges all items of a record. Returns `Failed` if any item could not be stored; the others are stored anyway.
pub(crate) async fn process(deps: &Deps, batch: &BatchEffects, record: SqsMessage, deadline: Timestamp) -> Outcome {
    let text = record.body.unwrap_or_default();
    let job = match InboundWork::decode(&text) {
        Ok(InboundWork::Webhook(job)) => job,
        Ok(InboundWork::Replay(job)) => return replay::run(deps, job, deadline).await,
        Err(_) => {
            // `SentTimestamp` is the same in every receive, so a repetition stores an identical item.
            let sent_at = record.attributes.get("SentTimestamp").and_then(|millis| millis.parse().ok());
            let sent_at = sent_at.map_or(Timestamp::UNIX_EPOCH, at_millis);
            return quarantine_raw(deps, "job", text.into_bytes(), sent_at).await;
        }
    };
    let body = match body(deps, &job.payload).await {
        Ok(body) => body,
        Err(Unreadable::Later) => return Outcome::Failed,
        Err(Unreadable::Never) => return quarantine_raw(deps, "payload", text.into_bytes(), job.received_at).await,
    };
    let effects = RecordEffects { batch, counted_before: job.replayed };
    let context = Context { deps, effects };
    merge(context, &job, webhook::parse(&body, job.received_at), deadline).await
}

/// Merges the items in slices. When time runs out, the remaining items return to the queue as a new job, so a body of
/// any size is finished over several invocations.
async fn merge(context: Context<'_>, job: &InboundJob, events: Vec<InboundEvent>, deadline: Timestamp) -> Outcome {
    let deps = context.deps;
    let mut failures = Vec::new();
    let mut done = job.done;
    let (all, mut settled) = (events.len(), job.done);
    // History progress is stored after the messages that it covers.
    let (progress, items): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|event| matches!(event.said, InboundEventKind::HistoryProgress(..)));
    let mut items = items.into_iter().skip(done).peekable();
    let mut kept_again = false;
    while items.peek().is_some() {
        if deadline.duration_since(deps.clock.now()) < SLICE_NEEDS {
            if !failures.is_empty() {
                return not_stored(&failures);
            }
            // Nothing was started in this invocation.
            if done == job.done {
                return Outcome::Later;
            }
            // An item that was quarantined again must not be deleted by the job with the rest.
            let kept = job.kept.clone().filter(|_| !kept_again);
            let rest = InboundJob { done, kept, ..job.clone() };
            return hand_on(deps, &rest).await;
        }
        let (mut slice, mut weight) = (Vec::new(), 0);
        while let Some(item) = items.next_if(|_| weight < SLICE) {
            weight += item.said.weight();
            slice.push(item);
        }
        done += slice.len();
        for result in handle_all(context, slice, job).await {
            match result {
                Ok(kept) => {
                    settled += 1;
                    kept_again |= kept.is_some() && kept == job.kept;
                }
                Err(error) => failures.push(error),
            }
        }
    }
    if failures.is_empty() {
        for result in handle_all(context, progress, job).await {
            match result {
                Ok(_) => settled += 1,
                Err(error) => failures.push(error),
            }
        }
    }
    if let (Some(kept), false) = (&job.kept, kept_again || !failures.is_empty())
        && let Err(error) = deps.table.quarantine_delete(kept).await
    {
        failures.push(error.into());
    }
    if !failures.is_empty() {
        return not_stored(&failures);
    }
    if settled != all {
        // Invariant: every item is settled. If not, the record is not acknowledged, so that nothing is lost.
        deps.metrics.count("inbound_imbalance", "items", 1);
        tracing::error!(event = "inbound.imbalance", items = all, settled);
        return Outcome::Failed;
    }
    if !job.replayed && job.done == 0 {
        deps.metrics.took_ms("ingest_lag_ms", deps.clock.now().duration_since(job.received_at));
    }
    Outcome::Done
}

async fn handle_all(
    context: Context<'_>,
    events: Vec<InboundEvent>,
    job: &InboundJob,
) -> Vec<Result<Option<String>, NotStored>> {
    let results = stream::iter(events).map(|event| dispatch::handle_event(context, event, &job.app, job.received_at));
    results.buffer_unordered(BATCH_CONCURRENCY).collect().await
}

/// Logs one line per record, because an outage would otherwise log thousands.
fn not_stored(failures: &[NotStored]) -> Outcome {
    if let Some(error) = failures.first() {
        tracing::error!(event = "inbound.not_stored", items = failures.len(), %error);
    }
    Outcome::Failed
}

async fn hand_on(deps: &Deps, rest: &InboundJob) -> Outcome {
    let Ok(body) = rest.encode() else { return Outcome::Failed };
    match deps.inbound.send(body, rest.app.as_str()).await {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::error!(event = "inbound.not_handed_on", %error);
            Outcome::Failed
        }
    }
}

async fn quarantine_raw(deps: &Deps, what: &str, raw: Vec<u8>, received_at: Timestamp) -> Outcome {
    let kept = QuarantinedItem { reason: QuarantineReason::Malformed, what: what.to_owned(), raw };
    match quarantine::quarantine(deps, &kept, None, received_at).await {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::error!(event = "inbound.not_stored", %error);
            Outcome::Failed
        }
    }
}
