//! Waiting times between attempts.

use shared::clock::{SignedDuration, Timestamp};

/// Longest wait between two attempts, in seconds, so that the end of throttling is noticed within about a minute.
const LONGEST: u64 = 64;
/// Consecutive attempts without reaching Meta before the message fails (`docs/reliability.md#section-2-3-4`).
const UNREACHED_TRIES: u32 = 5;

/// Returns the time of the next attempt: after 1, 4, 16, then 64 seconds, plus up to 50 % jitter, so that many messages
/// do not return at once. `chance` is a random number from 0 to 255.
pub(crate) fn next_try(now: Timestamp, attempt: u32, chance: u8) -> Timestamp {
    let wait = 4_u64.saturating_pow(attempt.saturating_sub(1)).min(LONGEST) * 1_000;
    let wait = wait + wait / 2 * u64::from(chance) / 255;
    let wait = SignedDuration::from_millis(i64::try_from(wait).unwrap_or(i64::MAX));
    shared::clock::after(now, wait)
}

/// Whether a message fails after `unreached` consecutive attempts without reaching Meta.
pub(crate) fn gives_up(unreached: u32) -> bool {
    unreached >= UNREACHED_TRIES
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::clock::at_millis;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let waits: Vec<i64> = (1..=6).map(|n| next_try(at_millis(0), n, 0).as_millisecond()).collect();
        assert_eq!(waits, [1_000, 4_000, 16_000, 64_000, 64_000, 64_000]);
        assert_eq!(next_try(at_millis(0), 1, 255).as_millisecond(), 1_500);
    }
}
