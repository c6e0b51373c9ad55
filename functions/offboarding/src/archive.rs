//! The bucket: raw webhooks of several tenants lie in one object, and in one body. What leaves is taken out, the rest stays as it is.

use bytes::Bytes;
use shared::provider::meta::webhook::{self, Left};
use shared::queue::{InboundJob, InboundWork, Packed, Payload};
use shared::storage::{ArchiveError, Leavers};

use crate::{Deps, LeavingError};

/// Folders of raw webhooks, in the order they are walked.
const FOLDERS: [&str; 3] = ["raw", "large", "kept"];
/// Objects looked at in one page.
const PAGE: i32 = 100;

/// One page of the bucket. `cursor` is the last key seen, empty at the beginning. Answers how many objects named what leaves, and where it goes on.
pub(crate) async fn page(deps: &Deps, leavers: &Leavers, cursor: &str) -> Result<(u64, Option<String>), LeavingError> {
    let place = FOLDERS.iter().position(|folder| cursor.starts_with(&format!("{folder}/"))).unwrap_or(0);
    let (Some(folder), after) = (FOLDERS.get(place), Some(cursor).filter(|cursor| cursor.len() > "kept/".len())) else {
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

/// Deletes an object, or all of a folder whose name ends in `/`.
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

/// The object without what leaves; `None`: nothing of it leaves.
fn without(folder: &str, leavers: &Leavers, bytes: &Bytes) -> Result<Option<Vec<u8>>, LeavingError> {
    match folder {
        "raw" => {
            let (mut lines, mut changed) = (Vec::new(), false);
            for line in bytes.split(|byte| *byte == b'\n') {
                match line_without(leavers, line) {
                    Some(left) => {
                        changed = true;
                        lines.extend(left);
                    }
                    None => lines.push(line.to_vec()),
                }
            }
            Ok(changed.then(|| lines.join(&b'\n')))
        }
        // One body in gzip. What cannot be unpacked names nobody.
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
        // A kept item is a webhook that says only that; what could not be read is theirs if it names them.
        _ => Ok(match left_of(leavers, bytes) {
            Left::All if webhook::parses(bytes) => None,
            Left::All => leavers.are_in(bytes).then(Vec::new),
            Left::Nothing | Left::Rest(_) => Some(Vec::new()),
        }),
    }
}

/// A line of the archive is a job. `None`: it stays as it is; `Some(None)`: nothing of it stays.
fn line_without(leavers: &Leavers, line: &[u8]) -> Option<Option<Vec<u8>>> {
    let text = std::str::from_utf8(line).ok()?;
    let Ok(InboundWork::Webhook(job)) = InboundWork::decode(text) else {
        return leavers.are_in(line).then_some(None);
    };
    let body = job.payload.body().ok().flatten()?;
    match left_of(leavers, &body) {
        Left::All => None,
        Left::Nothing => Some(None),
        Left::Rest(rest) => {
            // It is smaller than what it was taken from.
            let Ok(Packed::Fits(payload)) = Payload::pack(&rest) else { return Some(None) };
            let job = InboundJob { payload, ..job.clone() }.encode().ok();
            Some(job.map(String::into_bytes))
        }
    }
}

fn left_of(leavers: &Leavers, body: &[u8]) -> Left {
    if !leavers.are_in(body) {
        return Left::All;
    }
    webhook::without(body, &|account| leavers.has_account(account), &|number| leavers.has_number(number))
}
