//! The bulk lane: releases waiting messages of a number on its schedule, after live messages, in chunks of 0.1 seconds.
//!
//! A lease ensures one releaser per number. It reserves slots just before they are due, so that live messages always
//! find the schedule near the present. It continues until the lane is empty or time runs out, and then enqueues its
//! continuation. A lost releaser costs a minute, until the sweep requests another.

mod broadcasts;
mod line;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::{Clock, SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::accounts::number::Number;
use shared::domain::ids::{ClaimId, NumberId};
use shared::domain::sending::pacing::{self, Pace};
use shared::domain::sending::policy::NumberStatus;
use shared::limits::CACHE_FOR;
use shared::queue::{OutboundWork, Outcome, Queue, QueueError, ReleaseJob, run_standard};
use shared::storage::{Archive, ArchiveError, Reserved, StorageError, Table};
use shared::telemetry::Metrics;

use broadcasts::Broadcasts;

/// Minimum time left for releasing another chunk. Enqueuing takes milliseconds.
const CHUNK_NEEDS: SignedDuration = SignedDuration::from_secs(5);
/// Lease of a releaser for its number.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// Interval of renewing the lease.
const RENEW: SignedDuration = SignedDuration::from_secs(10);
/// Longest assumed delay of the index. A lane that looks empty for longer is empty.
const INDEX_LAG: SignedDuration = SignedDuration::from_secs(60);
/// Delay in seconds before an apparently empty lane is checked again.
const LOOK_AGAIN: i64 = 20;
/// Longest delay before a releaser notices the upgrade of a number.
const STANDING_CACHE_FOR: SignedDuration = SignedDuration::from_mins(1);

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The outbound queue.
    pub outbound_queue_url: String,
    /// The release queue, for work beyond one invocation.
    pub release_queue_url: String,
    /// The bucket with the recipients of broadcasts.
    pub bucket: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `OUTBOUND_QUEUE_URL`, `RELEASE_QUEUE_URL` and `BUCKET_NAME`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            outbound_queue_url: config::required("OUTBOUND_QUEUE_URL")?,
            release_queue_url: config::required("RELEASE_QUEUE_URL")?,
            bucket: config::required("BUCKET_NAME")?,
        })
    }
}

/// Clients and caches of this function.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    outbound: Queue,
    release: Queue,
    files: Archive,
    clock: Clock,
    metrics: Metrics,
    numbers: Cache<NumberId, Number>,
    standings: Cache<NumberId, NumberStatus>,
}

impl Deps {
    /// Builds the clients. Called once per process.
    #[must_use]
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Self {
        Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            outbound: Queue::new(aws.sqs(), config.outbound_queue_url.clone()),
            release: Queue::new(aws.sqs(), config.release_queue_url.clone()),
            files: Archive::new(aws.direct(), config.bucket.clone()),
            metrics,
            numbers: Cache::strict(clock.clone(), CACHE_FOR),
            standings: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            clock,
        }
    }
}

/// Reason why a chunk was not released; the job is redelivered.
#[derive(Debug, thiserror::Error)]
enum NotReleased {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Bucket(#[from] ArchiveError),
}

/// Result of a releaser.
enum End {
    /// Another releaser holds the lease, or nothing is left.
    Over,
    /// The work continues after this delay in seconds.
    GoOn(i64),
}

/// Processes a batch with one number per record and returns the records to redeliver. `deadline` is the time at which
/// Lambda ends this invocation.
pub async fn handle(deps: &Deps, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
    run_standard(event, &deps.metrics, |record: SqsMessage| async move {
        let Ok(job) = ReleaseJob::decode(record.body.as_deref().unwrap_or_default()) else {
            deps.metrics.count("release_bad_job", "decode", 1);
            return Outcome::Done;
        };
        match release(deps, &job, deadline).await {
            Ok(()) => Outcome::Done,
            Err(error) => {
                tracing::error!(event = "release.failed", %error);
                Outcome::Failed
            }
        }
    })
    .await
}

async fn release(deps: &Deps, job: &ReleaseJob, deadline: Timestamp) -> Result<(), NotReleased> {
    let lease = format!("release.{}", job.number);
    let now = deps.clock.now();
    let holder = ClaimId::generate(now).map_err(StorageError::from)?.to_string();
    if !deps.table.lease_take(&lease, &holder, after(now, LEASE), now).await? {
        return Ok(());
    }
    let end = run(deps, job, &lease, &holder, deadline).await;
    deps.table.pace_give_back(&lease, &holder).await?;
    if let End::GoOn(delay) = end? {
        deps.release.send_release(job, delay).await?;
    }
    Ok(())
}

async fn run(
    deps: &Deps,
    job: &ReleaseJob,
    lease: &str,
    holder: &str,
    deadline: Timestamp,
) -> Result<End, NotReleased> {
    let mut broadcasts = Broadcasts::default();
    let (mut renewed_at, mut released) = (deps.clock.now(), false);
    loop {
        let now = deps.clock.now();
        if now.duration_since(renewed_at) >= RENEW {
            if !deps.table.lease_take(lease, holder, after(now, LEASE), now).await? {
                return Ok(End::Over);
            }
            renewed_at = now;
        }
        let Some(number) = deps.numbers.get(&job.number, deps.table.number_get(&job.number)).await? else {
            return Ok(End::Over);
        };
        let pace = deps.table.pace_get(&number.id).await?;
        let Some(opened_at) = pace.opened_at else { return Ok(End::Over) };
        if let Some(until) = pace.stopped_until(now) {
            return Ok(End::GoOn(until.duration_since(now).as_secs() + 1));
        }
        let due = shared::clock::at_millis((pace.due_micros + 999) / 1_000);
        if due > now {
            if after(due, CHUNK_NEEDS) >= deadline {
                return Ok(End::GoOn(1));
            }
            deps.clock.reach(due).await;
            continue;
        }
        if released && after(now, CHUNK_NEEDS) >= deadline {
            return Ok(End::GoOn(0));
        }
        if !chunk(deps, &number, &pace, &mut broadcasts, now).await? {
            return nothing_left(deps, &number, opened_at, now).await;
        }
        released = true;
    }
}

/// Releases the due messages. Returns `false` if the lane is empty.
async fn chunk(
    deps: &Deps,
    number: &Number,
    pace: &Pace,
    broadcasts: &mut Broadcasts,
    now: Timestamp,
) -> Result<bool, NotReleased> {
    let fetch = async { deps.table.number_status_get(number).await.map(Some) };
    let standing = deps.standings.get(&number.id, fetch).await?.unwrap_or_default();
    let interval = pacing::interval_micros(number.rate(&standing), pace.part(now));
    let most = usize::try_from(pacing::chunk(interval)).unwrap_or(1);
    let work = match line::take(deps, number, most, now).await? {
        work if work.is_empty() => return broadcasts::chunk(deps, number, broadcasts, most, interval, now).await,
        work => work,
    };
    enqueue(deps, number, &work, interval, now).await?;
    Ok(true)
}

/// Reserves the slots and enqueues the jobs. Live messages may have taken slots meanwhile; then this chunk leaves among
/// them. If no slots were left, the chunk leaves without slots. That happens at most once, because the next check finds
/// the schedule ahead.
async fn enqueue(
    deps: &Deps,
    number: &Number,
    work: &[OutboundWork],
    interval: i64,
    now: Timestamp,
) -> Result<(), NotReleased> {
    let count = i64::try_from(work.len()).unwrap_or(i64::MAX);
    if let Reserved::Busy(_) = deps.table.pace_reserve(&number.id, count, interval, pacing::CHUNK * 10, now).await? {
        deps.metrics.count("release", "crowded", 1);
    }
    deps.outbound.send_work(work, now).await?;
    deps.metrics.count("released", "bulk", work.len() as u64);
    Ok(())
}

/// Closes the lane once it has been empty for longer than the index may lag.
async fn nothing_left(deps: &Deps, number: &Number, opened_at: Timestamp, now: Timestamp) -> Result<End, NotReleased> {
    if now.duration_since(opened_at) < INDEX_LAG {
        return Ok(End::GoOn(LOOK_AGAIN));
    }
    deps.table.bulk_lane_close(&number.id, opened_at).await?;
    Ok(End::Over)
}

fn after(at: Timestamp, wait: SignedDuration) -> Timestamp {
    shared::clock::after(at, wait)
}
