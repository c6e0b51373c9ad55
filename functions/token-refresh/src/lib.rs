//! Checks access tokens once per day and renews them; runs every five minutes for tokens that are due. A token is
//! replaced only by a checked one. If it cannot be renewed, an alert is raised in time
//! (`docs/meta/onboarding.md#section-10-2`). A dead token stops sending, but never receiving.

mod health;
mod token;

use shared::aws::AwsConfig;
use shared::clock::{SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::ids::{ClaimId, WabaId};
use shared::provider::meta::graph::{self, ClientUnavailable, GraphClient, GraphEndpoint};
use shared::storage::{StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::{Vault, VaultError};

/// Tokens checked per run; each takes one to three calls of about a second. The others follow in the next runs.
const CHECKS_MAX: u16 = 100;
/// Lease of a run, longer than the function's timeout.
const LEASE: SignedDuration = SignedDuration::from_mins(11);
/// Name of the lease.
const JOB: &str = "token-refresh";
/// Delay after a failed check.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key for tokens and app secrets.
    pub key_id: String,
    /// Host and version of the Graph API.
    pub graph: GraphEndpoint,
    /// Scheme and host under which Meta reaches this installation. Without it and `webhook_url`, callback URLs cannot
    /// be checked.
    pub public_url: Option<String>,
    /// Scheme and host of the webhook's function URL, if it has one.
    pub webhook_url: Option<String>,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, and optionally `PUBLIC_URL`, `WEBHOOK_URL`, `META_GRAPH_URL` and
    /// `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            graph: GraphEndpoint::from_env(),
            public_url: config::optional("PUBLIC_URL"),
            webhook_url: config::optional("WEBHOOK_URL"),
        })
    }
}

/// Clients and configuration of this function.
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
    /// Builds the clients. Called once per process.
    ///
    /// # Errors
    /// When the Graph client cannot set up TLS.
    pub fn new(aws: &AwsConfig, config: &Config, metrics: Metrics) -> Result<Self, ClientUnavailable> {
        Ok(Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            vault: Vault::new(aws.direct(), config.key_id.clone()).counting(&metrics),
            graph: GraphClient::new(&config.graph)?,
            doors: graph::plain_client()?,
            public_url: config.public_url.clone(),
            webhook_url: config.webhook_url.clone(),
            metrics,
        })
    }
}

/// Reason why a check was not finished or a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The table.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An error of KMS.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Checks one account now, even if it is not due. For operators who investigate a fault.
///
/// # Errors
/// When the table or KMS does not answer.
pub async fn check_account(deps: &Deps, account: &WabaId, now: Timestamp) -> Result<(), RefreshError> {
    token::check_token(deps, account, now).await
}

/// Runs the due checks, unless another run is in progress. A failed check does not stop the others.
///
/// # Errors
/// The last error, after all other tokens were tried.
pub async fn run(deps: &Deps, now: Timestamp) -> Result<(), RefreshError> {
    let after = |wait| shared::clock::after(now, wait);
    let holder = ClaimId::generate(now).map_err(StorageError::from)?.to_string();
    if !deps.table.lease_take(JOB, &holder, after(LEASE), now).await? {
        return Ok(());
    }
    let mut trouble = None;
    for account in deps.table.token_list_due(now, CHECKS_MAX).await? {
        // Boxed, because a thread's stack may be small.
        if let Err(error) = Box::pin(token::check_token(deps, &account, now)).await {
            tracing::error!(event = "token_refresh.not_checked", %error);
            deps.metrics.count("token_refresh", "failed", 1);
            deps.table.token_check_later(&account, after(AGAIN)).await?;
            trouble = Some(error);
        }
    }
    deps.table.pace_give_back(JOB, &holder).await?;
    deps.metrics.count("heartbeat", "token-refresh", 1);
    trouble.map_or(Ok(()), Err)
}
