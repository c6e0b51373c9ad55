//! Lists of messages: messages and statuses, messages that the business sent elsewhere, errors, calls.

use crate::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use crate::domain::conversations::contact::ContactIdentity;
use crate::domain::conversations::message::Origin;
use crate::domain::event::{InboundEvent, InboundEventKind};
use crate::domain::ids::NumberId;
use crate::provider::meta::webhook::card::{Card, FROM, TO, person};
use crate::provider::meta::webhook::item::{self, MessageItem, StatusItem, sender, timestamp};
use crate::provider::meta::webhook::json::Node;
use crate::provider::meta::webhook::{Change, said};

/// Parses messages: of customers, or those that the business sent from its phone or from another app.
pub(super) fn written(
    change: &Change<'_, '_>,
    number: &NumberId,
    list: &[Node<'_>],
    cards: &[Card<'_>],
    origin: Origin,
    events: &mut Vec<InboundEvent>,
) {
    let (name, keys) = if origin.is_inbound() { ("messages", FROM) } else { ("message_echoes", TO) };
    for node in list {
        let (contact, card) = person(node, keys, cards, list.len() == 1);
        let raw = change.item_alone(name, node.raw(), card);
        events.push(one(change, number, node, contact, origin, raw));
    }
}

/// Parses statuses of messages and payments.
pub(super) fn statuses(change: &Change<'_, '_>, number: &NumberId, list: &[Node<'_>], events: &mut Vec<InboundEvent>) {
    for node in list {
        let raw = change.item_alone("statuses", node.raw(), None);
        events.push(match item::status(node, change.received_at) {
            StatusItem::Known(update) => said(InboundEventKind::Status(number.clone(), update), raw),
            StatusItem::Payment(update) => said(InboundEventKind::Payment(number.clone(), update), raw),
            StatusItem::NewWord => change.unsupported("status", Some(number), raw),
            StatusItem::Broken => change.malformed("status", Some(number), raw),
        });
    }
}

/// Parses errors of the number itself.
pub(super) fn errors(change: &Change<'_, '_>, number: &NumberId, list: &[Node<'_>], events: &mut Vec<InboundEvent>) {
    for node in list {
        events.push(trouble(change, number, node, change.item_alone("errors", node.raw(), None)));
    }
}

fn one(
    change: &Change<'_, '_>,
    number: &NumberId,
    node: &Node<'_>,
    contact: ContactIdentity,
    origin: Origin,
    raw: Vec<u8>,
) -> InboundEvent {
    match item::message(node, contact, origin, change.received_at) {
        MessageItem::Message(message) => said(InboundEventKind::Message(number.clone(), message), raw),
        MessageItem::Amendment(amendment) => said(InboundEventKind::Amendment(number.clone(), amendment), raw),
        MessageItem::Broken => change.malformed("message", Some(number), raw),
    }
}

/// Returns a state for an error of the number itself, such as 130429.
fn trouble(change: &Change<'_, '_>, number: &NumberId, node: &Node<'_>, raw: Vec<u8>) -> InboundEvent {
    let code = node.text_of("code").filter(|code| code.parse::<i64>().is_ok());
    let (Some(code), Some(detail)) = (code, node.value()) else {
        return change.malformed("errors", Some(number), raw);
    };
    let state = StateChange {
        subject: Subject::Number(number.clone()),
        aspect: Aspect::Trouble,
        key: Some(code.clone()),
        word: code,
        until: None,
        detail: detail.to_string(),
        at: change.sent_at(),
        timed: change.is_timed(),
        alert: Some(Alert {
            severity: Severity::Warning,
            title: "WhatsApp reports trouble with the number.",
            remedy: "Look the code up in Meta's list of error codes; 130429 means: send more slowly.",
        }),
    };
    said(InboundEventKind::State(Box::new(state)), raw)
}

/// Parses calls. Each is quarantined as unsupported; a call by the customer opens the customer service window like a
/// message.
pub(super) fn calls(
    change: &Change<'_, '_>,
    number: &NumberId,
    list: &[Node<'_>],
    cards: &[Card<'_>],
    events: &mut Vec<InboundEvent>,
) {
    for node in list {
        let (contact, card) = sender(node, cards, list.len() == 1);
        let raw = change.item_alone("calls", node.raw(), card);
        events.push(change.unsupported("calls", Some(number), raw.clone()));
        let is_theirs = node.text_of("direction").as_deref() == Some("USER_INITIATED");
        if is_theirs && node.text_of("event").as_deref() == Some("connect") && !contact.aliases().is_empty() {
            let at = timestamp(node, change.received_at).unwrap_or(change.received_at);
            events.push(said(InboundEventKind::Call(number.clone(), Box::new(contact), at), raw));
        }
    }
}
