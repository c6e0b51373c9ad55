//! Every minute: what a crash left behind. An intent that waits on the due list for its time, or because the queue could not
//! be told of it, is queued, and so is again what the queue gave up; a claim whose worker died becomes a doubt; a
//! doubt that nothing settled for a day is handed to a person. Doing it twice, or late, changes nothing.

mod history;
mod ledger;

use std::collections::HashMap;

use shared::aws::AwsConfig;
use shared::clock::{SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::event::ProviderError;
use shared::domain::ids::{ClaimId, PhoneNumberId};
use shared::domain::outbound::{AfterDoubt, Intent, NextStep, SendFacts};
use shared::provider::meta::graph::{self, ClientUnavailable, GraphClient};
use shared::queue::{OutboundWork, Queue, QueueError, ReleaseJob, SendJob};
use shared::storage::{Due, Ending, StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::Vault;

use history::{History, Lists, Look};

/// Intents of one shard looked at in one run: a bound on its time; the rest comes a minute later.
const PER_SHARD: u16 = 250;
/// Numbers whose bulk lane is looked at in one run.
const LINES: u16 = 100;
/// Looks into the dead letters in one run, ten messages each: some seconds.
const REVIVED_ROUNDS: usize = 50;
/// A message that may be sent and is not, this long, has lost its queue message.
const WAKE_UP_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// When an intent that was put back is looked at again: well after its queue message should have been received.
const AFTER_PUTTING_BACK: SignedDuration = SignedDuration::from_mins(5);
/// How often Meta is asked about a message in doubt.
const HISTORY_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// How soon Meta is asked again that did not answer.
const HISTORY_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// A doubt that old is somebody's work.
const OLD_DOUBT: SignedDuration = SignedDuration::from_mins(15);
/// The lease of a run: longer than the function's timeout, so that two runs are never at the same work.
const LEASE: SignedDuration = SignedDuration::from_secs(55);
/// What the lease is called.
const JOB: &str = "sweep";

/// The names this function is given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The outbound queue.
    pub outbound_queue_url: String,
    /// The release queue.
    pub release_queue_url: String,
    /// Where the outbound queue puts what was received too often.
    pub dead_letters_url: String,
    /// The KMS key that sealed the tokens.
    pub key_id: String,
    /// Whether Meta is asked about messages in doubt.
    pub message_history: bool,
    /// Scheme and host of Graph.
    pub graph_url: String,
    /// Version of Graph, such as `v25.0`.
    pub graph_version: String,
}

impl Config {
    /// Reads `TABLE_NAME`, `OUTBOUND_QUEUE_URL`, `RELEASE_QUEUE_URL`, `OUTBOUND_DEAD_LETTERS_URL`, `KEY_ID`,
    /// `MESSAGE_HISTORY` (`on` or `off`), and optionally `META_GRAPH_URL` and `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// Names the variable that is missing or unusable.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            outbound_queue_url: config::required("OUTBOUND_QUEUE_URL")?,
            release_queue_url: config::required("RELEASE_QUEUE_URL")?,
            dead_letters_url: config::required("OUTBOUND_DEAD_LETTERS_URL")?,
            key_id: config::required("KEY_ID")?,
            message_history: match config::required("MESSAGE_HISTORY")?.as_str() {
                "on" => true,
                "off" => false,
                _ => return Err(ConfigError::Invalid { name: "MESSAGE_HISTORY", rule: "must be on or off" }),
            },
            graph_url: config::optional("META_GRAPH_URL").unwrap_or_else(|| graph::PUBLIC_URL.to_owned()),
            graph_version: config::optional("META_GRAPH_VERSION").unwrap_or_else(|| graph::DEFAULT_VERSION.to_owned()),
        })
    }
}

/// What this function may use.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    outbound: Queue,
    release: Queue,
    dead_letters: Queue,
    history: Option<History>,
    metrics: Metrics,
}

impl Deps {
    /// Builds the clients, once.
    ///
    /// # Errors
    /// When the Graph client cannot set up TLS.
    pub fn new(aws: &AwsConfig, config: &Config, metrics: Metrics) -> Result<Self, ClientUnavailable> {
        let history = if config.message_history {
            let graph = GraphClient::new(&config.graph_url, &config.graph_version)?;
            Some(History { graph, vault: Vault::new(aws.kms(), config.key_id.clone()).counting(&metrics) })
        } else {
            None
        };
        Ok(Self {
            table: Table::new(aws.dynamodb(), config.table.clone()),
            outbound: Queue::new(aws.sqs(), config.outbound_queue_url.clone()),
            release: Queue::new(aws.sqs(), config.release_queue_url.clone()),
            dead_letters: Queue::new(aws.sqs(), config.dead_letters_url.clone()),
            history,
            metrics,
        })
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

/// One run, unless another one is under way. An intent that cannot be repaired now does not stop the others.
///
/// # Errors
/// The last trouble met, after everything else was tried.
pub async fn run(deps: &Deps, now: Timestamp) -> Result<(), SweepError> {
    let holder = ClaimId::generate(now).map_err(StorageError::from)?.to_string();
    if !deps.table.take_lease(JOB, &holder, after(now, LEASE), now).await? {
        deps.metrics.count("sweep_skipped", "leased", 1);
        return Ok(());
    }
    let mut trouble = None;
    // A releaser that is at work has its number's lease, and lets this one go.
    for number in deps.table.open_lines(LINES).await? {
        deps.release.send_release(&ReleaseJob { number }, 0).await?;
    }
    if let Err(error) = revive(deps, now).await {
        tracing::error!(event = "sweep.dead_letters_left", %error);
        trouble = Some(error);
    }
    let mut known = Known::default();
    for due in deps.table.due(now, PER_SHARD).await? {
        if let Err(error) = repair(deps, &due, &mut known, now).await {
            tracing::error!(event = "sweep.not_repaired", message_id = %due.message, %error);
            // To the end of the line, so that one that cannot be repaired does not hide the others.
            deps.table.look_again(&due, after(now, AFTER_PUTTING_BACK)).await?;
            trouble = Some(error);
        }
    }
    // Last, and on the heap: repairing comes first, and a thread's stack may be small.
    if let Err(error) = Box::pin(ledger::check(deps, &holder, now)).await {
        tracing::error!(event = "ledger.not_checked", %error);
        trouble = Some(error.into());
    }
    deps.table.give_back(JOB, &holder).await?;
    deps.metrics.count("heartbeat", "sweep", 1);
    trouble.map_or(Ok(()), Err)
}

/// What is asked once in a run.
#[derive(Default)]
struct Known {
    /// Whether a number's "try again" is believed.
    trusted: HashMap<PhoneNumberId, bool>,
    lists: Lists,
}

impl Known {
    async fn trusts(&mut self, deps: &Deps, number: &PhoneNumberId) -> Result<bool, StorageError> {
        if let Some(trust) = self.trusted.get(number) {
            return Ok(*trust);
        }
        let trust = !deps.table.pace(number).await?.distrusted;
        self.trusted.insert(number.clone(), trust);
        Ok(trust)
    }
}

async fn repair(deps: &Deps, due: &Due, known: &mut Known, now: Timestamp) -> Result<(), SweepError> {
    let Some((intent, facts)) = deps.table.intent(&due.conversation, due.message).await? else { return Ok(()) };
    let stranded_at = after(intent.not_before, WAKE_UP_WITHIN);
    match facts.next_step(now, intent.not_before, intent.send_before) {
        // Its queue message is only just due; a second one would do no harm and no good.
        NextStep::Claim if now < stranded_at => deps.table.look_again(due, stranded_at).await?,
        NextStep::Claim => put_back(deps, due, now).await?,
        NextStep::Expire => {
            deps.table.end(&due.conversation, due.message, &Ending::Expired, now).await?;
            deps.metrics.count("expired", "send_before", 1);
        }
        NextStep::WaitUntil(at) => deps.table.look_again(due, at).await?,
        NextStep::Doubt(claim) => {
            // It stands on the list for the end of the time that a status has.
            if deps.table.doubt(&intent, claim, &ProviderError::worker_died(), now).await? {
                deps.metrics.count("sweep_repaired", "claim", 1);
            }
        }
        NextStep::Done => {
            settle(deps, due, (&intent, &facts), known, now).await?;
        }
    }
    Ok(())
}

/// Tells the sender of it again.
async fn put_back(deps: &Deps, due: &Due, now: Timestamp) -> Result<(), SweepError> {
    wake(deps, due, now).await?;
    deps.table.look_again(due, after(now, AFTER_PUTTING_BACK)).await?;
    deps.metrics.count("sweep_repaired", "queued", 1);
    Ok(())
}

/// What the queue gave up after its hundred receives goes back to it: an outage may be longer than they last, and nothing
/// else stands for a message that the due list does not have. What cannot be read stays: it would fail again, and what
/// is behind it in its group must not wait for it.
async fn revive(deps: &Deps, now: Timestamp) -> Result<(), SweepError> {
    for _ in 0..REVIVED_ROUNDS {
        let dead = deps.dead_letters.receive().await?;
        if dead.is_empty() {
            return Ok(());
        }
        for one in dead {
            let Ok(work) = OutboundWork::decode(&one.body) else {
                deps.metrics.count("dead_letter_left", "decode", 1);
                continue;
            };
            if let OutboundWork::Send(job) = &work
                && let Err(StorageError::Corrupt(what)) = deps.table.intent(&job.conversation, job.message).await
            {
                tracing::error!(event = "sweep.dead_letter_damaged", message_id = %job.message, what);
                deps.metrics.count("dead_letter_left", "damaged", 1);
                continue;
            }
            deps.outbound.send_work(&[work], now).await?;
            deps.dead_letters.delete(&one.receipt).await?;
            deps.metrics.count("sweep_repaired", "dead_letter", 1);
        }
    }
    Ok(())
}

async fn wake(deps: &Deps, due: &Due, now: Timestamp) -> Result<(), QueueError> {
    let job = SendJob { conversation: due.conversation.clone(), message: due.message };
    deps.outbound.send_work(&[OutboundWork::Send(job)], now).await
}

/// Nothing more is to be sent: the intent leaves the list, unless it is in doubt and something may still settle it.
async fn settle(
    deps: &Deps,
    due: &Due,
    (intent, facts): (&Intent, &SendFacts),
    known: &mut Known,
    now: Timestamp,
) -> Result<(), SweepError> {
    let end = async |ending: Ending| deps.table.end(&due.conversation, due.message, &ending, now).await;
    let step = facts.after_doubt(intent, known.trusts(deps, intent.conversation.number()).await?, now);
    let mut asked_again = None;
    if let Some(history) = &deps.history
        && step != AfterDoubt::Settled
    {
        match history::look(deps, history, &mut known.lists, intent, facts, now).await? {
            Look::Settled => return Ok(()),
            // Nothing is sent a second time while Meta may still say that it has it.
            Look::NoAnswer if step == AfterDoubt::TryAgain => {
                return Ok(deps.table.look_again(due, after(now, HISTORY_AGAIN)).await?);
            }
            Look::NoAnswer => asked_again = Some(after(now, HISTORY_AGAIN)),
            Look::Nothing => asked_again = Some(after(now, HISTORY_EVERY)),
        }
    }
    match step {
        AfterDoubt::Wait(until) => {
            let age = claimed_before(facts, intent, now);
            deps.metrics.count("unknown_old", "waits", u64::from(age >= OLD_DOUBT));
            // As long as it is open somebody is told of it.
            let tell = after(now, if age < OLD_DOUBT { OLD_DOUBT - age } else { OLD_DOUBT });
            deps.table.look_again(due, asked_again.unwrap_or(until).min(until).min(tell)).await?;
        }
        AfterDoubt::TryAgain => {
            let why = if facts.soft { "soft" } else { "resend_once" };
            if end(Ending::TriedAgain).await? {
                deps.metrics.count("tried_again", why, 1);
                wake(deps, due, now).await?;
            }
        }
        AfterDoubt::Fail => {
            let why = ProviderError::ours("given_up", "nobody knows whether it was sent, and it is too late to ask");
            end(Ending::GivenUp(why)).await?;
            deps.metrics.count("given_up", "on_unknown", 1);
        }
        AfterDoubt::Review => {
            end(Ending::Review).await?;
            deps.metrics.count("unknown_for_review", "a day", 1);
            deps.metrics.count("unknown_old", "review", 1);
        }
        AfterDoubt::Settled => deps.table.leave_due_list(due).await?,
    }
    Ok(())
}

/// How long ago it was claimed.
fn claimed_before(facts: &SendFacts, intent: &Intent, now: Timestamp) -> SignedDuration {
    now.duration_since(facts.claim.map_or(intent.accepted_at(), |claim| claim.claimed_at()))
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}
