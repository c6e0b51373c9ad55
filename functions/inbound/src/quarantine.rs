//! Items that cannot be used.

use shared::clock::Timestamp;
use shared::domain::event::{QuarantineReason, QuarantinedItem};
use shared::domain::ids::NumberId;
use shared::limits::TABLE_RAW_MAX;
use shared::provider::meta::webhook;
use shared::storage::QuarantineOwner;

use crate::Deps;
use crate::outcome::NotStored;

/// Quarantines a raw item (in the bucket if it is too large for the table) and counts the reason.
pub(crate) async fn quarantine(
    deps: &Deps,
    kept: &QuarantinedItem,
    number: Option<&NumberId>,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let owner = QuarantineOwner { number: number.cloned(), account: webhook::account_of(&kept.raw) };
    let stored_at = if kept.raw.len() > TABLE_RAW_MAX {
        Some(deps.archive.put("quarantine", kept.raw.clone().into()).await?)
    } else {
        None
    };
    deps.table.quarantine_put(kept, &owner, stored_at.as_deref(), received_at).await?;
    let metric = match kept.reason {
        QuarantineReason::Malformed | QuarantineReason::TooOld => "inbound_quarantined",
        QuarantineReason::Unsupported => "inbound_unsupported",
        QuarantineReason::UnknownNumber | QuarantineReason::UnknownAccount => "inbound_unrouted",
    };
    deps.metrics.count(metric, &kept.what, 1);
    Ok(())
}
