//! `smb_app_state_sync`: the address book of the business's phone. `user_preferences`: a customer's marketing
//! preferences.

use crate::domain::conversations::contact::{AddressBookEntry, Preference};
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::event::{InboundEvent, InboundEventKind};
use crate::domain::ids::NumberId;
use crate::provider::meta::webhook::card::{Card, SELF, person};
use crate::provider::meta::webhook::item::{named, timestamp};
use crate::provider::meta::webhook::json::Node;
use crate::provider::meta::webhook::{Change, said};

pub(super) fn entries(change: &Change<'_, '_>, number: &NumberId, list: &[Node<'_>], events: &mut Vec<InboundEvent>) {
    for node in list {
        let raw = change.item_alone("state_sync", node.raw(), None);
        let action = node.text_of("action");
        let entry = match (node.text_of("type").as_deref(), action.as_deref(), node.get("contact")) {
            (Some("contact"), Some("add" | "remove"), Some(contact)) => contact,
            (Some("contact"), ..) => {
                events.push(change.malformed("state_sync", Some(number), raw));
                continue;
            }
            _ => {
                events.push(change.unsupported("state_sync", Some(number), raw));
                continue;
            }
        };
        let mut card = named(&entry, SELF);
        let typed = entry.filled("phone_number").and_then(|phone| PhoneNumber::parse_wa_id(&phone).ok());
        card.phone = typed.or(card.phone);
        if card.aliases().is_empty() {
            events.push(change.malformed("state_sync", Some(number), raw));
            continue;
        }
        let removed = action.as_deref() == Some("remove");
        let name = |key: &str| entry.filled(key).filter(|_| !removed);
        let told = AddressBookEntry { full_name: name("full_name"), first_name: name("first_name") };
        let at = node.get("metadata").and_then(|metadata| timestamp(&metadata, change.received_at));
        let at = at.unwrap_or(change.received_at);
        events.push(said(InboundEventKind::AddressBook(number.clone(), Box::new(card), told, at), raw));
    }
}

pub(super) fn preferences(
    change: &Change<'_, '_>,
    number: &NumberId,
    list: &[Node<'_>],
    cards: &[Card<'_>],
    events: &mut Vec<InboundEvent>,
) {
    for node in list {
        let (contact, card) = person(node, SELF, cards, list.len() == 1);
        let raw = change.item_alone("user_preferences", node.raw(), card);
        let (category, wish) = (node.filled("category"), node.filled("value"));
        let (Some(category), Some(wish), false) = (category, wish, contact.aliases().is_empty()) else {
            events.push(change.malformed("user_preferences", Some(number), raw));
            continue;
        };
        let preference = Preference { category, value: wish, detail: node.filled("detail") };
        let at = timestamp(node, change.received_at).unwrap_or(change.received_at);
        events.push(said(InboundEventKind::Preference(number.clone(), Box::new(contact), preference, at), raw));
    }
}
