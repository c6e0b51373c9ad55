//! Every five minutes: tokens whose daily visit is due are asked what they are worth, renewed before they end, and replaced only by one that was
//! proved. What cannot be renewed becomes an alert in time (`facts/onboarding.md` §10.2). A dead token stops sending, never receiving.

mod look;
mod visit;

use shared::aws::AwsConfig;
use shared::clock::{SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::ids::{ClaimId, WabaId};
use shared::provider::meta::graph::{self, ClientUnavailable, GraphClient};
use shared::storage::{StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::{Vault, VaultError};

/// Tokens visited in one run: each takes a call or three of a second; the rest comes an hour later.
const VISITS: u16 = 100;
/// The lease of a run: longer than the function's timeout.
const LEASE: SignedDuration = SignedDuration::from_mins(11);
/// What the lease is called.
const JOB: &str = "token-refresh";
/// When a token that could not be visited is visited again.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// The names this function is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key.
    pub key_id: String,
    /// Scheme and host of Graph.
    pub graph_url: String,
    /// Version of Graph, such as `v25.0`.
    pub graph_version: String,
    /// Scheme and host under which Meta reaches this installation; without it nobody knows whether callback URLs are ours.
    pub public_url: Option<String>,
    /// Scheme and host of the webhooks' own door, where they have one (a function URL).
    pub webhook_url: Option<String>,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, and optionally `PUBLIC_URL`, `WEBHOOK_URL`, `META_GRAPH_URL` and `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            graph_url: config::optional("META_GRAPH_URL").unwrap_or_else(|| graph::PUBLIC_URL.to_owned()),
            graph_version: config::optional("META_GRAPH_VERSION").unwrap_or_else(|| graph::DEFAULT_VERSION.to_owned()),
            public_url: config::optional("PUBLIC_URL"),
            webhook_url: config::optional("WEBHOOK_URL"),
        })
    }
}

/// What this function may use.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    vault: Vault,
    graph: GraphClient,
    doors: reqwest::Client,
    public_url: Option<String>,
    webhook_url: Option<String>,
    metrics: Metrics,
}

impl Deps {
    /// Builds the clients, once.
    ///
    /// # Errors
    /// When the Graph client cannot set up TLS.
    pub fn new(aws: &AwsConfig, config: &Config, metrics: Metrics) -> Result<Self, ClientUnavailable> {
        Ok(Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            vault: Vault::new(aws.kms(), config.key_id.clone()).counting(&metrics),
            graph: GraphClient::new(&config.graph_url, &config.graph_version)?,
            doors: graph::plain_client()?,
            public_url: config.public_url.clone(),
            webhook_url: config.webhook_url.clone(),
            metrics,
        })
    }
}

/// Why a token was not visited to the end, or a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The table.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// KMS.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Visits one account now, whether or not it is due: what an operator does who looks for a fault.
///
/// # Errors
/// What keeps it from being visited.
pub async fn visit_now(deps: &Deps, account: &WabaId, now: Timestamp) -> Result<(), RefreshError> {
    visit::visit(deps, account, now).await
}

/// One run, unless another one is under way. A token that cannot be visited does not stop the others.
///
/// # Errors
/// The last trouble met, after everything else was tried.
pub async fn run(deps: &Deps, now: Timestamp) -> Result<(), RefreshError> {
    let after = |wait| now.checked_add(wait).unwrap_or(Timestamp::MAX);
    let holder = ClaimId::generate(now).map_err(StorageError::from)?.to_string();
    if !deps.table.take_lease(JOB, &holder, after(LEASE), now).await? {
        return Ok(());
    }
    let mut trouble = None;
    for account in deps.table.tokens_due(now, VISITS).await? {
        // On the heap: a thread's stack may be small.
        if let Err(error) = Box::pin(visit::visit(deps, &account, now)).await {
            tracing::error!(event = "token_refresh.not_visited", %error);
            deps.metrics.count("token_refresh", "failed", 1);
            deps.table.visit_token_again(&account, after(AGAIN)).await?;
            trouble = Some(error);
        }
    }
    deps.table.give_back(JOB, &holder).await?;
    deps.metrics.count("heartbeat", "token-refresh", 1);
    trouble.map_or(Ok(()), Err)
}
