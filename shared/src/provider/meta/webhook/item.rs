//! Parser of a single message or status.

use jiff::{SignedDuration, Timestamp};

use crate::domain::conversations::contact::ContactIdentity;
use crate::domain::conversations::content::{Content, SharedContact, SharedPhone, System};
use crate::domain::conversations::message::{Amendment, Change, Forwarded, InboundMessage, MessageContext, Origin};
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::event::{Payment, PaymentUpdate, ProviderError, StatusUpdate};
use crate::domain::ids::ProviderMessageId;
use crate::domain::sending::status::Status;
use crate::provider::meta::webhook::card::{Card, FROM, Keys, SELF, person, phone};
use crate::provider::meta::webhook::content::{content, errors};
use crate::provider::meta::webhook::json::Node;

/// Timestamps further in the future than this are ignored: they would keep a conversation on top of the inbox for ever.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24);
/// From this value on a timestamp is in milliseconds; in seconds it would be in the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Result of parsing a message.
pub(super) enum MessageItem {
    Message(Box<InboundMessage>),
    Amendment(Box<Amendment>),
    /// Has no id or no customer, so it cannot be stored in a conversation.
    Broken,
}

/// Result of parsing a status.
pub(super) enum StatusItem {
    Known(Box<StatusUpdate>),
    /// A status of a payment.
    Payment(Box<PaymentUpdate>),
    NewWord,
    Broken,
}

/// Parses a message. `contact` is the customer, as far as known.
pub(super) fn message(
    node: &Node<'_>,
    mut contact: ContactIdentity,
    origin: Origin,
    received_at: Timestamp,
) -> MessageItem {
    let Some(id) = wamid(node, "id") else { return MessageItem::Broken };
    let at = timestamp(node, received_at).unwrap_or(received_at);
    let content = content(node);
    let (mut linked, mut gave_up) = (Vec::new(), None);
    match &content {
        Content::System(system) => {
            linked.extend(after_a_change(node, system, &mut contact));
            let new = linked.first().and_then(|new| new.phone.as_ref()).map(PhoneNumber::canonical);
            gave_up = contact.phone.clone().filter(|old| new.is_some_and(|new| new != old.canonical()));
        }
        Content::Contacts(cards) => linked.extend(cards.iter().filter_map(|card| own_phone(card, &contact))),
        _ => {}
    }
    let mut author = None;
    if let Some(group) = node.filled("group_id") {
        let sender =
            std::mem::replace(&mut contact, ContactIdentity { group_id: Some(group), ..ContactIdentity::default() });
        author = Some(sender);
        // These identities belong to the group's member, not to the group.
        linked.clear();
    }
    if contact.aliases().is_empty() {
        return MessageItem::Broken;
    }
    if let Some((target, change)) = amendment(node) {
        let by_business = !origin.is_inbound();
        return MessageItem::Amendment(Box::new(Amendment { id, target, contact, author, by_business, at, change }));
    }
    MessageItem::Message(Box::new(InboundMessage {
        id,
        contact,
        author,
        origin,
        at,
        content,
        context: context(node),
        linked,
        gave_up,
    }))
}

/// Returns an inbound message's sender, and the card that completed it.
pub(super) fn sender<'c, 'a>(
    node: &Node<'_>,
    cards: &'c [Card<'a>],
    only_message: bool,
) -> (ContactIdentity, Option<&'c Card<'a>>) {
    person(node, FROM, cards, only_message)
}

fn amendment(node: &Node<'_>) -> Option<(ProviderMessageId, Change)> {
    let kind = node.text_of("type")?;
    let object = node.get(&kind)?;
    match kind.as_str() {
        // A removed reaction has no `emoji`; older webhooks have an empty one.
        "reaction" => Some((wamid(&object, "message_id")?, Change::Reacted(object.filled("emoji")))),
        "edit" => {
            let edited = content(&object.get("message")?);
            Some((wamid(&object, "original_message_id")?, Change::Edited(edited)))
        }
        "revoke" => Some((wamid(&object, "original_message_id")?, Change::Revoked)),
        _ => None,
    }
}

/// Links a customer's old identities with the new ones that a system message reports. The conversation stays that of
/// the old ones.
fn after_a_change(node: &Node<'_>, system: &System, contact: &mut ContactIdentity) -> Option<ContactIdentity> {
    let object = node.get("system")?;
    let wa_id = phone(&object, "wa_id").or_else(|| phone(&object, "new_wa_id"));
    let new = ContactIdentity {
        phone: wa_id,
        user_id: system.user_id.clone(),
        parent_user_id: object.filled(SELF.parent_user_id),
        ..ContactIdentity::default()
    };
    if let Some(previous) = &system.previous_user_id {
        contact.user_id = Some(previous.clone());
    }
    if contact.phone.is_none() {
        contact.phone = phone(&object, "customer");
    }
    if contact.aliases().is_empty() {
        *contact = new;
        return None;
    }
    Some(new).filter(|new| !new.aliases().is_empty())
}

/// Returns the phone number that a customer shared on request. Only a `wa_id` counts, because WhatsApp itself vouches
/// for it; any other number in a card is what a person typed. A card that names another user is not the customer's.
fn own_phone(card: &SharedContact, sender: &ContactIdentity) -> Option<ContactIdentity> {
    if card.origin.as_deref() != Some("contact_request") {
        return None;
    }
    let may_be = |user_id: &Option<String>| user_id.is_none() || sender.user_id.is_none() || *user_id == sender.user_id;
    let verified: Vec<&SharedPhone> = card.phones.iter().filter(|phone| phone.wa_id.is_some()).collect();
    // With several WhatsApp numbers in a card, only the one that names the sender is certainly theirs.
    let given = match verified[..] {
        [one] => Some(one).filter(|one| may_be(&one.user_id)),
        _ => verified.into_iter().find(|phone| phone.user_id.is_some() && phone.user_id == sender.user_id),
    }?;
    let phone = PhoneNumber::parse_wa_id(given.wa_id.as_deref()?).ok()?;
    Some(ContactIdentity { phone: Some(phone), ..ContactIdentity::default() })
}

fn context(node: &Node<'_>) -> MessageContext {
    let context = node.get("context");
    let says = |key: &str| context.as_ref().and_then(|context| context.flag(key)) == Some(true);
    let product = context.as_ref().and_then(|context| context.get("referred_product"));
    MessageContext {
        quotes: context.as_ref().and_then(|context| wamid(context, "id")),
        quotes_ours: None,
        quoted_author: context.as_ref().and_then(|context| context.filled("from")),
        forwarded: match (says("frequently_forwarded"), says("forwarded")) {
            (true, _) => Some(Forwarded::Often),
            (false, true) => Some(Forwarded::Once),
            (false, false) => None,
        },
        product: product
            .and_then(|product| Some((product.text_of("catalog_id")?, product.text_of("product_retailer_id")?))),
        referral: node.get("referral").and_then(|referral| referral.value()).map(|value| value.to_string()),
        history_status: node
            .get("history_context")
            .and_then(|past| past.filled("status"))
            .map(|word| word.to_lowercase()),
    }
}

/// Parses a status.
pub(super) fn status(node: &Node<'_>, received_at: Timestamp) -> StatusItem {
    let (Some(wamid), Some(word)) = (wamid(node, "id"), node.text_of("status")) else {
        return StatusItem::Broken;
    };
    let kind = node.filled("type").filter(|kind| kind != "message");
    if kind.as_deref() == Some("payment") {
        return StatusItem::Payment(Box::new(PaymentUpdate {
            wamid,
            at: timestamp(node, received_at).unwrap_or(received_at),
            unverified_callback_data: node.text_of("biz_opaque_callback_data"),
            payment: Payment { status: word, detail: node.value().map_or_else(String::new, |value| value.to_string()) },
        }));
    }
    // A status of anything but a message, such as a call, must not change a delivery.
    let Some(status) = Status::from_word(&word.to_lowercase()).filter(|_| kind.is_none()) else {
        return StatusItem::NewWord;
    };
    let conversation = node.get("conversation");
    let error = errors(node).into_iter().next();
    StatusItem::Known(Box::new(StatusUpdate {
        wamid,
        status,
        at: timestamp(node, received_at).unwrap_or(received_at),
        unverified_callback_data: node.text_of("biz_opaque_callback_data"),
        error: error.map(|error| ProviderError {
            code: error.code,
            title: error.title,
            details: error.details,
            trace: None,
        }),
        pricing: node.get("pricing").and_then(|pricing| pricing.value()).map(|value| value.to_string()),
        entry_point_until: conversation.and_then(|conversation| entry_point_until(&conversation)),
    }))
}

/// Returns the end of a free entry point. Since v24 Meta sends `conversation` only for free entry points; before, its
/// origin identifies them.
fn entry_point_until(conversation: &Node<'_>) -> Option<Timestamp> {
    let origin = conversation.get("origin").and_then(|origin| origin.text_of("type"))?;
    if origin != "referral_conversion" && origin != "free_entry_point" {
        return None;
    }
    moment(&conversation.text_of("expiration_timestamp")?)
}

pub(super) fn wamid(node: &Node<'_>, key: &str) -> Option<ProviderMessageId> {
    node.text_of(key).and_then(|id| ProviderMessageId::parse(&id).ok())
}

/// Returns `timestamp`, a string or a number. `None` if it is malformed or lies in the future.
pub(super) fn timestamp(node: &Node<'_>, received_at: Timestamp) -> Option<Timestamp> {
    past(&node.text_of("timestamp")?, received_at)
}

/// Parses a time that is at most [`AHEAD_MAX`] ahead, a margin for clock differences. A later one would win over all
/// later updates.
pub(super) fn past(text: &str, received_at: Timestamp) -> Option<Timestamp> {
    let at = moment(text)?;
    (at <= crate::clock::after(received_at, AHEAD_MAX)).then_some(at)
}

/// Parses Unix seconds, or milliseconds from [`MILLISECONDS_FROM`] on.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let value: i64 = text.parse().ok()?;
    if value <= 0 {
        return None;
    }
    if value >= MILLISECONDS_FROM {
        Timestamp::from_millisecond(value).ok()
    } else {
        Timestamp::from_second(value).ok()
    }
}

/// Returns the person that an item identifies under these keys, without a card.
pub(super) fn named(node: &Node<'_>, keys: Keys) -> ContactIdentity {
    ContactIdentity {
        phone: phone(node, keys.phone),
        user_id: node.filled(keys.user_id),
        parent_user_id: node.filled(keys.parent_user_id),
        username: node.filled("username").map(|name| crate::provider::meta::webhook::card::without_at(&name)),
        ..ContactIdentity::default()
    }
}
