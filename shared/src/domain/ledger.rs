//! The ledger: every message that was accepted is sent, refused, expired, cancelled, in doubt, or something will still move it. One of
//! which none of that is true is lost, and somebody must know.

use jiff::{SignedDuration, Timestamp};

use super::outbound::{AfterDoubt, Intent, NextStep, SendFacts};

/// How long nothing may happen to a message that could be sent: longer than any wait that leaves no trace in its item, the longest being a
/// look at a paused number (15 minutes) and the outbound queue's visibility timeout.
pub const STRANDED_AFTER: SignedDuration = SignedDuration::from_mins(45);

/// Whether nothing in its own item says why a message is not settled. `is_listed`: it stands on a list that somebody looks at. What it
/// waits behind, others must tell.
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
        // What is in doubt is looked at from the list until it is settled.
        NextStep::Done => match facts.after_doubt(intent, true, now) {
            AfterDoubt::Settled => return false,
            _ => facts.claim.map_or(intent.accepted_at(), |claim| claim.claimed_at()),
        },
    };
    now.duration_since(since) > STRANDED_AFTER
}
