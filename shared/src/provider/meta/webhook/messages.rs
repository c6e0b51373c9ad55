//! Webhook fields with messages: messages and statuses, messages that the business sent elsewhere, calls.

use crate::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use crate::domain::conversations::contact::ContactIdentity;
use crate::domain::conversations::message::Origin;
use crate::domain::event::{InboundEvent, InboundEventKind};
use crate::domain::ids::NumberId;
use crate::provider::meta::webhook::card::{Card, TO, person};
use crate::provider::meta::webhook::item::{self, MessageItem, StatusItem, sender, timestamp};
use crate::provider::meta::webhook::json::Node;
use crate::provider::meta::webhook::{Change, said};

/// Parses `messages` and `standby`: customers' messages, statuses, errors, user actions.
pub(super) fn tell(change: &Change<'_, '_>, value: &Node<'_>, origin: Origin, events: &mut Vec<InboundEvent>) {
    let Some(number) = change.number(value) else {
        events.push(change.malformed("phone_number_id", None, change.alone()));
        return;
    };
    let cards = Card::all(value);
    let (messages, statuses, errors) = (value.get("messages"), value.get("statuses"), value.get("errors"));
    inbound(change, &number, messages.as_ref(), &cards, origin, events);
    if let Some(statuses) = statuses.as_ref().and_then(Node::items) {
        for node in &statuses {
            let raw = change.item_alone("statuses", node.raw(), None);
            events.push(match item::status(node, change.received_at) {
                StatusItem::Known(update) => said(InboundEventKind::Status(number.clone(), update), raw),
                StatusItem::Payment(update) => said(InboundEventKind::Payment(number.clone(), update), raw),
                StatusItem::NewWord => change.unsupported("status", Some(&number), raw),
                StatusItem::Broken => change.malformed("status", Some(&number), raw),
            });
        }
    }
    // Errors alone are about the number. Beside messages they are about those messages, and are quarantined with them.
    if messages.is_none() {
        for node in errors.as_ref().and_then(Node::items).unwrap_or_default() {
            let raw = change.item_alone("errors", node.raw(), None);
            events.push(trouble(change, &number, &node, raw));
        }
    } else if errors.is_some() {
        events.push(change.unsupported("errors", Some(&number), change.alone()));
    }
    let no_list = |list: &Option<Node<'_>>| list.as_ref().is_some_and(|list| list.items().is_none());
    if no_list(&messages) || no_list(&statuses) || no_list(&errors) {
        events.push(change.malformed("messages", Some(&number), change.alone()));
    } else if value.get("user_actions").is_some() {
        events.push(change.unsupported("user_actions", Some(&number), change.alone()));
    } else if messages.is_none() && statuses.is_none() && errors.is_none() {
        events.push(change.unsupported("messages", Some(&number), change.alone()));
    }
}

/// Parses customers' messages, of any field.
pub(super) fn inbound(
    change: &Change<'_, '_>,
    number: &NumberId,
    messages: Option<&Node<'_>>,
    cards: &[Card<'_>],
    origin: Origin,
    events: &mut Vec<InboundEvent>,
) {
    let messages = messages.and_then(Node::items).unwrap_or_default();
    for node in &messages {
        let (contact, card) = sender(node, cards, messages.len() == 1);
        let raw = change.item_alone("messages", node.raw(), card);
        events.push(one(change, number, node, contact, origin, raw));
    }
}

/// Parses messages that the business sent from its phone or from another app.
pub(super) fn echoes(change: &Change<'_, '_>, value: &Node<'_>, origin: Origin, events: &mut Vec<InboundEvent>) {
    let number = change.number(value);
    let list = value.get("message_echoes").and_then(|list| list.items());
    let (Some(number), Some(list)) = (number, list) else {
        events.push(change.malformed("message_echoes", None, change.alone()));
        return;
    };
    let cards = Card::all(value);
    for node in &list {
        let (contact, card) = person(node, TO, &cards, list.len() == 1);
        let raw = change.item_alone("message_echoes", node.raw(), card);
        events.push(one(change, &number, node, contact, origin, raw));
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

/// Parses `calls`. Each is quarantined as unsupported; a call by the customer opens the customer service window like a
/// message.
pub(super) fn calls(change: &Change<'_, '_>, value: &Node<'_>, events: &mut Vec<InboundEvent>) {
    let Some(number) = change.number(value) else {
        events.push(change.malformed("phone_number_id", None, change.alone()));
        return;
    };
    let cards = Card::all(value);
    let calls = value.get("calls").and_then(|calls| calls.items()).unwrap_or_default();
    for node in &calls {
        let direction = node.text_of("direction");
        if direction.as_deref() != Some("USER_INITIATED") || node.text_of("event").as_deref() != Some("connect") {
            continue;
        }
        let (contact, card) = sender(node, &cards, calls.len() == 1);
        let at = timestamp(node, change.received_at).unwrap_or(change.received_at);
        if !contact.aliases().is_empty() {
            let raw = change.item_alone("calls", node.raw(), card);
            events.push(said(InboundEventKind::Call(number.clone(), Box::new(contact), at), raw));
        }
    }
    events.push(change.unsupported("calls", Some(&number), change.alone()));
}
