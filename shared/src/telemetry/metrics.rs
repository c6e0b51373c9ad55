//! Metrics: collected while an invocation works, printed as one line when it ends. A log line for each thing that is counted would cost more
//! than what it counts (CloudWatch takes 0.50 $ a GB).

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

/// Where metrics are that no stack named.
const NAMESPACE: &str = "Switchboard";
/// Most values of one metric in one EMF document; CloudWatch reads no more. Later ones of the same line are left out.
const VALUES_MAX: usize = 100;
/// Most metrics in one EMF document; CloudWatch reads no more.
const METRICS_MAX: usize = 100;

/// Counts things that happened, and measures. Clones share what they collected.
#[derive(Debug, Clone)]
pub struct Metrics {
    function: &'static str,
    namespace: Arc<str>,
    emit: bool,
    /// Lines are at least that far apart.
    every: Duration,
    collected: Arc<Mutex<Collected>>,
}

#[derive(Debug, Default)]
struct Collected {
    /// What was counted in this process, by metric and reason.
    counted: BTreeMap<(&'static str, String), u64>,
    pending: BTreeMap<&'static str, Pending>,
    printed_at: Option<Instant>,
}

/// What the next line says of a metric.
#[derive(Debug)]
enum Pending {
    Count(BTreeMap<String, u64>),
    Values(&'static str, Vec<i64>),
}

impl Metrics {
    /// Metrics that are printed as EMF, for Lambda, in the CloudWatch namespace `METRICS_NAMESPACE` (otherwise `Switchboard`).
    #[must_use]
    pub fn emf(function: &'static str) -> Self {
        let namespace = config::optional("METRICS_NAMESPACE").map_or_else(|| NAMESPACE.into(), Into::into);
        Self { function, namespace, emit: true, every: Duration::ZERO, collected: Arc::default() }
    }

    /// The same with at most one line in `every`: for a function that is invoked thousands of times a second. What is collected after the last
    /// line before Lambda takes an environment away is not told.
    #[must_use]
    pub fn emf_each(function: &'static str, every: Duration) -> Self {
        Self { every, ..Self::emf(function) }
    }

    /// Metrics that are only kept in memory, for the sandbox and tests.
    #[must_use]
    pub fn in_memory(function: &'static str) -> Self {
        Self { emit: false, ..Self::emf(function) }
    }

    /// Adds `count` to `metric`; `reason` is a property, so it costs nothing and cannot name a tenant's data.
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

    /// A duration, of which CloudWatch shows percentiles.
    pub fn took_ms(&self, metric: &'static str, took: SignedDuration) {
        self.value(metric, "Milliseconds", i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
    }

    /// How many there are at this moment, 0 too: an alarm sees the largest.
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

    /// What `metric` has counted so far in this process, over all reasons.
    #[must_use]
    pub fn total(&self, metric: &str) -> u64 {
        self.collected.lock().map_or(0, |collected| {
            collected.counted.iter().filter(|((name, _), _)| *name == metric).map(|(_, count)| count).sum()
        })
    }

    /// The values that were measured and not printed yet.
    #[must_use]
    pub fn values(&self, metric: &str) -> Vec<i64> {
        let values = |collected: &Collected| match collected.pending.get(metric) {
            Some(Pending::Values(_, values)) => values.clone(),
            _ => Vec::new(),
        };
        self.collected.lock().map_or_else(|_| Vec::new(), |collected| values(&collected))
    }

    /// Does an invocation's work, then [`Self::flush`]es.
    pub async fn flushed<T>(&self, work: impl Future<Output = T>) -> T {
        let done = work.await;
        self.flush();
        done
    }

    /// A router that [`Self::flush`]es before each answer, and counts those that blame us.
    pub fn flushed_after(self, router: Router) -> Router {
        router.layer(map_response(move |response: Response| {
            if response.status().is_server_error() {
                self.count("answered_5xx", response.status().as_str(), 1);
            }
            self.flush();
            ready(response)
        }))
    }

    /// Prints what was collected since the last line. Called when an invocation ends: after it Lambda may freeze the process for good.
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

/// An EMF document.
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
