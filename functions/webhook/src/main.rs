//! Wires the webhook function to Lambda.

use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::telemetry::{self, Metrics};
use webhook::{Config, Deps};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), Metrics::emf("webhook"));
    deps.warm_up().await;
    lambda_http::run(webhook::router(deps)).await
}
