//! Sends messages from the outbound queue to Meta. The only caller of the provider's send operation.
//!
//! Meta has no idempotency key. The protocol of `docs/reliability.md#section-2-3` replaces it: prepare everything, then
//! claim conditionally as the last step, make one HTTP call, and record the result only while the claim is valid. A
//! message with an unclear result becomes `unknown`. Its status webhook settles it; this function never sends it again.

mod attempt;
mod backoff;
mod files;
mod gate;
mod mark;
mod not_ready;
mod prepare;
mod readiness;
mod recipient;
mod settle;

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::{Clock, SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::accounts::number::Number;
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::{BroadcastId, NumberId, WabaId};
use shared::domain::sending::broadcast::Broadcast;
use shared::domain::sending::outbound::Intent;
use shared::domain::sending::pacing::Pace;
use shared::domain::sending::policy::{NumberStatus, TemplateFacts};
use shared::limits::{ACCEPTING_TAKES, CACHE_FOR};
use shared::provider::meta::graph::{ClientUnavailable, GraphClient, GraphEndpoint};
use shared::queue::{OutboundWork, Outcome, Queue, run_fifo};
use shared::storage::{Archive, StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::Vault;

/// Longest interval between two checks for a message that is not stored yet.
const STORED_SOON: SignedDuration = SignedDuration::from_secs(5);
/// Longest delay before a worker notices a pause or suspicion (`docs/reliability.md#section-2-3-5`). Costs one read per
/// second and number.
const PACE_CACHE_FOR: SignedDuration = SignedDuration::from_secs(1);
/// Longest delay before a worker notices a banned account, a stopped template or a cancelled broadcast.
const STANDING_CACHE_FOR: SignedDuration = SignedDuration::from_secs(15);
/// Time without a response after which the number becomes suspect: about ten times Meta's usual response time.
const SILENCE: Duration = Duration::from_secs(3);

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key that sealed the tokens.
    pub key_id: String,
    /// The outbound queue, for delaying its messages.
    pub outbound_queue_url: String,
    /// The bucket with the files to send.
    pub bucket: String,
    /// Host and version of the Graph API.
    pub graph: GraphEndpoint,
    /// Time without a response after which the number becomes suspect.
    pub silence: Duration,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `OUTBOUND_QUEUE_URL`, `BUCKET_NAME`, and optionally `META_GRAPH_URL` and
    /// `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            outbound_queue_url: config::required("OUTBOUND_QUEUE_URL")?,
            bucket: config::required("BUCKET_NAME")?,
            graph: GraphEndpoint::from_env(),
            silence: SILENCE,
        })
    }
}

/// Clients and caches of this function.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    vault: Vault,
    outbound: Queue,
    files: Archive,
    graph: GraphClient,
    silence: Duration,
    clock: Clock,
    metrics: Metrics,
    numbers: Cache<NumberId, Number>,
    standings: Cache<NumberId, NumberStatus>,
    templates: Cache<(WabaId, String, String), TemplateFacts>,
    paces: Cache<NumberId, Pace>,
    broadcasts: Cache<BroadcastId, Broadcast>,
    tokens: Cache<WabaId, Arc<AccessToken>>,
    callback_mac: shared::keyring::Remembered,
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
            outbound: Queue::new(aws.sqs(), config.outbound_queue_url.clone()),
            files: Archive::new(aws.direct(), config.bucket.clone()),
            graph: GraphClient::new(&config.graph)?,
            silence: config.silence,
            metrics,
            numbers: Cache::strict(clock.clone(), CACHE_FOR),
            standings: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            templates: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            paces: Cache::strict(clock.clone(), PACE_CACHE_FOR),
            broadcasts: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            tokens: Cache::strict(clock.clone(), CACHE_FOR),
            callback_mac: Cache::keeping_stale(clock.clone(), CACHE_FOR),
            clock,
        })
    }
}

/// Processes a batch and returns the records to redeliver. `deadline` is the time at which Lambda ends this invocation.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
    let hand_back = |record: SqsMessage| async move {
        // Makes the record visible at once. The queue still withholds it while an earlier record of its group is
        // hidden.
        come_back(deps, &record, deps.clock.now()).await;
    };
    run_fifo(event, &deps.metrics, |record| process(deps, record, deadline), hand_back).await
}

/// Next action of the queue for a record.
enum Next {
    Finished,
    NotBefore(Timestamp),
}

async fn process(deps: &Deps, record: SqsMessage, deadline: Timestamp) -> Outcome {
    let result = match OutboundWork::decode(record.body.as_deref().unwrap_or_default()) {
        Ok(OutboundWork::Send(job)) => match deps.table.intent_get(&job.conversation, job.message).await {
            Ok(Some((intent, facts))) => attempt::step(deps, &intent, &facts, deadline).await,
            Ok(None) => Ok(not_stored(deps, &record)),
            Err(error) => Err(error),
        },
        Ok(OutboundWork::Recipient(job)) => {
            let first = record.attributes.get("ApproximateReceiveCount").is_some_and(|count| count == "1");
            recipient::send(deps, &job, first, deadline).await
        }
        Ok(OutboundWork::Mark(job)) => mark::mark(deps, &job).await,
        Err(_) => {
            // Possibly a job of a newer version. It must not be lost, and ends in the dead-letter queue.
            deps.metrics.count("send_bad_job", "decode", 1);
            return Outcome::Later;
        }
    };
    match result {
        Ok(Next::Finished) => Outcome::Done,
        Ok(Next::NotBefore(at)) => {
            come_back(deps, &record, at).await;
            Outcome::Later
        }
        // The message is erased together with its contact.
        Err(StorageError::Erased) => {
            deps.metrics.count("send_refused_by_us", "erased", 1);
            Outcome::Done
        }
        Err(error) => {
            tracing::error!(event = "send.not_stored", %error);
            Outcome::Failed
        }
    }
}

/// Handles a job whose message is not stored. Either the message is stored moments later, or its caller received an
/// error.
fn not_stored(deps: &Deps, record: &SqsMessage) -> Next {
    let now = deps.clock.now();
    let sent_at = record.attributes.get("SentTimestamp").and_then(|at| at.parse().ok()).map(shared::clock::at_millis);
    let waited = sent_at.map_or(SignedDuration::ZERO, |sent_at| now.duration_since(sent_at));
    if waited > ACCEPTING_TAKES {
        deps.metrics.count("send_never_stored", "job", 1);
        return Next::Finished;
    }
    let wait = waited.clamp(SignedDuration::from_secs(1), STORED_SOON);
    Next::NotBefore(shared::clock::after(now, wait))
}

/// Makes SQS redeliver the record at `at`. If that fails, it is redelivered after the visibility timeout.
async fn come_back(deps: &Deps, record: &SqsMessage, at: Timestamp) {
    let Some(receipt) = record.receipt_handle.as_deref() else { return };
    let wait = at.duration_since(deps.clock.now());
    let seconds = (wait.as_millis() + 999) / 1_000;
    if let Err(error) = deps.outbound.delay(receipt, i64::try_from(seconds).unwrap_or(i64::MAX)).await {
        tracing::warn!(event = "send.not_delayed", %error);
    }
}

/// Returns the number of a conversation, if it still belongs to the tenant.
async fn number_of(deps: &Deps, intent: &Intent) -> Result<Option<Number>, StorageError> {
    let id = intent.conversation.number();
    let number = deps.numbers.get(id, deps.table.number_get(id)).await?;
    Ok(number.filter(|number| number.tenant == intent.tenant))
}
