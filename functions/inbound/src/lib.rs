//! Processes webhooks from the inbound queue and stores their facts in the table.
//!
//! A batch is archived unchanged. Then each record is parsed leniently, and each of its items is merged into the table.
//! A record is acknowledged only when all its items are stored. Processing a record again changes nothing.

mod archive;
mod contacts;
mod dispatch;
mod effects;
mod messages;
mod outcome;
mod quarantine;
mod record;
mod replay;
mod states;
mod statuses;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use effects::BatchEffects;
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::{Clock, SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::accounts::health::Seen;
use shared::domain::accounts::number::Number;
use shared::domain::conversations::contact::Alias;
use shared::domain::ids::{NumberId, TenantId};
use shared::limits::CACHE_FOR;
use shared::queue::{Outcome, Queue, come_again, run_standard};
use shared::storage::{Archive, Resolved, Table};
use shared::telemetry::Metrics;
use shared::vault::Vault;

/// Lifetime of the cache of recorded receipts (`seen`): one hour, the period that one record covers.
const SEEN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key that sealed the callback MAC key.
    pub key_id: String,
    /// The bucket of the raw archive.
    pub bucket: String,
    /// The inbound queue, for the rest of a large record and for replays.
    pub inbound_queue_url: String,
    /// The onboarding queue, for accounts shared through a hosted signup.
    pub onboarding_queue_url: String,
    /// The dead-letter queue of the inbound queue.
    pub dead_letters_url: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `BUCKET_NAME`, `INBOUND_QUEUE_URL`, `ONBOARDING_QUEUE_URL` and
    /// `INBOUND_DEAD_LETTERS_URL`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            bucket: config::required("BUCKET_NAME")?,
            inbound_queue_url: config::required("INBOUND_QUEUE_URL")?,
            onboarding_queue_url: config::required("ONBOARDING_QUEUE_URL")?,
            dead_letters_url: config::required("INBOUND_DEAD_LETTERS_URL")?,
        })
    }
}

/// Clients and caches of this function.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    vault: Vault,
    archive: Archive,
    inbound: Queue,
    onboarding: Queue,
    dead_letters: Queue,
    clock: Clock,
    metrics: Metrics,
    numbers: Cache<NumberId, Number>,
    contacts: Cache<(TenantId, Vec<Alias>), Resolved>,
    seen: Cache<(NumberId, Seen, Timestamp), ()>,
    callback_mac: shared::keyring::Remembered,
}

impl Deps {
    /// Builds the clients. Called once per process.
    #[must_use]
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Self {
        Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            vault: Vault::new(aws.direct(), config.key_id.clone()).counting(&metrics),
            archive: Archive::new(aws.direct(), config.bucket.clone()),
            inbound: Queue::new(aws.sqs(), config.inbound_queue_url.clone()),
            onboarding: Queue::new(aws.sqs(), config.onboarding_queue_url.clone()),
            dead_letters: Queue::new(aws.sqs(), config.dead_letters_url.clone()),
            metrics,
            contacts: Cache::strict(clock.clone(), CACHE_FOR),
            seen: Cache::strict(clock.clone(), SEEN_FOR),
            numbers: Cache::strict(clock.clone(), CACHE_FOR),
            callback_mac: Cache::keeping_stale(clock.clone(), CACHE_FOR),
            clock,
        }
    }
}

/// Processes a batch and returns the records to redeliver.
///
/// `deadline` is the time at which Lambda ends this invocation. Work that cannot start well before it is redelivered,
/// and finished work stays acknowledged.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
    let records = event.records.len();
    let archived = archive::archive(deps, &event).await;
    let all: Vec<String> = event.records.iter().filter_map(|record| record.message_id.clone()).collect();
    let effects = &BatchEffects::default();
    let mut response = run_standard(event, &deps.metrics, |record| async move {
        if !archived {
            return Outcome::Failed;
        }
        // Boxed, because a thread's stack may be small and up to `BATCH_CONCURRENCY` (10) of these futures run at once.
        Box::pin(record::process(deps, effects, record, deadline)).await
    })
    .await;
    if let Err(error) = Box::pin(effects.write(deps)).await {
        // Effects cannot be attributed to single records, so the whole batch is redelivered; only the missing effects
        // change.
        tracing::error!(event = "inbound.not_noted", %error);
        let counted = response.batch_item_failures.len();
        deps.metrics.count("record_failed", "not_noted", all.len().saturating_sub(counted) as u64);
        response = come_again(all);
    }
    tracing::info!(event = "inbound.batch", records, failed = response.batch_item_failures.len());
    response
}
