//! One message, one status.

use jiff::Timestamp;

use super::card::{Card, sender};
use super::json::Node;
use crate::domain::event::{ProviderError, StatusUpdate};
use crate::domain::ids::Wamid;
use crate::domain::message::{Content, InboundMessage, Text, Unsupported};
use crate::domain::status::Status;

/// A message as far as it was understood.
pub(super) enum MessageItem {
    Read(Box<InboundMessage>),
    /// Written in a group: it belongs to no conversation of two.
    InGroup,
    /// Without an identity or a sender it cannot be placed.
    Broken,
}

/// A status as far as it was understood.
pub(super) enum StatusItem {
    Known(Box<StatusUpdate>),
    NewWord,
    Broken,
}

/// A message, and the card of its sender if there is one.
pub(super) fn message(node: &Node<'_>, card: Option<&Card<'_>>, received_at: Timestamp) -> MessageItem {
    let Some(id) = node.get("id").and_then(|id| id.text()).and_then(|id| Wamid::parse(&id).ok()) else {
        return MessageItem::Broken;
    };
    if node.get("group_id").is_some() {
        return MessageItem::InGroup;
    }
    let from = sender(node, card);
    if from.aliases().is_empty() {
        return MessageItem::Broken;
    }
    MessageItem::Read(Box::new(InboundMessage {
        id,
        from,
        at: timestamp(node).unwrap_or(received_at),
        content: content(node),
        quotes: node
            .get("context")
            .and_then(|context| context.get("id"))
            .and_then(|id| id.text())
            .and_then(|id| Wamid::parse(&id).ok()),
    }))
}

fn content(node: &Node<'_>) -> Content {
    let kind = node.get("type").and_then(|kind| kind.text());
    let body = || node.get("text").and_then(|text| text.get("body")).and_then(|body| body.text());
    match (kind.as_deref(), body()) {
        (Some("text"), Some(body)) => Content::Text(Text { body, preview_url: false }),
        _ => Content::Unsupported(Unsupported {
            kind: kind.unwrap_or_else(|| "unknown".to_owned()),
            raw: node.raw().to_owned(),
        }),
    }
}

/// A status, a word that is new to us, or something that is no status.
pub(super) fn status(node: &Node<'_>, received_at: Timestamp) -> StatusItem {
    let wamid = node.get("id").and_then(|id| id.text()).and_then(|id| Wamid::parse(&id).ok());
    let word = node.get("status").and_then(|status| status.text());
    let (Some(wamid), Some(word)) = (wamid, word) else {
        return StatusItem::Broken;
    };
    let Some(status) = Status::from_word(&word) else {
        return StatusItem::NewWord;
    };
    StatusItem::Known(Box::new(StatusUpdate {
        wamid,
        status,
        at: timestamp(node).unwrap_or(received_at),
        unverified_callback_data: node.get("biz_opaque_callback_data").and_then(|data| data.text()),
        error: node.get("errors").and_then(|errors| errors.items()?.into_iter().next()).map(|error| problem(&error)),
        pricing: node.get("pricing").map(|pricing| pricing.raw().to_owned()),
    }))
}

fn problem(error: &Node<'_>) -> ProviderError {
    ProviderError {
        code: error.get("code").and_then(|code| code.text()).and_then(|code| code.parse().ok()).unwrap_or(-1),
        title: error.get("title").and_then(|title| title.text()).unwrap_or_default(),
        details: error.get("error_data").and_then(|data| data.get("details")).and_then(|details| details.text()),
    }
}

fn timestamp(node: &Node<'_>) -> Option<Timestamp> {
    let seconds: i64 = node.get("timestamp")?.text()?.parse().ok()?;
    Timestamp::from_second(seconds).ok()
}
