//! Wires the webhook function to Lambda.

use std::time::Duration;

use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::telemetry::{self, Metrics};
use webhook::{Config, Deps};

/// Interval between metric lines. One line per webhook would cost a sixth of storing the webhook.
const LINES_APART: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let metrics = Metrics::emf_each("webhook", LINES_APART);
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), metrics.clone());
    deps.warm_up().await;
    lambda_http::run(metrics.flushed_after(webhook::router(deps))).await
}
