//! Logs and metrics.
//!
//! Logs are JSON lines with a stable `event` name. They never contain a body, a token, a phone number or a wamid.
//! Metrics are CloudWatch EMF lines on standard output. Their only dimension is the function's name; everything else is
//! a property.

mod metrics;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

pub use metrics::Metrics;

/// Our own crates, as the first segment of a log event's target.
const OURS: [&str; 14] = [
    "api",
    "inbound",
    "management",
    "offboarding",
    "onboarding",
    "operator",
    "release",
    "sandbox",
    "send_message",
    "shared",
    "signup_callback",
    "sweep",
    "token_refresh",
    "webhook",
];

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, for machines.
    Json,
    /// Text, for a terminal.
    Text,
}

/// Starts JSON logging to standard output at the level of `RUST_LOG` (default `info`). A second call does nothing.
pub fn init() {
    std::panic::set_hook(Box::new(|panic| {
        // Only the location: a panic's message may quote the data that caused it.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(event = "panic", place);
    }));
    if subscriber(Format::Json, requested("info"), std::io::stdout).try_init().is_err() {
        tracing::debug!(event = "telemetry.already_started");
    }
}

/// Returns the filter that `RUST_LOG` requests, or `default`.
#[must_use]
pub fn requested(default: &str) -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default))
}

/// Creates a subscriber for the requested levels, with third-party crates limited to `info`: at `trace` the AWS SDK
/// logs KMS's responses, including decrypted secrets.
pub fn subscriber<W>(
    format: Format,
    requested: EnvFilter,
    writer: W,
) -> impl SubscriberInitExt + Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let plain = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = match format {
        Format::Json => plain.json().flatten_event(true).with_current_span(false).boxed(),
        Format::Text => plain.with_ansi(false).boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(requested.and(filter_fn(may_be_logged))))
}

fn may_be_logged(event: &Metadata<'_>) -> bool {
    let krate = event.target().split("::").next().unwrap_or_default();
    *event.level() <= Level::INFO || OURS.contains(&krate)
}
