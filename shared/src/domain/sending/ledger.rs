//! The ledger checks that no accepted message is lost.
//!
//! Each must be sent, refused, expired, cancelled or have outcome unknown, or some mechanism must still process it. A
//! message of which none of this is true is stranded and raises an alarm.

use jiff::{SignedDuration, Timestamp};

use crate::domain::sending::outbound::{AfterDoubt, Intent, NextStep, SendFacts};

/// Time after which an unprocessed message counts as stranded.
///
/// It exceeds every wait that leaves no trace in the item: the check of a paused number (15 minutes) and the visibility
/// timeout of the outbound queue.
pub const STRANDED_AFTER: SignedDuration = SignedDuration::from_mins(45);

/// Returns whether the message's own item gives no reason why the message is unsettled.
///
/// `is_listed`: it is on the due list or in a bulk lane. The caller must check pauses of the number and messages before
/// it.
#[must_use]
pub fn looks_stranded(intent: &Intent, facts: &SendFacts, is_listed: bool, now: Timestamp) -> bool {
    if is_listed {
        return false;
    }
    let since = match facts.next_step(now, intent.not_before, intent.send_before) {
        NextStep::Claim => intent.not_before.max(intent.accepted_at()),
        NextStep::Expire => intent.send_before,
        NextStep::Doubt(claim) => claim.map_or(intent.accepted_at(), |claim| claim.lease_until),
        NextStep::WaitUntil(_) => return false,
        // The due list holds a message with outcome unknown until it is settled.
        NextStep::Done => match facts.after_doubt(intent, true, now) {
            AfterDoubt::Settled => return false,
            _ => facts.claim.map_or(intent.accepted_at(), |claim| claim.claimed_at()),
        },
    };
    now.duration_since(since) > STRANDED_AFTER
}
