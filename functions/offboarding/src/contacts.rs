//! Erasure of single contacts, requested by tenants.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::number::Number;
use shared::domain::lifecycle::erasure::{Erasure, mentions};
use shared::domain::lifecycle::offboarding::SETTLES_IN;
use shared::storage::Table;

use crate::{AGAIN, Deps, LeavingError, PAGE_NEEDS, RUN_MAX, archive};

/// Quarantined items per page.
const KEPT_PAGE: u16 = 100;

/// Continues the due erasures. A failing one does not stop the others.
pub(crate) async fn run(deps: &Deps, now: Timestamp, deadline: Timestamp) -> Result<(), LeavingError> {
    let mut trouble = None;
    for erasure in deps.table.contact_erasure_list_due(now, RUN_MAX).await? {
        if let Err(error) = go_on(deps, erasure.clone(), now, deadline).await {
            tracing::error!(event = "erasure.stuck", erasure_id = %erasure.id, %error);
            deps.table.contact_erasure_record(&erasure, after(now, AGAIN)).await?;
            trouble = Some(error);
        }
    }
    trouble.map_or(Ok(()), Err)
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    shared::clock::after(now, wait)
}

async fn go_on(deps: &Deps, mut erasure: Erasure, now: Timestamp, deadline: Timestamp) -> Result<(), LeavingError> {
    // The index may be older than the item.
    if erasure.done_at.is_some() || erasure.closed_at.is_some_and(|closed| now < after(closed, SETTLES_IN)) {
        return Ok(());
    }
    // Rescheduled first, so that an erasure longer than an invocation does not block the others.
    deps.table.contact_erasure_record(&erasure, after(now, AGAIN)).await?;
    let numbers = deps.table.number_list_all(erasure.tenant).await?;
    let ids = Table::contact_list_conversations(&erasure, &numbers);
    if erasure.closed_at.is_none() {
        // The API crashed before the conversations were closed.
        deps.table.contact_erasure_begin(&erasure).await?;
        deps.table.contact_close_conversations(&erasure, &numbers).await?;
        erasure.closed_at = Some(now);
        return Ok(deps.table.contact_erasure_record(&erasure, after(now, SETTLES_IN)).await?);
    }
    let mut names = Vec::new();
    for id in &ids {
        names.extend(deps.table.contact_list_names(id).await?);
    }
    for number in numbers.iter().filter(|_| !names.is_empty()) {
        let (erased, whole) = kept(deps, number, &names, deadline).await?;
        erasure.erased += erased;
        if !whole {
            return Ok(deps.table.contact_erasure_record(&erasure, now).await?);
        }
    }
    for id in &ids {
        loop {
            if deadline.duration_since(deps.clock.now()) < PAGE_NEEDS {
                return Ok(deps.table.contact_erasure_record(&erasure, now).await?);
            }
            let page = deps.table.contact_list_left(id).await?;
            for object in &page.objects {
                archive::delete(deps, object).await?;
            }
            erasure.erased += deps.table.contact_erase_left(&erasure, &page).await?;
            if !page.more {
                break;
            }
        }
    }
    for contact in &erasure.contacts {
        erasure.erased += deps.table.contact_erase(*contact, now).await?;
    }
    erasure.done_at = Some(now);
    deps.table.contact_erasure_record(&erasure, now).await?;
    tracing::info!(event = "erasure.done", erasure_id = %erasure.id, items = erasure.erased);
    deps.metrics.count("erasure", "done", 1);
    Ok(())
}

/// Deletes a number's quarantined items that mention the contact. Returns the number of deleted items, and whether all
/// items were checked.
async fn kept(
    deps: &Deps,
    number: &Number,
    names: &[String],
    deadline: Timestamp,
) -> Result<(u64, bool), LeavingError> {
    let (mut erased, mut cursor) = (0, None);
    loop {
        if deadline.duration_since(deps.clock.now()) < PAGE_NEEDS {
            return Ok((erased, false));
        }
        let page = deps.table.quarantine_list_of_number(&number.id, KEPT_PAGE, cursor.as_deref()).await?;
        for item in page.items {
            let raw = match (&item.raw, &item.stored_at) {
                (Some(raw), _) => raw.clone(),
                (None, Some(object)) => deps.archive.get(object).await.map(|bytes| bytes.to_vec()).unwrap_or_default(),
                (None, None) => continue,
            };
            if names.iter().any(|name| mentions(&raw, name)) {
                if let Some(object) = &item.stored_at {
                    archive::delete(deps, object).await?;
                }
                deps.table.quarantine_delete(&item.id).await?;
                erased += 1;
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok((erased, true));
        }
    }
}
