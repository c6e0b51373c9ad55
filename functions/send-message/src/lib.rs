//! From the outbound queue to Meta: the only caller of the provider's "send".
//!
//! Meta knows no idempotency key, so the protocol of `reliability.md` §2.3 stands in for one: prepare everything, claim
//! last and conditionally, make one HTTP call, record only while the claim stands. A message whose fate is unclear is
//! `unknown` and is never sent again from here; its status webhook settles it.

mod attempt;
mod backoff;
mod prepare;

use std::sync::Arc;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::{Clock, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::ids::{PhoneNumberId, WabaId};
use shared::domain::number::Number;
use shared::limits::CACHE_FOR;
use shared::provider::meta::graph::{self, ClientUnavailable, GraphClient};
use shared::queue::{Queue, run_fifo};
use shared::secret::Secret;
use shared::storage::Table;
use shared::telemetry::Metrics;
use shared::vault::Vault;

/// The names this function is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key that sealed the tokens.
    pub key_id: String,
    /// The outbound queue, to delay a message in it.
    pub outbound_queue_url: String,
    /// Scheme and host of Graph.
    pub graph_url: String,
    /// Version of Graph, such as `v25.0`.
    pub graph_version: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `OUTBOUND_QUEUE_URL`, and optionally `META_GRAPH_URL` and `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            outbound_queue_url: config::required("OUTBOUND_QUEUE_URL")?,
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
    outbound: Queue,
    graph: GraphClient,
    clock: Clock,
    metrics: Metrics,
    numbers: Cache<PhoneNumberId, Number>,
    tokens: Cache<WabaId, Arc<Secret>>,
    callback_mac: Cache<(), Arc<Secret>>,
}

impl Deps {
    /// Builds the clients, once.
    ///
    /// # Errors
    /// When the Graph client cannot set up TLS.
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Result<Self, ClientUnavailable> {
        Ok(Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            vault: Vault::new(aws.kms(), config.key_id.clone()),
            outbound: Queue::new(aws.sqs(), config.outbound_queue_url.clone()),
            graph: GraphClient::new(&config.graph_url, &config.graph_version)?,
            metrics,
            numbers: Cache::strict(clock.clone(), CACHE_FOR),
            tokens: Cache::strict(clock.clone(), CACHE_FOR),
            callback_mac: Cache::keeping_stale(clock.clone(), CACHE_FOR),
            clock,
        })
    }
}

/// Processes a batch; answers with the records that must come again. `deadline` is when Lambda kills this invocation.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
    let hand_back = |record: SqsMessage| async move {
        // Visible again at once: the queue still holds it back while the one before it in its group is hidden.
        attempt::come_back(deps, &record, deps.clock.now()).await;
    };
    run_fifo(event, |record| attempt::process(deps, record, deadline), hand_back).await
}
