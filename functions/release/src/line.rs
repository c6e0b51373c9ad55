//! Messages that wait in a number's bulk lane.

use shared::clock::Timestamp;
use shared::domain::number::Number;
use shared::queue::{OutboundWork, SendJob};

use crate::{Deps, NotReleased};

/// Takes up to `most` messages out of the lane, the longest waiting first. Each is on the due list before it is queued:
/// what is lost here is found by the sweep.
pub(crate) async fn take(
    deps: &Deps,
    number: &Number,
    most: usize,
    now: Timestamp,
) -> Result<Vec<OutboundWork>, NotReleased> {
    let mut work = Vec::new();
    for due in deps.table.line(&number.id, u16::try_from(most).unwrap_or(u16::MAX)).await? {
        // The index may still show what has left.
        if deps.table.leave_line(&number.id, &due, now).await? {
            work.push(OutboundWork::Send(SendJob { conversation: due.conversation, message: due.message }));
        }
    }
    Ok(work)
}
