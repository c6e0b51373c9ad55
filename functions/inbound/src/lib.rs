//! From the inbound queue to facts in the table.
//!
//! A batch is archived as it came, then each record is read leniently and every item of it is merged into the table.
//! A record is acknowledged only when everything it says is stored; doing it again changes nothing.

mod account;
mod apply;
mod books;
mod record;
mod replay;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use books::Books;
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::{Clock, SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::contact::Alias;
use shared::domain::health::Seen;
use shared::domain::ids::{PhoneNumberId, TenantId};
use shared::domain::number::Number;
use shared::limits::CACHE_FOR;
use shared::queue::{Outcome, Queue, come_again, run_standard};
use shared::storage::{Archive, Resolved, Table};
use shared::telemetry::Metrics;
use shared::vault::Vault;

/// How long it is remembered that something was noted as received: the hour that it is noted for.
const SEEN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// The names this function is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key that sealed the callback MAC key.
    pub key_id: String,
    /// The bucket of the raw archive.
    pub bucket: String,
    /// The inbound queue: what one invocation cannot end, and what is read again.
    pub inbound_queue_url: String,
    /// The onboarding queue: an account was shared through a hosted signup.
    pub onboarding_queue_url: String,
    /// Where its records go that failed too often.
    pub dead_letters_url: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `BUCKET_NAME`, `INBOUND_QUEUE_URL`, `ONBOARDING_QUEUE_URL` and `INBOUND_DEAD_LETTERS_URL`.
    ///
    /// # Errors
    /// Names the variable that is missing.
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

/// What this function may use.
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
    numbers: Cache<PhoneNumberId, Number>,
    contacts: Cache<(TenantId, Vec<Alias>), Resolved>,
    seen: Cache<(PhoneNumberId, Seen, Timestamp), ()>,
    callback_mac: shared::keyring::Remembered,
}

impl Deps {
    /// Builds the clients, once.
    #[must_use]
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Self {
        Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            vault: Vault::new(aws.kms(), config.key_id.clone()).counting(&metrics),
            archive: Archive::new(aws.s3(), config.bucket.clone()),
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

/// Processes a batch; answers with the records that must come again. `deadline` is when Lambda kills this invocation:
/// what is not begun well before it comes again by itself, and does not take down what is done.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
    let records = event.records.len();
    let archived = record::archive(deps, &event).await;
    let all: Vec<String> = event.records.iter().filter_map(|record| record.message_id.clone()).collect();
    let books = &Books::default();
    let mut response = run_standard(event, &deps.metrics, |record| async move {
        if !archived {
            return Outcome::Failed;
        }
        // On the heap: a thread's stack may be small, and eight of these are under way at once.
        Box::pin(record::process(deps, books, record, deadline)).await
    })
    .await;
    if let Err(error) = Box::pin(books.close(deps)).await {
        // Nobody knows any more what was noted for which record: all come again, and change nothing but that.
        tracing::error!(event = "inbound.not_noted", %error);
        let counted = response.batch_item_failures.len();
        deps.metrics.count("record_failed", "not_noted", all.len().saturating_sub(counted) as u64);
        response = come_again(all);
    }
    tracing::info!(event = "inbound.batch", records, failed = response.batch_item_failures.len());
    response
}
