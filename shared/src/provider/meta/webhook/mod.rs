//! A webhook body as domain events: lenient, complete, and no item can harm another.
//!
//! The ten rules of `facts/webhooks.md` §0 bind. Every level is read as raw JSON first and only then looked into, so a
//! broken message is kept raw while its neighbours are read.

mod item;
mod json;

use jiff::Timestamp;

use crate::domain::event::{InboundEvent, Kept, KeptReason};
use crate::domain::ids::PhoneNumberId;
use json::Node;

const OBJECT: &str = "whatsapp_business_account";

/// Everything `body` says. `received_at` stands in for a timestamp that is missing.
#[must_use]
pub fn parse(body: &[u8], received_at: Timestamp) -> Vec<InboundEvent> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}');
    let mut events = Vec::new();
    match Node::parse(text) {
        Some(root) => envelope(&root, received_at, &mut events),
        None => events.push(malformed("body", body)),
    }
    events
}

fn envelope(root: &Node<'_>, received_at: Timestamp, events: &mut Vec<InboundEvent>) {
    if root.get("object").and_then(|object| object.text()).is_some_and(|object| object != OBJECT) {
        events.push(kept(KeptReason::Unsupported, "object", root));
        return;
    }
    let Some(entries) = root.get("entry").and_then(|entry| entry.items()) else {
        events.push(kept(KeptReason::Malformed, "entry", root));
        return;
    };
    for entry in entries {
        match entry.get("changes").and_then(|changes| changes.items()) {
            Some(changes) => changes.iter().for_each(|one| change(one, received_at, events)),
            None => events.push(kept(KeptReason::Malformed, "changes", &entry)),
        }
    }
}

fn change(change: &Node<'_>, received_at: Timestamp, events: &mut Vec<InboundEvent>) {
    let field = change.get("field").and_then(|field| field.text());
    match (field.as_deref(), change.get("value")) {
        (Some("messages"), Some(value)) => messages(&value, received_at, events),
        (Some(field), Some(_)) => events.push(kept(KeptReason::Unsupported, field, change)),
        _ => events.push(kept(KeptReason::Malformed, "change", change)),
    }
}

fn messages(value: &Node<'_>, received_at: Timestamp, events: &mut Vec<InboundEvent>) {
    let number = value
        .get("metadata")
        .and_then(|metadata| metadata.get("phone_number_id"))
        .and_then(|id| id.text())
        .and_then(|id| PhoneNumberId::parse(&id).ok());
    let Some(number) = number else {
        events.push(kept(KeptReason::Malformed, "phone_number_id", value));
        return;
    };
    let cards = value.get("contacts").and_then(|contacts| contacts.items()).unwrap_or_default();
    let mut understood = false;
    if let Some(messages) = value.get("messages").and_then(|messages| messages.items()) {
        understood = true;
        let only_card = cards.first().filter(|_| cards.len() == 1 && messages.len() == 1);
        for message in &messages {
            events.push(match item::message(message, &cards, only_card, received_at) {
                Some(read) => InboundEvent::Message {
                    number: number.clone(),
                    message: Box::new(read),
                    raw: message.raw().to_owned(),
                },
                None => kept(KeptReason::Malformed, "message", message),
            });
        }
    }
    if let Some(statuses) = value.get("statuses").and_then(|statuses| statuses.items()) {
        understood = true;
        for status in statuses {
            events.push(match item::status(&status, received_at) {
                item::StatusItem::Known(update) => InboundEvent::Status { number: number.clone(), update },
                item::StatusItem::NewWord => kept(KeptReason::Unsupported, "status", &status),
                item::StatusItem::Broken => kept(KeptReason::Malformed, "status", &status),
            });
        }
    }
    if !understood || value.get("errors").is_some() || value.get("user_actions").is_some() {
        events.push(kept(KeptReason::Unsupported, "messages", value));
    }
}

fn kept(reason: KeptReason, what: &str, node: &Node<'_>) -> InboundEvent {
    InboundEvent::Kept(Kept { reason, what: what.to_owned(), raw: node.raw().as_bytes().to_vec() })
}

fn malformed(what: &str, raw: &[u8]) -> InboundEvent {
    InboundEvent::Kept(Kept { reason: KeptReason::Malformed, what: what.to_owned(), raw: raw.to_vec() })
}

#[cfg(test)]
mod tests;
