//! Every quarter of an hour: what was accepted an hour ago, and a day ago, is read again, and each message must be accounted for.

use std::collections::BTreeSet;

use shared::clock::{SignedDuration, Timestamp, at_millis};
use shared::domain::ids::OutboundId;
use shared::domain::ledger::looks_stranded;
use shared::domain::pacing::Pace;
use shared::storage::{LedgerEntry, StorageError};

use crate::{Deps, after};

/// A quarter of an hour: what is checked at once.
const SLOT_MILLIS: i64 = 15 * 60 * 1_000;
/// The same.
const SLOT: SignedDuration = SignedDuration::from_millis(SLOT_MILLIS);
/// How long after its acceptance a message is checked: when everything ordinary is over, and again when most waits are.
const AGES: [SignedDuration; 2] = [SignedDuration::from_hours(1), SignedDuration::from_hours(24)];
/// Entries of one tenant's inbox looked through in one check: some seconds of reading. Of a tenant with more, the first are checked.
const ENTRIES_MAX: usize = 5_000;
/// Stranded messages remembered until they are settled, some 90 KB of one item. More at once is one fault, and these tell of it.
const REMEMBERED_MAX: usize = 1_000;
/// What the lease is called.
const JOB: &str = "ledger";
/// Tenants in one page of their list.
const TENANTS: u16 = 100;

/// Checks the two slots that are due, if nobody has checked them: the lease of a slot is given back only if the check failed.
pub(crate) async fn check(deps: &Deps, holder: &str, now: Timestamp) -> Result<(), StorageError> {
    let checked = check_once(deps, holder, now).await;
    if checked.is_err() {
        deps.table.give_back(JOB, holder).await?;
    }
    checked
}

async fn check_once(deps: &Deps, holder: &str, now: Timestamp) -> Result<(), StorageError> {
    let slot = now.as_millisecond().div_euclid(SLOT_MILLIS);
    let begins = at_millis(slot * SLOT_MILLIS);
    if !deps.table.take_lease(JOB, holder, after(begins, SLOT), now).await? {
        return Ok(());
    }
    let mut open = still_stranded(deps, now).await?;
    let (mut cursor, mut checked) = (None, 0_usize);
    loop {
        let page = deps.table.tenants(TENANTS, cursor.as_deref()).await?;
        for tenant in page.items {
            for age in AGES {
                let from = begins.checked_sub(age).unwrap_or(Timestamp::MIN);
                let slot = (from, after(from, SLOT));
                let (entries, is_cut) = deps.table.accepted_between(tenant.id, slot, ENTRIES_MAX).await?;
                checked += entries.len();
                if is_cut {
                    tracing::warn!(event = "ledger.cut", entries = ENTRIES_MAX);
                }
                for entry in entries {
                    if is_stranded(deps, &entry, now).await? && open.insert(entry.intent.id) {
                        tracing::error!(event = "ledger.stranded", message_id = %entry.intent.id);
                        if open.len() <= REMEMBERED_MAX {
                            deps.table.note_stranded(&entry.intent.conversation, entry.intent.id, true).await?;
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

/// What was found before and is not settled yet: it is told until it is.
async fn still_stranded(deps: &Deps, now: Timestamp) -> Result<BTreeSet<OutboundId>, StorageError> {
    let mut open = BTreeSet::new();
    for known in deps.table.stranded().await? {
        let is_open = match &known.entry {
            Some(entry) => is_stranded(deps, entry, now).await?,
            None => false,
        };
        if is_open {
            open.insert(known.message);
        } else {
            deps.table.note_stranded(&known.conversation, known.message, false).await?;
        }
    }
    Ok(open)
}

/// Nothing in the message's item, nor its number's standing, nor what stands before it says why it is not settled.
async fn is_stranded(deps: &Deps, entry: &LedgerEntry, now: Timestamp) -> Result<bool, StorageError> {
    let LedgerEntry { intent, facts, is_listed } = entry;
    if !looks_stranded(intent, facts, *is_listed, now) {
        return Ok(false);
    }
    let pace: Pace = deps.table.pace(intent.conversation.number()).await?;
    let waits = [pace.paused_until, pace.suspect_until].into_iter().flatten().any(|until| until > now);
    Ok(!waits && !deps.table.waits_behind(&intent.conversation, intent.id).await?)
}
