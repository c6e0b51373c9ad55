//! Public endpoints for signups and for Meta's user callbacks. The caller is a tenant's customer without an API key;
//! the onboarding's one-time state authorises the request.
//!
//! * `POST /v1/onboardings/{id}/finish`: receives the popup's result. The code is exchanged within this request,
//!   because it is valid for 30 seconds. The token is encrypted and stored before it is checked; the `onboarding`
//!   function runs the remaining steps.
//! * `GET /signup/{id}`, `POST /v1/onboardings/{id}/open`: the signup page behind a shareable link.
//! * `POST /webhooks/meta/{app}/deauthorize`, `…/deletion`, `GET /deletions/{code}`: Meta's callbacks about users.

mod callbacks;
mod exchange;
mod finish;
mod origin;
mod page;
mod prove;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware;
use axum::routing::{get, post};
use shared::aws::AwsConfig;
use shared::clock::Clock;
use shared::config::{self, ConfigError};
use shared::http::Problem;
use shared::provider::meta::graph::{ClientUnavailable, GraphClient, GraphEndpoint};
use shared::queue::Queue;
use shared::storage::Table;
use shared::telemetry::Metrics;
use shared::vault::Vault;

/// Largest body in bytes; a code with the popup's message takes a few hundred.
const BODY_MAX: usize = 64 * 1024;

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key for tokens and app secrets.
    pub key_id: String,
    /// The onboarding queue.
    pub onboarding_queue_url: String,
    /// Host and version of the Graph API.
    pub graph: GraphEndpoint,
    /// Scheme and host under which browsers and Meta reach this installation. Default: the host of the request.
    pub public_url: Option<String>,
    /// URL of a simulated JavaScript SDK, loaded by the page instead of Meta's.
    pub sdk_url: Option<String>,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `ONBOARDING_QUEUE_URL`, and optionally `PUBLIC_URL`, `META_GRAPH_URL`,
    /// `META_GRAPH_VERSION` and `META_SDK_URL`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            onboarding_queue_url: config::required("ONBOARDING_QUEUE_URL")?,
            graph: GraphEndpoint::from_env(),
            public_url: config::optional("PUBLIC_URL"),
            sdk_url: config::optional("META_SDK_URL"),
        })
    }
}

/// Clients and configuration of this function.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    vault: Vault,
    onboarding: Queue,
    graph: GraphClient,
    graph_version: String,
    public_url: Option<String>,
    sdk_url: Option<String>,
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
            onboarding: Queue::new(aws.sqs(), config.onboarding_queue_url.clone()),
            graph: GraphClient::new(&config.graph)?,
            graph_version: config.graph.version.clone(),
            public_url: config.public_url.clone(),
            sdk_url: config.sdk_url.clone(),
            clock,
            metrics,
        })
    }
}

/// OpenAPI description of the endpoint that belongs to the API.
#[derive(utoipa::OpenApi)]
#[openapi(paths(finish::finish))]
struct Described;

/// OpenAPI description of the endpoint that belongs to the API.
#[must_use]
pub fn described() -> utoipa::openapi::OpenApi {
    <Described as utoipa::OpenApi>::openapi()
}

/// Returns the router of this function.
pub fn router(deps: Deps) -> Router {
    let deps = Arc::new(deps);
    Router::new()
        .route("/v1/onboardings/{id}/finish", post(finish::finish).options(nothing))
        .route("/v1/onboardings/{id}/open", post(page::open))
        .layer(middleware::from_fn_with_state(deps.clone(), origin::check))
        .route("/signup/{id}", get(page::page))
        .route("/webhooks/meta/{app}/deauthorize", post(callbacks::deauthorize))
        .route("/webhooks/meta/{app}/deletion", post(callbacks::deletion))
        .route("/deletions/{code}", get(callbacks::deletion_status))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(deps)
}

/// Answers a CORS preflight from our own page. `origin::check` answers preflights from other pages.
async fn nothing() -> axum::http::StatusCode {
    axum::http::StatusCode::NO_CONTENT
}

/// Problem for a failed call to AWS. The request may be repeated.
fn unavailable(what: &'static str, error: &dyn std::error::Error) -> Problem {
    tracing::error!(event = "signup.unavailable", what, %error);
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Part of the service did not respond.")
        .remedy("Repeat the same request.")
}
