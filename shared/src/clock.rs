//! Time as an argument: the system's in Lambda, one that a test turns by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub use jiff::{SignedDuration, Timestamp};

/// Where "now" comes from.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>, Arc<tokio::sync::Notify>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `start` until [`Clock::advance`] is called. Clones share the time.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_millisecond())), Arc::default()))
    }

    /// The present, in whole milliseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => at_millis(Timestamp::now().as_millisecond()),
            Source::Manual(millis, _) => at_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system clock does not listen.
    pub fn advance(&self, by: SignedDuration) {
        if let Source::Manual(millis, moved) = &self.0 {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
            moved.notify_waiters();
        }
    }

    /// Waits until `at`: on the machine's clock by sleeping, on a manual one until somebody has moved it there.
    pub async fn reach(&self, at: Timestamp) {
        match &self.0 {
            Source::System => {
                let wait = at.duration_since(self.now());
                tokio::time::sleep(Duration::try_from(wait).unwrap_or(Duration::ZERO)).await;
            }
            Source::Manual(_, moved) => loop {
                let notified = moved.notified();
                if self.now() >= at {
                    return;
                }
                notified.await;
            },
        }
    }
}

/// A timestamp from Unix milliseconds; values outside year -9999..9999 are clamped to the ends.
#[must_use]
pub fn at_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
