//! Wires the signup-callback function to Lambda.

use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::telemetry::{self, Metrics};
use signup_callback::{Config, Deps};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let metrics = Metrics::emf("signup-callback");
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), metrics.clone())?;
    lambda_http::run(metrics.flushed_after(signup_callback::router(deps))).await
}
