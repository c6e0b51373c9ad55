//! A webhook body as domain events: lenient, complete, and no item can harm another.
//!
//! The ten rules of `facts/webhooks.md` §0 bind. Every level is read as raw JSON first and only then looked into, so a
//! broken message is kept raw while its neighbours are read.

mod card;
mod item;
mod json;

use jiff::Timestamp;

use crate::domain::event::{InboundEvent, Kept, KeptReason};
use crate::domain::ids::PhoneNumberId;
use card::{Card, card_of};
use json::Node;

const OBJECT: &str = "whatsapp_business_account";
/// Longest `id` or `time` of an entry that is kept with its items, in bytes: Meta's have twenty.
const ENTRY_KEY_MAX: usize = 100;

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
    let whole = root.raw().as_bytes();
    if root.get("object").and_then(|object| object.text()).is_some_and(|object| object != OBJECT) {
        events.push(kept(KeptReason::Unsupported, "object", whole));
        return;
    }
    let Some(entries) = root.get("entry").and_then(|entry| entry.items()) else {
        events.push(malformed("entry", whole));
        return;
    };
    for entry in entries {
        match entry.get("changes").and_then(|changes| changes.items()) {
            Some(changes) => changes.iter().for_each(|one| change(&entry, one, received_at, events)),
            None => events.push(malformed("changes", entry.raw().as_bytes())),
        }
    }
}

fn change(entry: &Node<'_>, change: &Node<'_>, received_at: Timestamp, events: &mut Vec<InboundEvent>) {
    let field = change.get("field").and_then(|field| field.text());
    let alone = || webhook_of(entry, change.raw());
    match (field.as_deref(), change.get("value")) {
        (Some("messages"), Some(value)) => messages(entry, change, &value, received_at, events),
        (Some(field), Some(_)) => events.push(kept(KeptReason::Unsupported, field, alone().as_bytes())),
        _ => events.push(malformed("change", alone().as_bytes())),
    }
}

fn messages(
    entry: &Node<'_>,
    change: &Node<'_>,
    value: &Node<'_>,
    received_at: Timestamp,
    events: &mut Vec<InboundEvent>,
) {
    let number = value
        .get("metadata")
        .and_then(|metadata| metadata.get("phone_number_id"))
        .and_then(|id| id.text())
        .and_then(|id| PhoneNumberId::parse(&id).ok());
    let Some(number) = number else {
        events.push(malformed("phone_number_id", webhook_of(entry, change.raw()).as_bytes()));
        return;
    };
    let cards = value.get("contacts").and_then(|contacts| contacts.items()).unwrap_or_default();
    let cards: Vec<Card<'_>> = cards.iter().map(Card::read).collect();
    let (messages, statuses) = (value.get("messages"), value.get("statuses"));
    if let Some(messages) = messages.as_ref().and_then(Node::items) {
        for message in &messages {
            let card = card_of(message, &cards, messages.len() == 1);
            let raw = item_alone(entry, &number, card, "messages", message);
            events.push(match item::message(message, card, received_at) {
                item::MessageItem::Read(read) => InboundEvent::Message { number: number.clone(), message: read, raw },
                item::MessageItem::InGroup => kept(KeptReason::Unsupported, "group message", raw.as_bytes()),
                item::MessageItem::Broken => malformed("message", raw.as_bytes()),
            });
        }
    }
    if let Some(statuses) = statuses.as_ref().and_then(Node::items) {
        for status in &statuses {
            let raw = item_alone(entry, &number, None, "statuses", status);
            events.push(match item::status(status, received_at) {
                item::StatusItem::Known(update) => InboundEvent::Status { number: number.clone(), update, raw },
                item::StatusItem::NewWord => kept(KeptReason::Unsupported, "status", raw.as_bytes()),
                item::StatusItem::Broken => malformed("status", raw.as_bytes()),
            });
        }
    }
    let no_list = |list: &Option<Node<'_>>| list.as_ref().is_some_and(|list| list.items().is_none());
    if no_list(&messages) || no_list(&statuses) {
        events.push(malformed("messages", webhook_of(entry, change.raw()).as_bytes()));
    } else if (messages.is_none() && statuses.is_none())
        || value.get("errors").is_some()
        || value.get("user_actions").is_some()
    {
        events.push(kept(KeptReason::Unsupported, "messages", webhook_of(entry, change.raw()).as_bytes()));
    }
}

/// A webhook that holds only this change, with the identity and time of its entry: what is kept can be processed again.
fn webhook_of(entry: &Node<'_>, change: &str) -> String {
    let given = |key: &str| match entry.get(key) {
        Some(value) if value.raw().len() <= ENTRY_KEY_MAX => format!(r#""{key}":{},"#, value.raw()),
        _ => String::new(),
    };
    format!(r#"{{"object":"{OBJECT}","entry":[{{{}{}"changes":[{change}]}}]}}"#, given("id"), given("time"))
}

/// A webhook that holds only this item of a list, with its number and its own card. Nothing else of the webhook: a
/// thousand items would each carry all of it.
fn item_alone(
    entry: &Node<'_>,
    number: &PhoneNumberId,
    card: Option<&Card<'_>>,
    list: &str,
    item: &Node<'_>,
) -> String {
    let contacts = card.map(|card| format!(r#""contacts":[{}],"#, card.raw())).unwrap_or_default();
    let metadata = format!(r#""metadata":{{"phone_number_id":"{number}"}},"#);
    let change = format!(r#"{{"field":"messages","value":{{{metadata}{contacts}"{list}":[{}]}}}}"#, item.raw());
    webhook_of(entry, &change)
}

fn kept(reason: KeptReason, what: &str, raw: &[u8]) -> InboundEvent {
    InboundEvent::Kept(Kept { reason, what: what.to_owned(), raw: raw.to_vec() })
}

fn malformed(what: &str, raw: &[u8]) -> InboundEvent {
    kept(KeptReason::Malformed, what, raw)
}

#[cfg(test)]
mod tests;
