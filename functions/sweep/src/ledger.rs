//! Ledger check, every 15 minutes: messages accepted an hour ago and a day ago are read again, and each must be
//! accounted for.

use std::collections::BTreeSet;

use shared::clock::{SignedDuration, Timestamp, at_millis};
use shared::domain::ids::OutboundId;
use shared::domain::sending::ledger::looks_stranded;
use shared::domain::sending::pacing::Pace;
use shared::storage::{LedgerEntry, StorageError};

use crate::{Deps, after};

/// Length of a checked slot in milliseconds (15 minutes).
const SLOT_MILLIS: i64 = 15 * 60 * 1_000;
/// Length of a checked slot.
const SLOT: SignedDuration = SignedDuration::from_millis(SLOT_MILLIS);
/// Ages at which a message is checked: first when normal sending is over, then when most waits are over.
const AGES: [SignedDuration; 2] = [SignedDuration::from_hours(1), SignedDuration::from_hours(24)];
/// Maximum entries per tenant and slot, which take some seconds to read. Only the first are checked if there are more.
const ENTRIES_MAX: usize = 5_000;
/// Maximum stranded messages recorded until they are settled, about 90 KB in one item. More at once have a common
/// cause, which these show.
const REMEMBERED_MAX: usize = 1_000;
/// Name of the lease.
const JOB: &str = "ledger";
/// Tenants per page.
const TENANTS: u16 = 100;

/// Checks the two due slots, unless they were checked before. The lease is released only after a failed check.
pub(crate) async fn check(deps: &Deps, holder: &str, now: Timestamp) -> Result<(), StorageError> {
    let checked = check_once(deps, holder, now).await;
    if checked.is_err() {
        deps.table.pace_give_back(JOB, holder).await?;
    }
    checked
}

async fn check_once(deps: &Deps, holder: &str, now: Timestamp) -> Result<(), StorageError> {
    let slot = now.as_millisecond().div_euclid(SLOT_MILLIS);
    let begins = at_millis(slot * SLOT_MILLIS);
    if !deps.table.lease_take(JOB, holder, after(begins, SLOT), now).await? {
        return Ok(());
    }
    let mut open = still_stranded(deps, now).await?;
    let (mut cursor, mut checked) = (None, 0_usize);
    loop {
        let page = deps.table.tenant_list(TENANTS, cursor.as_deref()).await?;
        for tenant in page.items {
            for age in AGES {
                let from = begins.checked_sub(age).unwrap_or(Timestamp::MIN);
                let until = after(from, SLOT);
                let (entries, is_cut) = deps.table.ledger_list_accepted(tenant.id, from, until, ENTRIES_MAX).await?;
                checked += entries.len();
                if is_cut {
                    tracing::warn!(event = "ledger.cut", entries = ENTRIES_MAX);
                }
                for entry in entries {
                    if is_stranded(deps, &entry, now).await? && open.insert(entry.intent.id) {
                        tracing::error!(event = "ledger.stranded", message_id = %entry.intent.id);
                        if open.len() <= REMEMBERED_MAX {
                            deps.table
                                .ledger_record_stranded(&entry.intent.conversation, entry.intent.id, true)
                                .await?;
                        }
                    }
                }
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    tracing::info!(event = "ledger.checked", messages = checked, stranded = open.len());
    deps.metrics.count("ledger_checked", "message", checked as u64);
    deps.metrics.now_at("ledger_imbalance", i64::try_from(open.len()).unwrap_or(i64::MAX));
    Ok(())
}

/// Returns the known stranded messages that are still not settled. They are reported until they are.
async fn still_stranded(deps: &Deps, now: Timestamp) -> Result<BTreeSet<OutboundId>, StorageError> {
    let mut open = BTreeSet::new();
    for known in deps.table.ledger_list_stranded().await? {
        let is_open = match &known.entry {
            Some(entry) => is_stranded(deps, entry, now).await?,
            None => false,
        };
        if is_open {
            open.insert(known.message);
        } else {
            deps.table.ledger_record_stranded(&known.conversation, known.message, false).await?;
        }
    }
    Ok(open)
}

/// Whether a message is stranded: nothing in its item, the number's pace or earlier messages explains why it is not
/// settled.
async fn is_stranded(deps: &Deps, entry: &LedgerEntry, now: Timestamp) -> Result<bool, StorageError> {
    let LedgerEntry { intent, facts, is_listed } = entry;
    if !looks_stranded(intent, facts, *is_listed, now) {
        return Ok(false);
    }
    let pace: Pace = deps.table.pace_get(intent.conversation.number()).await?;
    let waits = [pace.paused_until, pace.suspect_until].into_iter().flatten().any(|until| until > now);
    Ok(!waits && !deps.table.ledger_is_waiting_behind(&intent.conversation, intent.id).await?)
}
