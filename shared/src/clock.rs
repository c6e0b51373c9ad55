//! Time as an argument: the system's in Lambda, one that a test turns by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub use jiff::civil::Date;
pub use jiff::{SignedDuration, Span, Timestamp};

/// Where "now" comes from.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Manual(Arc<Manual>),
}

#[derive(Debug, Default)]
struct Manual {
    millis: AtomicI64,
    moved: tokio::sync::Notify,
    waiting: AtomicI64,
}

/// One who waits for a manual clock; counted until it has waited, or was given up.
struct Waiting<'a>(&'a Manual);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
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
        let millis = AtomicI64::new(start.as_millisecond());
        Self(Source::Manual(Arc::new(Manual { millis, ..Manual::default() })))
    }

    /// The present, in whole milliseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => at_millis(Timestamp::now().as_millisecond()),
            Source::Manual(manual) => at_millis(manual.millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system clock does not listen.
    pub fn advance(&self, by: SignedDuration) {
        if let Source::Manual(manual) = &self.0 {
            manual.millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// How many wait for a manual clock to be moved: whoever turns it knows by that when everybody else is idle.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        match &self.0 {
            Source::System => 0,
            Source::Manual(manual) => manual.waiting.load(Ordering::SeqCst),
        }
    }

    /// Waits until `at`: on the machine's clock by sleeping, on a manual one until somebody has moved it there.
    pub async fn reach(&self, at: Timestamp) {
        match &self.0 {
            Source::System => {
                let wait = at.duration_since(self.now());
                tokio::time::sleep(Duration::try_from(wait).unwrap_or(Duration::ZERO)).await;
            }
            Source::Manual(manual) => {
                manual.waiting.fetch_add(1, Ordering::SeqCst);
                let _counted = Waiting(manual);
                loop {
                    let moved = manual.moved.notified();
                    if self.now() >= at {
                        return;
                    }
                    moved.await;
                }
            }
        }
    }
}

/// A timestamp from Unix milliseconds; values outside year -9999..9999 are clamped to the ends.
#[must_use]
pub fn at_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
