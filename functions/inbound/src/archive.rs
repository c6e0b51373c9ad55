//! The raw archive: what is written to it, and the bodies that are read from it.

use std::collections::BTreeMap;

use aws_lambda_events::event::sqs::SqsEvent;
use shared::clock::Timestamp;
use shared::queue::{InboundWork, Payload};
use shared::storage::ArchiveError;

use crate::Deps;

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
