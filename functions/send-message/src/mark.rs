//! Marks a customer's message as read or shows a typing indicator. Nothing is recorded: repetition is harmless, and
//! after a failure the customer only misses two blue ticks.

use shared::clock::{SignedDuration, Timestamp};
use shared::provider::meta::graph::CallFailure;
use shared::provider::meta::message;
use shared::queue::MarkJob;
use shared::storage::StorageError;

use crate::{Deps, Next, prepare};

/// Duration of a typing indicator (`docs/meta/messages.md#section-7`). A later one would be misleading.
const TYPING_FOR: SignedDuration = SignedDuration::from_secs(25);
/// Period during which a read receipt is retried.
const READ_FOR: SignedDuration = SignedDuration::from_mins(5);
/// Interval between two attempts.
const TRY_AGAIN: SignedDuration = SignedDuration::from_secs(30);

pub(crate) async fn mark(deps: &Deps, job: &MarkJob) -> Result<Next, StorageError> {
    let now = deps.clock.now();
    let waited = now.duration_since(job.asked_at);
    let id = job.conversation.number();
    let Some(number) = deps.numbers.get(id, deps.table.number_get(id)).await? else { return Ok(Next::Finished) };
    let typing = job.typing && waited < TYPING_FOR;
    let (Ok(token), Ok(body)) = (prepare::token(deps, &number).await, message::mark_read(&job.message, typing)) else {
        return Ok(again(now, waited));
    };
    Ok(match deps.graph.mark(&token, &number.id, body).await {
        Ok(()) => {
            deps.metrics.count("marked_read", if typing { "typing" } else { "read" }, 1);
            Next::Finished
        }
        Err(CallFailure::TryLater(_)) => again(now, waited),
        Err(CallFailure::Refused(error)) => {
            deps.metrics.count("mark_refused", &error.code.to_string(), 1);
            Next::Finished
        }
    })
}

fn again(now: Timestamp, waited: SignedDuration) -> Next {
    if waited > READ_FOR { Next::Finished } else { Next::NotBefore(shared::clock::after(now, TRY_AGAIN)) }
}
