//! JSON API. The tenant is derived from the API key alone. Resources of other tenants are answered as if they did not
//! exist.
//!
//! [`routes`] lists the routes; `docs/openapi.json` describes them.

mod alerts;
mod broadcasts;
mod conversations;
mod docs;
mod keys;
mod lifecycle;
mod media;
mod messages;
mod numbers;
mod replays;
pub mod routes;
mod usage;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use shared::api::{Access, Guarded, guard};
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::{Clock, SignedDuration};
use shared::config::{self, ConfigError};
use shared::domain::accounts::number::Number;
use shared::domain::ids::NumberId;
use shared::domain::sending::pacing::Pace;
use shared::domain::sending::policy::NumberStatus;
use shared::http::Problem;
use shared::limits::{CACHE_FOR, UPLOAD_MAX};
use shared::provider::meta::graph::GraphEndpoint;
use shared::queue::Queue;
use shared::storage::{Archive, Table};
use shared::telemetry::Metrics;
use shared::vault::Vault;

/// Longest delay before accepting a message notices a ban or a lost token. `send-message` checks again before it sends.
const STANDING_CACHE_FOR: SignedDuration = SignedDuration::from_secs(15);

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key that sealed the pepper.
    pub key_id: String,
    /// The outbound queue.
    pub outbound_queue_url: String,
    /// The inbound queue, which also carries replays.
    pub inbound_queue_url: String,
    /// The release queue, notified when an empty bulk lane receives work.
    pub release_queue_url: String,
    /// The onboarding queue.
    pub onboarding_queue_url: String,
    /// The bucket with files to send and recipients of broadcasts.
    pub bucket: String,
    /// Graph API version for the signup popup, such as `v25.0`.
    pub graph_version: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `OUTBOUND_QUEUE_URL`, `INBOUND_QUEUE_URL`, `RELEASE_QUEUE_URL`,
    /// `ONBOARDING_QUEUE_URL` and `BUCKET_NAME`, and optionally `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            outbound_queue_url: config::required("OUTBOUND_QUEUE_URL")?,
            inbound_queue_url: config::required("INBOUND_QUEUE_URL")?,
            release_queue_url: config::required("RELEASE_QUEUE_URL")?,
            onboarding_queue_url: config::required("ONBOARDING_QUEUE_URL")?,
            bucket: config::required("BUCKET_NAME")?,
            graph_version: GraphEndpoint::from_env().version,
        })
    }
}

/// Clients and caches of this function.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    access: Access,
    outbound: Queue,
    inbound: Queue,
    release: Queue,
    onboarding: Queue,
    graph_version: String,
    files: Archive,
    clock: Clock,
    metrics: Metrics,
    numbers: Cache<NumberId, Number>,
    standings: Cache<NumberId, NumberStatus>,
    paces: Cache<NumberId, Pace>,
}

impl Deps {
    /// Builds the clients. Called once per process.
    #[must_use]
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Self {
        let table = Table::new(aws.dynamodb(), config.table.clone());
        let vault = Vault::new(aws.direct(), config.key_id.clone()).counting(&metrics);
        Self {
            access: Access::new(table.clone(), vault, clock.clone(), metrics.clone()),
            table,
            outbound: Queue::new(aws.sqs(), config.outbound_queue_url.clone()),
            inbound: Queue::new(aws.sqs(), config.inbound_queue_url.clone()),
            release: Queue::new(aws.sqs(), config.release_queue_url.clone()),
            onboarding: Queue::new(aws.sqs(), config.onboarding_queue_url.clone()),
            graph_version: config.graph_version.clone(),
            files: Archive::new(aws.direct(), config.bucket.clone()),
            metrics,
            standings: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            paces: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            numbers: Cache::strict(clock.clone(), CACHE_FOR),
            clock,
        }
    }
}

impl Guarded for Deps {
    fn access(&self) -> &Access {
        &self.access
    }
}

/// Returns the router of this function.
pub fn router(deps: Deps) -> Router {
    let deps = Arc::new(deps);
    routes::routes()
        .route_layer(middleware::from_fn_with_state(deps.clone(), guard::<Deps>))
        .merge(docs::routes())
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not supported here.")
        })
        .layer(DefaultBodyLimit::max(UPLOAD_MAX))
        .with_state(deps)
}
