//! Every minute: what a crash left behind. The intent in the table is the truth and the queue only a wake-up, so an
//! intent whose queue message was never written, or was lost, is put back; a claim whose worker died becomes a doubt; a
//! doubt that nothing settled for a day is handed to a person. Doing it twice, or late, changes nothing.

use shared::aws::AwsConfig;
use shared::clock::{SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::event::ProviderError;
use shared::domain::ids::MessageId;
use shared::domain::outbound::{Intent, NextStep, SendFacts, SendState};
use shared::queue::{Queue, QueueError, SendJob};
use shared::storage::{Due, Noted, StorageError, Table};
use shared::telemetry::Metrics;

/// Intents of one shard looked at in one run: a bound on its time; the rest comes a minute later.
const PER_SHARD: u16 = 100;
/// A message that may be sent and is not, this long, has lost its queue message.
const WAKE_UP_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// When an intent that was put back is looked at again: well after its queue message should have been received.
const AFTER_PUTTING_BACK: SignedDuration = SignedDuration::from_mins(5);
/// How long a doubt may wait for a status before a person is asked (`reliability.md` §2.3.5).
const DOUBT_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The names this function is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The outbound queue.
    pub outbound_queue_url: String,
}

impl Config {
    /// Reads `TABLE_NAME` and `OUTBOUND_QUEUE_URL`.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self { table: config::required("TABLE_NAME")?, outbound_queue_url: config::required("OUTBOUND_QUEUE_URL")? })
    }
}

/// What this function may use.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    outbound: Queue,
    metrics: Metrics,
}

impl Deps {
    /// Builds the clients, once.
    #[must_use]
    pub fn new(aws: &AwsConfig, config: &Config, metrics: Metrics) -> Self {
        Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            outbound: Queue::new(aws.sqs(), config.outbound_queue_url.clone()),
            metrics,
        }
    }
}

/// Why a run stopped early: the scheduler runs again in a minute.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The table.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// One run. An intent that cannot be repaired now does not stop the others.
///
/// # Errors
/// The last trouble met, after everything else was tried.
pub async fn run(deps: &Deps, now: Timestamp) -> Result<(), SweepError> {
    let mut trouble = None;
    for due in deps.table.due(now, PER_SHARD).await? {
        if let Err(error) = repair(deps, &due, now).await {
            tracing::error!(event = "sweep.not_repaired", message_id = %due.message, %error);
            // To the end of the line, so that one that cannot be repaired does not hide the others.
            deps.table.look_again(&due, after(now, AFTER_PUTTING_BACK)).await?;
            trouble = Some(error);
        }
    }
    deps.metrics.count("heartbeat", "sweep", 1);
    trouble.map_or(Ok(()), Err)
}

async fn repair(deps: &Deps, due: &Due, now: Timestamp) -> Result<(), SweepError> {
    let Some((intent, facts)) = deps.table.intent(&due.conversation, due.message).await? else { return Ok(()) };
    let stranded_at = after(intent.not_before, WAKE_UP_WITHIN);
    match facts.next_step(now, intent.not_before, intent.send_before) {
        // Its queue message is only just due; a second one would do no harm and no good.
        NextStep::Claim if now < stranded_at => deps.table.look_again(due, stranded_at).await?,
        NextStep::Claim => put_back(deps, due, &intent, now).await?,
        NextStep::Expire => {
            deps.table.expire(&intent).await?;
            deps.metrics.count("expired", "send_before", 1);
        }
        NextStep::WaitUntil(at) => deps.table.look_again(due, at).await?,
        NextStep::Doubt(claim) => {
            if deps.table.doubt(&intent, claim, &ProviderError::worker_died()).await? {
                deps.metrics.count("sweep_repaired", "claim", 1);
            }
            deps.table.look_again(due, after(now, DOUBT_FOR)).await?;
        }
        NextStep::Done => settle(deps, due, &intent, &facts, now).await?,
    }
    Ok(())
}

/// Does again what accepting a message causes: the conversation shows it, the sender hears of it.
async fn put_back(deps: &Deps, due: &Due, intent: &Intent, now: Timestamp) -> Result<(), SweepError> {
    let card = intent.to.card();
    let message = MessageId::Outbound(intent.id);
    let told_at = Some(Timestamp::UNIX_EPOCH);
    let noted = Noted { message: Some((&message, intent.accepted_at)), told_at, ..Noted::default() };
    deps.table.note(intent.tenant, &intent.conversation, &card, &noted).await?;
    let job = SendJob { conversation: due.conversation.clone(), message: due.message };
    deps.outbound.send_job(&job, now).await?;
    deps.table.look_again(due, after(now, AFTER_PUTTING_BACK)).await?;
    deps.metrics.count("sweep_repaired", "queued", 1);
    Ok(())
}

/// Nothing more is to be sent: the intent leaves the list, unless it is in doubt and its day is not over.
async fn settle(deps: &Deps, due: &Due, intent: &Intent, facts: &SendFacts, now: Timestamp) -> Result<(), SweepError> {
    let doubted_since = facts.claim.map_or(intent.accepted_at, |claim| claim.lease_until);
    let person_at = after(doubted_since, DOUBT_FOR);
    let in_doubt = facts.state == SendState::Unknown && facts.wamid.is_none();
    if in_doubt && now < person_at {
        deps.table.look_again(due, person_at).await?;
    } else if in_doubt {
        deps.table.review(intent).await?;
        deps.metrics.count("unknown_for_review", "a day", 1);
    } else {
        deps.table.leave_due_list(due).await?;
    }
    Ok(())
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
