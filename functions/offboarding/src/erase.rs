//! Erasure and its confirmation: the same walk through table and bucket twice. The second walk must find nothing.

use shared::clock::Timestamp;
use shared::domain::lifecycle::offboarding::{Offboarding, SETTLES_IN};
use shared::storage::ErasureScope;

use crate::{Deps, Ended, LeavingError, PAGE_NEEDS, archive, gather, obsolete};

/// Numbers of a tenant per page.
const NUMBERS_PAGE: u16 = 100;
/// Prefix of the cursor in the bucket. A cursor in the table is a key.
const IN_BUCKET: &str = "bucket:";

pub(crate) async fn erase(
    deps: &Deps,
    mut offboarding: Offboarding,
    now: Timestamp,
    deadline: Timestamp,
) -> Result<Ended, LeavingError> {
    let Some(marked_at) = offboarding.marked_at else {
        if now < offboarding.erase_at {
            return Ok(Ended::GoesOn(offboarding.erase_at));
        }
        // Numbers connected since sending was stopped are removed too.
        gather(deps, &mut offboarding).await?;
        if !deps.table.account_mark_gone(&offboarding, now).await? {
            return Ok(Ended::GoesOn(settled(now)));
        }
        // The business may have reconnected during the marking.
        let back = match &offboarding.number {
            Some(number) if deps.table.account_is_connected_since(number, offboarding.started_at).await? => {
                Some("The number was connected again in time.")
            }
            Some(_) => None,
            None => obsolete(deps, &offboarding).await?,
        };
        if let Some(why) = back {
            return Ok(Ended::Cancelled(why));
        }
        offboarding.marked_at = Some(now);
        deps.table.offboarding_put_note(&offboarding).await?;
        return Ok(Ended::GoesOn(settled(now)));
    };
    if now < settled(marked_at) {
        return Ok(Ended::GoesOn(settled(marked_at)));
    }
    if !deps.table.account_is_erased_by(&offboarding).await? {
        return Ok(Ended::Cancelled("The data was erased, and the business connected again."));
    }
    Ok(if walk(deps, &mut offboarding, deadline, true).await? { Ended::Done } else { Ended::GoesOn(deps.clock.now()) })
}

pub(crate) async fn prove(
    deps: &Deps,
    mut offboarding: Offboarding,
    now: Timestamp,
    deadline: Timestamp,
) -> Result<Ended, LeavingError> {
    // If the marks were released before, the confirmation was complete and only its record was lost.
    if deps.table.account_is_erased_by(&offboarding).await? {
        if !walk(deps, &mut offboarding, deadline, false).await? {
            return Ok(Ended::GoesOn(deps.clock.now()));
        }
        if offboarding.found > 0 {
            // A late writer had not seen the marks yet. This walk erased its data, and one more walk must confirm.
            offboarding.found = 0;
            deps.table.offboarding_put_note(&offboarding).await?;
            return Ok(Ended::GoesOn(settled(now)));
        }
    }
    deps.table.account_release_gone(&offboarding).await?;
    Ok(Ended::Done)
}

fn settled(since: Timestamp) -> Timestamp {
    shared::clock::after(since, SETTLES_IN)
}

/// Walks through the table, then through the bucket, from the position of the last invocation. Returns `true` at the
/// end. Both walks erase what they find; a confirming walk that finds data must be repeated.
async fn walk(
    deps: &Deps,
    offboarding: &mut Offboarding,
    deadline: Timestamp,
    erasing: bool,
) -> Result<bool, LeavingError> {
    let leavers = ErasureScope::new(offboarding, staying(deps, offboarding).await?);
    loop {
        if deadline.duration_since(deps.clock.now()) < PAGE_NEEDS {
            return Ok(false);
        }
        let in_bucket = offboarding.cursor.as_deref().and_then(|cursor| cursor.strip_prefix(IN_BUCKET));
        let (found, next) = match in_bucket {
            Some(cursor) => {
                let (found, next) = archive::page(deps, &leavers, cursor).await?;
                (found, next.map(|next| format!("{IN_BUCKET}{next}")))
            }
            None => {
                let walked = deps.table.erasure_walk(&leavers, offboarding.cursor.as_deref()).await?;
                for object in &walked.objects {
                    archive::delete(deps, object).await?;
                }
                deps.table.erasure_erase_found(&walked, &leavers, deps.clock.now()).await?;
                // After the table, the walk continues at the start of the bucket.
                (walked.found, Some(walked.next.unwrap_or_else(|| IN_BUCKET.to_owned())))
            }
        };
        offboarding.cursor = next;
        offboarding.erased += found;
        offboarding.found += if erasing { 0 } else { found };
        deps.table.offboarding_put_note(offboarding).await?;
        if offboarding.cursor.is_none() {
            return Ok(true);
        }
    }
}

/// Returns the tenant's numbers that stay.
async fn staying(deps: &Deps, offboarding: &Offboarding) -> Result<Vec<shared::domain::ids::NumberId>, LeavingError> {
    let (mut staying, mut cursor) = (Vec::new(), None);
    let Some(tenant) = offboarding.tenant.filter(|_| !offboarding.whole) else { return Ok(staying) };
    loop {
        let page = deps.table.number_list(tenant, NUMBERS_PAGE, cursor.as_deref()).await?;
        let others = page.items.into_iter().filter(|number| number.tenant == tenant);
        staying.extend(others.map(|number| number.id).filter(|id| !offboarding.numbers.contains(id)));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(staying);
        }
    }
}
