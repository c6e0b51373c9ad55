//! One recipient of a broadcast: its message is created and claimed in one write.

use shared::clock::Timestamp;
use shared::domain::event::ProviderError;
use shared::domain::ids::{ConversationId, OutboundId};
use shared::domain::outgoing::Outgoing;
use shared::domain::sending::broadcast::Broadcast;
use shared::domain::sending::outbound::{Intent, Recipient, SendFacts, SendState};
use shared::queue::RecipientJob;
use shared::storage::{Claimed, Naming, StorageError, Vouched};

use crate::attempt::{self, Store, reason_of};
use crate::not_ready::Stop;
use crate::readiness::Readiness;
use crate::{Deps, Next, readiness};

/// Sends the message of one recipient. On the `first` receive, the message is assumed to be new. If it exists already,
/// the claim fails and the job is redelivered.
pub(crate) async fn send(
    deps: &Deps,
    job: &RecipientJob,
    first: bool,
    deadline: Timestamp,
) -> Result<Next, StorageError> {
    let now = deps.clock.now();
    let fetch = deps.table.broadcast_get(job.broadcast);
    let Some(broadcast) = deps.broadcasts.get(&job.broadcast, fetch).await? else { return Ok(Next::Finished) };
    let intent = intent(deps, &broadcast, job, now).await?;
    if !first && let Some((intent, facts)) = deps.table.intent_get(&intent.conversation, intent.id).await? {
        return attempt::step(deps, &intent, &facts, deadline).await;
    }
    let stored = if now >= broadcast.send_before {
        let why = ProviderError::ours("expired", "`send_before` passed before its turn");
        refuse(deps, &intent, &why, SendState::Expired, "expired", "broadcast").await?
    } else {
        match readiness::check(deps, &intent).await? {
            Readiness::Ready(ready) => {
                let facts = SendFacts::of_new();
                return attempt::send(deps, &intent, &facts, &ready, Store::New, deadline).await;
            }
            Readiness::Stop(Stop::Refused(why)) => {
                let reason = reason_of(&why);
                refuse(deps, &intent, &why, SendState::Failed, "send_refused_by_us", &reason).await?
            }
            Readiness::Stop(Stop::Cancelled) => {
                let why = ProviderError::ours("cancelled", "the broadcast was cancelled before this message was sent");
                deps.table.message_put_refused(&intent, &why, SendState::Cancelled).await?
            }
            Readiness::Hold(hold) => {
                // Moves to the due list, because in the queue it would be received too often.
                let waiting = Intent { not_before: hold.until.min(intent.send_before), ..intent };
                deps.table.message_put_waiting(&waiting).await?
            }
        }
    };
    Ok(match stored {
        Claimed::Won => Next::Finished,
        // The message exists already, perhaps claimed by a crashed worker. It is read when the job is redelivered.
        Claimed::Lost => Next::NotBefore(now),
    })
}

/// Stores a message that will not be sent, and counts the reason.
async fn refuse(
    deps: &Deps,
    intent: &Intent,
    why: &ProviderError,
    state: SendState,
    metric: &'static str,
    reason: &str,
) -> Result<Claimed, StorageError> {
    let stored = deps.table.message_put_refused(intent, why, state).await?;
    if stored == Claimed::Won {
        deps.metrics.count(metric, reason, 1);
    }
    Ok(stored)
}

async fn intent(
    deps: &Deps,
    broadcast: &Broadcast,
    job: &RecipientJob,
    now: Timestamp,
) -> Result<Intent, StorageError> {
    let to = Recipient::Phone(job.recipient.to.clone());
    // Resolved as of acceptance: a contact erased since then receives nothing, and no message is sent twice.
    let card = to.card();
    let naming = Naming { card: &card, linked: &[], vouched: Vouched::Typed, said_at: broadcast.created_at };
    let known = deps.table.contact_resolve(broadcast.tenant, naming, now).await?;
    let number = deps.numbers.get(&broadcast.number, deps.table.number_get(&broadcast.number)).await?;
    Ok(Intent {
        id: OutboundId::of_recipient(broadcast.id, job.place),
        conversation: ConversationId::new(broadcast.number.clone(), known.contact),
        tenant: broadcast.tenant,
        to,
        body: Outgoing::Template(broadcast.template_for(&job.recipient)),
        quotes: None,
        send_before: broadcast.send_before,
        not_before: now,
        on_unknown: broadcast.on_unknown,
        category: broadcast.category,
        broadcast: Some(broadcast.id),
        keep_until: number.and_then(|number| number.keeps_until(now)),
    })
}
