//! Connects a number after its token was checked, in recorded, repeatable steps (`docs/meta/onboarding.md#section-12`).
//! A finished step is never repeated. A step without an answer from Meta is retried automatically. A failed step waits
//! for a person.

mod hosted;
mod outcome;
mod partner;
mod steps;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use shared::aws::AwsConfig;
use shared::clock::{Clock, SignedDuration};
use shared::config::{self, ConfigError};
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::OnboardingId;
use shared::domain::lifecycle::onboarding::{Onboarding, Step, StepRecord, StepState};
use shared::provider::meta::graph::{ClientUnavailable, GraphClient, GraphEndpoint};
use shared::queue::{OnboardingJob, Outcome, Queue, run_standard};
use shared::random::NoRandomness;
use shared::storage::{StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::{Context, Vault, VaultError};

use outcome::{Ended, Next};

/// Attempts of a step that Meta does not answer, before it fails and a person must act. With the waits this takes a
/// quarter of an hour to one and a half hours, depending on the error.
const TRIES_MAX: u32 = 20;
/// Longest wait between two attempts, unless the error itself requires more.
const WAIT_MAX: SignedDuration = SignedDuration::from_mins(5);

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key for tokens, app secrets and PINs.
    pub key_id: String,
    /// The onboarding queue, for delaying its jobs.
    pub onboarding_queue_url: String,
    /// Host and version of the Graph API.
    pub graph: GraphEndpoint,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `ONBOARDING_QUEUE_URL`, and optionally `META_GRAPH_URL` and `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            onboarding_queue_url: config::required("ONBOARDING_QUEUE_URL")?,
            graph: GraphEndpoint::from_env(),
        })
    }
}

/// Clients of this function.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    vault: Vault,
    queue: Queue,
    graph: GraphClient,
    clock: Clock,
    metrics: Metrics,
}

impl Deps {
    /// Builds the clients. Called once per process.
    ///
    /// # Errors
    /// When the Graph client cannot set up TLS.
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Result<Self, ClientUnavailable> {
        Ok(Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            vault: Vault::new(aws.direct(), config.key_id.clone()).counting(&metrics),
            queue: Queue::new(aws.sqs(), config.onboarding_queue_url.clone()),
            graph: GraphClient::new(&config.graph)?,
            clock,
            metrics,
        })
    }
}

/// Reason why a step was not recorded; the job is redelivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRecorded {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Processes a batch and returns the jobs to redeliver.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsBatchResponse {
    run_standard(event, &deps.metrics, |record| process(deps, record)).await
}

async fn process(deps: &Deps, record: SqsMessage) -> Outcome {
    let Ok(job) = OnboardingJob::decode(record.body.as_deref().unwrap_or_default()) else {
        deps.metrics.count("onboarding_bad_job", "decode", 1);
        return Outcome::Later;
    };
    match walk(deps, job.id).await {
        Ok(Next::Step | Next::Stop) => Outcome::Done,
        Ok(Next::Again(wait)) => {
            if let Some(receipt) = record.receipt_handle.as_deref()
                && let Err(error) = deps.queue.delay(receipt, wait.as_secs()).await
            {
                tracing::warn!(event = "onboarding.not_delayed", %error);
            }
            Outcome::Later
        }
        Err(error) => {
            tracing::error!(event = "onboarding.not_recorded", onboarding_id = %job.id, %error);
            Outcome::Failed
        }
    }
}

/// Runs the remaining steps in order.
async fn walk(deps: &Deps, id: OnboardingId) -> Result<Next, NotRecorded> {
    let Some((first, _)) = deps.table.onboarding_get(id).await? else { return Ok(Next::Stop) };
    if first.hosted_by.is_some() && !first.is_through(Step::Prove) {
        let next = hosted::begin(deps, &first).await?;
        if next != Next::Step {
            return Ok(next);
        }
    }
    let mut opened = None;
    for step in Step::ALL.iter().copied().filter(|step| *step > Step::Prove) {
        // Read for each step, because the previous one may have changed the onboarding.
        let Some((onboarding, keyed)) = deps.table.onboarding_get(id).await? else { return Ok(Next::Stop) };
        if onboarding.is_through(step) {
            continue;
        }
        let stopped = onboarding.steps.iter().any(|(_, record)| record.state == StepState::Failed);
        let Some(sealed) = keyed.token.filter(|_| !stopped && onboarding.is_through(Step::Prove)) else {
            return Ok(Next::Stop);
        };
        let token = match opened.take() {
            Some(token) => token,
            None => {
                let context = Context::OnboardingToken { tenant: onboarding.tenant, onboarding: id };
                deps.vault.open_token(&sealed, &context).await?
            }
        };
        let next = take(deps, &onboarding, step, &token).await?;
        opened = Some(token);
        if next != Next::Step {
            return Ok(next);
        }
    }
    deps.metrics.count("onboarding", "connected", 1);
    Ok(Next::Stop)
}

/// Runs and records one step.
async fn take(deps: &Deps, onboarding: &Onboarding, step: Step, token: &AccessToken) -> Result<Next, NotRecorded> {
    let ended = steps::take(deps, onboarding, step, token).await?;
    record(deps, onboarding, step, ended).await
}

/// Records the result of a step.
async fn record(deps: &Deps, onboarding: &Onboarding, step: Step, ended: Ended) -> Result<Next, NotRecorded> {
    let tries = onboarding.step(step).map_or(0, |record| record.tries) + 1;
    let now = deps.clock.now();
    let record = |state, code, cause: Option<String>, action: Option<&str>| StepRecord {
        code,
        cause,
        action: action.map(str::to_owned),
        ..StepRecord::new(state, now, tries)
    };
    let (record, next) = match ended {
        Ended::Done => (record(StepState::Done, None, None, None), Next::Step),
        Ended::Skipped(why) => (record(StepState::Skipped, None, Some(why.to_owned()), None), Next::Step),
        Ended::Failed { code, cause, action } => {
            (record(StepState::Failed, code, Some(cause.to_owned()), Some(action)), Next::Stop)
        }
        Ended::Wait { cause, wait } => {
            let waiting =
                StepRecord { tries: tries - 1, ..record(StepState::Running, None, Some(cause.to_owned()), None) };
            (waiting, Next::Again(wait))
        }
        Ended::Later { code, cause, wait } if tries < TRIES_MAX => {
            let wait = (wait * i32::try_from(tries).unwrap_or(i32::MAX)).min(WAIT_MAX.max(wait));
            (record(StepState::Running, code, Some(cause.to_owned()), None), Next::Again(wait))
        }
        Ended::Later { code, cause, .. } => {
            let action = "Retry the step once Meta responds again.";
            (record(StepState::Failed, code, Some(cause.to_owned()), Some(action)), Next::Stop)
        }
    };
    deps.metrics.count("onboarding_step", step.as_str(), 1);
    tracing::info!(
        event = "onboarding.step",
        onboarding_id = %onboarding.id,
        step = step.as_str(),
        state = record.state.as_str()
    );
    deps.table.onboarding_record_step(onboarding.id, step, &record).await?;
    Ok(next)
}
