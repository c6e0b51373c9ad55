//! Repairs the state that crashes leave behind; runs every minute. A due intent whose job was never enqueued is
//! enqueued, as are dead letters. A claim whose worker crashed becomes outcome unknown. An outcome still unknown after
//! a day is handed to a person. Repeated or late runs change nothing.

mod history;
mod ledger;

use std::collections::HashMap;

use shared::aws::AwsConfig;
use shared::clock::{SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::event::ProviderError;
use shared::domain::ids::{ClaimId, NumberId};
use shared::domain::sending::outbound::{AfterDoubt, Intent, NextStep, SendFacts};
use shared::provider::meta::graph::{ClientUnavailable, GraphClient, GraphEndpoint};
use shared::queue::{OutboundWork, Queue, QueueError, ReleaseJob, SendJob};
use shared::storage::{Due, Ending, StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::Vault;

use history::{History, Lists, Look};

/// Intents per shard and run, which limits the run's time; the rest follows a minute later.
const PER_SHARD: u16 = 250;
/// Numbers whose bulk lane is checked per run.
const LINES: u16 = 100;
/// Receives from the dead-letter queue per run, ten messages each; takes some seconds.
const REVIVED_ROUNDS: usize = 50;
/// Time after which a due message that was not sent is considered to have lost its job.
const WAKE_UP_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// Delay before an enqueued intent is checked again, well after its job should have been received.
const AFTER_PUTTING_BACK: SignedDuration = SignedDuration::from_mins(5);
/// Interval of asking Meta about a message whose outcome is unknown.
const HISTORY_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Delay before Meta is asked again after no answer.
const HISTORY_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// Age from which an unknown outcome is reported in metrics.
const OLD_DOUBT: SignedDuration = SignedDuration::from_mins(15);
/// Lease of a run, longer than the function's timeout, so that two runs never overlap.
const LEASE: SignedDuration = SignedDuration::from_secs(55);
/// Name of the lease.
const JOB: &str = "sweep";

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The outbound queue.
    pub outbound_queue_url: String,
    /// The release queue.
    pub release_queue_url: String,
    /// The dead-letter queue of the outbound queue.
    pub dead_letters_url: String,
    /// The KMS key that sealed the tokens.
    pub key_id: String,
    /// Whether Meta's message history is used for messages whose outcome is unknown.
    pub message_history: bool,
    /// Host and version of the Graph API.
    pub graph: GraphEndpoint,
}

impl Config {
    /// Reads `TABLE_NAME`, `OUTBOUND_QUEUE_URL`, `RELEASE_QUEUE_URL`, `OUTBOUND_DEAD_LETTERS_URL`, `KEY_ID`,
    /// `MESSAGE_HISTORY` (`on` or `off`), and optionally `META_GRAPH_URL` and `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// When a variable is missing or invalid; the error names it.
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
            graph: GraphEndpoint::from_env(),
        })
    }
}

/// Clients of this function.
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
    /// Builds the clients. Called once per process.
    ///
    /// # Errors
    /// When the Graph client cannot set up TLS.
    pub fn new(aws: &AwsConfig, config: &Config, metrics: Metrics) -> Result<Self, ClientUnavailable> {
        let history = if config.message_history {
            let graph = GraphClient::new(&config.graph)?;
            Some(History { graph, vault: Vault::new(aws.direct(), config.key_id.clone()).counting(&metrics) })
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

/// Reason why a run stopped early. The scheduler starts another run in a minute.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The table.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Runs all repairs, unless another run is in progress. A failing repair does not stop the others.
///
/// # Errors
/// The last error, after all other repairs were tried.
pub async fn run(deps: &Deps, now: Timestamp) -> Result<(), SweepError> {
    let holder = ClaimId::generate(now).map_err(StorageError::from)?.to_string();
    if !deps.table.lease_take(JOB, &holder, after(now, LEASE), now).await? {
        deps.metrics.count("sweep_skipped", "leased", 1);
        return Ok(());
    }
    let mut trouble = None;
    // If a releaser holds the number's lease, the extra job ends at once.
    for number in deps.table.bulk_lane_list_open(LINES).await? {
        deps.release.send_release(&ReleaseJob { number }, 0).await?;
    }
    if let Err(error) = revive(deps, now).await {
        tracing::error!(event = "sweep.dead_letters_left", %error);
        trouble = Some(error);
    }
    let mut known = Known::default();
    for due in deps.table.due_list(now, PER_SHARD).await? {
        if let Err(error) = repair(deps, &due, &mut known, now).await {
            tracing::error!(event = "sweep.not_repaired", message_id = %due.message, %error);
            // Moved to the end of the due list, so that failing intents do not block the others.
            deps.table.due_check_again(&due, after(now, AFTER_PUTTING_BACK)).await?;
            trouble = Some(error);
        }
    }
    // Last, because repairs have priority. Boxed, because a thread's stack may be small.
    if let Err(error) = Box::pin(ledger::check(deps, &holder, now)).await {
        tracing::error!(event = "ledger.not_checked", %error);
        trouble = Some(error.into());
    }
    deps.table.pace_give_back(JOB, &holder).await?;
    deps.metrics.count("heartbeat", "sweep", 1);
    trouble.map_or(Ok(()), Err)
}

/// Facts read once per run.
#[derive(Default)]
struct Known {
    /// Whether a number's retryable answers are trusted.
    trusted: HashMap<NumberId, bool>,
    lists: Lists,
}

impl Known {
    async fn trusts(&mut self, deps: &Deps, number: &NumberId) -> Result<bool, StorageError> {
        if let Some(trust) = self.trusted.get(number) {
            return Ok(*trust);
        }
        let trust = !deps.table.pace_get(number).await?.distrusted;
        self.trusted.insert(number.clone(), trust);
        Ok(trust)
    }
}

async fn repair(deps: &Deps, due: &Due, known: &mut Known, now: Timestamp) -> Result<(), SweepError> {
    let Some((intent, facts)) = deps.table.intent_get(&due.conversation, due.message).await? else { return Ok(()) };
    let stranded_at = after(intent.not_before, WAKE_UP_WITHIN);
    match facts.next_step(now, intent.not_before, intent.send_before) {
        // Its job has only just become due; a second one would be harmless but useless.
        NextStep::Claim if now < stranded_at => deps.table.due_check_again(due, stranded_at).await?,
        NextStep::Claim => put_back(deps, due, now).await?,
        NextStep::Expire => {
            deps.table.message_end(&due.conversation, due.message, &Ending::Expired, now).await?;
            deps.metrics.count("expired", "send_before", 1);
        }
        NextStep::WaitUntil(at) => deps.table.due_check_again(due, at).await?,
        NextStep::Doubt(claim) => {
            // The message stays on the due list until the period for a status report ends.
            if deps.table.message_mark_unknown(&intent, claim, &ProviderError::worker_died(), now).await? {
                deps.metrics.count("sweep_repaired", "claim", 1);
            }
        }
        NextStep::Done => {
            settle(deps, due, &intent, &facts, known, now).await?;
        }
    }
    Ok(())
}

/// Enqueues the message again.
async fn put_back(deps: &Deps, due: &Due, now: Timestamp) -> Result<(), SweepError> {
    wake(deps, due, now).await?;
    deps.table.due_check_again(due, after(now, AFTER_PUTTING_BACK)).await?;
    deps.metrics.count("sweep_repaired", "queued", 1);
    Ok(())
}

/// Requeues dead letters: an outage may outlast 100 receives, and nothing else tracks messages that are not on the due
/// list. Undecodable ones stay, because they would fail again and block their group.
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
                && let Err(StorageError::Corrupt(what)) = deps.table.intent_get(&job.conversation, job.message).await
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

/// Handles an intent with nothing left to send. It leaves the due list, unless its outcome is unknown and may still be
/// settled.
async fn settle(
    deps: &Deps,
    due: &Due,
    intent: &Intent,
    facts: &SendFacts,
    known: &mut Known,
    now: Timestamp,
) -> Result<(), SweepError> {
    let end = async |ending: Ending| deps.table.message_end(&due.conversation, due.message, &ending, now).await;
    let step = facts.after_doubt(intent, known.trusts(deps, intent.conversation.number()).await?, now);
    let mut asked_again = None;
    if let Some(history) = &deps.history
        && step != AfterDoubt::Settled
    {
        match history::look(deps, history, &mut known.lists, intent, facts, now).await? {
            Look::Settled => return Ok(()),
            // No resend while Meta's list may still show that the message was sent.
            Look::NoAnswer if step == AfterDoubt::TryAgain => {
                return Ok(deps.table.due_check_again(due, after(now, HISTORY_AGAIN)).await?);
            }
            Look::NoAnswer => asked_again = Some(after(now, HISTORY_AGAIN)),
            Look::Nothing => asked_again = Some(after(now, HISTORY_EVERY)),
        }
    }
    match step {
        AfterDoubt::Wait(until) => {
            let age = claimed_before(facts, intent, now);
            deps.metrics.count("unknown_old", "waits", u64::from(age >= OLD_DOUBT));
            // Checked at least every `OLD_DOUBT`, so that the metric stays visible while the outcome is unknown.
            let tell = after(now, if age < OLD_DOUBT { OLD_DOUBT - age } else { OLD_DOUBT });
            deps.table.due_check_again(due, asked_again.unwrap_or(until).min(until).min(tell)).await?;
        }
        AfterDoubt::TryAgain => {
            let why = if facts.retryable_answer { "retryable_answer" } else { "resend_once" };
            if end(Ending::TriedAgain).await? {
                deps.metrics.count("tried_again", why, 1);
                wake(deps, due, now).await?;
            }
        }
        AfterDoubt::Fail => {
            let why = ProviderError::ours("given_up", "it is unknown whether it was sent, and it is too late to ask");
            end(Ending::GivenUp(why)).await?;
            deps.metrics.count("given_up", "on_unknown", 1);
        }
        AfterDoubt::Review => {
            end(Ending::Review).await?;
            deps.metrics.count("unknown_for_review", "a day", 1);
            deps.metrics.count("unknown_old", "review", 1);
        }
        AfterDoubt::Settled => deps.table.due_leave(due).await?,
    }
    Ok(())
}

/// Returns the time since the claim, or since acceptance without a claim.
fn claimed_before(facts: &SendFacts, intent: &Intent, now: Timestamp) -> SignedDuration {
    now.duration_since(facts.claim.map_or(intent.accepted_at(), |claim| claim.claimed_at()))
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    shared::clock::after(now, wait)
}
