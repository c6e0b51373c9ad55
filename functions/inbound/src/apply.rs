//! Merges one item of a webhook into the table.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use shared::clock::Timestamp;
use shared::domain::accounts::health::Seen;
use shared::domain::accounts::number::Number;
use shared::domain::conversations::contact::ContactIdentity;
use shared::domain::conversations::content::Content;
use shared::domain::conversations::message::{HistoryThread, InboundMessage, Origin};
use shared::domain::event::{
    InboundEvent, InboundEventKind, ProviderError, QuarantineReason, QuarantinedItem, StatusUpdate,
};
use shared::domain::ids::{ContactId, ConversationId, MessageId, MetaAppId, NumberId};
use shared::domain::sending::policy::Consequence;
use shared::keyring::{Keyring, SystemSecretName};
use shared::limits::{BATCH_CONCURRENCY, MESSAGE_AGE_MAX, TABLE_RAW_MAX};
use shared::provider::meta::callback_data::{CallbackData, Opened};
use shared::provider::meta::error;
use shared::queue::QueueError;
use shared::storage::{
    Activity, Applied, ArchiveError, ConversationUpdate, Resolved, StorageError, Stored, Table, Vouched, hour_of,
};
use shared::vault::VaultError;

use crate::effects::{RecordEffects, note_of};
use crate::{Deps, account};

/// Reason why an item is not stored yet; the record must be redelivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStored {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the job could not be encoded as JSON")]
    BadJob,
    #[error("the contact is being erased; the redelivered record creates a new contact")]
    ContactErased,
    #[error("the callback MAC key does not exist: run `operator init`")]
    NoCallbackMac,
}

/// Disposition of an item.
pub(crate) enum Disposition {
    /// The item is in the table.
    Stored,
    /// The item has no known recipient or cannot be used, so it is quarantined.
    Nowhere(QuarantineReason, String),
}

/// Merges one item. Returns its quarantine id if it could not be used. An item whose values DynamoDB refuses is
/// quarantined, because a retry would be refused again.
pub(crate) async fn apply(
    (deps, books): (&Deps, RecordEffects<'_>),
    event: InboundEvent,
    app: &MetaAppId,
    received_at: Timestamp,
) -> Result<Option<String>, NotStored> {
    let InboundEvent { said, raw } = event;
    let number = said.number().cloned();
    let placed = match said {
        InboundEventKind::Quarantined(reason, what, _) => Ok(Disposition::Nowhere(reason, what)),
        // A part of a phone's history may be as large as a hundred messages.
        _ if raw.len() > TABLE_RAW_MAX && !matches!(said, InboundEventKind::History(_)) => {
            Err(StorageError::Refused("an item that large").into())
        }
        InboundEventKind::State(change) => account::record(deps, app, *change).await,
        said => match known_number(deps, number.as_ref()).await? {
            Some(known) => {
                let kind = seen_kind(&said);
                let placed = of_number((deps, books), &known, said, received_at).await?;
                note_seen(deps, &known, kind, received_at).await?;
                Ok(placed)
            }
            None => match &number {
                // Late events of a removed number are dropped, because its data was erased.
                Some(number) if deps.table.number_is_gone(number).await? => {
                    deps.metrics.count("gone", said.what(), 1);
                    Ok(Disposition::Stored)
                }
                _ => Ok(Disposition::Nowhere(QuarantineReason::UnknownNumber, said.what().to_owned())),
            },
        },
    };
    let kept = match placed {
        Ok(Disposition::Stored) => return Ok(None),
        // A repetition by Meta or a replay must not restore erased data.
        Err(NotStored::Storage(StorageError::Erased)) => {
            deps.metrics.count("erased", "said_before", 1);
            return Ok(None);
        }
        Ok(Disposition::Nowhere(reason, what)) => QuarantinedItem { reason, what, raw },
        Err(NotStored::Storage(StorageError::Refused(what))) => {
            QuarantinedItem { reason: QuarantineReason::Malformed, what: what.to_owned(), raw }
        }
        Err(error) => return Err(error),
    };
    keep(deps, &kept, number.as_ref(), received_at).await?;
    Ok(Some(Table::quarantine_id(&kept.raw)))
}

/// Returns the kind under which a receipt is recorded, for the health of a number.
fn seen_kind(said: &InboundEventKind) -> Option<Seen> {
    match said {
        InboundEventKind::Message(_, message) if message.origin == Origin::Customer => Some(Seen::Messages),
        InboundEventKind::Message(_, message) if message.origin == Origin::BusinessApp => Some(Seen::Echoes),
        InboundEventKind::Status(..) => Some(Seen::Statuses),
        InboundEventKind::History(_) | InboundEventKind::HistoryProgress(..) => Some(Seen::History),
        InboundEventKind::AddressBook(..) => Some(Seen::AddressBook),
        _ => None,
    }
}

/// Records a receipt at most once per hour, number and kind, as far as the cache remembers.
async fn note_seen(
    deps: &Deps,
    number: &Number,
    kind: Option<Seen>,
    received_at: Timestamp,
) -> Result<(), StorageError> {
    let Some(kind) = kind else { return Ok(()) };
    let hour = hour_of(received_at);
    let note = async {
        deps.table.health_put_receipt(&number.id, hour, kind).await?;
        Ok::<_, StorageError>(Some(()))
    };
    deps.seen.get(&(number.id.clone(), kind, hour), note).await?;
    Ok(())
}

/// Returns the number, cached for five minutes. A missing number is not cached, because it may be connected at any
/// moment and no event for it may be missed.
pub(crate) async fn known_number(deps: &Deps, id: Option<&NumberId>) -> Result<Option<Number>, StorageError> {
    let Some(id) = id else { return Ok(None) };
    let known = deps.numbers.get(id, deps.table.number_get(id)).await?;
    if known.is_none() {
        deps.numbers.forget(id);
    }
    Ok(known)
}

async fn of_number(
    (deps, books): (&Deps, RecordEffects<'_>),
    number: &Number,
    said: InboundEventKind,
    received_at: Timestamp,
) -> Result<Disposition, NotStored> {
    match said {
        InboundEventKind::Message(_, message) => {
            return store_message((deps, books), number, &message, received_at).await;
        }
        InboundEventKind::Amendment(_, amendment) => {
            let card = &amendment.contact;
            // Not cached: no write below would detect that the contact is being erased.
            deps.contacts.forget(&(number.tenant, card.aliases()));
            let contact = contact_of(deps, number, (card, &[]), amendment.at, received_at).await?;
            let conversation = ConversationId::new(number.id.clone(), contact);
            let stored = deps.table.annotation_put(&conversation, &amendment, number.keeps_until(received_at)).await?;
            count(deps, stored == Stored::New, amendment.change.kind());
        }
        InboundEventKind::Status(_, update) => apply_status((deps, books), number, &update, received_at).await?,
        InboundEventKind::Call(_, caller, at) => {
            let contact = contact_of(deps, number, (&caller, &[]), at, received_at).await?;
            let conversation = ConversationId::new(number.id.clone(), contact);
            let when = Some(at);
            let noted = ConversationUpdate {
                opens_window_at: when,
                called_at: when,
                told_at: when,
                ..ConversationUpdate::default()
            };
            note(deps, number, &conversation, &caller, &noted).await?;
        }
        InboundEventKind::History(thread) => store_history((deps, books), number, *thread, received_at).await?,
        InboundEventKind::HistoryProgress(_, chunk) => deps.table.history_put_progress(&number.id, chunk).await?,
        InboundEventKind::AddressBook(_, card, entry, at) => {
            // The phone's owner typed the number, so its spelling may vary.
            let typed = Vouched::Typed;
            let known = deps.table.contact_resolve(number.tenant, (&card, &[]), typed, at, received_at).await?;
            let conversation = ConversationId::new(number.id.clone(), known.contact);
            let noted = deps.table.conversation_put_address_book(number.tenant, &conversation, &card, &entry, at).await;
            noted
                .map_err(|error| if error == StorageError::Erased { NotStored::ContactErased } else { error.into() })?;
            deps.metrics.count("address_book", "entry", 1);
        }
        InboundEventKind::Preference(_, card, preference, at) => {
            deps.contacts.forget(&(number.tenant, card.aliases()));
            let contact = contact_of(deps, number, (&card, &[]), at, received_at).await?;
            deps.table.preference_put(contact, &number.waba, &preference, at).await?;
            deps.metrics.count("preference", "stored", 1);
        }
        InboundEventKind::State(_) | InboundEventKind::Quarantined(..) => {}
    }
    Ok(Disposition::Stored)
}

/// Returns the contact of a card that the provider vouches for. An alias never changes its contact, so the cache is
/// right unless the contact was erased (see [`note`]).
async fn contact_of(
    deps: &Deps,
    number: &Number,
    named: (&ContactIdentity, &[ContactIdentity]),
    said_at: Timestamp,
    received_at: Timestamp,
) -> Result<ContactId, StorageError> {
    resolved(deps, number, named, said_at, received_at).await?.said(said_at)
}

async fn resolved(
    deps: &Deps,
    number: &Number,
    (card, linked): (&ContactIdentity, &[ContactIdentity]),
    said_at: Timestamp,
    received_at: Timestamp,
) -> Result<Resolved, StorageError> {
    let by = Vouched::ByProvider;
    let resolve = deps.table.contact_resolve(number.tenant, (card, linked), by, said_at, received_at);
    if !linked.is_empty() {
        return resolve.await;
    }
    let fetch = async { resolve.await.map(Some) };
    let known = deps.contacts.get(&(number.tenant, card.aliases()), fetch).await?;
    known.ok_or(StorageError::Corrupt("alias"))
}

/// Records what changed a conversation. If the cached contact is being erased, the cache entry is dropped and the
/// record is redelivered. The sender then becomes a new contact, and nothing is lost.
async fn note(
    deps: &Deps,
    number: &Number,
    conversation: &ConversationId,
    card: &ContactIdentity,
    noted: &ConversationUpdate<'_>,
) -> Result<(), NotStored> {
    still_there(deps, number, card, deps.table.conversation_touch(number.tenant, conversation, card, noted).await)
}

fn still_there(
    deps: &Deps,
    number: &Number,
    card: &ContactIdentity,
    noted: Result<(), StorageError>,
) -> Result<(), NotStored> {
    match noted {
        Err(StorageError::Erased) => {
            deps.contacts.forget(&(number.tenant, card.aliases()));
            Err(NotStored::ContactErased)
        }
        noted => Ok(noted?),
    }
}

async fn store_message(
    (deps, books): (&Deps, RecordEffects<'_>),
    number: &Number,
    message: &InboundMessage,
    received_at: Timestamp,
) -> Result<Disposition, NotStored> {
    // An unknown kind must not create its own metric.
    let unknown = matches!(message.content, Content::Unknown(_));
    let (origin, kind) = (message.origin, if unknown { "unknown" } else { message.content.kind() });
    let live = !origin.is_history();
    if live && origin.is_inbound() && received_at.duration_since(message.at) > MESSAGE_AGE_MAX {
        return Ok(Disposition::Nowhere(QuarantineReason::TooOld, "message".to_owned()));
    }
    let contact = contact_of(deps, number, (&message.contact, &message.linked), message.at, received_at).await?;
    let conversation = ConversationId::new(number.id.clone(), contact);
    let keep_until = number.keeps_until(received_at);
    let opens = live && origin.is_inbound() && message.content.opens_window();
    let card = as_now_known(message);
    let opened_by = opens.then_some(&card);
    let put = deps.table.inbound_message_put(&conversation, message, opened_by, (received_at, keep_until)).await?;
    // Recorded for a repetition too, because the first processing may have stopped at this point.
    let id = MessageId::Inbound(message.id.clone());
    let referred = live && origin.is_inbound() && message.context.referral.is_some();
    let noted = ConversationUpdate {
        message: Some((&id, message.at)),
        opens_window_at: opens.then_some(message.at),
        referred_at: referred.then_some(message.at),
        called_at: None,
        told_at: Some(message.at),
    };
    // Skips the conversation write only if the message never expires (otherwise the last-inbound time is lost with it)
    // and has no ad referral to record.
    if opens && keep_until.is_none() && !referred {
        let known = deps.table.conversation_touch_opened(number.tenant, &conversation, &card, &noted).await;
        still_there(deps, number, &card, known)?;
    } else {
        note(deps, number, &conversation, &card, &noted).await?;
    }
    note_activity((deps, books), number, &conversation, message.at, keep_until).await?;
    if opens {
        answered(deps, number, &conversation, message, received_at).await?;
    }
    count(deps, put == Stored::New, kind);
    Ok(Disposition::Stored)
}

/// Records inbox activity, at the end of the batch. A replay records it only if it is missing.
async fn note_activity(
    (deps, books): (&Deps, RecordEffects<'_>),
    number: &Number,
    conversation: &ConversationId,
    at: Timestamp,
    keep_until: Option<Timestamp>,
) -> Result<(), StorageError> {
    let activity = Activity { tenant: number.tenant, at, conversation: conversation.clone(), keep_until };
    if !books.counted_before {
        books.note_activity(activity);
    } else if !deps.table.inbox_shows(&activity).await? {
        deps.table.inbox_put(vec![activity]).await?;
    }
    Ok(())
}

/// Settles a message whose outcome is unknown: a customer's reply to one of our messages with an unrecorded id shows
/// that it was sent, if just one message matches (`docs/reliability.md#section-2-3-5`, `docs/reliability.md#e3`).
async fn answered(
    deps: &Deps,
    number: &Number,
    conversation: &ConversationId,
    message: &InboundMessage,
    now: Timestamp,
) -> Result<(), StorageError> {
    let Some(quoted) = &message.context.quotes else { return Ok(()) };
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let ours = message.context.quoted_author.as_deref().map(digits) == Some(digits(&number.display_phone_number));
    if ours && deps.table.message_settle_answered(conversation, quoted, message.at, now).await? {
        deps.metrics.count("unknown_resolved", "reply", 1);
    }
    Ok(())
}

/// Returns the sender's card, updated with identifiers in the message itself, such as a new number.
fn as_now_known(message: &InboundMessage) -> ContactIdentity {
    let mut card = message.contact.clone();
    for linked in &message.linked {
        card.phone = linked.phone.clone().or(card.phone);
        card.user_id = linked.user_id.clone().or(card.user_id);
    }
    card
}

/// Stores a part of a phone's history. The contact is resolved once, and the conversation is updated once. History
/// never opens a customer service window.
async fn store_history(
    (deps, books): (&Deps, RecordEffects<'_>),
    number: &Number,
    mut thread: HistoryThread,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let newest = thread.messages.iter().map(|message| message.at).max().unwrap_or(received_at);
    let known = resolved(deps, number, (&thread.contact, &[]), newest, received_at).await?;
    thread.messages.retain(|message| known.said(message.at).is_ok());
    let conversation = ConversationId::new(number.id.clone(), known.contact);
    let kept = (received_at, number.keeps_until(received_at));
    let put = |message: InboundMessage| {
        let conversation = &conversation;
        async move {
            let put = deps.table.inbound_message_put(conversation, &message, None, kept).await?;
            count(deps, put == Stored::New, "history");
            Ok::<_, StorageError>(message)
        }
    };
    let puts: Vec<Result<InboundMessage, StorageError>> =
        stream::iter(thread.messages).map(put).buffer_unordered(BATCH_CONCURRENCY).collect().await;
    if let Some(newest) = puts.iter().flatten().max_by_key(|message| (message.at, message.id.clone())) {
        let id = MessageId::Inbound(newest.id.clone());
        let noted = ConversationUpdate {
            message: Some((&id, newest.at)),
            told_at: Some(newest.at),
            ..ConversationUpdate::default()
        };
        note(deps, number, &conversation, &thread.contact, &noted).await?;
        // Only the newest message can represent the conversation in the inbox.
        note_activity((deps, books), number, &conversation, newest.at, kept.1).await?;
    }
    // If a message cannot be stored, its whole part is quarantined, after the other messages are stored.
    puts.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

fn count(deps: &Deps, new: bool, kind: &str) {
    deps.metrics.count(if new { "inbound_stored" } else { "inbound_duplicate" }, kind, 1);
}

async fn apply_status(
    (deps, books): (&Deps, RecordEffects<'_>),
    number: &Number,
    update: &StatusUpdate,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let Some(unverified) = update.unverified_callback_data.as_deref() else {
        deps.metrics.count("status_foreign", "no_callback_data", 1);
        return Ok(());
    };
    let mut opened = CallbackData::open(unverified, &*callback_mac(deps).await?, number.tenant);
    if opened == Opened::Newer {
        // The key was replaced moments ago.
        deps.callback_mac.forget(&());
        opened = CallbackData::open(unverified, &*callback_mac(deps).await?, number.tenant);
    }
    let data = match opened {
        Opened::Ours(data) if *data.conversation.number() == number.id => data,
        _ => {
            deps.metrics.count("status_foreign", "not_ours", 1);
            return Ok(());
        }
    };
    if books.counted_before {
        // A replayed status counts only if it is not stored yet, so it is counted before it is stored.
        let known = deps.table.intent_get(&data.conversation, data.message).await?;
        if known.is_some_and(|(_, facts)| facts.times.at(update.status).is_none()) {
            deps.table.usage_put(vec![note_of(&number.id, data.message, update)], received_at).await?;
        }
    }
    let applied = deps.table.status_put(&data.conversation, data.message, data.attempt, update).await?;
    let counts = applied != Applied::NoMessage;
    if let (true, Some(until)) = (counts, update.entry_point_until) {
        deps.table.conversation_put_entry_point(number.tenant, &data.conversation, until).await?;
    }
    match applied {
        Applied::New { settled_doubt, duplicate_send, lied, template } => {
            deps.metrics.count("status_applied", update.status.as_str(), 1);
            deps.metrics.count("unknown_resolved", "status", u64::from(settled_doubt));
            if duplicate_send {
                tracing::error!(
                    event = "inbound.duplicate_confirmed",
                    message_id = %data.message,
                    attempt = data.attempt
                );
                deps.metrics.count("duplicate_confirmed", "status", 1);
            }
            let contact = data.conversation.contact();
            if lied {
                let why = ProviderError::ours("distrusted", "a status arrived for an attempt that Meta had refused");
                let distrust = Consequence::Distrust;
                deps.table.consequence_put(number, contact, None, &why, distrust, received_at).await?;
            }
            // A late refusal has the same consequences for future messages as an immediate one.
            if let Some(error) = &update.error
                && let Some(consequence) = error::consequence(error.code)
            {
                deps.table.consequence_put(number, contact, template.as_ref(), error, consequence, received_at).await?;
            }
        }
        Applied::Repeated => deps.metrics.count("status_repeated", update.status.as_str(), 1),
        Applied::NoMessage => deps.metrics.count("status_orphan", update.status.as_str(), 1),
    }
    if counts && !books.counted_before {
        // Counted for a repetition too, because the first processing may have stopped before counting.
        books.note_usage(&number.id, data.message, update, received_at);
    }
    Ok(())
}

async fn callback_mac(deps: &Deps) -> Result<Arc<Keyring>, NotStored> {
    const NAME: SystemSecretName = SystemSecretName::CallbackMac;
    let stored = async { Ok::<_, NotStored>(deps.table.system_secret_get(NAME).await?) };
    let known = deps.vault.remembered(&deps.callback_mac, NAME, stored).await?;
    known.ok_or(NotStored::NoCallbackMac)
}

/// Quarantines a raw item (in the bucket if it is too large for the table) and counts the reason.
pub(crate) async fn keep(
    deps: &Deps,
    kept: &QuarantinedItem,
    number: Option<&NumberId>,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let stored_at = if kept.raw.len() > TABLE_RAW_MAX {
        Some(deps.archive.put("quarantine", kept.raw.clone().into()).await?)
    } else {
        None
    };
    deps.table.quarantine_put(kept, number, stored_at.as_deref(), received_at).await?;
    let metric = match kept.reason {
        QuarantineReason::Malformed | QuarantineReason::TooOld => "inbound_quarantined",
        QuarantineReason::Unsupported => "inbound_unsupported",
        QuarantineReason::UnknownNumber | QuarantineReason::UnknownAccount => "inbound_unrouted",
    };
    deps.metrics.count(metric, &kept.what, 1);
    Ok(())
}
