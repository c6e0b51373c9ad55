//! Our JSON API. The tenant comes from the API key and from nowhere else; what belongs to another tenant is answered as
//! if it did not exist.
//!
//! * `GET /v1/conversations`: a tenant's conversations, the latest activity first.
//! * `GET /v1/conversations/{id}/messages`: one conversation, the newest message first.
//! * `GET /v1/conversations/{id}`: one conversation with what its contact wants to get.
//! * `POST /v1/messages`: accepts a message to send; 202 once it is stored.
//! * `GET /v1/conversations/{id}/messages/{message}`, `POST …/cancel`, `…/settle`: one message of ours.
//! * `GET /v1/conversations/{id}/send-options`, `POST …/read`: what may be sent now; read receipts and typing.
//! * `POST /v1/media`: a file to send.
//! * `POST /v1/broadcasts` and below: a template to many recipients.
//! * `PUT /v1/numbers/{id}/fallback-template`: what is sent instead of a message that comes too late.
//! * `GET /v1/numbers`, `/v1/numbers/{id}`, `/v1/numbers/{id}/templates`, `/v1/numbers/{id}/kept`: numbers, the states of
//!   number, account and templates, and what was kept raw for a number.
//! * `GET /v1/numbers/{id}/conversation?phone=…`: what is known of a contact, whether or not a message was written.
//! * `GET /v1/alerts`: where somebody must act.
//! * `GET /v1/merges`, `POST /v1/merges/{one}/{other}/undo`: contacts that turned out to be one person.
//! * `POST /v1/onboardings`, `GET /v1/onboardings/{id}`, `POST …/retry`, `…/choose`: a number is connected.
//! * `/v1/tenants`, `/v1/keys`, `/v1/audit`: who may do what.
//! * `POST /v1/offboardings`, `GET …/{id}`: a business leaves.
//! * `POST /v1/replays`, `GET /v1/replays/{id}`: what was received is read again.

mod alerts;
mod auth;
mod broadcast;
mod broadcasts;
mod conversations;
mod fallback;
mod health;
mod json;
mod keys;
mod media;
mod merges;
mod message;
mod messages;
mod numbers;
mod offboardings;
mod onboardings;
mod policy;
mod read;
mod replays;
mod request;
mod send;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::{Clock, SignedDuration};
use shared::config::{self, ConfigError};
use shared::domain::ids::PhoneNumberId;
use shared::domain::number::Number;
use shared::domain::pacing::Pace;
use shared::domain::policy::Standing;
use shared::domain::tenant::ApiKeyRecord;
use shared::http::Problem;
use shared::limits::{API_BODY_MAX, API_KEY_CACHE_FOR, CACHE_FOR, UPLOAD_MAX};
use shared::provider::meta::graph;
use shared::queue::Queue;
use shared::secret::Secret;
use shared::storage::{Archive, StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::Vault;

pub use auth::{ApiKey, hash};

/// How late a ban or a lost token is seen when a message is accepted: the worker asks again.
const STANDING_CACHE_FOR: SignedDuration = SignedDuration::from_secs(15);

/// The names this function is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key that sealed the pepper.
    pub key_id: String,
    /// The outbound queue.
    pub outbound_queue_url: String,
    /// The inbound queue: replays are walked there.
    pub inbound_queue_url: String,
    /// The release queue: a bulk lane that was empty is told that it is not.
    pub release_queue_url: String,
    /// The onboarding queue.
    pub onboarding_queue_url: String,
    /// The bucket: files to send, recipients of broadcasts.
    pub bucket: String,
    /// Version of Graph that the signup popup is to use, such as `v25.0`.
    pub graph_version: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `OUTBOUND_QUEUE_URL`, `INBOUND_QUEUE_URL`, `RELEASE_QUEUE_URL`,
    /// `ONBOARDING_QUEUE_URL` and `BUCKET_NAME`, and optionally `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            outbound_queue_url: config::required("OUTBOUND_QUEUE_URL")?,
            inbound_queue_url: config::required("INBOUND_QUEUE_URL")?,
            release_queue_url: config::required("RELEASE_QUEUE_URL")?,
            onboarding_queue_url: config::required("ONBOARDING_QUEUE_URL")?,
            bucket: config::required("BUCKET_NAME")?,
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
    inbound: Queue,
    release: Queue,
    onboarding: Queue,
    graph_version: String,
    files: Archive,
    clock: Clock,
    metrics: Metrics,
    keys: Cache<String, ApiKeyRecord>,
    numbers: Cache<PhoneNumberId, Number>,
    standings: Cache<PhoneNumberId, Standing>,
    paces: Cache<PhoneNumberId, Pace>,
    pepper: Cache<(), Arc<Secret>>,
}

impl Deps {
    /// Builds the clients, once.
    #[must_use]
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Self {
        Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            vault: Vault::new(aws.kms(), config.key_id.clone()),
            outbound: Queue::new(aws.sqs(), config.outbound_queue_url.clone()),
            inbound: Queue::new(aws.sqs(), config.inbound_queue_url.clone()),
            release: Queue::new(aws.sqs(), config.release_queue_url.clone()),
            onboarding: Queue::new(aws.sqs(), config.onboarding_queue_url.clone()),
            graph_version: config.graph_version.clone(),
            files: Archive::new(aws.s3(), config.bucket.clone()),
            metrics,
            standings: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            paces: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            keys: Cache::strict(clock.clone(), API_KEY_CACHE_FOR),
            numbers: Cache::strict(clock.clone(), CACHE_FOR),
            pepper: Cache::keeping_stale(clock.clone(), CACHE_FOR),
            clock,
        }
    }
}

/// The routes of this function.
pub fn router(deps: Deps) -> Router {
    Router::new()
        .route("/v1/conversations", get(conversations::list))
        .route("/v1/conversations/{id}/messages", get(messages::list))
        .route("/v1/conversations/{id}/messages/{message}", get(message::get))
        .route("/v1/conversations/{id}/messages/{message}/cancel", post(message::cancel))
        .route("/v1/conversations/{id}/messages/{message}/settle", post(message::settle))
        .route("/v1/conversations/{id}/read", post(read::read))
        .route("/v1/conversations/{id}/send-options", get(policy::options))
        .route("/v1/conversations/{id}", get(conversations::get))
        .route("/v1/messages", post(send::send))
        .route("/v1/media", post(media::upload).layer(DefaultBodyLimit::max(UPLOAD_MAX)))
        .route("/v1/media/{id}", get(media::get))
        .route(
            "/v1/broadcasts",
            get(broadcast::list).merge(post(broadcasts::create).layer(DefaultBodyLimit::max(UPLOAD_MAX))),
        )
        .route("/v1/broadcasts/{id}", get(broadcast::get))
        .route("/v1/broadcasts/{id}/recipients", get(broadcast::recipients))
        .route("/v1/broadcasts/{id}/pause", post(broadcast::pause))
        .route("/v1/broadcasts/{id}/resume", post(broadcast::resume))
        .route("/v1/broadcasts/{id}/cancel", post(broadcast::cancel))
        .route("/v1/numbers/{id}/fallback-template", put(fallback::put).delete(fallback::delete))
        .route("/v1/numbers", get(numbers::list))
        .route("/v1/numbers/{id}", get(numbers::get))
        .route("/v1/numbers/{id}/health", get(health::get).post(health::look))
        .route("/v1/numbers/{id}/conversation", get(numbers::conversation))
        .route("/v1/numbers/{id}/templates", get(numbers::templates))
        .route("/v1/numbers/{id}/kept", get(numbers::kept))
        .route("/v1/alerts", get(alerts::list))
        .route("/v1/merges", get(merges::list))
        .route("/v1/merges/{one}/{other}/undo", post(merges::undo))
        .route("/v1/onboardings", get(onboardings::list).post(onboardings::start))
        .route("/v1/onboardings/{id}", get(onboardings::get))
        .route("/v1/onboardings/{id}/retry", post(onboardings::retry))
        .route("/v1/onboardings/{id}/choose", post(onboardings::choose))
        .route("/v1/tenants", get(keys::tenants).post(keys::create_tenant))
        .route("/v1/tenants/{id}", get(keys::tenant))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", axum::routing::delete(keys::revoke))
        .route("/v1/audit", get(keys::audit))
        .route("/v1/offboardings", get(offboardings::list).post(offboardings::start))
        .route("/v1/offboardings/{id}", get(offboardings::get))
        .route("/v1/replays", post(replays::start))
        .route("/v1/replays/{id}", get(replays::get))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This resource has no such method.",
            )
        })
        .layer(DefaultBodyLimit::max(API_BODY_MAX))
        .with_state(Arc::new(deps))
}

/// A storage failure as an answer. A cursor of another list is the caller's mistake, the rest is ours.
fn storage_problem(error: &StorageError) -> Problem {
    if *error == StorageError::BadCursor {
        return Problem::invalid("cursor", "must be a next_cursor that this list gave out");
    }
    tracing::error!(event = "api.unavailable", %error);
    Problem::unavailable()
}
