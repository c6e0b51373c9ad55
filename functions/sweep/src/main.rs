//! Wires the sweep to its schedule.

use lambda_runtime::{LambdaEvent, service_fn};
use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::telemetry::{self, Metrics};
use sweep::{Config, Deps};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let metrics = Metrics::emf("sweep");
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, metrics.clone())?;
    let (deps, metrics, clock) = (&deps, &metrics, &Clock::system());
    let handle = |_: LambdaEvent<serde_json::Value>| async move {
        metrics.flushed(sweep::run(deps, clock.now())).await.map_err(lambda_runtime::Error::from)
    };
    lambda_runtime::run(service_fn(handle)).await
}
