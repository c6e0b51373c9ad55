//! Wires the offboarding function to its schedule.

use lambda_runtime::{LambdaEvent, service_fn};
use offboarding::{Config, Deps};
use shared::aws::AwsConfig;
use shared::clock::{Clock, at_millis};
use shared::telemetry::{self, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let metrics = Metrics::emf("offboarding");
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), metrics.clone())?;
    let (deps, metrics) = (&deps, &metrics);
    let handle = |event: LambdaEvent<serde_json::Value>| async move {
        let deadline = at_millis(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
        metrics.flushed(offboarding::run(deps, deadline)).await.map_err(lambda_runtime::Error::from)
    };
    lambda_runtime::run(service_fn(handle)).await
}
