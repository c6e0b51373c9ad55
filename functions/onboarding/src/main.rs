//! Wires the onboarding function to Lambda.

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};
use onboarding::{Config, Deps};
use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::telemetry::{self, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let metrics = Metrics::emf("onboarding");
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), metrics.clone())?;
    let (deps, metrics) = (&deps, &metrics);
    let handle = |event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, lambda_runtime::Error>(metrics.flushed(onboarding::handle(deps, event.payload)).await)
    };
    lambda_runtime::run(service_fn(handle)).await
}
