//! Messages that others wrote, live or from a phone's history.

use futures_util::stream::{self, StreamExt};
use shared::clock::Timestamp;
use shared::domain::accounts::number::Number;
use shared::domain::conversations::contact::ContactIdentity;
use shared::domain::conversations::content::Content;
use shared::domain::conversations::message::{HistoryThread, InboundMessage};
use shared::domain::event::QuarantineReason;
use shared::domain::ids::{ConversationId, MessageId};
use shared::limits::{BATCH_CONCURRENCY, MESSAGE_AGE_MAX};
use shared::storage::{Activity, ConversationUpdate, StorageError, Stored};

use crate::Deps;
use crate::contacts::{Author, contact_of, resolved, still_there, touch};
use crate::effects::Context;
use crate::outcome::{Disposition, NotStored};

pub(crate) async fn store_message(
    Context { deps, effects }: Context<'_>,
    number: &Number,
    message: &InboundMessage,
    received_at: Timestamp,
) -> Result<Disposition, NotStored> {
    // An unknown kind must not create its own metric.
    let unknown = matches!(message.content, Content::Unknown(_));
    let (origin, kind) = (message.origin, if unknown { "unknown" } else { message.content.kind() });
    let live = !origin.is_history();
    if live && origin.is_inbound() && received_at.duration_since(message.at) > MESSAGE_AGE_MAX {
        return Ok(Disposition::Quarantine(QuarantineReason::TooOld, "message".to_owned()));
    }
    let contact =
        contact_of(deps, number, Author { card: &message.contact, linked: &message.linked }, message.at, received_at)
            .await?;
    if let Some(phone) = &message.gave_up {
        deps.table.contact_release(number.tenant, phone, message.at).await?;
    }
    let conversation = ConversationId::new(number.id.clone(), contact);
    let keep_until = number.keeps_until(received_at);
    let opens = live && origin.is_inbound() && message.content.opens_window();
    let card = as_now_known(message);
    let opened_by = opens.then_some(&card);
    let put = deps.table.inbound_message_put(&conversation, message, opened_by, received_at, keep_until).await?;
    // Recorded for a repetition too, because the first processing may have stopped at this point.
    let id = MessageId::Inbound(message.id.clone());
    let referred = live && origin.is_inbound() && message.context.referral.is_some();
    let noted = ConversationUpdate {
        message: Some((&id, message.at)),
        opens_window_at: opens.then_some(message.at),
        referred_at: referred.then_some(message.at),
        called_at: None,
        observed_at: Some(message.at),
    };
    // Skips the conversation write only if the message never expires (otherwise the last-inbound time is lost with it)
    // and has no ad referral to record.
    if opens && keep_until.is_none() && !referred {
        let known = deps.table.conversation_touch_opened(number.tenant, &conversation, &card, &noted).await;
        still_there(deps, number, &card, known)?;
    } else {
        touch(deps, number, &conversation, &card, &noted).await?;
    }
    note_activity(Context { deps, effects }, number, &conversation, message.at, keep_until).await?;
    if opens {
        settle_quoted(deps, number, &conversation, message, received_at).await?;
    }
    count(deps, put == Stored::New, kind);
    Ok(Disposition::Stored)
}

/// Records inbox activity, at the end of the batch. A replay records it only if it is missing.
pub(crate) async fn note_activity(
    Context { deps, effects }: Context<'_>,
    number: &Number,
    conversation: &ConversationId,
    at: Timestamp,
    keep_until: Option<Timestamp>,
) -> Result<(), StorageError> {
    let activity = Activity { tenant: number.tenant, at, conversation: conversation.clone(), keep_until };
    if !effects.counted_before {
        effects.add_activity(activity);
    } else if !deps.table.inbox_shows(&activity).await? {
        deps.table.inbox_put(vec![activity]).await?;
    }
    Ok(())
}

/// Settles a message whose outcome is unknown: a customer's reply to one of our messages with an unrecorded id shows
/// that it was sent, if just one message matches (`docs/reliability.md#section-2-3-5`, `docs/reliability.md#e3`).
pub(crate) async fn settle_quoted(
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
pub(crate) fn as_now_known(message: &InboundMessage) -> ContactIdentity {
    let mut card = message.contact.clone();
    for linked in &message.linked {
        card.phone = linked.phone.clone().or(card.phone);
        card.user_id = linked.user_id.clone().or(card.user_id);
    }
    card
}

/// Stores a part of a phone's history. The contact is resolved once, and the conversation is updated once. History
/// never opens a customer service window.
pub(crate) async fn store_history(
    Context { deps, effects }: Context<'_>,
    number: &Number,
    mut thread: HistoryThread,
    received_at: Timestamp,
) -> Result<(), NotStored> {
    let newest = thread.messages.iter().map(|message| message.at).max().unwrap_or(received_at);
    let known = resolved(deps, number, Author::only(&thread.contact), newest, received_at).await?;
    thread.messages.retain(|message| known.said(message.at).is_ok());
    let conversation = ConversationId::new(number.id.clone(), known.contact);
    let keep_until = number.keeps_until(received_at);
    let put = |message: InboundMessage| {
        let conversation = &conversation;
        async move {
            let put = deps.table.inbound_message_put(conversation, &message, None, received_at, keep_until).await?;
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
            observed_at: Some(newest.at),
            ..ConversationUpdate::default()
        };
        touch(deps, number, &conversation, &thread.contact, &noted).await?;
        // Only the newest message can represent the conversation in the inbox.
        note_activity(Context { deps, effects }, number, &conversation, newest.at, keep_until).await?;
    }
    // If a message cannot be stored, its whole part is quarantined, after the other messages are stored.
    puts.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(())
}

pub(crate) fn count(deps: &Deps, new: bool, kind: &str) {
    deps.metrics.count(if new { "inbound_stored" } else { "inbound_duplicate" }, kind, 1);
}
