//! Faults on order: the k-th call to AWS or to the simulated Meta is refused, loses its reply, or takes the whole
//! function down with it, before or after it took effect. The very code that ships runs into them.

use std::collections::BTreeSet;
use std::sync::Mutex;

use tokio::sync::Notify;

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The function dies before the call takes effect.
    CrashBefore,
    /// The function dies after the call took effect, before it hears so.
    CrashAfter,
    /// The call is refused.
    Unavailable,
    /// The call takes effect, but its reply is lost.
    LostReply,
}

/// What the service called must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer as usual.
    Proceed,
    /// Refuse.
    Unavailable,
    /// Do it and refuse.
    LostReply,
    /// Do nothing and take the caller down.
    CrashBefore,
    /// Do it and take the caller down.
    CrashAfter,
}

/// The orders in force, and the calls made so far.
#[derive(Debug, Default)]
pub struct Faults {
    orders: Mutex<Orders>,
    crashed: Notify,
}

#[derive(Debug, Default)]
struct Orders {
    calls: Vec<String>,
    at: Option<(usize, Fault)>,
    down: BTreeSet<String>,
}

impl Faults {
    /// Forgets the calls so far and orders `fault` at the `call`-th one from now, counted from 0.
    pub fn order(&self, call: usize, fault: Fault) {
        self.with(|orders| {
            orders.calls.clear();
            orders.at = Some((call, fault));
        });
    }

    /// Forgets all orders and calls.
    pub fn clear(&self) {
        self.with(|orders| *orders = Orders::default());
    }

    /// Refuses every call whose name begins with `prefix`, such as `AmazonSQS.`, until [`Faults::clear`].
    pub fn take_down(&self, prefix: &str) {
        self.with(|orders| {
            orders.down.insert(prefix.to_owned());
        });
    }

    /// The calls since the last order, by name.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.with(|orders| orders.calls.clone())
    }

    /// Counts a call and says what is to become of it.
    pub fn enter(&self, call: &str) -> Verdict {
        self.with(|orders| {
            let index = orders.calls.len();
            orders.calls.push(call.to_owned());
            if orders.down.iter().any(|prefix| call.starts_with(prefix)) {
                return Verdict::Unavailable;
            }
            match orders.at {
                Some((at, fault)) if at == index => match fault {
                    Fault::CrashBefore => Verdict::CrashBefore,
                    Fault::CrashAfter => Verdict::CrashAfter,
                    Fault::Unavailable => Verdict::Unavailable,
                    Fault::LostReply => Verdict::LostReply,
                },
                _ => Verdict::Proceed,
            }
        })
    }

    /// Takes the caller down: whoever waits in [`Faults::crashed`] hears of it, and this never returns.
    pub async fn crash(&self) -> ! {
        self.crashed.notify_one();
        loop {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for a crash; the caller then drops the function that was running.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    fn with<T>(&self, change: impl FnOnce(&mut Orders) -> T) -> T {
        let mut orders = self.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut orders)
    }
}
