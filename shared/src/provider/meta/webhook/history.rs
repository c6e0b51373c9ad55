//! `history`: past chats of a coexistence number. Chunks arrive in any order. Past messages never open a customer
//! service window.

use crate::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use crate::domain::conversations::contact::ContactIdentity;
use crate::domain::conversations::message::{HistoryChunk, HistoryThread, Origin};
use crate::domain::event::{InboundEvent, InboundEventKind};
use crate::domain::ids::NumberId;
use crate::provider::meta::webhook::item::{self, MessageItem};
use crate::provider::meta::webhook::json::Node;
use crate::provider::meta::webhook::{Change, said};

/// Messages of one thread that are stored together, so that their contact is looked up once.
const THREAD_SLICE: usize = 100;
/// Error code when the business does not share its past chats.
const DECLINED: i64 = 2_593_109;

/// Parses chunks: messages, a refusal, or the end.
pub(super) fn chunks(
    change: &Change<'_, '_>,
    number: &NumberId,
    value: &Node<'_>,
    chunks: &[Node<'_>],
    events: &mut Vec<InboundEvent>,
) {
    let us = value
        .get("metadata")
        .and_then(|metadata| crate::provider::meta::webhook::card::phone(&metadata, "display_phone_number"));
    let us = us.map(|us| us.digits().to_owned()).unwrap_or_default();
    for chunk in chunks {
        let errors = crate::provider::meta::webhook::content::errors(chunk);
        let threads = chunk.get("threads");
        if !errors.is_empty() && (threads.is_none() || errors.iter().any(|error| error.code == DECLINED)) {
            events.push(declined(change, number, chunk));
        }
        match threads.as_ref().map(Node::items) {
            Some(Some(threads)) => {
                threads.iter().for_each(|thread| one_thread(change, number, &us, thread, events));
            }
            Some(None) => {
                events.push(change.malformed("threads", Some(number), change.item_alone("history", chunk.raw(), None)));
            }
            None if errors.is_empty() && chunk.get("metadata").is_none() => {
                events.push(change.unsupported(
                    "history",
                    Some(number),
                    change.item_alone("history", chunk.raw(), None),
                ));
            }
            None => {}
        }
        let part = |key: &str| chunk.get("metadata").and_then(|metadata| metadata.text_of(key)?.parse().ok());
        if let (Some(phase), Some(progress)) = (part("phase"), part("progress")) {
            let order = part("chunk_order").unwrap_or(0);
            let metadata = chunk.get("metadata").map_or("{}", |metadata| metadata.raw());
            let raw = change.item_alone("history", &format!(r#"{{"metadata":{metadata}}}"#), None);
            events.push(said(
                InboundEventKind::HistoryProgress(number.clone(), HistoryChunk { phase, order, progress }),
                raw,
            ));
        }
    }
}

fn one_thread(change: &Change<'_, '_>, number: &NumberId, us: &str, thread: &Node<'_>, events: &mut Vec<InboundEvent>) {
    let contact = thread_contact(thread);
    let nodes = match thread.get("messages").as_ref().map(Node::items) {
        Some(Some(nodes)) if !contact.aliases().is_empty() => nodes,
        None => return,
        // The thread has no contact, or its messages are not a list.
        Some(_) => {
            let raw = format!(r#"{{"threads":[{}]}}"#, thread.raw());
            events.push(change.malformed("thread", Some(number), change.item_alone("history", &raw, None)));
            return;
        }
    };
    for slice in nodes.chunks(THREAD_SLICE) {
        let (mut read, mut taken) = (Vec::with_capacity(slice.len()), Vec::with_capacity(slice.len()));
        for node in slice {
            let raw = || slice_alone(change, thread, &[node.raw()]);
            match item::message(node, contact.clone(), direction(node, us, &contact), change.received_at) {
                MessageItem::Message(message) => {
                    read.push(*message);
                    taken.push(node.raw());
                }
                MessageItem::Amendment(amendment) => {
                    events.push(said(InboundEventKind::Amendment(number.clone(), amendment), raw()));
                }
                MessageItem::Broken => events.push(change.malformed("message", Some(number), raw())),
            }
        }
        if !read.is_empty() {
            let thread_read = HistoryThread { number: number.clone(), contact: contact.clone(), messages: read };
            let raw = slice_alone(change, thread, &taken);
            events.push(said(InboundEventKind::History(Box::new(thread_read)), raw));
        }
    }
}

/// Returns the direction of a past message. The business sent it if `from` is our own number, or if there is a `to` and
/// the sender is not the customer.
fn direction(node: &Node<'_>, us: &str, contact: &ContactIdentity) -> Origin {
    let from = crate::provider::meta::webhook::card::phone(node, "from");
    let ours = match &from {
        Some(from) => from.digits() == us || (node.get("to").is_some() && Some(from) != contact.phone.as_ref()),
        None => node.get("to").is_some() && node.get("from_user_id").is_none(),
    };
    if ours { Origin::HistoryBusiness } else { Origin::HistoryCustomer }
}

fn slice_alone(change: &Change<'_, '_>, thread: &Node<'_>, messages: &[&str]) -> Vec<u8> {
    let part = |key: &str| thread.get(key).map(|part| format!(r#""{key}":{},"#, part.raw())).unwrap_or_default();
    let (id, context) = (part("id"), part("context"));
    let thread = format!(r#"{{"threads":[{{{id}{context}"messages":[{}]}}]}}"#, messages.join(","));
    change.item_alone("history", &thread, None)
}

fn declined(change: &Change<'_, '_>, number: &NumberId, chunk: &Node<'_>) -> InboundEvent {
    let state = StateChange {
        subject: Subject::Number(number.clone()),
        aspect: Aspect::History,
        key: None,
        word: "declined".to_owned(),
        until: None,
        detail: chunk.value().map_or_else(|| "{}".to_owned(), |value| value.to_string()),
        at: change.sent_at(),
        timed: change.is_timed(),
        alert: Some(Alert {
            severity: Severity::Info,
            title: "The business does not share its past chats.",
            remedy: "Nothing is wrong. To share them the number must be connected again with history sharing switched on.",
        }),
    };
    said(InboundEventKind::State(Box::new(state)), change.item_alone("history", chunk.raw(), None))
}

/// Returns the customer of a past conversation, by the keys of its thread.
fn thread_contact(thread: &Node<'_>) -> ContactIdentity {
    let mut contact = thread
        .get("context")
        .map(|context| item::named(&context, crate::provider::meta::webhook::card::SELF))
        .unwrap_or_default();
    let id = crate::provider::meta::webhook::card::phone(thread, "id");
    contact.wa_id = contact.phone.take();
    contact.phone = id.or_else(|| contact.wa_id.clone());
    contact
}
