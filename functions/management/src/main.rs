//! Wires the management function to Lambda.

use management::{Config, Deps};
use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::telemetry::{self, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    telemetry::init();
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), Metrics::emf("management"))?;
    lambda_http::run(management::router(deps)).await
}
