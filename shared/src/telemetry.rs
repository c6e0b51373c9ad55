//! Logs and metrics.
//!
//! Logs are JSON lines with a stable `event` name and never a body, a token, a phone number or a wamid. Metrics are
//! CloudWatch EMF lines on standard output; their only dimension is the function's name, other facts are properties.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

/// Starts JSON logging to standard output at the level of `RUST_LOG` (default `info`). A second call does nothing.
pub fn init() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let installed = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(filter)
        .with_writer(std::io::stdout)
        .try_init();
    if installed.is_err() {
        tracing::debug!(event = "telemetry.already_started");
    }
}

/// Counts things that happened. Clones share what they counted.
#[derive(Debug, Clone)]
pub struct Metrics {
    function: &'static str,
    emit: bool,
    counted: Arc<Mutex<BTreeMap<(&'static str, String), u64>>>,
}

impl Metrics {
    /// Metrics that are printed as EMF, for Lambda.
    #[must_use]
    pub fn emf(function: &'static str) -> Self {
        Self { function, emit: true, counted: Arc::default() }
    }

    /// Metrics that are only kept in memory, for the sandbox and tests.
    #[must_use]
    pub fn in_memory(function: &'static str) -> Self {
        Self { function, emit: false, counted: Arc::default() }
    }

    /// Adds `count` to `metric`; `reason` is a property, so it costs nothing and cannot name a tenant's data.
    pub fn count(&self, metric: &'static str, reason: &str, count: u64) {
        if count == 0 {
            return;
        }
        if let Ok(mut counted) = self.counted.lock() {
            *counted.entry((metric, reason.to_owned())).or_default() += count;
        }
        if self.emit {
            self.print(metric, reason, count);
        }
    }

    /// What `metric` has counted so far in this process, over all reasons.
    #[must_use]
    pub fn total(&self, metric: &str) -> u64 {
        self.counted.lock().map_or(0, |counted| {
            counted.iter().filter(|((name, _), _)| *name == metric).map(|(_, count)| count).sum()
        })
    }

    fn print(&self, metric: &'static str, reason: &str, count: u64) {
        let line = serde_json::json!({
            "_aws": {
                "Timestamp": jiff::Timestamp::now().as_millisecond(),
                "CloudWatchMetrics": [{
                    "Namespace": "Switchboard",
                    "Dimensions": [["Function"]],
                    "Metrics": [{"Name": metric, "Unit": "Count"}],
                }],
            },
            "Function": self.function,
            "reason": reason,
            metric: count,
        });
        if writeln!(std::io::stdout().lock(), "{line}").is_err() {
            tracing::error!(event = "metrics.lost", metric);
        }
    }
}
