//! What became of a message we sent: a set of earliest times, and one word derived from it.

use jiff::Timestamp;

/// A step the provider reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// It left the provider.
    Sent,
    /// It reached the customer's phone.
    Delivered,
    /// The customer opened the chat.
    Read,
    /// The customer listened to it.
    Played,
    /// The provider gave up.
    Failed,
}

impl Status {
    /// All steps, in the order a message takes them.
    pub const ALL: [Self; 5] = [Self::Sent, Self::Delivered, Self::Read, Self::Played, Self::Failed];

    /// The provider's word.
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

    /// The step of that name; a word Meta invents later is none.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// The earliest time each step was reported. Merging two sets is taking the earlier of each, in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusTimes([Option<Timestamp>; 5]);

impl StatusTimes {
    /// Adds a report.
    pub fn merge(&mut self, status: Status, at: Timestamp) {
        let slot = &mut self.0[status as usize];
        *slot = Some(slot.map_or(at, |known| known.min(at)));
    }

    /// When `status` was first reported.
    #[must_use]
    pub fn at(&self, status: Status) -> Option<Timestamp> {
        self.0[status as usize]
    }

    /// The furthest step: played > read > delivered > failed > sent. A failure after delivery is not believed
    /// (`facts/webhooks.md` §8), a failure after `sent` is.
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
