//! One record: unpack, read, merge every item. An item that fails does not stop the others.

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use futures_util::stream::{self, StreamExt};
use shared::clock::{SignedDuration, Timestamp, at_millis};
use shared::domain::event::{Kept, KeptReason};
use shared::limits::BATCH_CONCURRENCY;
use shared::provider::meta::webhook;
use shared::queue::{InboundJob, Outcome, Payload};
use shared::storage::ArchiveError;

use crate::apply::NotStored;
use crate::{Deps, apply};

/// Time left that an item needs to be begun: its few writes, each with its repeats.
const ITEM_NEEDS: SignedDuration = SignedDuration::from_secs(10);

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
pub(crate) async fn process(deps: &Deps, record: SqsMessage, deadline: Timestamp) -> Outcome {
    let text = record.body.unwrap_or_default();
    let Ok(job) = InboundJob::decode(&text) else {
        // The same in every receive, so that a repetition is identical.
        let sent_at = record.attributes.get("SentTimestamp").and_then(|millis| millis.parse().ok());
        return quarantine(deps, "job", text.into_bytes(), sent_at.map_or(Timestamp::UNIX_EPOCH, at_millis)).await;
    };
    let body = match body(deps, &job.payload).await {
        Ok(body) => body,
        Err(Unreadable::Later) => return Outcome::Retry,
        Err(Unreadable::Never) => return quarantine(deps, "payload", text.into_bytes(), job.received_at).await,
    };
    let events = webhook::parse(&body, job.received_at);
    let failures = stream::iter(events)
        .map(|event| async {
            let time_left = deadline.duration_since(deps.clock.now());
            if time_left < ITEM_NEEDS {
                return Err(NotStored::NoTimeLeft);
            }
            apply::apply(deps, event, job.received_at).await
        })
        .buffer_unordered(BATCH_CONCURRENCY)
        .filter_map(|result| async move { result.err() })
        .collect::<Vec<_>>()
        .await;
    // One line a record: an outage would write thousands.
    if let Some(error) = failures.first() {
        tracing::error!(event = "inbound.not_stored", items = failures.len(), %error);
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

async fn quarantine(deps: &Deps, what: &str, raw: Vec<u8>, received_at: Timestamp) -> Outcome {
    let kept = Kept { reason: KeptReason::Malformed, what: what.to_owned(), raw };
    match apply::keep(deps, &kept, None, received_at).await {
        Ok(()) => Outcome::Done,
        Err(error) => {
            tracing::error!(event = "inbound.not_stored", %error);
            Outcome::Retry
        }
    }
}
