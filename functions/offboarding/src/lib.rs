//! Removes numbers, accounts and tenants; runs every five minutes. Recorded, repeatable steps: sending stops, Meta is
//! informed, the credit line is revoked, the token is deleted, stored data is erased, and a last pass confirms that
//! nothing is left (`docs/meta/onboarding.md#section-10-5`).

mod archive;
mod contacts;
mod erase;
mod meta;

use shared::aws::AwsConfig;
use shared::clock::{Clock, SignedDuration, Timestamp};
use shared::config::{self, ConfigError};
use shared::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use shared::domain::ids::{ClaimId, OffboardingId, TenantId, WabaId};
use shared::domain::lifecycle::offboarding::{Leaving, META_TRIES, Offboarding, Why};
use shared::domain::lifecycle::onboarding::{StepRecord, StepState};
use shared::provider::meta::graph::{ClientUnavailable, GraphClient, GraphEndpoint};
use shared::storage::{Archive, ArchiveError, StorageError, Table};
use shared::telemetry::Metrics;
use shared::vault::{Vault, VaultError};

/// Maximum number of offboardings continued in one run.
const RUN_MAX: u16 = 20;
/// Lease of a run, longer than the function's timeout.
const LEASE: SignedDuration = SignedDuration::from_mins(16);
/// Name of the lease.
const JOB: &str = "offboarding";
/// Delay before a retry after Meta did not answer or storing failed.
const AGAIN: SignedDuration = SignedDuration::from_mins(5);
/// Minimum time left for starting a page: one page of the table with a few thousand deletions.
const PAGE_NEEDS: SignedDuration = SignedDuration::from_secs(60);

/// Configuration of this function.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table.
    pub table: String,
    /// The KMS key for tokens and app secrets.
    pub key_id: String,
    /// The bucket.
    pub bucket: String,
    /// Host and version of the Graph API.
    pub graph: GraphEndpoint,
}

impl Config {
    /// Reads `TABLE_NAME`, `KEY_ID`, `BUCKET_NAME`, and optionally `META_GRAPH_URL` and `META_GRAPH_VERSION`.
    ///
    /// # Errors
    /// When a required variable is missing; the error names it.
    pub fn from_env() -> Result<Self, ConfigError> {
        Ok(Self {
            table: config::required("TABLE_NAME")?,
            key_id: config::required("KEY_ID")?,
            bucket: config::required("BUCKET_NAME")?,
            graph: GraphEndpoint::from_env(),
        })
    }
}

/// Clients of this function.
#[derive(Debug)]
pub struct Deps {
    table: Table,
    vault: Vault,
    archive: Archive,
    graph: GraphClient,
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
            archive: Archive::new(aws.direct(), config.bucket.clone()),
            graph: GraphClient::new(&config.graph)?,
            clock,
            metrics,
        })
    }
}

/// Reason why an offboarding did not continue or a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum LeavingError {
    /// The table.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The bucket.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// KMS.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Result of a step.
pub(crate) enum Ended {
    Done,
    /// The step was not needed.
    Skipped(&'static str),
    /// Meta did not answer; the step is retried.
    Later {
        code: Option<i64>,
        cause: String,
    },
    /// Meta refused; a person must act, and the other steps continue.
    Failed {
        code: Option<i64>,
        cause: String,
        action: &'static str,
    },
    /// The step continues at this time from its current position.
    GoesOn(Timestamp),
    /// The offboarding is cancelled, for this reason.
    Cancelled(&'static str),
}

impl Ended {
    /// Merges two problems of one step. A retryable one takes precedence, and its cause names both.
    fn with(self, other: Option<Self>) -> Self {
        match (self, other) {
            (
                Self::Later { code, cause },
                Some(Self::Later { cause: other, .. } | Self::Failed { cause: other, .. }),
            )
            | (Self::Failed { cause: other, .. }, Some(Self::Later { code, cause })) => {
                Self::Later { code, cause: format!("{cause} {other}") }
            }
            (Self::Failed { code, cause, action }, Some(Self::Failed { cause: other, .. })) => {
                Self::Failed { code, cause: format!("{other} {cause}"), action }
            }
            (one, _) => one,
        }
    }
}

/// Continues the due offboardings and erasures, unless another run is in progress. `deadline` is the time at which
/// Lambda ends this invocation. A failing offboarding does not stop the others.
///
/// # Errors
/// The last error, after all others were tried.
pub async fn run(deps: &Deps, deadline: Timestamp) -> Result<(), LeavingError> {
    let now = deps.clock.now();
    let after = |wait| shared::clock::after(now, wait);
    let holder = ClaimId::generate(now).map_err(StorageError::from)?.to_string();
    if !deps.table.lease_take(JOB, &holder, after(LEASE), now).await? {
        return Ok(());
    }
    let mut trouble = None;
    for id in deps.table.offboarding_list_due(now, RUN_MAX).await? {
        // Boxed, as its steps are: together the futures are large, and a thread's stack may be small.
        if let Err(error) = Box::pin(go_on(deps, id, deadline)).await {
            tracing::error!(event = "offboarding.stuck", offboarding_id = %id, %error);
            deps.table.offboarding_postpone(id, after(AGAIN)).await?;
            trouble = Some(error);
        }
    }
    if let Err(error) = Box::pin(contacts::run(deps, now, deadline)).await {
        trouble = Some(error);
    }
    deps.table.pace_give_back(JOB, &holder).await?;
    deps.metrics.count("heartbeat", "offboarding", 1);
    trouble.map_or(Ok(()), Err)
}

/// Runs the remaining steps in order, until one has to wait.
async fn go_on(deps: &Deps, id: OffboardingId, deadline: Timestamp) -> Result<(), LeavingError> {
    loop {
        // Read for each step, because the previous one changed the offboarding.
        let Some(offboarding) = deps.table.offboarding_get(id).await? else { return Ok(()) };
        let Some(step) = offboarding.next_step() else { return Ok(()) };
        let now = deps.clock.now();
        let ended = match step {
            _ if offboarding.marked_at.is_none()
                && let Some(why) = obsolete(deps, &offboarding).await? =>
            {
                Ended::Cancelled(why)
            }
            Leaving::Unsubscribe | Leaving::Credit | Leaving::Revoke if offboarding.number.is_some() => {
                Ended::Skipped("Not needed: the account stays connected.")
            }
            Leaving::Stop => Box::pin(stop(deps, offboarding.clone(), now)).await?,
            Leaving::Unsubscribe => Box::pin(meta::unsubscribe(deps, &offboarding)).await?,
            Leaving::Credit => Box::pin(meta::credit(deps, &offboarding)).await?,
            Leaving::Revoke => Box::pin(meta::revoke(deps, &offboarding)).await?,
            Leaving::Erase => Box::pin(erase::erase(deps, offboarding.clone(), now, deadline)).await?,
            Leaving::Prove => Box::pin(erase::prove(deps, offboarding.clone(), now, deadline)).await?,
        };
        if !record(deps, &offboarding, step, ended, now).await? {
            return Ok(());
        }
    }
}

/// Records the result of a step. Returns `true` if the next step can run.
async fn record(
    deps: &Deps,
    offboarding: &Offboarding,
    step: Leaving,
    ended: Ended,
    now: Timestamp,
) -> Result<bool, LeavingError> {
    let tries = offboarding.step(step).map_or(0, |record| record.tries) + 1;
    let plain = |state| StepRecord::new(state, now, tries);
    let record = match ended {
        Ended::Done => plain(StepState::Done),
        Ended::Skipped(why) => StepRecord { cause: Some(why.to_owned()), ..plain(StepState::Skipped) },
        Ended::Later { code, cause } if tries < META_TRIES => {
            StepRecord { code, cause: Some(cause), ..plain(StepState::Running) }
        }
        Ended::Later { code, cause } => {
            let action = "Meta did not answer for a day. Carry out this step in Meta's Business settings.".to_owned();
            StepRecord { code, cause: Some(cause), action: Some(action), ..plain(StepState::Failed) }
        }
        Ended::Failed { code, cause, action } => {
            StepRecord { code, cause: Some(cause), action: Some(action.to_owned()), ..plain(StepState::Failed) }
        }
        Ended::GoesOn(at) => {
            deps.table.offboarding_postpone(offboarding.id, at).await?;
            return Ok(false);
        }
        Ended::Cancelled(why) => {
            deps.table.account_unmark_gone(offboarding).await?;
            if let Some(number) = &offboarding.number {
                deps.table.number_undo_removal(number).await?;
            }
            deps.table.offboarding_cancel(offboarding.id, why).await?;
            return Ok(false);
        }
    };
    tracing::info!(
        event = "offboarding.step",
        offboarding_id = %offboarding.id,
        step = step.as_str(),
        state = record.state.as_str()
    );
    deps.metrics.count("offboarding_step", step.as_str(), 1);
    if step == Leaving::Revoke && record.state == StepState::Failed {
        // The tokens are deleted here even if Meta did not revoke them.
        meta::forget_tokens(deps, offboarding).await?;
    }
    if record.state == StepState::Failed {
        tell(deps, offboarding, step, now).await?;
    }
    if step == Leaving::Prove && record.state == StepState::Done {
        if let (Some(tenant), Some(account)) = (offboarding.tenant, &offboarding.number_of) {
            without_numbers(deps, tenant, account, offboarding.started_at).await?;
        }
        deps.table.offboarding_end(offboarding, &record).await?;
        return Ok(false);
    }
    deps.table.offboarding_record_step(offboarding.id, step, &record).await?;
    if record.state == StepState::Running {
        let again = shared::clock::after(now, AGAIN);
        deps.table.offboarding_postpone(offboarding.id, again).await?;
    }
    Ok(record.state != StepState::Running)
}

/// Starts the offboarding of an account whose last number was removed, so that no token is stored without need.
async fn without_numbers(
    deps: &Deps,
    tenant: TenantId,
    account: &WabaId,
    started_at: Timestamp,
) -> Result<(), LeavingError> {
    for number in deps.table.account_list_numbers(account).await? {
        let known = deps.table.number_get(&number).await?;
        if known.is_some_and(|known| known.tenant == tenant && known.waba == *account) {
            return Ok(());
        }
    }
    if deps.table.account_get(account).await?.is_some_and(|known| known.tenant == tenant) {
        let id = OffboardingId::of_report(account, started_at);
        deps.table.account_stop(account, started_at).await?;
        let (account, why) = (account.clone(), Why::Requested);
        let offboarding = Offboarding::of_account(id, tenant, account, why, started_at, SignedDuration::ZERO);
        deps.table.offboarding_put(&offboarding).await?;
    }
    Ok(())
}

/// Returns the reason if the offboarding is obsolete: the business reconnected, or another offboarding removed it. The
/// offboarding of a whole tenant is never obsolete.
pub(crate) async fn obsolete(deps: &Deps, offboarding: &Offboarding) -> Result<Option<&'static str>, LeavingError> {
    if offboarding.whole {
        return Ok(None);
    }
    if let Some(number) = &offboarding.number {
        if deps.table.account_is_connected_since(number, offboarding.started_at).await? {
            return Ok(Some("The number was connected again in time."));
        }
        let known = deps.table.number_get(number).await?.filter(|known| Some(known.tenant) == offboarding.tenant);
        return Ok(known.is_none().then_some("Another offboarding removed the number."));
    }
    for account in &offboarding.accounts {
        let known = deps.table.account_get(account).await?;
        match known {
            Some(known) if Some(known.tenant) == offboarding.tenant => {
                if known.connected_at > offboarding.started_at {
                    return Ok(Some("The business connected again in time."));
                }
            }
            _ => return Ok(Some("Another offboarding removed the account.")),
        }
        if offboarding.why == Why::Disconnected && !meta::is_leaving(deps, account).await? {
            return Ok(Some("A later report, or the account's token, shows that the business is still connected."));
        }
    }
    Ok(None)
}

/// Stops sending, and for a whole tenant prevents new connections.
async fn stop(deps: &Deps, mut offboarding: Offboarding, now: Timestamp) -> Result<Ended, LeavingError> {
    if let (true, Some(tenant)) = (offboarding.whole, offboarding.tenant) {
        deps.table.tenant_close(tenant, now).await?;
        deps.table.api_key_revoke_all(tenant, now).await?;
    }
    gather(deps, &mut offboarding).await?;
    Ok(Ended::Done)
}

/// Determines what to remove. Includes only accounts owned by the tenant, because an account that it tried to connect
/// may belong to another one.
pub(crate) async fn gather(deps: &Deps, offboarding: &mut Offboarding) -> Result<(), LeavingError> {
    let mut accounts = offboarding.accounts.clone();
    if let (true, Some(tenant)) = (offboarding.whole, offboarding.tenant) {
        accounts = deps.table.tenant_list_accounts(tenant).await?;
    }
    // The result of an earlier attempt may be outdated.
    offboarding.accounts.clear();
    offboarding.numbers = offboarding.number.iter().cloned().collect();
    offboarding.businesses.clear();
    for account in accounts {
        let Some(known) = deps.table.account_get(&account).await? else { continue };
        if Some(known.tenant) != offboarding.tenant {
            continue;
        }
        deps.table.account_stop(&account, offboarding.started_at).await?;
        for number in deps.table.account_list_numbers(&account).await? {
            // A number that moved belongs to its new account.
            if deps.table.number_get_account(&number).await?.as_ref() == Some(&account) {
                offboarding.numbers.push(number);
            }
        }
        offboarding.accounts.push(account);
        offboarding.businesses.extend(known.business);
    }
    let mut leaving = Vec::new();
    for business in std::mem::take(&mut offboarding.businesses) {
        if !meta::shares_more(deps, offboarding, &business).await? {
            leaving.push(business);
        }
    }
    offboarding.businesses = leaving;
    Ok(deps.table.offboarding_settle(offboarding).await?)
}

/// Raises an alert for the operator about a step that failed at Meta. The tenant may be gone already.
async fn tell(deps: &Deps, offboarding: &Offboarding, step: Leaving, now: Timestamp) -> Result<(), LeavingError> {
    let alert = Alert {
        severity: Severity::Warning,
        title: "A step of an offboarding failed at Meta.",
        remedy: "Read the offboarding. It names the step and the action needed at Meta.",
    };
    let change = StateChange {
        subject: Subject::Portfolio(offboarding.id.to_string()),
        aspect: Aspect::Partner,
        key: Some(step.as_str().to_owned()),
        word: "offboarding_step_failed".to_owned(),
        until: None,
        detail: "{}".to_owned(),
        at: now,
        timed: true,
        alert: Some(alert),
    };
    Ok(deps.table.alert_put(None, &change).await?)
}
