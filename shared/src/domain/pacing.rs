//! How fast messages may leave: Meta's limits and our schedule below them (`reliability.md` §3.2,
//! `facts/errors-and-limits.md` §5).
//!
//! A number's schedule is one moment, the *theoretical arrival time* of GCRA: each message moves it by one interval.
//! Bulk messages leave exactly on schedule; live ones may leave [`LIVE_BURST`] ahead of it. In any second leave at most
//! [`SHARE`] × (1 s + [`LIVE_BURST`] + [`LATE`]) of what Meta allows, which is less than Meta allows.

use jiff::{SignedDuration, Timestamp};

/// Messages a second of an ordinary number, in and out together.
pub const NUMBER_RATE: u32 = 80;
/// Messages a second of an upgraded number.
pub const HIGH_RATE: u32 = 1_000;
/// Messages a second of a number that is also used in the WhatsApp Business app.
pub const COEXISTENCE_RATE: u32 = 20;
/// The part of the limit that our schedule uses, in per cent: the rest is for what customers write, and for a burst.
pub const SHARE: u32 = 84;
/// How far ahead of the schedule a live message may leave.
pub const LIVE_BURST: SignedDuration = SignedDuration::from_millis(150);
/// How late a message may take its slot without the schedule moving: a releaser wakes a little late each time, and would
/// lose that for good.
pub const LATE: SignedDuration = SignedDuration::from_millis(30);
/// How far behind the present the schedule may be before a live message that is no answer joins the bulk lane.
pub const LIVE_WAIT_MAX: SignedDuration = SignedDuration::from_millis(500);
/// The same for an answer inside the customer service window: a person waits for it.
pub const ANSWER_WAIT_MAX: SignedDuration = SignedDuration::from_secs(2);
/// What one reservation of the bulk lane covers: short, so that live messages find the schedule near the present.
pub const CHUNK: SignedDuration = SignedDuration::from_millis(100);

/// One message to one customer each six seconds (Meta's pair limit).
pub const PAIR_INTERVAL: SignedDuration = SignedDuration::from_secs(6);
/// Messages to one customer that may leave at once: Meta allows 45, borrowed from the future.
pub const PAIR_BURST: i32 = 45;

/// Lowered by this part, in per cent, after three refusals for speed within a minute.
pub const BACK_OFF: u32 = 20;
/// Refusals for speed within [`BACK_OFF_WITHIN`] that lower the rate.
pub const BACK_OFF_AFTER: i64 = 3;
/// See [`BACK_OFF_AFTER`].
pub const BACK_OFF_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// Refusals this soon after the rate was lowered are of what was under way before: they say nothing of the new rate.
pub const BACK_OFF_SETTLES: SignedDuration = SignedDuration::from_secs(10);
/// How long a lowered rate stays before it recovers, 5 % each minute.
pub const BACK_OFF_FOR: SignedDuration = SignedDuration::from_mins(10);
/// How much a lowered rate recovers each minute, in per cent.
pub const RECOVERY_A_MINUTE: u32 = 5;

/// A number's pace: its schedule and what stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// When the next message of the schedule is due, in microseconds since the Unix epoch.
    pub due_micros: i64,
    /// Nothing leaves before.
    pub paused_until: Option<Timestamp>,
    /// The part of the rate in force, in per cent, and since when: lowered by refusals, it recovers.
    pub lowered: Option<(u32, Timestamp)>,
    /// A call went without an answer: nothing new is claimed until this moment, then one call at a time.
    pub suspect_until: Option<Timestamp>,
    /// Doubtful outcomes in a row.
    pub doubts: u32,
    /// An answer that said "try again" was followed by a status: such answers are no longer believed.
    pub distrusted: bool,
    /// The bulk lane has something, since then.
    pub opened_at: Option<Timestamp>,
}

/// Which lane a message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// At once, as long as the number is not busy.
    Live,
    /// On schedule, behind what is live.
    Bulk,
}

impl Lane {
    /// The lane of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "live" => Some(Self::Live),
            "bulk" => Some(Self::Bulk),
            _ => None,
        }
    }
}

/// Microseconds between two messages of the schedule, at `rate` messages a second of Meta's and `part` per cent of it.
#[must_use]
pub fn interval_micros(rate: u32, part: u32) -> i64 {
    let used = i64::from(rate.max(1)) * i64::from(SHARE) * i64::from(part.clamp(1, 100));
    (1_000_000 * 100 * 100 + used - 1) / used
}

/// Messages of one bulk reservation at this interval.
#[must_use]
pub fn chunk(interval_micros: i64) -> i64 {
    (i64::try_from(CHUNK.as_micros()).unwrap_or(i64::MAX) / interval_micros.max(1)).max(1)
}

impl Pace {
    /// The part of the rate in force now, in per cent.
    #[must_use]
    pub fn part(&self, now: Timestamp) -> u32 {
        let Some((part, since)) = self.lowered else { return 100 };
        let recovering = now.duration_since(since).checked_sub(BACK_OFF_FOR).unwrap_or(SignedDuration::ZERO);
        let minutes = u32::try_from(recovering.as_mins().max(0)).unwrap_or(u32::MAX);
        part.saturating_add(minutes.saturating_mul(RECOVERY_A_MINUTE)).min(100)
    }

    /// Until when nothing leaves, if that is in the future.
    #[must_use]
    pub fn stopped_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.max(self.suspect_until).filter(|until| now < *until)
    }
}

/// How long the pair waits after the `attempt`-th refusal: 4^n seconds from n = 0, as Meta advises, at most an hour.
#[must_use]
pub fn pair_wait(attempt: u32) -> SignedDuration {
    const LONGEST: i64 = 3_600;
    SignedDuration::from_secs(4_i64.saturating_pow(attempt.saturating_sub(1)).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::at_millis;

    #[test]
    fn the_schedule_and_its_burst_stay_below_metas_limit() {
        for rate in [NUMBER_RATE, HIGH_RATE, COEXISTENCE_RATE] {
            let interval = interval_micros(rate, 100);
            let window = 1_000_000 + i64::try_from((LIVE_BURST + LATE).as_micros()).unwrap();
            assert!(window / interval < i64::from(rate), "{rate}");
            assert!(10_000 * interval <= 10_000 * 1_000_000 / i64::from(rate) * 125 / 100, "within 25 % of ideal");
        }
        assert_eq!(chunk(interval_micros(HIGH_RATE, 100)), 83);
        assert_eq!(chunk(interval_micros(COEXISTENCE_RATE, 100)), 1);
    }

    #[test]
    fn a_lowered_rate_recovers_after_ten_minutes_by_five_per_cent_a_minute() {
        let pace = Pace { lowered: Some((80, at_millis(0))), ..Pace::default() };
        let part = |minutes: i64| pace.part(at_millis(minutes * 60_000));
        assert_eq!([0, 10, 11, 13, 14, 60].map(part), [80, 80, 85, 95, 100, 100]);
        assert_eq!(Pace::default().part(at_millis(0)), 100);
    }

    #[test]
    fn the_pair_waits_as_meta_says() {
        assert_eq!([1, 2, 3, 4, 60].map(|attempt| pair_wait(attempt).as_secs()), [1, 4, 16, 64, 3_600]);
    }
}
