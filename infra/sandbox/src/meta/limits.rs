//! How fast Meta lets messages in: so many a second for a number, 45 at once and then one each six seconds for a pair.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Messages to one customer that may come at once.
const PAIR_BURST: i64 = 45;
/// Milliseconds that each of them borrows from the future.
const PAIR_INTERVAL: i64 = 6_000;
/// Messages a second unless a number has another limit.
const RATE: usize = 80;

/// What was sent lately.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Limits {
    rates: BTreeMap<String, usize>,
    /// When each message of the last second came, for each number; Unix milliseconds.
    lately: BTreeMap<String, VecDeque<i64>>,
    /// The most messages that a second of a number ever had.
    busiest: BTreeMap<String, usize>,
    /// When each pair has paid what it borrowed.
    pairs: BTreeMap<String, i64>,
}

impl Limits {
    pub(super) fn set(&mut self, number: &str, rate: usize) {
        self.rates.insert(number.to_owned(), rate);
    }

    /// The most messages that any second of this number had.
    pub(super) fn busiest(&self, number: &str) -> usize {
        self.busiest.get(number).copied().unwrap_or(0)
    }

    /// Counts a message in, or says which limit it breaks.
    pub(super) fn enter(&mut self, number: &str, customer: &str, now: i64) -> Result<(), i64> {
        let most = self.rates.get(number).copied().unwrap_or(RATE);
        let lately = self.lately.entry(number.to_owned()).or_default();
        while lately.front().is_some_and(|at| *at <= now - 1_000) {
            lately.pop_front();
        }
        if lately.len() >= most {
            return Err(130_429);
        }
        let pair = self.pairs.entry(format!("{number}/{customer}")).or_insert(now);
        if *pair - now > (PAIR_BURST - 1) * PAIR_INTERVAL {
            return Err(131_056);
        }
        *pair = (*pair).max(now) + PAIR_INTERVAL;
        lately.push_back(now);
        let busiest = self.busiest.entry(number.to_owned()).or_default();
        *busiest = (*busiest).max(lately.len());
        Ok(())
    }
}
