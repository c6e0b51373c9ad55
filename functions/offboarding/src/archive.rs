//! Erasure in the bucket. One object, and even one webhook body, may contain data of several tenants. The parts to
//! erase are removed; the rest stays unchanged.

use bytes::Bytes;
use shared::provider::meta::webhook::{self, Left};
use shared::queue::{InboundJob, InboundWork, Packed, Payload};
use shared::storage::{ArchiveError, ErasureScope};

use crate::{Deps, LeavingError};

/// Folders with raw webhooks, in the order of the walk.
const FOLDERS: [&str; 3] = ["raw", "large", "quarantine"];
/// Objects per page.
const PAGE: i32 = 100;

/// Processes one page of the bucket. `cursor` is the last key processed, empty at the beginning. Returns the number of
/// objects that contained data to erase, and the next cursor.
pub(crate) async fn page(
    deps: &Deps,
    leavers: &ErasureScope,
    cursor: &str,
) -> Result<(u64, Option<String>), LeavingError> {
    let place = FOLDERS.iter().position(|folder| cursor.starts_with(&format!("{folder}/"))).unwrap_or(0);
    let (Some(folder), after) = (FOLDERS.get(place), Some(cursor).filter(|cursor| cursor.len() > "quarantine/".len()))
    else {
        return Ok((0, None));
    };
    let keys = deps.archive.list(folder, after, PAGE).await?;
    let mut found = 0;
    for key in &keys {
        let bytes = match deps.archive.get(key).await {
            Ok(bytes) => bytes,
            Err(ArchiveError::Gone) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some(left) = without(folder, leavers, &bytes)? else { continue };
        found += 1;
        if left.is_empty() {
            deps.archive.delete(key).await?;
        } else {
            deps.archive.put_at(key, Bytes::from(left)).await?;
        }
    }
    let next_folder = || FOLDERS.get(place + 1).map(|next| format!("{next}/"));
    Ok((found, keys.last().cloned().or_else(next_folder)))
}

/// Deletes an object, or all objects of a folder if the name ends with `/`.
pub(crate) async fn delete(deps: &Deps, object: &str) -> Result<(), LeavingError> {
    let Some(folder) = object.strip_suffix('/') else { return Ok(deps.archive.delete(object).await?) };
    loop {
        let keys = deps.archive.list(folder, None, PAGE).await?;
        if keys.is_empty() {
            return Ok(());
        }
        for key in &keys {
            deps.archive.delete(key).await?;
        }
    }
}

/// Returns the object without the data to erase, or `None` if it contains none.
fn without(folder: &str, leavers: &ErasureScope, bytes: &Bytes) -> Result<Option<Vec<u8>>, LeavingError> {
    match folder {
        "raw" => {
            let (mut lines, mut changed) = (Vec::new(), false);
            for line in bytes.split(|byte| *byte == b'\n') {
                match line_without(leavers, line) {
                    Left::All => lines.push(line.to_vec()),
                    Left::Rest(left) => {
                        changed = true;
                        lines.push(left);
                    }
                    Left::Nothing => changed = true,
                }
            }
            Ok(changed.then(|| lines.join(&b'\n')))
        }
        // One gzipped body. A body that cannot be unpacked counts as free of data to erase.
        "large" => {
            let Ok(body) = Payload::gunzip(bytes) else { return Ok(None) };
            Ok(match left_of(leavers, &body) {
                Left::All => None,
                Left::Nothing => Some(Vec::new()),
                Left::Rest(rest) => {
                    Some(Payload::gzip(&rest).map_err(|error| ArchiveError::Unavailable(error.to_string()))?)
                }
            })
        }
        // A quarantined item is a webhook with a single event. An unreadable one is deleted if it contains an id to
        // erase.
        _ => Ok(match left_of(leavers, bytes) {
            Left::All if webhook::parses(bytes) => None,
            Left::All => leavers.are_in(bytes).then(Vec::new),
            Left::Nothing | Left::Rest(_) => Some(Vec::new()),
        }),
    }
}

/// Removes data from one archive line, which is a job.
fn line_without(leavers: &ErasureScope, line: &[u8]) -> Left {
    let Ok(text) = std::str::from_utf8(line) else { return Left::All };
    let Ok(InboundWork::Webhook(job)) = InboundWork::decode(text) else {
        return if leavers.are_in(line) { Left::Nothing } else { Left::All };
    };
    let Ok(Some(body)) = job.payload.body() else { return Left::All };
    match left_of(leavers, &body) {
        Left::Rest(rest) => {
            // The rest is smaller than the original, so it fits.
            let Ok(Packed::Fits(payload)) = Payload::pack(&rest) else { return Left::Nothing };
            let job = InboundJob { payload, ..job.clone() }.encode();
            job.map_or(Left::Nothing, |job| Left::Rest(job.into_bytes()))
        }
        unchanged @ (Left::All | Left::Nothing) => unchanged,
    }
}

fn left_of(leavers: &ErasureScope, body: &[u8]) -> Left {
    if !leavers.are_in(body) {
        return Left::All;
    }
    webhook::without(body, &|account| leavers.has_account(account), &|number| leavers.has_number(number))
}
