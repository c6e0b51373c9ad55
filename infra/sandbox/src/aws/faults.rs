//! Ordered faults: the k-th call to AWS or to the simulated Meta is refused, loses its reply, or crashes the calling
//! function before or after it took effect. The shipped code runs unchanged.

use std::collections::BTreeSet;
use std::sync::Mutex;

use tokio::sync::Notify;

/// Fault at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The function crashes before the call takes effect.
    CrashBefore,
    /// The function crashes after the call took effect and before its reply arrives.
    CrashAfter,
    /// The call is refused.
    Unavailable,
    /// The call takes effect, but its reply is lost.
    LostReply,
}

/// Instruction for the called service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer normally.
    Proceed,
    /// Refuse the call.
    Unavailable,
    /// Execute the call, then answer with an error.
    LostReply,
    /// Crash the caller without executing the call.
    CrashBefore,
    /// Execute the call, then crash the caller.
    CrashAfter,
}

/// The ordered faults, and the calls made so far.
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
    /// Clears the recorded calls and orders `fault` at the `call`-th call from now, counted from 0.
    pub fn order(&self, call: usize, fault: Fault) {
        self.with(|orders| {
            orders.calls.clear();
            orders.at = Some((call, fault));
        });
    }

    /// Clears all orders and recorded calls.
    pub fn clear(&self) {
        self.with(|orders| *orders = Orders::default());
    }

    /// Refuses every call whose name begins with `prefix`, such as `AmazonSQS.`, until [`Faults::clear`].
    pub fn take_down(&self, prefix: &str) {
        self.with(|orders| {
            orders.down.insert(prefix.to_owned());
        });
    }

    /// Returns the names of the calls since the last order.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.with(|orders| orders.calls.clone())
    }

    /// Records a call and returns the instruction for it.
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

    /// Crashes the caller: wakes the task that waits in [`Faults::crashed`], and never returns.
    pub async fn crash(&self) -> ! {
        self.crashed.notify_one();
        loop {
            std::future::pending::<()>().await;
        }
    }

    /// Waits for a crash. The waiting task then drops the running function.
    pub async fn crashed(&self) {
        self.crashed.notified().await;
    }

    fn with<T>(&self, change: impl FnOnce(&mut Orders) -> T) -> T {
        let mut orders = self.orders.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut orders)
    }
}
