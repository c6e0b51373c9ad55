//! The API's own wire format: separate structs, so that a change inside never changes a promise outside.

use serde::Serialize;
use serde_json::value::RawValue;
use shared::clock::Timestamp;
use shared::domain::conversation::Conversation;
use shared::domain::event::ProviderError;
use shared::domain::message::Content;
use shared::domain::outbound::{SendFacts, SendState, ShownState};
use shared::domain::status::Status;
use shared::provider::meta::error::remedy;
use shared::storage::{Direction, StoredMessage};

/// A page of a list.
#[derive(Serialize)]
pub(crate) struct List<T> {
    pub(crate) data: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct ConversationJson {
    id: String,
    number_id: String,
    contact: ContactJson,
    last_activity_at: String,
    last_inbound_at: Option<String>,
    customer_service_window: WindowJson,
}

#[derive(Serialize)]
struct ContactJson {
    id: String,
    phone: Option<String>,
    user_id: Option<String>,
    profile_name: Option<String>,
}

#[derive(Serialize)]
struct WindowJson {
    open: bool,
    closes_at: Option<String>,
}

impl ConversationJson {
    pub(crate) fn new(conversation: Conversation, now: Timestamp) -> Self {
        Self {
            id: conversation.id.to_string(),
            number_id: conversation.id.number().to_string(),
            customer_service_window: WindowJson {
                open: conversation.window_is_open(now),
                closes_at: conversation.window_closes_at().map(time),
            },
            last_activity_at: time(conversation.last_activity_at),
            last_inbound_at: conversation.last_inbound_at.map(time),
            contact: ContactJson {
                id: conversation.id.contact().to_string(),
                phone: conversation.phone.map(|phone| phone.e164().to_owned()),
                user_id: conversation.user_id,
                profile_name: conversation.profile_name,
            },
        }
    }
}

#[derive(Serialize)]
pub(crate) struct MessageJson {
    id: String,
    conversation_id: String,
    direction: &'static str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unsupported: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<ContextJson>,
    timestamp: String,
    status: &'static str,
    #[serde(flatten)]
    outbound: Option<OutboundJson>,
}

#[derive(Serialize)]
struct TextJson {
    body: String,
}

#[derive(Serialize)]
struct ContextJson {
    message_id: String,
}

#[derive(Serialize)]
struct OutboundJson {
    wamid: Option<String>,
    attempts: u32,
    statuses: StatusesJson,
    error: Option<ErrorJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct StatusesJson {
    sent_at: Option<String>,
    delivered_at: Option<String>,
    read_at: Option<String>,
    played_at: Option<String>,
    failed_at: Option<String>,
}

#[derive(Serialize)]
struct ErrorJson {
    code: i64,
    title: String,
    details: Option<String>,
    remedy: Option<&'static str>,
}

impl MessageJson {
    pub(crate) fn new(message: StoredMessage) -> Self {
        let kind = message.content.kind().to_owned();
        let (text, unsupported) = match message.content {
            Content::Text(text) => (Some(TextJson { body: text.body }), None),
            Content::Unsupported(unsupported) => (None, raw(unsupported.raw)),
        };
        let (direction, status, outbound) = match message.direction {
            Direction::Inbound => ("inbound", "received", None),
            Direction::Outbound(facts) => {
                ("outbound", facts.shown().as_str(), Some(OutboundJson::new(*facts, message.pricing)))
            }
        };
        Self {
            id: message.id.to_text(),
            conversation_id: message.conversation.to_string(),
            direction,
            kind,
            text,
            unsupported,
            context: message.quotes.map(|id| ContextJson { message_id: id.as_str().to_owned() }),
            timestamp: time(message.at),
            status,
            outbound,
        }
    }
}

impl OutboundJson {
    fn new(facts: SendFacts, pricing: Option<String>) -> Self {
        let in_doubt = matches!(facts.shown(), ShownState::Ours(SendState::Unknown | SendState::Review));
        let at = |status| facts.times.at(status).map(time);
        Self {
            attempts: facts.claim.map_or(0, |claim| claim.attempt),
            statuses: StatusesJson {
                sent_at: at(Status::Sent),
                delivered_at: at(Status::Delivered),
                read_at: at(Status::Read),
                played_at: at(Status::Played),
                failed_at: at(Status::Failed),
            },
            wamid: facts.wamid.map(|wamid| wamid.as_str().to_owned()),
            error: facts.error.map(|error| ErrorJson::new(error, in_doubt)),
            pricing: pricing.and_then(raw),
        }
    }
}

/// What to do about a message that may or may not have been sent.
const DOUBT: &str =
    "Wait for its status, which settles it. It is never sent again by itself; after a day a person decides.";

impl ErrorJson {
    fn new(error: ProviderError, in_doubt: bool) -> Self {
        let remedy = if in_doubt { Some(DOUBT) } else { remedy(error.code) };
        Self { code: error.code, title: error.title, details: error.details, remedy }
    }
}

/// What `POST /v1/messages` answers.
#[derive(Serialize)]
pub(crate) struct AcceptedJson {
    pub(crate) id: String,
    pub(crate) conversation_id: String,
    pub(crate) status: &'static str,
}

/// RFC 3339, UTC, to the millisecond.
fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// JSON that a provider wrote, passed on as it is.
fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}
