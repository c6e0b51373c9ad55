//! Meta's rate limits: messages per second of a number; 45 at once and then one per six seconds for a pair of number
//! and customer.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Messages to one customer that may be sent at once.
const PAIR_BURST: i64 = 45;
/// Milliseconds until one message of a burst is available again.
const PAIR_INTERVAL: i64 = 6_000;
/// Default messages per second of a number.
const RATE: usize = 80;

/// Recent sends.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Limits {
    rates: BTreeMap<String, usize>,
    /// Arrival times of the messages of the last second, by number; Unix milliseconds.
    lately: BTreeMap<String, VecDeque<i64>>,
    /// Highest number of messages within one second, by number.
    busiest: BTreeMap<String, usize>,
    /// Time at which the whole burst is available again, by pair; Unix milliseconds.
    pairs: BTreeMap<String, i64>,
}

impl Limits {
    pub(super) fn set(&mut self, number: &str, rate: usize) {
        self.rates.insert(number.to_owned(), rate);
    }

    /// Returns the highest number of messages within one second of this number.
    pub(super) fn busiest(&self, number: &str) -> usize {
        self.busiest.get(number).copied().unwrap_or(0)
    }

    /// Counts a message, or returns the error code of the limit that it exceeds.
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
