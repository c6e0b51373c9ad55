//! One record: unpack, parse, merge its items. A failing item does not stop the others.

use std::collections::BTreeMap;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use futures_util::stream::{self, StreamExt};
use shared::clock::{SignedDuration, Timestamp, at_millis};
use shared::domain::event::{InboundEvent, InboundEventKind, QuarantineReason, QuarantinedItem};
use shared::limits::BATCH_CONCURRENCY;
use shared::provider::meta::webhook;
use shared::queue::{InboundJob, InboundWork, Outcome, Payload};
use shared::storage::ArchiveError;

use crate::apply::NotStored;
use crate::effects::{BatchEffects, RecordEffects};
use crate::{Deps, apply, replay};

/// Minimum time left for starting a slice: it makes a few hundred writes, each with retries.
pub(crate) const SLICE_NEEDS: SignedDuration = SignedDuration::from_secs(10);
/// Messages per slice; the clock is checked between slices.
const SLICE: usize = 256;

/// Returns the raw archive's folder for the hour of `at`.
pub(crate) fn archive_folder(at: Timestamp) -> String {
    format!("raw/{}", at.strftime("%Y-%m-%dT%H"))
}

/// Writes the batch to the archive unchanged, one line per record, in the folder of the hour of receipt. Returns
/// `false` if S3 fails; then no record may be acknowledged. Skips records that were archived before or are not
/// webhooks.
pub(crate) async fn archive(deps: &Deps, event: &SqsEvent) -> bool {
    let mut folders: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for line in event.records.iter().filter_map(|record| record.body.as_deref()) {
        if let Ok(InboundWork::Webhook(job)) = InboundWork::decode(line)
            && !job.replayed
            && job.done == 0
        {
            folders.entry(archive_folder(job.received_at)).or_default().push(line);
        }
    }
    for (folder, lines) in folders {
        if let Err(error) = deps.archive.put(&folder, lines.join("\n").into()).await {
            tracing::error!(event = "inbound.not_archived", %error);
            return false;
        }
    }
    true
}

/// Merges all items of a record. Returns `Failed` if any item could not be stored; the others are stored anyway.
pub(crate) async fn process(deps: &Deps, books: &BatchEffects, record: SqsMessage, deadline: Timestamp) -> Outcome {
    let text = record.body.unwrap_or_default();
    let job = match InboundWork::decode(&text) {
        Ok(InboundWork::Webhook(job)) => job,
        Ok(InboundWork::Replay(job)) => return replay::run(deps, job, deadline).await,
        Err(_) => {
            // `SentTimestamp` is the same in every receive, so a repetition stores an identical item.
            let sent_at = record.attributes.get("SentTimestamp").and_then(|millis| millis.parse().ok());
            let sent_at = sent_at.map_or(Timestamp::UNIX_EPOCH, at_millis);
            return quarantine(deps, "job", text.into_bytes(), sent_at).await;
        }
    };
    let body = match body(deps, &job.payload).await {
        Ok(body) => body,
        Err(Unreadable::Later) => return Outcome::Failed,
        Err(Unreadable::Never) => return quarantine(deps, "payload", text.into_bytes(), job.received_at).await,
    };
    let books = RecordEffects { books, counted_before: job.replayed };
    merge(deps, books, &job, webhook::parse(&body, job.received_at), deadline).await
}

/// Merges the items in slices. When time runs out, the remaining items return to the queue as a new job, so a body of
/// any size is finished over several invocations.
async fn merge(
    deps: &Deps,
    books: RecordEffects<'_>,
    job: &InboundJob,
    events: Vec<InboundEvent>,
    deadline: Timestamp,
) -> Outcome {
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
        for result in apply_all(deps, books, slice, job).await {
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
        for result in apply_all(deps, books, progress, job).await {
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

async fn apply_all(
    deps: &Deps,
    books: RecordEffects<'_>,
    events: Vec<InboundEvent>,
    job: &InboundJob,
) -> Vec<Result<Option<String>, NotStored>> {
    let results = stream::iter(events).map(|event| apply::apply((deps, books), event, &job.app, job.received_at));
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

pub(crate) enum Unreadable {
    /// S3 did not respond; try again later.
    Later,
    /// The body is missing or damaged; retrying cannot help.
    Never,
}

/// Returns the body of a webhook, from the job or from the archive.
pub(crate) async fn body(deps: &Deps, payload: &Payload) -> Result<Vec<u8>, Unreadable> {
    let Payload::Stored(key) = payload else {
        return payload.body().ok().flatten().ok_or(Unreadable::Never);
    };
    match deps.archive.get(key).await {
        Ok(gzip) => Payload::gunzip(&gzip).map_err(|_| Unreadable::Never),
        Err(ArchiveError::Gone) => Err(Unreadable::Never),
        Err(ArchiveError::Unavailable(_)) => Err(Unreadable::Later),
    }
}

async fn quarantine(deps: &Deps, what: &str, raw: Vec<u8>, received_at: Timestamp) -> Outcome {
    let kept = QuarantinedItem { reason: QuarantineReason::Malformed, what: what.to_owned(), raw };
    match apply::keep(deps, &kept, None, received_at).await {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::error!(event = "inbound.not_stored", %error);
            Outcome::Failed
        }
    }
}
