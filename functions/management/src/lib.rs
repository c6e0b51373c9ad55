//! Management of resources at Meta: templates, profiles, QR codes, blocked customers, and numbers connected by hand.
//! The only function behind the API that may decrypt an account's token; it reads no messages.

mod account;
mod apps;
mod billing;
mod blocks;
mod described;
mod files;
mod links;
mod numbers;
mod profile;
pub mod routes;
mod samples;
mod templates;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use shared::api::{Access, Guarded, guard};
use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::config::{self, ConfigError};
use shared::limits::UPLOAD_MAX;
use shared::provider::meta::graph::{ClientUnavailable, GraphClient, GraphEndpoint};
use shared::storage::{Archive, Table};
use shared::telemetry::Metrics;
use shared::vault::Vault;

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key for tokens and app secrets.
    pub key_id: String,
    /// The bucket with copies of files sent by customers.
    pub bucket: String,
    /// Host and version of the Graph API.
    pub graph: GraphEndpoint,
    /// Scheme and host under which Meta reaches this installation. Default: the host of the request.
    pub public_url: Option<String>,
    /// Scheme and host of the webhook's function URL, if it has one.
    pub webhook_url: Option<String>,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `BUCKET_NAME`, and optionally `PUBLIC_URL`, `WEBHOOK_URL`, `META_GRAPH_URL` and
    /// `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            bucket: config::required("BUCKET_NAME")?,
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
    access: Access,
    files: Archive,
    graph: GraphClient,
    clock: Clock,
    public_url: Option<String>,
    webhook_url: Option<String>,
}

impl Guarded for Deps {
    fn access(&self) -> &Access {
        &self.access
    }
}

impl Deps {
    /// Builds the clients. Called once per process.
    ///
    /// # Errors
    /// When the Graph client cannot set up TLS.
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Result<Self, ClientUnavailable> {
        let table = Table::new(aws.dynamodb(), config.table.clone());
        let vault = Vault::new(aws.direct(), config.key_id.clone()).counting(&metrics);
        Ok(Self {
            access: Access::new(table.clone(), vault.clone(), clock.clone(), metrics),
            table,
            vault,
            files: Archive::new(aws.direct(), config.bucket.clone()),
            graph: GraphClient::new(&config.graph)?,
            clock,
            public_url: config.public_url.clone(),
            webhook_url: config.webhook_url.clone(),
        })
    }
}

/// Returns the router of this function.
pub fn router(deps: Deps) -> Router {
    let deps = Arc::new(deps);
    routes::routes()
        .route_layer(middleware::from_fn_with_state(deps.clone(), guard::<Deps>))
        .layer(DefaultBodyLimit::max(UPLOAD_MAX))
        .with_state(deps)
}
