//! Wires the send-message function to Lambda.

use aws_lambda_events::event::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};
use send_message::{Config, Deps};
use shared::aws::AwsConfig;
use shared::clock::{Clock, at_millis};
use shared::telemetry::{self, Metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    telemetry::init();
    let metrics = Metrics::emf("send-message");
    let deps = Deps::new(&AwsConfig::from_env()?, &Config::from_env()?, Clock::system(), metrics.clone())?;
    let (deps, metrics) = (&deps, &metrics);
    let handle = |event: LambdaEvent<SqsEvent>| async move {
        let deadline = at_millis(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
        Ok::<_, lambda_runtime::Error>(metrics.flushed(send_message::handle(deps, event.payload, deadline)).await)
    };
    lambda_runtime::run(service_fn(handle)).await
}
