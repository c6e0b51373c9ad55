//! Metrics: collected during an invocation, printed as one line at its end. A log line per counted event would cost too
//! much (CloudWatch charges $0.50 per GB).

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::clock::{Clock, SignedDuration};
use crate::config;

/// CloudWatch namespace without `METRICS_NAMESPACE`.
const NAMESPACE: &str = "Switchboard";
/// Most values per metric in one EMF document, CloudWatch's limit. Further values of the same line are dropped.
const VALUES_MAX: usize = 100;
/// Most metrics per EMF document, CloudWatch's limit.
const METRICS_MAX: usize = 100;

/// Counters and measurements. Clones share the collected values.
#[derive(Debug, Clone)]
pub struct Metrics {
    function: &'static str,
    namespace: Arc<str>,
    emit: bool,
    /// Shortest time between two lines.
    every: Duration,
    collected: Arc<Mutex<Collected>>,
}

#[derive(Debug, Default)]
struct Collected {
    /// Totals of this process, by metric and reason.
    counted: BTreeMap<(&'static str, String), u64>,
    pending: BTreeMap<&'static str, Pending>,
    printed_at: Option<Instant>,
}

/// Values of one metric that the next line will print.
#[derive(Debug)]
enum Pending {
    Count(BTreeMap<String, u64>),
    Values(&'static str, Vec<i64>),
}

impl Metrics {
    /// Creates metrics that are printed as EMF, in the CloudWatch namespace `METRICS_NAMESPACE` (default
    /// `Switchboard`).
    #[must_use]
    pub fn emf(function: &'static str) -> Self {
        let namespace = config::optional("METRICS_NAMESPACE").map_or_else(|| NAMESPACE.into(), Into::into);
        Self { function, namespace, emit: true, every: Duration::ZERO, collected: Arc::default() }
    }

    /// As [`Self::emf`], but prints at most one line per `every`, for a function that is invoked thousands of times per
    /// second. Values collected after the last line are lost when Lambda ends the environment.
    #[must_use]
    pub fn emf_each(function: &'static str, every: Duration) -> Self {
        Self { every, ..Self::emf(function) }
    }

    /// Creates metrics that stay in memory, for the sandbox and tests.
    #[must_use]
    pub fn in_memory(function: &'static str) -> Self {
        Self { emit: false, ..Self::emf(function) }
    }

    /// Adds `count` to `metric`. `reason` is a property, not a dimension, so it adds no cost. It must not contain a
    /// tenant's data.
    pub fn count(&self, metric: &'static str, reason: &str, count: u64) {
        let Ok(mut collected) = self.collected.lock() else { return };
        if count == 0 {
            return;
        }
        *collected.counted.entry((metric, reason.to_owned())).or_default() += count;
        let pending = collected.pending.entry(metric).or_insert_with(|| Pending::Count(BTreeMap::new()));
        if let Pending::Count(reasons) = pending {
            *reasons.entry(reason.to_owned()).or_default() += count;
        }
    }

    /// Records a duration in milliseconds; CloudWatch shows its percentiles.
    pub fn took_ms(&self, metric: &'static str, took: SignedDuration) {
        self.value(metric, "Milliseconds", i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
    }

    /// Records a current amount. Zero is recorded too; alarms use the maximum.
    pub fn now_at(&self, metric: &'static str, value: i64) {
        self.value(metric, "None", value);
    }

    fn value(&self, metric: &'static str, unit: &'static str, value: i64) {
        let Ok(mut collected) = self.collected.lock() else { return };
        if let Pending::Values(_, values) = collected.pending.entry(metric).or_insert(Pending::Values(unit, Vec::new()))
            && values.len() < VALUES_MAX
        {
            values.push(value);
        }
    }

    /// Returns the total of `metric` in this process, over all reasons.
    #[must_use]
    pub fn total(&self, metric: &str) -> u64 {
        self.collected.lock().map_or(0, |collected| {
            collected.counted.iter().filter(|((name, _), _)| *name == metric).map(|(_, count)| count).sum()
        })
    }

    /// Returns the values of `metric` that are not printed yet.
    #[must_use]
    pub fn values(&self, metric: &str) -> Vec<i64> {
        let values = |collected: &Collected| match collected.pending.get(metric) {
            Some(Pending::Values(_, values)) => values.clone(),
            _ => Vec::new(),
        };
        self.collected.lock().map_or_else(|_| Vec::new(), |collected| values(&collected))
    }

    /// Runs an invocation's work, then calls [`Self::flush`].
    pub async fn flushed<T>(&self, work: impl Future<Output = T>) -> T {
        let done = work.await;
        self.flush();
        done
    }

    /// Wraps a router so that it calls [`Self::flush`] before each response, and counts responses with status 5xx.
    pub fn flushed_after(self, router: Router) -> Router {
        router.layer(map_response(move |response: Response| {
            if response.status().is_server_error() {
                self.count("answered_5xx", response.status().as_str(), 1);
            }
            self.flush();
            ready(response)
        }))
    }

    /// Prints the values collected since the last line. Called at the end of an invocation, because Lambda may freeze
    /// the process afterwards and never resume it.
    pub fn flush(&self) {
        if !self.emit {
            return;
        }
        let Ok(mut collected) = self.collected.lock() else { return };
        let early = collected.printed_at.is_some_and(|at| at.elapsed() < self.every);
        if early || collected.pending.is_empty() {
            return;
        }
        collected.printed_at = Some(Instant::now());
        let pending: Vec<_> = std::mem::take(&mut collected.pending).into_iter().collect();
        drop(collected);
        let mut out = std::io::stdout().lock();
        for part in pending.chunks(METRICS_MAX) {
            let line = document(&self.namespace, self.function, part, Clock::system().now().as_millisecond());
            if writeln!(out, "{line}").is_err() {
                tracing::error!(event = "metrics.lost", metrics = part.len());
            }
        }
    }
}

/// Builds an EMF document.
fn document(namespace: &str, function: &str, pending: &[(&'static str, Pending)], at: i64) -> Value {
    let (mut metrics, mut reasons, mut values) = (Vec::new(), Map::new(), Map::new());
    for (name, what) in pending {
        let (unit, value) = match what {
            Pending::Count(by_reason) => {
                reasons.insert((*name).to_owned(), json!(by_reason));
                ("Count", json!(by_reason.values().sum::<u64>()))
            }
            Pending::Values(unit, all) => (*unit, json!(all)),
        };
        metrics.push(json!({"Name": name, "Unit": unit}));
        values.insert((*name).to_owned(), value);
    }
    let mut document = json!({
        "_aws": {
            "Timestamp": at,
            "CloudWatchMetrics": [{"Namespace": namespace, "Dimensions": [["Function"]], "Metrics": metrics}],
        },
        "Function": function,
        "reasons": reasons,
    });
    if let Value::Object(document) = &mut document {
        document.append(&mut values);
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_is_one_document_with_sums_values_and_reasons() {
        let metrics = Metrics::in_memory("inbound");
        metrics.count("inbound_stored", "text", 2);
        metrics.count("inbound_stored", "image", 1);
        metrics.count("inbound_duplicate", "text", 0);
        metrics.took_ms("ingest_lag_ms", SignedDuration::from_millis(12));
        metrics.took_ms("ingest_lag_ms", SignedDuration::from_millis(30));
        let pending: Vec<_> = std::mem::take(&mut metrics.collected.lock().unwrap().pending).into_iter().collect();
        let document = document("Switchboard/test", "inbound", &pending, 1_795_000_000_000);
        assert_eq!(
            document,
            json!({
                "_aws": {"Timestamp": 1_795_000_000_000_i64, "CloudWatchMetrics": [{
                    "Namespace": "Switchboard/test", "Dimensions": [["Function"]],
                    "Metrics": [{"Name": "inbound_stored", "Unit": "Count"}, {"Name": "ingest_lag_ms", "Unit": "Milliseconds"}]}]},
                "Function": "inbound", "reasons": {"inbound_stored": {"text": 2, "image": 1}},
                "inbound_stored": 3, "ingest_lag_ms": [12, 30],
            })
        );
        assert_eq!(metrics.total("inbound_stored"), 3);
    }
}
