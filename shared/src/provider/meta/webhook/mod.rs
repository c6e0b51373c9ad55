//! Parser of webhook bodies into domain events: lenient and complete, and no item can affect another.
//!
//! It follows the ten rules of `docs/meta/webhooks.md#section-0`. Every level is read as raw JSON first, so a malformed
//! message is quarantined raw while the others are parsed.
//!
//! * [`parse`]: envelope, entries and changes.
//! * `lists`: the lists of a value, whatever its field says; passes each to its module.
//! * `messages`: messages, statuses, errors, echoes, calls.
//! * `history`: past chats. `address_book`: contacts of the phone, marketing preferences.
//! * `account`: numbers and accounts. `template`: templates and flows.
//! * `item`, `content`, `card`, `json`: a single message, its content, its sender, and the JSON reader.
//! * `without`: a body without the parts of erased accounts and numbers.

mod account;
mod address_book;
mod card;
mod content;
mod history;
mod item;
mod json;
mod lists;
mod messages;
mod template;
mod without;

use jiff::Timestamp;

use crate::domain::event::{InboundEvent, InboundEventKind, QuarantineReason};
use crate::domain::ids::{NumberId, WabaId};
pub use account::owner_in;
use card::Card;
use json::Node;
pub use without::{Left, account_of, parses, without};

const OBJECT: &str = "whatsapp_business_account";
/// Longest `id` or `time` of an entry, or `metadata` of a value, that is copied into each item's raw form, in bytes.
/// Meta's have at most a hundred.
const SMALL_MAX: usize = 200;

/// Parses all events of `body`, in order. `received_at` replaces a missing timestamp.
#[must_use]
pub fn parse(body: &[u8], received_at: Timestamp) -> Vec<InboundEvent> {
    let text = String::from_utf8_lossy(body);
    let text = json::without_lone_surrogates(text.trim_start_matches('\u{feff}'));
    let mut events = Vec::new();
    match Node::parse(&text) {
        Some(root) => envelope(&root, received_at, &mut events),
        None => events.push(malformed("body", body.to_vec())),
    }
    events
}

fn envelope(root: &Node<'_>, received_at: Timestamp, events: &mut Vec<InboundEvent>) {
    let whole = || root.raw().as_bytes().to_vec();
    if root.text_of("object").is_some_and(|object| object != OBJECT) {
        events.push(kept(QuarantineReason::Unsupported, "object", None, whole()));
        return;
    }
    let Some(entries) = root.get("entry") else {
        bare_value(root, received_at, events);
        return;
    };
    let Some(entries) = entries.items() else {
        events.push(malformed("entry", whole()));
        return;
    };
    for entry in entries {
        match entry.get("changes").and_then(|changes| changes.items()) {
            Some(changes) => {
                for node in &changes {
                    Change::read(&entry, node, received_at).tell(events);
                }
            }
            None => {
                // Meta sends this instead of `changes` while "Include values" is off for the app. An operator must
                // switch it on.
                let nothing_told = entry.get("changed_fields").is_some();
                let raw = format!(r#"{{"object":"{OBJECT}","entry":[{}]}}"#, entry.raw());
                events.push(malformed(if nothing_told { "changed_fields" } else { "changes" }, raw.into_bytes()));
            }
        }
    }
}

/// Parses a value without its envelope, as in Meta's sample of a declined history (`docs/meta/webhooks.md#section-10`).
fn bare_value(root: &Node<'_>, received_at: Timestamp, events: &mut Vec<InboundEvent>) {
    if root.get("history").is_none() || root.get("metadata").is_none() {
        events.push(malformed("entry", root.raw().as_bytes().to_vec()));
        return;
    }
    let change = format!(r#"{{"field":"history","value":{}}}"#, root.raw());
    let entry = Node::parse("{}");
    if let (Some(entry), Some(node)) = (entry, Node::parse(&change)) {
        Change::read(&entry, &node, received_at).tell(events);
    }
}

/// One change: a field and its value, with its entry.
struct Change<'n, 'a> {
    entry: &'n Node<'a>,
    node: &'n Node<'a>,
    field: Option<String>,
    value: Option<Node<'a>>,
    received_at: Timestamp,
}

impl<'n, 'a> Change<'n, 'a> {
    fn read(entry: &'n Node<'a>, node: &'n Node<'a>, received_at: Timestamp) -> Self {
        let value = node.get("value");
        let field = node.filled("field").or_else(|| {
            // Meta's samples of some account events lack the field.
            let event = value.as_ref().and_then(|value| value.text_of("event"))?;
            account::is_account_event(&event).then(|| "account_update".to_owned())
        });
        Self { entry, node, field, value, received_at }
    }

    fn tell(&self, events: &mut Vec<InboundEvent>) {
        let (Some(field), Some(value)) = (self.field.as_deref(), self.value.as_ref()) else {
            events.push(malformed("change", self.alone()));
            return;
        };
        let known = template::tell(self, field, value, events) || account::tell(self, field, value, events);
        lists::tell(self, field, known, value, events);
    }

    /// Returns the number that a value with messages is about.
    fn number(&self, value: &Node<'_>) -> Option<NumberId> {
        let id = value.get("metadata").and_then(|metadata| metadata.text_of("phone_number_id"));
        id.and_then(|id| NumberId::parse(&id).ok())
    }

    /// Returns the account of the entry.
    fn waba(&self) -> Option<WabaId> {
        self.entry.text_of("id").and_then(|id| WabaId::parse(&id).ok())
    }

    /// Returns the time when the provider sent the entry, or else the time of receipt. Account events have no other
    /// time.
    fn sent_at(&self) -> Timestamp {
        self.told_at().unwrap_or(self.received_at)
    }

    /// Whether the entry has a time. Without one, each redelivery has another time.
    fn is_timed(&self) -> bool {
        self.told_at().is_some()
    }

    fn told_at(&self) -> Option<Timestamp> {
        item::past(&self.entry.text_of("time")?, self.received_at)
    }

    /// Returns a webhook that contains only this change.
    fn alone(&self) -> Vec<u8> {
        self.webhook_of(self.node.raw())
    }

    /// Returns a webhook that contains only this item of a list, with its number and its own card. With the whole
    /// value, a thousand items would each carry all of them.
    fn item_alone(&self, list: &str, item: &str, card: Option<&Card<'_>>) -> Vec<u8> {
        let metadata = self.value.as_ref().and_then(|value| value.get("metadata"));
        let metadata = metadata.map(|metadata| format!(r#""metadata":{},"#, routing(&metadata))).unwrap_or_default();
        let contacts = card.map(|card| format!(r#""contacts":[{}],"#, card.raw())).unwrap_or_default();
        let field = serde_json::Value::from(self.field.as_deref().unwrap_or_default());
        self.webhook_of(&format!(r#"{{"field":{field},"value":{{{metadata}{contacts}"{list}":[{item}]}}}}"#))
    }

    /// Returns a webhook that contains only this list, with its number.
    fn list_alone(&self, list: &str, items: &str) -> Vec<u8> {
        let metadata = self.value.as_ref().and_then(|value| value.get("metadata"));
        let metadata = metadata.map(|metadata| format!(r#""metadata":{},"#, routing(&metadata))).unwrap_or_default();
        let list = serde_json::Value::from(list);
        let field = serde_json::Value::from(self.field.as_deref().unwrap_or_default());
        self.webhook_of(&format!(r#"{{"field":{field},"value":{{{metadata}{list}:{items}}}}}"#))
    }

    fn webhook_of(&self, change: &str) -> Vec<u8> {
        let given = |key: &str| match self.entry.get(key) {
            Some(value) if value.raw().len() <= SMALL_MAX => format!(r#""{key}":{},"#, value.raw()),
            _ => String::new(),
        };
        let (id, time) = (given("id"), given("time"));
        format!(r#"{{"object":"{OBJECT}","entry":[{{{id}{time}"changes":[{change}]}}]}}"#).into_bytes()
    }

    fn malformed(&self, what: &str, number: Option<&NumberId>, raw: Vec<u8>) -> InboundEvent {
        kept(QuarantineReason::Malformed, what, number.cloned(), raw)
    }

    fn unsupported(&self, what: &str, number: Option<&NumberId>, raw: Vec<u8>) -> InboundEvent {
        kept(QuarantineReason::Unsupported, what, number.cloned(), raw)
    }
}

/// Returns the part of `metadata` that identifies the number, even if `metadata` itself is large.
fn routing(metadata: &Node<'_>) -> String {
    if metadata.raw().len() <= SMALL_MAX {
        return metadata.raw().to_owned();
    }
    let part = |key: &str| metadata.get(key).filter(|part| part.raw().len() <= SMALL_MAX);
    let parts = ["display_phone_number", "phone_number_id"]
        .map(|key| part(key).map(|part| format!(r#""{key}":{}"#, part.raw())));
    format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(","))
}

fn said(said: InboundEventKind, raw: Vec<u8>) -> InboundEvent {
    InboundEvent { said, raw }
}

fn kept(reason: QuarantineReason, what: &str, number: Option<NumberId>, raw: Vec<u8>) -> InboundEvent {
    said(InboundEventKind::Quarantined(reason, what.to_owned(), number), raw)
}

fn malformed(what: &str, raw: Vec<u8>) -> InboundEvent {
    kept(QuarantineReason::Malformed, what, None, raw)
}

#[cfg(test)]
mod tests;
