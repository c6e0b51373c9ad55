//! Front door for Meta's webhooks: verify the signature, enqueue, answer 200. Nothing is parsed, and nothing runs after
//! the response.
//!
//! * `GET /webhooks/meta/{app}`: Meta's handshake, which checks that the URL is ours (module `verify`).
//! * `POST /webhooks/meta/{app}`: body limit, signature over the raw bytes, durable enqueue, 200.
//!
//! The function may read only Meta app records from the table, and may decrypt only with purpose `app`.

mod aws_gateway;
mod receive;
mod verify;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::Clock;
use shared::config::{self, ConfigError};
use shared::domain::accounts::app::MetaApp;
use shared::domain::ids::MetaAppId;
use shared::limits::CACHE_FOR;
use shared::telemetry::Metrics;

use aws_gateway::AwsGateway;

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key that sealed the app record.
    pub key_id: String,
    /// The inbound queue.
    pub inbound_queue_url: String,
    /// The bucket for bodies too large for the queue.
    pub bucket: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `INBOUND_QUEUE_URL` and `BUCKET_NAME`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            inbound_queue_url: config::required("INBOUND_QUEUE_URL")?,
            bucket: config::required("BUCKET_NAME")?,
        })
    }
}

/// Clients and caches of this function.
#[derive(Debug)]
pub struct Deps {
    door: AwsGateway,
    clock: Clock,
    metrics: Metrics,
    apps: Cache<MetaAppId, MetaApp>,
}

impl Deps {
    /// Builds the clients. Called once per process.
    #[must_use]
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Self {
        Self {
            door: AwsGateway::new(aws.direct(), config, &metrics),
            apps: Cache::keeping_stale(clock.clone(), CACHE_FOR),
            clock,
            metrics,
        }
    }

    /// Opens the connection to SQS during Lambda's initialisation, so that the first webhook does not wait for TLS. A
    /// failure only makes the first webhook slower.
    pub async fn warm_up(&self) {
        if self.door.touch().await.is_err() {
            tracing::info!(event = "webhook.not_warmed");
        }
    }

    /// Returns the app with this name, cached for five minutes, and longer while AWS does not answer.
    async fn app(&self, name: &str) -> Result<Option<MetaApp>, Unavailable> {
        let Ok(id) = MetaAppId::parse(name) else { return Ok(None) };
        let fetch = async { self.door.app(&id).await.map_err(|error| Unavailable::log("app", &error)) };
        self.apps.get(&id, fetch).await
    }
}

/// AWS did not answer. Meta receives 503 and sends the webhook again.
#[derive(Debug)]
struct Unavailable;

impl Unavailable {
    fn log(what: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(event = "webhook.unavailable", what, %error);
        Self
    }
}

/// Returns the router of this function.
pub fn router(deps: Deps) -> Router {
    let door = get(verify::verify).head(|| async { StatusCode::METHOD_NOT_ALLOWED }).post(receive::receive);
    Router::new().route("/webhooks/meta/{app}", door).with_state(Arc::new(deps))
}
