//! The share of a test's cases that each run has. The long run has all of them (`LONG_RUN=1`, as `.ci/run` sets it):
//! the everyday run is to end within four minutes on two cores.

use sandbox::aws::faults::Fault;

/// Whether this is the long run.
fn is_long() -> bool {
    shared::config::optional("LONG_RUN").is_some()
}

/// Returns `long` in the long run, else `everyday`.
pub(crate) fn count<T>(everyday: T, long: T) -> T {
    if is_long() { long } else { everyday }
}

/// Returns the faults to order at the `call`-th call: all in the long run, else one, a different one from call to call.
pub(crate) fn faults(call: usize, all: &[Fault]) -> Vec<Fault> {
    if is_long() { all.to_vec() } else { vec![all[call % all.len()]] }
}

/// Returns every case in the long run, else every sixth, beginning with the `first`-th. Tests over the same cases begin
/// with different ones, so that an everyday run still sees each case.
pub(crate) fn cases<T>(all: Vec<T>, first: usize) -> Vec<T> {
    let every = count(6, 1);
    all.into_iter().enumerate().filter(|(place, _)| place % every == first % every).map(|(_, case)| case).collect()
}
