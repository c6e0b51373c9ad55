//! One item of a webhook merged into the table.

use std::sync::Arc;

use shared::clock::Timestamp;
use shared::domain::event::{InboundEvent, Kept, KeptReason, StatusUpdate};
use shared::domain::ids::{ConversationId, PhoneNumberId};
use shared::domain::message::InboundMessage;
use shared::domain::number::Number;
use shared::limits::TABLE_RAW_MAX;
use shared::provider::meta::callback_data::CallbackData;
use shared::secret::Secret;
use shared::storage::{Applied, ArchiveError, StorageError, Stored};
use shared::vault::{Context, VaultError};

use crate::Deps;

/// Why an item is not stored yet: the record must come again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStored {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error("the invocation ends soon")]
    NoTimeLeft,
    #[error("the callback MAC key was never made: run `operator init`")]
    NoCallbackMac,
}

/// Merges one item. What DynamoDB refuses for its values is kept raw: trying again would refuse it again.
pub(crate) async fn apply(deps: &Deps, event: InboundEvent, received_at: Timestamp) -> Result<(), NotStored> {
    let (number, raw, merged) = match event {
        InboundEvent::Kept(kept) => return keep(deps, &kept, None, received_at).await,
        InboundEvent::Message { number, message, raw } => {
            let merged = match known_number(deps, &number).await? {
                Some(known) if raw.len() <= TABLE_RAW_MAX => store_message(deps, &known, &message, received_at).await,
                Some(_) => Err(StorageError::Refused("a message that large").into()),
                None => return keep_unrouted(deps, &number, "message", raw, received_at).await,
            };
            (number, raw, merged)
        }
        InboundEvent::Status { number, update, raw } => {
            let merged = match known_number(deps, &number).await? {
                Some(known) => apply_status(deps, &known, &update).await,
                None => return keep_unrouted(deps, &number, "status", raw, received_at).await,
            };
            (number, raw, merged)
        }
    };
    match merged {
        Err(NotStored::Storage(StorageError::Refused(what))) => {
            let kept = Kept { reason: KeptReason::Malformed, what: what.to_owned(), raw: raw.into_bytes() };
            keep(deps, &kept, Some(&number), received_at).await
        }
        merged => merged,
    }
}

/// The number, from memory for five minutes. That it is unknown is not remembered: it may be connected any moment, and
/// what was said to it meanwhile must not be missed.
async fn known_number(deps: &Deps, id: &PhoneNumberId) -> Result<Option<Number>, StorageError> {
    let known = deps.numbers.get(id, deps.table.number(id)).await?;
    if known.is_none() {
        deps.numbers.forget(id);
    }
    Ok(known)
}

async fn keep_unrouted(
    deps: &Deps,
    number: &PhoneNumberId,
    what: &str,
    raw: String,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let kept = Kept { reason: KeptReason::UnknownNumber, what: what.to_owned(), raw: raw.into_bytes() };
    keep(deps, &kept, Some(number), received_at).await
}

async fn store_message(
    deps: &Deps,
    number: &Number,
    message: &InboundMessage,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let contact = deps.table.resolve_contact(number.tenant, &message.from, received_at).await?;
    let conversation = ConversationId::new(number.id.clone(), contact);
    let stored = deps.table.put_inbound(&conversation, message, received_at).await?;
    // Noted for a repetition too: the first time may have stopped right here.
    let opens_window = message.content.opens_window();
    deps.table.note_inbound(number.tenant, &conversation, &message.from, message.at, opens_window).await?;
    match stored {
        Stored::New => deps.metrics.count("inbound_stored", message.content.kind(), 1),
        Stored::Known => deps.metrics.count("inbound_duplicate", message.content.kind(), 1),
    }
    Ok(())
}

async fn apply_status(deps: &Deps, number: &Number, update: &StatusUpdate) -> Result<(), NotStored> {
    let Some(unverified) = update.unverified_callback_data.as_deref() else {
        deps.metrics.count("status_foreign", "no_callback_data", 1);
        return Ok(());
    };
    let key = callback_mac(deps).await?;
    let ours = CallbackData::open(unverified, &key, number.tenant);
    let Some(data) = ours.filter(|data| *data.conversation.number() == number.id) else {
        deps.metrics.count("status_foreign", "not_ours", 1);
        return Ok(());
    };
    match deps.table.apply_status(&data.conversation, data.message, update).await? {
        Applied::New { settled_doubt, duplicate_send } => {
            deps.metrics.count("status_applied", update.status.as_str(), 1);
            deps.metrics.count("unknown_resolved", "status", u64::from(settled_doubt));
            deps.metrics.count("duplicate_confirmed", "status", u64::from(duplicate_send));
        }
        Applied::Repeated => deps.metrics.count("status_repeated", update.status.as_str(), 1),
        Applied::NoMessage => deps.metrics.count("status_orphan", update.status.as_str(), 1),
    }
    Ok(())
}

async fn callback_mac(deps: &Deps) -> Result<Arc<Secret>, NotStored> {
    let fetch = async {
        let Some(sealed) = deps.table.system_secret("callback-mac").await? else { return Ok(None) };
        let secret = deps.vault.open(&sealed, &Context::CallbackMac).await?;
        Ok::<_, NotStored>(Some(Arc::new(secret)))
    };
    deps.callback_mac.get(&(), fetch).await?.ok_or(NotStored::NoCallbackMac)
}

/// Keeps an item raw, in the bucket where it is too large for the table, and counts why.
pub(crate) async fn keep(
    deps: &Deps,
    kept: &Kept,
    number: Option<&PhoneNumberId>,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let stored_at = if kept.raw.len() > TABLE_RAW_MAX {
        Some(deps.archive.put("kept", kept.raw.clone().into()).await?)
    } else {
        None
    };
    deps.table.keep(kept, number, stored_at.as_deref(), received_at).await?;
    let metric = match kept.reason {
        KeptReason::Malformed => "inbound_quarantined",
        KeptReason::Unsupported => "inbound_unsupported",
        KeptReason::UnknownNumber => "inbound_unrouted",
    };
    deps.metrics.count(metric, &kept.what, 1);
    Ok(())
}
