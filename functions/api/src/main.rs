//! Wires the API function to Lambda.

use api::{Config, Deps};
use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::telemetry::{self, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let metrics = Metrics::emf("api");
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), metrics.clone());
    lambda_http::run(metrics.flushed_after(api::router(deps))).await
}
