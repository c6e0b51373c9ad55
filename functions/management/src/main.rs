//! Wires the management function to Lambda.

use management::{Config, Deps};
use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::telemetry::{self, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let metrics = Metrics::emf("management");
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), metrics.clone())?;
    lambda_http::run(metrics.flushed_after(management::router(deps))).await
}
