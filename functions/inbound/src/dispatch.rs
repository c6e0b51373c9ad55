//! Dispatch of one item of a webhook: each kind of event has one place that merges it into the table.

use shared::clock::Timestamp;
use shared::domain::accounts::health::Seen;
use shared::domain::accounts::number::Number;
use shared::domain::conversations::message::Origin;
use shared::domain::event::{InboundEvent, InboundEventKind, QuarantineReason, QuarantinedItem};
use shared::domain::ids::{ConversationId, MetaAppId};
use shared::limits::TABLE_RAW_MAX;
use shared::storage::{ConversationUpdate, Naming, StorageError, Stored, Table, Vouched, hour_of};

use crate::contacts::{Author, contact_of, known_number, touch};
use crate::effects::Context;
use crate::messages::{count, store_history, store_message};
use crate::outcome::{Disposition, NotStored};
use crate::quarantine::quarantine;
use crate::statuses::{apply_status, record_payment};
use crate::{Deps, states};

/// Merges one item. Returns its quarantine id if it could not be used. An item whose values DynamoDB refuses is
/// quarantined, because a retry would be refused again.
pub(crate) async fn handle_event(
    Context { deps, effects }: Context<'_>,
    event: InboundEvent,
    app: &MetaAppId,
    received_at: Timestamp,
) -> Result<Option<String>, NotStored> {
    let InboundEvent { said, raw } = event;
    let number = said.number().cloned();
    let placed = match said {
        InboundEventKind::Quarantined(reason, what, _) => Ok(Disposition::Quarantine(reason, what)),
        // A part of a phone's history may be as large as a hundred messages.
        _ if !matches!(said, InboundEventKind::History(_)) && content_length(&raw) > TABLE_RAW_MAX => {
            Err(StorageError::Refused("an item that large").into())
        }
        InboundEventKind::State(change) => states::record(deps, app, *change).await,
        said => match known_number(deps, number.as_ref()).await? {
            Some(known) => {
                let kind = receipt_kind(&said);
                let placed = handle_number_event(Context { deps, effects }, &known, said, received_at).await;
                if placed.is_ok() {
                    record_receipt(deps, &known, kind, received_at).await?;
                }
                placed
            }
            None => match &number {
                // Late events of a removed number are dropped, because its data was erased.
                Some(number) if deps.table.number_is_gone(number).await? => {
                    deps.metrics.count("gone", said.what(), 1);
                    Ok(Disposition::Stored)
                }
                _ => Ok(Disposition::Quarantine(QuarantineReason::UnknownNumber, said.what().to_owned())),
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
        Ok(Disposition::Quarantine(reason, what)) => QuarantinedItem { reason, what, raw },
        Err(NotStored::Storage(StorageError::Refused(what))) => {
            QuarantinedItem { reason: QuarantineReason::Malformed, what: what.to_owned(), raw }
        }
        Err(error) => return Err(error),
    };
    quarantine(deps, &kept, number.as_ref(), received_at).await?;
    Ok(Some(Table::quarantine_id(&kept.raw)))
}

/// Returns the length of an item's content in UTF-8. Meta escapes every letter outside ASCII, six bytes each.
fn content_length(raw: &[u8]) -> usize {
    if raw.len() <= TABLE_RAW_MAX {
        return raw.len();
    }
    let value = serde_json::from_slice::<serde_json::Value>(raw);
    value.map_or(raw.len(), |value| value.to_string().len())
}

/// Returns the kind under which a receipt is recorded, for the health of a number.
fn receipt_kind(said: &InboundEventKind) -> Option<Seen> {
    match said {
        InboundEventKind::Message(_, message) if message.origin == Origin::Customer => Some(Seen::Messages),
        InboundEventKind::Message(_, message) if message.origin == Origin::BusinessApp => Some(Seen::Echoes),
        InboundEventKind::Status(..) | InboundEventKind::Payment(..) => Some(Seen::Statuses),
        InboundEventKind::History(_) | InboundEventKind::HistoryProgress(..) => Some(Seen::History),
        InboundEventKind::AddressBook(..) => Some(Seen::AddressBook),
        _ => None,
    }
}

/// Records a receipt at most once per hour, number and kind, as far as the cache remembers.
async fn record_receipt(
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

async fn handle_number_event(
    Context { deps, effects }: Context<'_>,
    number: &Number,
    said: InboundEventKind,
    received_at: Timestamp,
) -> Result<Disposition, NotStored> {
    match said {
        InboundEventKind::Message(_, message) => {
            return store_message(Context { deps, effects }, number, &message, received_at).await;
        }
        InboundEventKind::Amendment(_, amendment) => {
            let card = &amendment.contact;
            // Not cached: no write below would detect that the contact is being erased.
            deps.contacts.forget(&(number.tenant, card.aliases()));
            let contact = contact_of(deps, number, Author::only(card), amendment.at, received_at).await?;
            let conversation = ConversationId::new(number.id.clone(), contact);
            let stored = deps.table.annotation_put(&conversation, &amendment, number.keeps_until(received_at)).await?;
            count(deps, stored == Stored::New, amendment.change.kind());
        }
        InboundEventKind::Status(_, update) => {
            apply_status(Context { deps, effects }, number, &update, received_at).await?;
        }
        InboundEventKind::Payment(_, update) => return Box::pin(record_payment(deps, number, &update)).await,
        InboundEventKind::Call(_, caller, at) => {
            let contact = contact_of(deps, number, Author::only(&caller), at, received_at).await?;
            let conversation = ConversationId::new(number.id.clone(), contact);
            let when = Some(at);
            let noted = ConversationUpdate {
                opens_window_at: when,
                called_at: when,
                observed_at: when,
                ..ConversationUpdate::default()
            };
            touch(deps, number, &conversation, &caller, &noted).await?;
        }
        InboundEventKind::History(thread) => {
            store_history(Context { deps, effects }, number, *thread, received_at).await?;
        }
        InboundEventKind::HistoryProgress(_, chunk) => deps.table.history_put_progress(&number.id, chunk).await?,
        InboundEventKind::AddressBook(_, card, entry, at) => {
            // The phone's owner typed the number, so its spelling may vary.
            let naming = Naming { card: &card, linked: &[], vouched: Vouched::Typed, said_at: at };
            let known = deps.table.contact_resolve(number.tenant, naming, received_at).await?;
            let conversation = ConversationId::new(number.id.clone(), known.contact);
            let noted = deps.table.conversation_put_address_book(number.tenant, &conversation, &card, &entry, at).await;
            noted
                .map_err(|error| if error == StorageError::Erased { NotStored::ContactErased } else { error.into() })?;
            deps.metrics.count("address_book", "entry", 1);
        }
        InboundEventKind::Preference(_, card, preference, at) => {
            deps.contacts.forget(&(number.tenant, card.aliases()));
            let contact = contact_of(deps, number, Author::only(&card), at, received_at).await?;
            deps.table.preference_put(contact, &number.waba, &preference, at).await?;
            deps.metrics.count("preference", "stored", 1);
        }
        InboundEventKind::State(_) | InboundEventKind::Quarantined(..) => {}
    }
    Ok(Disposition::Stored)
}
