//! Running broadcasts of a number; each releases a chunk in turn.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::number::Number;
use shared::domain::ids::BroadcastId;
use shared::domain::sending::broadcast::{Broadcast, BroadcastRecipient, BroadcastState, RECIPIENTS_A_CHUNK};
use shared::queue::{OutboundWork, RecipientJob};
use shared::storage::ArchiveError;

use crate::{Deps, NotReleased, enqueue};

/// Longest delay before a releaser notices a paused or cancelled broadcast.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(1);

/// A releaser's state of its number's broadcasts.
#[derive(Default)]
pub(crate) struct Broadcasts {
    running: Vec<Broadcast>,
    looked_at: Option<Timestamp>,
    turn: usize,
    /// Recipients read last, with their broadcast and object.
    page: Option<(BroadcastId, usize, Vec<BroadcastRecipient>)>,
}

/// Releases a chunk of the next broadcast. Returns `false` if none is running.
pub(crate) async fn chunk(
    deps: &Deps,
    number: &Number,
    state: &mut Broadcasts,
    most: usize,
    interval: i64,
    now: Timestamp,
) -> Result<bool, NotReleased> {
    if state.looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY) {
        state.running = deps.table.broadcast_list_running(&number.id).await?;
        state.looked_at = Some(now);
    }
    if state.running.is_empty() {
        return Ok(false);
    }
    state.turn = (state.turn + 1) % state.running.len();
    let broadcast = state.running[state.turn].clone();
    let page = broadcast.released / RECIPIENTS_A_CHUNK;
    if state.page.as_ref().is_none_or(|(id, known, _)| (*id, *known) != (broadcast.id, page)) {
        state.page = match deps.files.recipients(broadcast.id, page).await {
            Ok(recipients) => Some((broadcast.id, page, recipients)),
            Err(ArchiveError::Gone) => {
                // The broadcast was paused for longer than recipients are stored. It must not block the others.
                tracing::error!(event = "release.recipients_gone", broadcast_id = %broadcast.id);
                deps.metrics.count("broadcast_ended", "recipients_gone", 1);
                deps.table.broadcast_set_state(&broadcast, BroadcastState::Cancelled).await?;
                state.running.remove(state.turn);
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
    }
    let recipients = state.page.as_ref().map(|(.., recipients)| recipients.as_slice()).unwrap_or_default();
    let from = broadcast.released % RECIPIENTS_A_CHUNK;
    let work: Vec<OutboundWork> = recipients
        .iter()
        .enumerate()
        .skip(from)
        .take(most)
        .map(|(place, recipient)| {
            OutboundWork::Recipient(RecipientJob {
                broadcast: broadcast.id,
                number: number.id.clone(),
                place: page * RECIPIENTS_A_CHUNK + place,
                recipient: recipient.clone(),
            })
        })
        .collect();
    let released = if work.is_empty() { broadcast.recipients.count } else { broadcast.released + work.len() };
    if !work.is_empty() {
        enqueue(deps, number, &work, interval, now).await?;
    }
    // Written after enqueuing. After a crash in between, recipients are enqueued twice but receive one message.
    deps.table.broadcast_advance(&broadcast, released).await?;
    state.running[state.turn].released = released;
    if released >= broadcast.recipients.count {
        state.running.remove(state.turn);
        state.looked_at = None;
    }
    Ok(true)
}
