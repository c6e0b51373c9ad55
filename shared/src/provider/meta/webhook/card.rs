//! Sender cards: read once for a webhook, because a thousand messages may look for theirs among a thousand.

use super::json::Node;
use crate::domain::contact::ContactCard;
use crate::domain::phone::PhoneNumber;

/// What `contacts[]` tells about one person.
pub(super) struct Card<'a> {
    wa_id: Option<PhoneNumber>,
    user_id: Option<String>,
    name: Option<String>,
    raw: &'a str,
}

impl<'a> Card<'a> {
    pub(super) fn read(node: &Node<'a>) -> Self {
        Self {
            wa_id: phone(node, "wa_id"),
            user_id: text(node, "user_id"),
            name: node.get("profile").and_then(|profile| text(&profile, "name")),
            raw: node.raw(),
        }
    }

    pub(super) fn raw(&self) -> &'a str {
        self.raw
    }
}

/// The card of a message's sender: the one that names the same person, or the only one beside the only message, in
/// whatever national form its `wa_id` is spelled. Position proves nothing.
pub(super) fn card_of<'c, 'a>(message: &Node<'_>, cards: &'c [Card<'a>], only_message: bool) -> Option<&'c Card<'a>> {
    let (from, user_id) = (phone(message, "from"), text(message, "from_user_id"));
    let same_person =
        |card: &&Card<'_>| (from.is_some() && card.wa_id == from) || (user_id.is_some() && card.user_id == user_id);
    cards.iter().find(same_person).or(cards.first().filter(|_| only_message && cards.len() == 1))
}

/// Who wrote: the message's own keys, completed by the sender's card.
pub(super) fn sender(message: &Node<'_>, card: Option<&Card<'_>>) -> ContactCard {
    let wa_id = card.and_then(|card| card.wa_id.clone());
    ContactCard {
        phone: phone(message, "from").or_else(|| wa_id.clone()),
        wa_id,
        user_id: text(message, "from_user_id").or_else(|| card.and_then(|card| card.user_id.clone())),
        profile_name: card.and_then(|card| card.name.clone()),
    }
}

fn text(node: &Node<'_>, key: &str) -> Option<String> {
    node.get(key).and_then(|value| value.text()).filter(|text| !text.is_empty())
}

fn phone(node: &Node<'_>, key: &str) -> Option<PhoneNumber> {
    text(node, key).and_then(|text| PhoneNumber::parse_wa_id(&text).ok())
}
