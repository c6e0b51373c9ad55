//! One record: unpack, read, merge every item. An item that fails does not stop the others.

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use futures_util::stream::{self, StreamExt};
use shared::clock::Timestamp;
use shared::domain::event::{Kept, KeptReason};
use shared::limits::BATCH_CONCURRENCY;
use shared::provider::meta::webhook;
use shared::queue::{InboundJob, Outcome, Payload};
use shared::storage::ArchiveError;

use crate::{Deps, apply};

/// Writes the batch to the archive as it came, one line a record. `false` when S3 does not take it: then nothing may
/// be acknowledged.
pub(crate) async fn archive(deps: &Deps, event: &SqsEvent) -> bool {
    let lines: Vec<&str> = event.records.iter().filter_map(|record| record.body.as_deref()).collect();
    match deps.archive.put("raw", lines.join("\n").into()).await {
        Ok(_) => true,
        Err(error) => {
            tracing::error!(event = "inbound.not_archived", %error);
            false
        }
    }
}

/// Merges everything a record says. `Retry` when any of it could not be stored; the rest is stored all the same.
pub(crate) async fn process(deps: &Deps, record: SqsMessage) -> Outcome {
    let text = record.body.unwrap_or_default();
    let Ok(job) = InboundJob::decode(&text) else {
        return quarantine(deps, "job", text.into_bytes()).await;
    };
    let body = match body(deps, &job.payload).await {
        Ok(body) => body,
        Err(Unreadable::Later) => return Outcome::Retry,
        Err(Unreadable::Never) => return quarantine(deps, "payload", text.into_bytes()).await,
    };
    let events = webhook::parse(&body, job.received_at);
    let failures = stream::iter(events)
        .map(|event| apply::apply(deps, event, job.received_at))
        .buffer_unordered(BATCH_CONCURRENCY)
        .filter_map(|result| async move { result.err() })
        .collect::<Vec<_>>()
        .await;
    for error in &failures {
        tracing::error!(event = "inbound.not_stored", %error);
    }
    if failures.is_empty() { Outcome::Done } else { Outcome::Retry }
}

enum Unreadable {
    /// S3 did not answer.
    Later,
    /// It is gone or damaged: trying again cannot help.
    Never,
}

async fn body(deps: &Deps, payload: &Payload) -> Result<Vec<u8>, Unreadable> {
    let gzip = match payload {
        Payload::Inline(gzip_base64) => Payload::decode(gzip_base64).map_err(|_| Unreadable::Never)?,
        Payload::Stored(key) => match deps.archive.get(key).await {
            Ok(gzip) => gzip.to_vec(),
            Err(ArchiveError::Gone) => return Err(Unreadable::Never),
            Err(ArchiveError::Unavailable(_)) => return Err(Unreadable::Later),
        },
    };
    Payload::gunzip(&gzip).map_err(|_| Unreadable::Never)
}

async fn quarantine(deps: &Deps, what: &str, raw: Vec<u8>) -> Outcome {
    let kept = Kept { reason: KeptReason::Malformed, what: what.to_owned(), raw };
    // The record carries no time of its own then; the epoch keeps a repetition identical.
    match apply::keep(deps, &kept, None, Timestamp::UNIX_EPOCH).await {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::error!(event = "inbound.not_stored", %error);
            Outcome::Retry
        }
    }
}
