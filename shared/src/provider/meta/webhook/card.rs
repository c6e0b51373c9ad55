//! Sender cards (`contacts[]`), parsed once per webhook: a thousand messages may look for theirs among a thousand
//! cards.

use crate::domain::conversations::contact::ContactIdentity;
use crate::domain::conversations::phone::PhoneNumber;
use crate::provider::meta::webhook::json::Node;

/// A card of `contacts[]`: the identities and names of one person.
pub(super) struct Card<'a> {
    told: ContactIdentity,
    raw: &'a str,
}

impl<'a> Card<'a> {
    pub(super) fn read(node: &Node<'a>) -> Self {
        let profile = node.get("profile");
        let in_profile = |key| profile.as_ref().and_then(|profile| profile.filled(key));
        let told = ContactIdentity {
            wa_id: phone(node, "wa_id"),
            user_id: node.filled("user_id"),
            parent_user_id: node.filled("parent_user_id"),
            profile_name: in_profile("name"),
            username: in_profile("username").or_else(|| node.filled("username")).map(|name| without_at(&name)),
            ..ContactIdentity::default()
        };
        Self { told, raw: node.raw() }
    }

    /// Returns all cards of a webhook's value.
    pub(super) fn all(value: &Node<'a>) -> Vec<Self> {
        let cards = value.get("contacts").and_then(|contacts| contacts.items()).unwrap_or_default();
        cards.iter().map(Self::read).collect()
    }

    pub(super) fn raw(&self) -> &'a str {
        self.raw
    }
}

/// Removes the leading `@`, which Meta's samples have and which people leave out.
pub(super) fn without_at(name: &str) -> String {
    name.trim_start_matches('@').to_owned()
}

/// The keys under which an item itself identifies a person.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    pub(super) phone: &'static str,
    pub(super) user_id: &'static str,
    pub(super) parent_user_id: &'static str,
}

/// Keys of an inbound message's sender.
pub(super) const FROM: Keys = Keys { phone: "from", user_id: "from_user_id", parent_user_id: "from_parent_user_id" };
/// Keys of an echo's recipient.
pub(super) const TO: Keys = Keys { phone: "to", user_id: "to_user_id", parent_user_id: "to_parent_user_id" };
/// Keys of a person in cards and in other objects.
pub(super) const SELF: Keys = Keys { phone: "wa_id", user_id: "user_id", parent_user_id: "parent_user_id" };

/// Returns the person of `item`: its own keys, completed by the card of the same person. A card matches by phone number
/// or user id. The only card beside the only item also matches, if its `wa_id` can be the same number in another
/// national form and its user id does not differ. The position in the list is never used.
pub(super) fn person<'c, 'a>(
    item: &Node<'_>,
    keys: Keys,
    cards: &'c [Card<'a>],
    only_item: bool,
) -> (ContactIdentity, Option<&'c Card<'a>>) {
    let (own_phone, user_id) = (phone(item, keys.phone), item.filled(keys.user_id));
    let same_person = |card: &&Card<'_>| {
        (own_phone.is_some() && card.told.wa_id == own_phone) || (user_id.is_some() && card.told.user_id == user_id)
    };
    let may_be = |card: &&Card<'_>| {
        let other_user = user_id.is_some() && card.told.user_id.is_some() && card.told.user_id != user_id;
        let other_phone = match (&own_phone, &card.told.wa_id) {
            (Some(own), Some(theirs)) => !same_subscriber(own, theirs),
            _ => false,
        };
        !other_user && !other_phone
    };
    let only_card = cards.first().filter(|_| only_item && cards.len() == 1).filter(may_be);
    let card = cards.iter().find(same_person).or(only_card);
    let told = card.map(|card| card.told.clone()).unwrap_or_default();
    let person = ContactIdentity {
        phone: own_phone.or_else(|| told.wa_id.clone()),
        user_id: user_id.or(told.user_id),
        parent_user_id: item.filled(keys.parent_user_id).or(told.parent_user_id),
        wa_id: told.wa_id,
        profile_name: told.profile_name,
        username: told.username,
        group_id: None,
    };
    (person, card)
}

/// Whether two phone numbers can be the same number in different national forms.
fn same_subscriber(one: &PhoneNumber, other: &PhoneNumber) -> bool {
    one.canonical() == other.canonical() || one.other_spelling().as_ref() == Some(other)
}

pub(super) fn phone(node: &Node<'_>, key: &str) -> Option<PhoneNumber> {
    node.filled(key).and_then(|text| PhoneNumber::parse_wa_id(&text).ok())
}
