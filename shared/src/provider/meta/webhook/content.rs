//! The content of a message, by its `type`. Content without the required parts of its type is stored raw, as unknown.

use crate::domain::conversations::content::{
    Answer, Button, Content, ContentError, Interactive, Location, Media, Order, OrderItem, SharedContact, SharedPhone,
    System, Text, Unknown, Unsupported,
};
use crate::provider::meta::webhook::json::Node;

/// Longest list read from one message (cards, order items, errors). Meta's limits are far lower.
const LIST_MAX: usize = 500;

/// Returns the content of a message.
pub(super) fn content(node: &Node<'_>) -> Content {
    let kind = node.text_of("type").or_else(|| only_kind(node));
    kind.as_deref().and_then(|kind| known(kind, node)).unwrap_or_else(|| {
        let kind = kind.unwrap_or_else(|| "unknown".to_owned());
        Content::Unknown(Unknown { kind, raw: node.raw().to_owned() })
    })
}

/// Returns the kind of a message without `type`, if its keys show just one.
fn only_kind(node: &Node<'_>) -> Option<String> {
    const KINDS: [&str; 12] = [
        "text",
        "image",
        "video",
        "audio",
        "voice",
        "document",
        "sticker",
        "location",
        "contacts",
        "interactive",
        "button",
        "order",
    ];
    let mut present = KINDS.into_iter().filter(|kind| node.get(kind).is_some());
    let kind = present.next()?;
    present.next().is_none().then(|| kind.to_owned())
}

fn known(kind: &str, node: &Node<'_>) -> Option<Content> {
    let object = node.get(kind);
    Some(match kind {
        "text" => Content::Text(Text { body: object?.text_of("body")?, preview_url: false }),
        "image" => Content::Image(media(&object?, node)),
        "video" => Content::Video(media(&object?, node)),
        "audio" => Content::Audio(media(&object?, node)),
        // A legacy name of audio.
        "voice" => Content::Audio(Media { voice: Some(true), ..media(&object?, node) }),
        "document" => Content::Document(media(&object?, node)),
        "sticker" => Content::Sticker(media(&object?, node)),
        "location" => Content::Location(location(&object?)?),
        "contacts" => Content::Contacts(contacts(&object?, node)?),
        "interactive" => Content::Interactive(interactive(&object?)?),
        "button" => {
            let (payload, text) = (object.as_ref()?.text_of("payload"), object?.text_of("text"));
            let label = text.clone().or_else(|| payload.clone())?;
            Content::Button(Button { payload: payload.unwrap_or_else(|| label.clone()), text: label })
        }
        "order" => Content::Order(order(&object?)?),
        "system" => Content::System(system(&object?, node)),
        "unsupported" | "unknown" => {
            let inner = node.get("unsupported").and_then(|inner| inner.text_of("type"));
            Content::Unsupported(Unsupported { kind: inner, errors: errors(node) })
        }
        "media_placeholder" => Content::MediaPlaceholder {},
        _ => return None,
    })
}

fn media(object: &Node<'_>, message: &Node<'_>) -> Media {
    Media {
        id: object.filled("id"),
        mime_type: object.filled("mime_type"),
        sha256: object.filled("sha256"),
        url: object.filled("url"),
        caption: object.filled("caption"),
        filename: object.filled("filename"),
        animated: object.flag("animated"),
        voice: object.flag("voice"),
        errors: errors(message),
    }
}

fn location(object: &Node<'_>) -> Option<Location> {
    let degrees = |key: &str| object.text_of(key).and_then(|text| serde_json::from_str(&text).ok());
    Some(Location {
        latitude: degrees("latitude")?,
        longitude: degrees("longitude")?,
        name: object.filled("name"),
        address: object.filled("address"),
        url: object.filled("url"),
    })
}

fn contacts(list: &Node<'_>, message: &Node<'_>) -> Option<Vec<SharedContact>> {
    // Meta first documented `origin` on the message, later on the card.
    let origin = message.filled("origin");
    let cards = list.items()?;
    let read = |card: &Node<'_>| SharedContact {
        formatted_name: card.get("name").and_then(|name| name.filled("formatted_name")),
        phones: parts(card, "phones", |phone| {
            Some(SharedPhone {
                phone: phone.filled("phone"),
                wa_id: phone.filled("wa_id"),
                user_id: phone.filled("user_id"),
            })
        }),
        emails: parts(card, "emails", |email| email.filled("email")),
        vcard: card.filled("vcard"),
        origin: card.filled("origin").or_else(|| origin.clone()),
        card: card.value(),
    };
    Some(cards.iter().take(LIST_MAX).map(read).collect())
}

fn interactive(object: &Node<'_>) -> Option<Interactive> {
    let kind = object.text_of("type")?;
    let answer = object.get(&kind);
    let read = match (kind.as_str(), answer) {
        ("button_reply", Some(answer)) => answer
            .text_of("id")
            .map(|id| Answer::ButtonReply { id, title: answer.text_of("title").unwrap_or_default() }),
        ("list_reply", Some(answer)) => answer.text_of("id").map(|id| Answer::ListReply {
            id,
            title: answer.text_of("title").unwrap_or_default(),
            description: answer.filled("description"),
        }),
        ("nfm_reply", Some(answer)) => answer.text_of("response_json").map(|json| Answer::NfmReply {
            name: answer.filled("name"),
            body: answer.filled("body"),
            response: serde_json::from_str(&json).unwrap_or(serde_json::Value::String(json)),
        }),
        ("call_permission_reply", Some(answer)) => {
            answer.text_of("response").map(|response| Answer::CallPermissionReply {
                response,
                expiration_timestamp: answer.text_of("expiration_timestamp").and_then(|text| text.parse().ok()),
                is_permanent: answer.flag("is_permanent"),
                response_source: answer.filled("response_source"),
            })
        }
        _ => None,
    };
    let answer = read.or_else(|| object.value().map(Answer::Other))?;
    Some(Interactive { kind, answer })
}

fn order(object: &Node<'_>) -> Option<Order> {
    let line = |item: &Node<'_>| {
        Some(OrderItem {
            product_retailer_id: item.filled("product_retailer_id"),
            quantity: item.get("quantity").and_then(|quantity| quantity.value()).unwrap_or_default(),
            item_price: item.get("item_price").and_then(|price| price.value()).unwrap_or_default(),
            currency: item.text_of("currency").unwrap_or_default(),
        })
    };
    Some(Order {
        catalog_id: object.text_of("catalog_id")?,
        text: object.filled("text"),
        product_items: parts(object, "product_items", line),
    })
}

fn system(object: &Node<'_>, message: &Node<'_>) -> System {
    let identity = message.get("identity");
    System {
        kind: object.filled("type").unwrap_or_else(|| "unknown".to_owned()),
        body: object.filled("body"),
        wa_id: object.filled("wa_id").or_else(|| object.filled("new_wa_id")),
        user_id: object.filled("user_id"),
        previous_user_id: object.filled("previous_user_id"),
        identity_hash: identity.and_then(|identity| identity.filled("hash")).or_else(|| object.filled("identity")),
    }
}

/// Returns the `errors[]` of an item.
pub(super) fn errors(node: &Node<'_>) -> Vec<ContentError> {
    parts(node, "errors", |error| {
        Some(ContentError {
            code: error.text_of("code").and_then(|code| code.parse().ok())?,
            title: error.filled("title").or_else(|| error.filled("message")).unwrap_or_default(),
            details: error.get("error_data").and_then(|data| data.filled("details")),
        })
    })
}

fn parts<T>(node: &Node<'_>, key: &str, read: impl Fn(&Node<'_>) -> Option<T>) -> Vec<T> {
    let items = node.get(key).and_then(|list| list.items()).unwrap_or_default();
    items.iter().take(LIST_MAX).filter_map(read).collect()
}
