//! Sending rate: Meta's limits, and our schedule below them (`docs/reliability.md#section-3-2`,
//! `docs/meta/errors.md#section-5`).
//!
//! A number's schedule is a single moment, the *theoretical arrival time* of GCRA. Each message moves it by one
//! interval. Bulk messages leave exactly on schedule; live ones may leave [`LIVE_BURST`] ahead of it. In any second at
//! most [`SHARE`] × (1 s + [`LIVE_BURST`] + [`LATE`]) of Meta's limit leaves, which is less than the limit.

use jiff::{SignedDuration, Timestamp};

/// Limit of an ordinary number, in messages per second, inbound and outbound together.
pub const NUMBER_RATE: u32 = 80;
/// Limit of an upgraded number, in messages per second.
pub const HIGH_RATE: u32 = 1_000;
/// Limit of a number that is also used in the WhatsApp Business app, in messages per second.
pub const COEXISTENCE_RATE: u32 = 20;
/// Part of the limit that our schedule uses, in per cent. The rest is for inbound messages and for a burst.
pub const SHARE: u32 = 84;
/// Time by which a live message may leave ahead of the schedule.
pub const LIVE_BURST: SignedDuration = SignedDuration::from_millis(150);
/// Lag up to which the schedule continues instead of restarting at the present. A releaser wakes a little late each
/// time; restarting would lose that time for good.
pub const LATE: SignedDuration = SignedDuration::from_millis(30);
/// Longest wait for a live template. If the schedule is further ahead of the present, the message joins the bulk lane.
pub const LIVE_WAIT_MAX: SignedDuration = SignedDuration::from_millis(500);
/// Longest wait for a live free-form message, which answers a waiting customer.
pub const ANSWER_WAIT_MAX: SignedDuration = SignedDuration::from_secs(2);
/// Time covered by one reservation of the bulk lane. Short, so that live messages find the schedule near the present.
pub const CHUNK: SignedDuration = SignedDuration::from_millis(100);

/// Interval between messages to one customer: one each six seconds (Meta's pair limit).
pub const PAIR_INTERVAL: SignedDuration = SignedDuration::from_secs(6);
/// Messages to one customer that may leave at once. Meta allows 45, charged against the following intervals.
pub const PAIR_BURST: i32 = 45;

/// Reduction of the rate, in per cent, after [`BACK_OFF_AFTER`] rate-limit refusals within [`BACK_OFF_WITHIN`].
pub const BACK_OFF: u32 = 20;
/// Number of rate-limit refusals within [`BACK_OFF_WITHIN`] that lowers the rate.
pub const BACK_OFF_AFTER: i64 = 3;
/// Period over which rate-limit refusals are counted.
pub const BACK_OFF_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// Period after a reduction in which refusals are not counted: they concern messages sent before it.
pub const BACK_OFF_SETTLES: SignedDuration = SignedDuration::from_secs(10);
/// Time that a lowered rate stays before it recovers.
pub const BACK_OFF_FOR: SignedDuration = SignedDuration::from_mins(10);
/// Recovery of a lowered rate, in per cent per minute.
pub const RECOVERY_A_MINUTE: u32 = 5;

/// Pace of a number: its schedule, and pauses of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Time when the next message of the schedule is due, in microseconds since the Unix epoch.
    pub due_micros: i64,
    /// Nothing is sent before this time.
    pub paused_until: Option<Timestamp>,
    /// The lowered rate in per cent, and the time of the reduction. See [`Pace::part`] for its recovery.
    pub lowered: Option<(u32, Timestamp)>,
    /// Set when a call got no answer or several outcomes in a row were unknown. Nothing new is claimed before this
    /// time, afterwards one call at a time until one is answered.
    pub suspect_until: Option<Timestamp>,
    /// Number of unknown outcomes in a row.
    pub doubts: u32,
    /// Whether a status arrived for a message that Meta had answered with "try again". Such answers are no longer
    /// trusted.
    pub distrusted: bool,
    /// Time since which the bulk lane has messages.
    pub opened_at: Option<Timestamp>,
}

/// Lane of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Sent at once while the number has capacity.
    Live,
    /// Sent on schedule, after live messages.
    Bulk,
}

impl Lane {
    /// Returns the lane with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "live" => Some(Self::Live),
            "bulk" => Some(Self::Bulk),
            _ => None,
        }
    }
}

/// Returns the interval of the schedule in microseconds, from Meta's `rate` in messages per second and the `part` of it
/// in force, in per cent.
#[must_use]
pub fn interval_micros(rate: u32, part: u32) -> i64 {
    let used = i64::from(rate.max(1)) * i64::from(SHARE) * i64::from(part.clamp(1, 100));
    (1_000_000 * 100 * 100 + used - 1) / used
}

/// Returns the number of messages in one reservation of the bulk lane at this interval.
#[must_use]
pub fn chunk(interval_micros: i64) -> i64 {
    (i64::try_from(CHUNK.as_micros()).unwrap_or(i64::MAX) / interval_micros.max(1)).max(1)
}

impl Pace {
    /// Returns the part of the rate in force now, in per cent.
    #[must_use]
    pub fn part(&self, now: Timestamp) -> u32 {
        let Some((part, since)) = self.lowered else { return 100 };
        let recovering = now.duration_since(since).checked_sub(BACK_OFF_FOR).unwrap_or(SignedDuration::ZERO);
        let minutes = u32::try_from(recovering.as_mins().max(0)).unwrap_or(u32::MAX);
        part.saturating_add(minutes.saturating_mul(RECOVERY_A_MINUTE)).min(100)
    }

    /// Returns the end of the current pause, if there is one.
    #[must_use]
    pub fn stopped_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.max(self.suspect_until).filter(|until| now < *until)
    }
}

/// Returns how long the pair waits after the `attempt`-th refusal: 4^n seconds from n = 0, as Meta advises, at most one
/// hour.
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
