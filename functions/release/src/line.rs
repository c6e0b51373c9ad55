//! Messages waiting in a number's bulk lane.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use shared::clock::Timestamp;
use shared::domain::accounts::number::Number;
use shared::limits::BATCH_CONCURRENCY;
use shared::queue::{OutboundWork, SendJob};

use crate::{Deps, NotReleased};

/// Takes up to `most` messages out of the lane, longest waiting first. Each is put on the due list before it is
/// enqueued, so that the sweep finds messages lost in between.
pub(crate) async fn take(
    deps: &Deps,
    number: &Number,
    most: usize,
    now: Timestamp,
) -> Result<Vec<OutboundWork>, NotReleased> {
    let waiting = deps.table.bulk_lane_list(&number.id, u16::try_from(most).unwrap_or(u16::MAX)).await?;
    // Concurrent but in order: one by one, the chunk of a fast number would take longer than its slots.
    let leaving: Vec<_> = waiting
        .into_iter()
        .map(|due| async move {
            // The index may still show messages that have left the lane.
            let left = deps.table.bulk_lane_leave(&number.id, &due, now).await?;
            let job = SendJob { conversation: due.conversation, message: due.message };
            Ok::<_, NotReleased>(left.then_some(OutboundWork::Send(job)))
        })
        .collect();
    let left: Vec<Option<OutboundWork>> = stream::iter(leaving).buffered(BATCH_CONCURRENCY).try_collect().await?;
    Ok(left.into_iter().flatten().collect())
}
