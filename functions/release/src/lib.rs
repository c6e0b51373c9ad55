//! The bulk lane: what may wait leaves a number on schedule, a tenth of a second's worth at a time, behind what is live.
//!
//! One releaser a number, by a lease. It takes slots from the number's schedule just before they are due, so a live
//! message always finds the schedule near the present; it goes on until the lane is empty or its time is up, and then
//! asks for the next one. Losing it costs a minute: the sweep asks again.

mod broadcasts;
mod line;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use shared::aws::AwsConfig;
use shared::cache::Cache;
use shared::clock::{Clock, SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::ids::{ClaimId, PhoneNumberId};
use shared::domain::number::Number;
use shared::domain::pacing::{self, Pace};
use shared::domain::policy::Standing;
use shared::limits::CACHE_FOR;
use shared::queue::{OutboundWork, Outcome, Queue, QueueError, ReleaseJob, run_standard};
use shared::storage::{Archive, ArchiveError, Reserved, StorageError, Table};
use shared::telemetry::Metrics;

use broadcasts::Broadcasts;

/// Time that must be left before another chunk is released: queueing it takes milliseconds.
const CHUNK_NEEDS: SignedDuration = SignedDuration::from_secs(5);
/// How long a releaser has its number for itself without renewing that.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// How often it renews it.
const RENEW: SignedDuration = SignedDuration::from_secs(10);
/// An index shows what was added within moments: a lane that is empty for longer is empty.
const INDEX_LAG: SignedDuration = SignedDuration::from_secs(60);
/// How soon a lane that looks empty is looked at again, in seconds.
const LOOK_AGAIN: i64 = 20;
/// How late a releaser sees that a number was upgraded.
const STANDING_CACHE_FOR: SignedDuration = SignedDuration::from_mins(1);

/// The names this function is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The outbound queue.
    pub outbound_queue_url: String,
    /// The release queue, for what one invocation cannot end.
    pub release_queue_url: String,
    /// The bucket with the recipients of broadcasts.
    pub bucket: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `OUTBOUND_QUEUE_URL`, `RELEASE_QUEUE_URL` and `BUCKET_NAME`.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            outbound_queue_url: config::required("OUTBOUND_QUEUE_URL")?,
            release_queue_url: config::required("RELEASE_QUEUE_URL")?,
            bucket: config::required("BUCKET_NAME")?,
        })
    }
}

/// What this function may use.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    outbound: Queue,
    release: Queue,
    files: Archive,
    clock: Clock,
    metrics: Metrics,
    numbers: Cache<PhoneNumberId, Number>,
    standings: Cache<PhoneNumberId, Standing>,
}

impl Deps {
    /// Builds the clients, once.
    #[must_use]
    pub fn new(aws: &AwsConfig, config: &Config, clock: Clock, metrics: Metrics) -> Self {
        Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            outbound: Queue::new(aws.sqs(), config.outbound_queue_url.clone()),
            release: Queue::new(aws.sqs(), config.release_queue_url.clone()),
            files: Archive::new(aws.s3(), config.bucket.clone()),
            metrics,
            numbers: Cache::strict(clock.clone(), CACHE_FOR),
            standings: Cache::strict(clock.clone(), STANDING_CACHE_FOR),
            clock,
        }
    }
}

/// Why a chunk was not released: the queue shows the job again.
#[derive(Debug, thiserror::Error)]
enum NotReleased {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Bucket(#[from] ArchiveError),
}

/// How a releaser ends.
enum End {
    /// Somebody else is at it, or there is nothing.
    Over,
    /// Somebody must go on, after so many seconds.
    GoOn(i64),
}

/// Processes a batch of one number each; answers with the records that must come again. `deadline` is when Lambda kills
/// this invocation.
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
    if !deps.table.take_lease(&lease, &holder, after(now, LEASE), now).await? {
        return Ok(());
    }
    let end = run(deps, job, (&lease, &holder), deadline).await;
    deps.table.give_back(&lease, &holder).await?;
    if let End::GoOn(delay) = end? {
        deps.release.send_release(job, delay).await?;
    }
    Ok(())
}

async fn run(
    deps: &Deps,
    job: &ReleaseJob,
    (lease, holder): (&str, &str),
    deadline: Timestamp,
) -> Result<End, NotReleased> {
    let mut broadcasts = Broadcasts::default();
    let (mut renewed_at, mut released) = (deps.clock.now(), false);
    loop {
        let now = deps.clock.now();
        if now.duration_since(renewed_at) >= RENEW {
            if !deps.table.take_lease(lease, holder, after(now, LEASE), now).await? {
                return Ok(End::Over);
            }
            renewed_at = now;
        }
        let Some(number) = deps.numbers.get(&job.number, deps.table.number(&job.number)).await? else {
            return Ok(End::Over);
        };
        let pace = deps.table.pace(&number.id).await?;
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

/// Releases what is due now. `false` if the lane is empty.
async fn chunk(
    deps: &Deps,
    number: &Number,
    pace: &Pace,
    broadcasts: &mut Broadcasts,
    now: Timestamp,
) -> Result<bool, NotReleased> {
    let fetch = async { deps.table.standing(number).await.map(Some) };
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

/// Takes the slots and wakes the sender. Live messages may have taken some since the releaser looked: then this chunk
/// leaves among them, and where none were left without slots, at most once, because the next look finds the schedule ahead.
async fn enqueue(
    deps: &Deps,
    number: &Number,
    work: &[OutboundWork],
    interval: i64,
    now: Timestamp,
) -> Result<(), NotReleased> {
    let count = i64::try_from(work.len()).unwrap_or(i64::MAX);
    if let Reserved::Busy(_) = deps.table.reserve(&number.id, count, interval, pacing::CHUNK * 10, now).await? {
        deps.metrics.count("release", "crowded", 1);
    }
    deps.outbound.send_work(work, now).await?;
    deps.metrics.count("released", "bulk", work.len() as u64);
    Ok(())
}

/// The lane is closed once it was empty for as long as an index may lag behind.
async fn nothing_left(deps: &Deps, number: &Number, opened_at: Timestamp, now: Timestamp) -> Result<End, NotReleased> {
    if now.duration_since(opened_at) < INDEX_LAG {
        return Ok(End::GoOn(LOOK_AGAIN));
    }
    deps.table.close_line(&number.id, opened_at).await?;
    Ok(End::Over)
}

fn after(at: Timestamp, wait: SignedDuration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}
