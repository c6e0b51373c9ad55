//! From a token that was proved to a number that works: recorded steps, each repeatable. A step that is through is never taken
//! again; one that Meta did not answer is tried again by itself; one that failed waits for somebody (`facts/onboarding.md` §12).

mod hosted;
mod partner;
mod steps;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use shared::aws::AwsConfig;
use shared::clock::{Clock, SignedDuration};
use shared::config::{self, ConfigError};
use shared::domain::ids::OnboardingId;
use shared::domain::onboarding::{Onboarding, Step, StepRecord, StepState};
use shared::domain::token::AccessToken;
use shared::provider::meta::graph::{self, ClientUnavailable, GraphClient};
use shared::queue::{OnboardingJob, Outcome, Queue, run_standard};
use shared::random::NoRandomness;
use shared::storage::{StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::{Context, Vault, VaultError};

use steps::Ended;

/// Tries of a step that Meta does not answer, before somebody is asked: with the waits between them about half an hour.
const TRIES_MAX: u32 = 20;
/// The longest wait between two tries.
const WAIT_MAX: SignedDuration = SignedDuration::from_mins(5);

/// The names this function is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key.
    pub key_id: String,
    /// The onboarding queue, to delay a job in it.
    pub onboarding_queue_url: String,
    /// Scheme and host of Graph.
    pub graph_url: String,
    /// Version of Graph, such as `v25.0`.
    pub graph_version: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `ONBOARDING_QUEUE_URL`, and optionally `META_GRAPH_URL` and `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            onboarding_queue_url: config::required("ONBOARDING_QUEUE_URL")?,
            graph_url: config::optional("META_GRAPH_URL").unwrap_or_else(|| graph::PUBLIC_URL.to_owned()),
            graph_version: config::optional("META_GRAPH_VERSION").unwrap_or_else(|| graph::DEFAULT_VERSION.to_owned()),
        })
    }
}

/// What this function may use.
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
    /// Builds the clients, once.
    ///
    /// # Errors
    /// When the Graph client cannot set up TLS.
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Result<Self, ClientUnavailable> {
        Ok(Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            vault: Vault::new(aws.kms(), config.key_id.clone()).counting(&metrics),
            queue: Queue::new(aws.sqs(), config.onboarding_queue_url.clone()),
            graph: GraphClient::new(&config.graph_url, &config.graph_version)?,
            clock,
            metrics,
        })
    }
}

/// Why a step was not recorded: the job comes again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotRecorded {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Processes a batch; answers with the jobs that must come again.
pub async fn handle(deps: &Deps, event: SqsEvent) -> SqsBatchResponse {
    run_standard(event, &deps.metrics, |record| process(deps, record)).await
}

async fn process(deps: &Deps, record: SqsMessage) -> Outcome {
    let Ok(job) = OnboardingJob::decode(record.body.as_deref().unwrap_or_default()) else {
        deps.metrics.count("onboarding_bad_job", "decode", 1);
        return Outcome::Later;
    };
    match walk(deps, job.id).await {
        Ok(None) => Outcome::Done,
        Ok(Some(wait)) => {
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

/// Takes the steps that are left, in order. `Some`: to be gone on with after that time.
async fn walk(deps: &Deps, id: OnboardingId) -> Result<Option<SignedDuration>, NotRecorded> {
    let Some((first, _)) = deps.table.onboarding(id).await? else { return Ok(None) };
    if first.hosted_by.is_some()
        && !first.is_through(Step::Prove)
        && let Some(stop) = hosted::begin(deps, &first).await?
    {
        return Ok(stop);
    }
    let mut opened = None;
    for step in Step::ALL.iter().copied().filter(|step| *step > Step::Prove) {
        // Read each time: the step before may have settled what this one needs.
        let Some((onboarding, keyed)) = deps.table.onboarding(id).await? else { return Ok(None) };
        if onboarding.is_through(step) {
            continue;
        }
        let stopped = onboarding.steps.iter().any(|(_, record)| record.state == StepState::Failed);
        let Some(sealed) = keyed.token.filter(|_| !stopped && onboarding.is_through(Step::Prove)) else {
            return Ok(None);
        };
        let token = match opened.take() {
            Some(token) => token,
            None => {
                let context = Context::OnboardingToken { tenant: onboarding.tenant, onboarding: id };
                deps.vault.open_token(&sealed, &context).await?
            }
        };
        let stop = take(deps, &onboarding, step, &token).await?;
        opened = Some(token);
        if let Some(stop) = stop {
            return Ok(stop);
        }
    }
    deps.metrics.count("onboarding", "connected", 1);
    Ok(None)
}

/// Takes one step and records it. `None`: on to the next one.
async fn take(
    deps: &Deps,
    onboarding: &Onboarding,
    step: Step,
    token: &AccessToken,
) -> Result<Option<Option<SignedDuration>>, NotRecorded> {
    let ended = steps::take(deps, onboarding, step, token).await?;
    record(deps, onboarding, step, ended).await
}

/// Records how a step ended. `None`: on to the next one.
async fn record(
    deps: &Deps,
    onboarding: &Onboarding,
    step: Step,
    ended: Ended,
) -> Result<Option<Option<SignedDuration>>, NotRecorded> {
    let tries = onboarding.step(step).map_or(0, |record| record.tries) + 1;
    let now = deps.clock.now();
    let record = |state, code, cause: Option<String>, action: Option<&str>| StepRecord {
        code,
        cause,
        action: action.map(str::to_owned),
        ..StepRecord::new(state, now, tries)
    };
    let (record, stop) = match ended {
        Ended::Done => (record(StepState::Done, None, None, None), None),
        Ended::Skipped(why) => (record(StepState::Skipped, None, Some(why.to_owned()), None), None),
        Ended::Failed { code, cause, action } => {
            (record(StepState::Failed, code, Some(cause.to_owned()), Some(action)), Some(None))
        }
        Ended::Waits { cause, wait } => {
            let waiting =
                StepRecord { tries: tries - 1, ..record(StepState::Running, None, Some(cause.to_owned()), None) };
            (waiting, Some(Some(wait)))
        }
        Ended::Later { code, cause, wait } if tries < TRIES_MAX => {
            let wait = (wait * i32::try_from(tries).unwrap_or(i32::MAX)).min(WAIT_MAX.max(wait));
            (record(StepState::Running, code, Some(cause.to_owned()), None), Some(Some(wait)))
        }
        Ended::Later { code, cause, .. } => {
            let action = "Retry the step when Meta is well again.";
            (record(StepState::Failed, code, Some(cause.to_owned()), Some(action)), Some(None))
        }
    };
    deps.metrics.count("onboarding_step", step.as_str(), 1);
    tracing::info!(event = "onboarding.step", onboarding_id = %onboarding.id, step = step.as_str(), state = record.state.as_str());
    deps.table.record_step(onboarding.id, step, &record).await?;
    Ok(stop)
}
