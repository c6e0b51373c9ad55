//! Statuses of a sent message: the earliest time of each, and one word derived from these times.

use jiff::Timestamp;

/// A status that the provider reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// The message left the provider.
    Sent,
    /// The message reached the customer's phone.
    Delivered,
    /// The customer opened the chat.
    Read,
    /// The customer played the audio.
    Played,
    /// The provider gave up on the message.
    Failed,
}

impl Status {
    /// All statuses, in their usual order.
    pub const ALL: [Self; 5] = [Self::Sent, Self::Delivered, Self::Read, Self::Played, Self::Failed];

    /// Returns the provider's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
        }
    }

    /// Returns the status with this name; `None` for a word that Meta adds later.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// Earliest reported time of each status. Sets are merged by taking the earlier time of each status, so order does not
/// matter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusTimes([Option<Timestamp>; 5]);

impl StatusTimes {
    /// Adds a report.
    pub fn merge(&mut self, status: Status, at: Timestamp) {
        let slot = &mut self.0[status as usize];
        *slot = Some(slot.map_or(at, |known| known.min(at)));
    }

    /// Returns when `status` was first reported.
    #[must_use]
    pub fn at(&self, status: Status) -> Option<Timestamp> {
        self.0[status as usize]
    }

    /// Returns the furthest status, in the order played > read > delivered > failed > sent. A failure after delivery is
    /// ignored (`docs/meta/webhooks.md#section-8`); a failure after `sent` counts.
    #[must_use]
    pub fn furthest(&self) -> Option<Status> {
        [Status::Played, Status::Read, Status::Delivered, Status::Failed, Status::Sent]
            .into_iter()
            .find(|status| self.at(*status).is_some())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::at_millis;

    #[test]
    fn every_set_of_steps_has_one_word() {
        use Status::{Delivered, Failed, Played, Read, Sent};
        let cases: [(&[Status], Status); 8] = [
            (&[Sent], Sent),
            (&[Delivered], Delivered),
            (&[Read], Read),
            (&[Failed], Failed),
            (&[Sent, Failed], Failed),
            (&[Delivered, Failed], Delivered),
            (&[Sent, Delivered, Read], Read),
            (&[Read, Played, Failed], Played),
        ];
        for (steps, word) in cases {
            let mut times = StatusTimes::default();
            for step in steps {
                times.merge(*step, at_millis(1));
            }
            assert_eq!(times.furthest(), Some(word), "{steps:?}");
        }
        assert_eq!(StatusTimes::default().furthest(), None);
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(
            reports in prop::collection::vec((0_usize..5, 0_i64..6), 0..12),
            seed in any::<prop::sample::Index>(),
        ) {
            let fold = |reports: &[(usize, i64)]| {
                let mut times = StatusTimes::default();
                for (status, at) in reports {
                    times.merge(Status::ALL[*status], at_millis(*at));
                }
                times
            };
            let once = fold(&reports);
            let mut doubled = reports.clone();
            doubled.extend(reports.iter().rev());
            if !doubled.is_empty() {
                let by = seed.index(doubled.len());
                doubled.rotate_left(by);
            }
            prop_assert_eq!(once, fold(&doubled));
        }
    }
}
