//! The lists of a value. Every list is read, whatever the field says: Meta documents one list per field, and sends
//! others beside it. A list that is not known is quarantined.

use crate::domain::conversations::message::Origin;
use crate::domain::event::InboundEvent;
use crate::domain::ids::NumberId;
use crate::provider::meta::webhook::card::Card;
use crate::provider::meta::webhook::json::Node;
use crate::provider::meta::webhook::{Change, address_book, history, messages};

/// Fields whose values hold lists, each with the list that Meta documents.
const FIELDS: [(&str, &str); 8] = [
    ("messages", "messages"),
    ("standby", "messages"),
    ("smb_message_echoes", "message_echoes"),
    ("message_echoes", "message_echoes"),
    ("calls", "calls"),
    ("history", "history"),
    ("smb_app_state_sync", "state_sync"),
    ("user_preferences", "user_preferences"),
];
/// Lists that are read in any value, in the order in which they are read.
const ANYWHERE: [&str; 7] =
    ["messages", "message_echoes", "statuses", "calls", "history", "state_sync", "user_preferences"];
/// Lists that are part of others: the cards of the people in them.
const PARTS: [&str; 1] = ["contacts"];

/// Reads all lists of a value. `is_known`: the field is about an account or a template, and was read.
pub(super) fn tell(
    change: &Change<'_, '_>,
    field: &str,
    is_known: bool,
    value: &Node<'_>,
    events: &mut Vec<InboundEvent>,
) {
    let before = events.len();
    let documented = FIELDS.iter().find(|(name, _)| *name == field).map(|(_, list)| *list);
    let number = change.number(value);
    // Conversation routing wraps the lists once more.
    let wrapped = value.get("standby").filter(|inner| !inner.is_list());
    for (holder, is_wrapped) in [(Some(value), false), (wrapped.as_ref(), true)] {
        let Some(holder) = holder else { continue };
        let lists = Lists { change, field, holder, is_wrapped };
        for list in ANYWHERE {
            let Some(node) = holder.get(list) else { continue };
            match &number {
                Some(number) => lists.one(number, list, &node, events),
                None if documented.is_some() || !is_known => {
                    events.push(change.malformed("phone_number_id", None, change.list_alone(list, node.raw())));
                }
                None => {}
            }
        }
        if documented.is_some() {
            lists.others(number.as_ref(), events);
        }
    }
    let is_unknown = documented.is_none() && !is_known;
    if is_known || events.len() > before && !is_unknown {
        return;
    }
    events.push(match documented {
        Some("messages") if number.is_none() => change.malformed("phone_number_id", None, change.alone()),
        Some(list @ ("message_echoes" | "state_sync" | "user_preferences")) => {
            change.malformed(list, number.as_ref(), change.alone())
        }
        Some(_) | None => change.unsupported(field, number.as_ref(), change.alone()),
    });
}

/// The lists of one object.
struct Lists<'c, 'n, 'a> {
    change: &'c Change<'n, 'a>,
    field: &'c str,
    holder: &'c Node<'a>,
    is_wrapped: bool,
}

impl Lists<'_, '_, '_> {
    /// Reads a list that is read in any value.
    fn one(&self, number: &NumberId, list: &str, node: &Node<'_>, events: &mut Vec<InboundEvent>) {
        let Some(items) = node.items() else {
            let raw = self.change.list_alone(list, node.raw());
            events.push(self.change.malformed(list, Some(number), raw));
            return;
        };
        let cards = Card::all(self.holder);
        match list {
            "messages" => messages::written(self.change, number, &items, &cards, self.origin(), events),
            "message_echoes" => messages::written(self.change, number, &items, &cards, self.echo_origin(), events),
            "statuses" => messages::statuses(self.change, number, &items, events),
            "calls" => messages::calls(self.change, number, &items, &cards, events),
            "history" => history::chunks(self.change, number, self.holder, &items, events),
            "state_sync" => address_book::entries(self.change, number, &items, events),
            _ => address_book::preferences(self.change, number, &items, &cards, events),
        }
    }

    /// Quarantines the lists that are not known, and reads errors that are about the number itself.
    fn others(&self, number: Option<&NumberId>, events: &mut Vec<InboundEvent>) {
        let about_messages = self.holder.get("messages").is_some() || self.holder.get("message_echoes").is_some();
        for key in self.holder.keys() {
            let Some(node) = self.holder.get(key).filter(Node::is_list) else { continue };
            let raw = || self.change.list_alone(key, node.raw());
            match (key, node.items(), number) {
                _ if ANYWHERE.contains(&key) || PARTS.contains(&key) => {}
                // Beside messages, errors are about those messages.
                ("errors", Some(items), Some(number)) if !about_messages => {
                    messages::errors(self.change, number, &items, events);
                }
                // The whole change, so that a replay sees the messages beside the errors.
                ("errors", ..) if about_messages => {
                    events.push(self.change.unsupported(key, number, self.change.alone()));
                }
                _ => events.push(self.change.unsupported(key, number, raw())),
            }
        }
    }

    /// Origin of messages that the customer wrote.
    fn origin(&self) -> Origin {
        match self.field {
            _ if self.is_wrapped => Origin::Standby,
            "standby" => Origin::Standby,
            "history" => Origin::HistoryCustomer,
            _ => Origin::Customer,
        }
    }

    /// Origin of messages that the business sent elsewhere.
    fn echo_origin(&self) -> Origin {
        match self.field {
            "smb_message_echoes" => Origin::BusinessApp,
            "history" => Origin::HistoryBusiness,
            _ => Origin::OtherApp,
        }
    }
}
