//! Wire format of the API. Separate structs keep internal changes out of the public contract.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;
use shared::api::{Moment, raw};
use shared::clock::Timestamp;
use shared::domain::conversations::content::Content;
use shared::domain::conversations::conversation::Conversation;
use shared::domain::conversations::message::{Forwarded, MessageContext};
use shared::domain::event::{Payment, ProviderError};
use shared::domain::ids::{ConversationId, OutboundId};
use shared::domain::outgoing::Outgoing;
use shared::domain::sending::outbound::{Evidence, Intent, SendFacts, SendState, ShownState};
use shared::domain::sending::policy::Reason;
use shared::domain::sending::status::Status;
use shared::provider::meta::error::remedy;
use shared::storage::{Body, Direction, StoredMessage};
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationJson {
    id: String,
    number_id: String,
    contact: ContactJson,
    last_activity_at: Option<Moment>,
    last_inbound_at: Option<Moment>,
    customer_service_window: WindowJson,
    free_entry_point: EntryPointJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_call_at: Option<Moment>,
    /// The customer has written or called since the conversation was last marked as read.
    unread: bool,
    /// `open` or `closed`; reopens when the customer writes.
    status: &'static str,
    /// Assignee, as free text; null: unassigned.
    assigned_to: Option<String>,
    labels: BTreeSet<String>,
    /// Number of changes to status, assignment and labels; the value for `If-Match`.
    revision: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ContactSummary)]
pub(crate) struct ContactJson {
    id: String,
    phone: Option<String>,
    user_id: Option<String>,
    profile_name: Option<String>,
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address_book: Option<AddressBookJson>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    merged_contact_ids: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct AddressBookJson {
    full_name: Option<String>,
    first_name: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct WindowJson {
    open: bool,
    closes_at: Option<Moment>,
}

/// Free entry point: time of the customer's last arrival from an advertisement, and end of the free period as reported
/// by Meta.
#[derive(Serialize, ToSchema)]
struct EntryPointJson {
    last_referral_at: Option<Moment>,
    open_until: Option<Moment>,
}

impl ConversationJson {
    pub(crate) fn new(conversation: Conversation, now: Timestamp) -> Self {
        Self {
            id: conversation.id.to_string(),
            number_id: conversation.id.number().to_string(),
            customer_service_window: WindowJson {
                open: conversation.window_is_open(now),
                closes_at: conversation.window_closes_at().map(Moment),
            },
            free_entry_point: EntryPointJson {
                last_referral_at: conversation.last_referral_at.map(Moment),
                open_until: conversation.entry_point_until.map(Moment),
            },
            last_activity_at: Some(conversation.last_activity_at).filter(|at| *at > Timestamp::UNIX_EPOCH).map(Moment),
            last_inbound_at: conversation.last_inbound_at.map(Moment),
            last_call_at: conversation.last_call_at.map(Moment),
            unread: conversation.is_unread(),
            status: if conversation.is_open() { "open" } else { "closed" },
            assigned_to: conversation.desk.assigned_to.clone(),
            labels: conversation.desk.labels.clone(),
            revision: conversation.desk.revision,
            contact: ContactJson::new(conversation),
        }
    }
}

impl ContactJson {
    /// Returns the contact of a conversation.
    pub(crate) fn new(conversation: Conversation) -> Self {
        Self {
            id: conversation.id.contact().to_string(),
            phone: conversation.phone.map(|phone| phone.e164().to_owned()),
            user_id: conversation.user_id,
            profile_name: conversation.profile_name,
            username: conversation.username,
            group_id: conversation.group_id,
            address_book: conversation
                .address_book
                .map(|book| AddressBookJson { full_name: book.full_name, first_name: book.first_name }),
            merged_contact_ids: conversation.also.iter().map(ToString::to_string).collect(),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct MessageJson {
    pub(crate) id: String,
    pub(crate) conversation_id: String,
    direction: &'static str,
    origin: &'static str,
    #[serde(rename = "type")]
    kind: String,
    #[serde(flatten)]
    content: Option<SaidJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    author: Option<AuthorJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<MessageContextJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referral: Option<Box<RawValue>>,
    timestamp: Moment,
    pub(crate) status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Moment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reactions: Vec<ShownReactionJson>,
    #[serde(flatten)]
    pub(crate) outbound: Option<OutboundJson>,
}

/// Content of a message: received content, or outgoing content as requested.
#[derive(Serialize)]
#[serde(untagged)]
enum SaidJson {
    Theirs(Content),
    Ours(Outgoing),
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AuthorJson {
    phone: Option<String>,
    user_id: Option<String>,
    profile_name: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MessageContextJson {
    /// Meta's id of the quoted message.
    message_id: Option<String>,
    /// Our id of the quoted message, if it was sent through this API.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_message_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forwarded: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    frequently_forwarded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    referred_product: Option<ReferredProductJson>,
}

#[derive(Serialize, ToSchema)]
struct ReferredProductJson {
    catalog_id: String,
    product_retailer_id: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ShownReactionJson {
    by: String,
    emoji: String,
    at: Moment,
}

#[derive(Serialize)]
pub(crate) struct OutboundJson {
    wamid: Option<String>,
    attempts: u32,
    last_attempt_at: Option<Moment>,
    evidence: Option<&'static str>,
    /// Set for single messages only, as is `on_unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    send_before: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_unknown: Option<&'static str>,
    statuses: StatusesJson,
    pub(crate) error: Option<ErrorJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_instead: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    held_for_quality: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentJson>,
}

/// State of the payment that a message asked for, as Meta reported it last.
#[derive(Serialize, ToSchema)]
pub(crate) struct PaymentJson {
    /// Meta's word, such as `captured`, `pending` or `failed`.
    status: String,
    at: Moment,
    /// Meta's report.
    #[schema(value_type = Option<Value>)]
    detail: Option<Box<RawValue>>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct StatusesJson {
    sent_at: Option<Moment>,
    delivered_at: Option<Moment>,
    read_at: Option<Moment>,
    played_at: Option<Moment>,
    failed_at: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorJson {
    code: i64,
    title: String,
    details: Option<String>,
    remedy: String,
    /// Meta's id of the failed call (`fbtrace_id`), for Meta's support.
    trace: Option<String>,
}

impl MessageJson {
    /// Returns a message sent through this API, with the caller's sending options.
    pub(crate) fn of_ours(message: StoredMessage, intent: &Intent) -> Self {
        let mut shown = Self::new(message);
        if let Some(outbound) = &mut shown.outbound {
            outbound.send_before = Some(Moment(intent.send_before));
            outbound.on_unknown = Some(intent.on_unknown.as_str());
        }
        shown
    }

    pub(crate) fn new(message: StoredMessage) -> Self {
        let (kind, content, unknown) = match message.body {
            Body::Theirs(Content::Unknown(unknown)) => (unknown.kind, None, raw(unknown.raw)),
            Body::Theirs(content) => (content.kind().to_owned(), Some(SaidJson::Theirs(content)), None),
            Body::Ours(said) => (said.kind().as_str().to_owned(), Some(SaidJson::Ours(said)), None),
        };
        let (direction, origin, status, outbound) = match message.direction {
            Direction::Inbound(origin) => ("inbound", origin.as_str(), "received", None),
            Direction::Echo(origin, status) => ("outbound", origin.as_str(), status.unwrap_or("sent"), None),
            Direction::Outbound(facts) => (
                "outbound",
                "api",
                facts.shown().as_str(),
                Some(OutboundJson::new(*facts, message.pricing, message.payment)),
            ),
        };
        Self {
            id: message.id.to_text(),
            conversation_id: message.conversation.to_string(),
            direction,
            origin,
            kind,
            content,
            unknown,
            author: message.author.map(|author| AuthorJson {
                phone: author.phone.map(|phone| phone.e164().to_owned()),
                user_id: author.user_id,
                profile_name: author.profile_name,
            }),
            referral: message.context.referral.clone().and_then(raw),
            context: MessageContextJson::new(message.context),
            timestamp: Moment(message.at),
            status,
            edited_at: message.edited_at.map(Moment),
            revoked_at: message.revoked_at.map(Moment),
            reactions: message
                .reactions
                .into_iter()
                .map(|reaction| ShownReactionJson { by: reaction.by, emoji: reaction.emoji, at: Moment(reaction.at) })
                .collect(),
            outbound,
        }
    }
}

impl MessageContextJson {
    fn new(context: MessageContext) -> Option<Self> {
        if context.quotes.is_none() && context.forwarded.is_none() && context.product.is_none() {
            return None;
        }
        Some(Self {
            message_id: context.quotes.map(|id| id.as_str().to_owned()),
            api_message_id: context.quotes_ours.map(|id| id.to_string()),
            forwarded: context.forwarded.is_some(),
            frequently_forwarded: context.forwarded == Some(Forwarded::Often),
            referred_product: context
                .product
                .map(|(catalog_id, product_retailer_id)| ReferredProductJson { catalog_id, product_retailer_id }),
        })
    }
}

impl OutboundJson {
    fn new(facts: SendFacts, pricing: Option<String>, payment: Option<(Payment, Timestamp)>) -> Self {
        let in_doubt = matches!(facts.shown(), ShownState::Ours(SendState::Unknown | SendState::Review));
        let at = |status| facts.times.at(status).map(Moment);
        Self {
            attempts: facts.claim.map_or(0, |claim| claim.attempt),
            last_attempt_at: facts.claim.map(|claim| Moment(claim.claimed_at())),
            evidence: facts.evidence().map(Evidence::as_str),
            send_before: None,
            on_unknown: None,
            statuses: StatusesJson {
                sent_at: at(Status::Sent),
                delivered_at: at(Status::Delivered),
                read_at: at(Status::Read),
                played_at: at(Status::Played),
                failed_at: at(Status::Failed),
            },
            wamid: facts.wamid.map(|wamid| wamid.as_str().to_owned()),
            error: facts.error.map(|error| ErrorJson::new(error, in_doubt)),
            sent_instead: facts.instead,
            held_for_quality: facts.held,
            pricing: pricing.and_then(raw),
            payment: payment.map(|(payment, at)| PaymentJson {
                status: payment.status,
                at: Moment(at),
                detail: raw(payment.detail),
            }),
        }
    }
}

/// Remedy for an error code of Meta's that has none of its own.
const UNKNOWN_CODE: &str = "Look the code up in Meta's list of error codes.";
/// Remedy for a failure of our own that has none of its own.
const READ_DETAILS: &str = "Read the details, and send the message again if it is still wanted.";
/// Remedy for a message whose outcome is unknown.
const DOUBT: &str = "Wait: a later status from Meta settles the outcome. \
    Without one, `on_unknown` applies; after a day a person decides.";

impl ErrorJson {
    fn new(error: ProviderError, in_doubt: bool) -> Self {
        let ours = Reason::ALL.into_iter().find(|reason| !error.is_the_providers() && reason.as_str() == error.title);
        let general = if error.is_the_providers() { UNKNOWN_CODE } else { READ_DETAILS };
        let remedy = if in_doubt { DOUBT } else { remedy(error.code).or(ours.map(Reason::remedy)).unwrap_or(general) };
        Self {
            remedy: remedy.to_owned(),
            code: error.code,
            title: error.title,
            details: error.details,
            trace: error.trace,
        }
    }
}

/// Response of `POST /v1/messages`.
#[derive(Serialize, ToSchema)]
pub(crate) struct AcceptedJson {
    pub(crate) id: String,
    pub(crate) conversation_id: String,
    pub(crate) status: &'static str,
}

impl AcceptedJson {
    pub(crate) fn new(id: OutboundId, conversation: &ConversationId) -> Self {
        Self { id: id.to_string(), conversation_id: conversation.to_string(), status: "queued" }
    }
}
