//! Time as a dependency: the system clock in Lambda, a manual clock in tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub use jiff::civil::Date;
pub use jiff::{SignedDuration, Span, Timestamp};

/// A source of the current time.
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

/// A task that waits for the manual clock. It is counted until it stops waiting or is dropped.
struct Waiting<'a>(&'a Manual);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Clock {
    /// Returns the system clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a manual clock that stays at `start` until [`Clock::advance`] is called. Clones share the time.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        let millis = AtomicI64::new(start.as_millisecond());
        Self(Source::Manual(Arc::new(Manual { millis, ..Manual::default() })))
    }

    /// Returns the current time, in whole milliseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => at_millis(Timestamp::now().as_millisecond()),
            Source::Manual(manual) => at_millis(manual.millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; does nothing to the system clock.
    pub fn advance(&self, by: SignedDuration) {
        if let Source::Manual(manual) = &self.0 {
            manual.millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
            manual.moved.notify_waiters();
        }
    }

    /// Returns how many tasks wait for a manual clock. A test advances the clock once all its tasks wait.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        match &self.0 {
            Source::System => 0,
            Source::Manual(manual) => manual.waiting.load(Ordering::SeqCst),
        }
    }

    /// Waits until `at`: the system clock by sleeping, a manual clock until it was advanced that far.
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

/// Returns a timestamp from Unix milliseconds; values outside the years -9999 to 9999 are clamped.
#[must_use]
pub fn at_millis(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(if millis < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns the moment `wait` after `at`; the last possible moment if there is none.
#[must_use]
pub fn after(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}
