//! Schema of a message for the OpenAPI description: one flat object, which the code assembles from parts.

use serde_json::Value;
use shared::api::Moment;
use shared::domain::conversations::content::Text;
use utoipa::ToSchema;

use crate::messages::json::{AuthorJson, ErrorJson, MessageContextJson, PaymentJson, ShownReactionJson, StatusesJson};

/// A message. Its content is in the field named by `type`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "schema of what `MessageJson` assembles")]
pub(crate) struct Message {
    /// `msg_…` for messages sent through this API; otherwise Meta's id (wamid).
    id: String,
    conversation_id: String,
    /// `inbound` or `outbound`.
    direction: String,
    /// `customer`, `standby`, `history_customer`; `api`, `business_app`, `other_app`, `history_business`.
    origin: String,
    /// `text`, `image`, `video`, `audio`, `document`, `sticker`, `location`, `contacts`, `interactive`, `template`,
    /// `reaction`, `button`, `order`, `system`, `unsupported`, `media_placeholder`, or Meta's name of an unknown type.
    r#type: String,
    text: Option<Text>,
    #[schema(value_type = Option<Object>)]
    image: Option<Value>,
    #[schema(value_type = Option<Object>)]
    video: Option<Value>,
    #[schema(value_type = Option<Object>)]
    audio: Option<Value>,
    #[schema(value_type = Option<Object>)]
    document: Option<Value>,
    #[schema(value_type = Option<Object>)]
    sticker: Option<Value>,
    #[schema(value_type = Option<Object>)]
    location: Option<Value>,
    #[schema(value_type = Option<Vec<Object>>)]
    contacts: Option<Value>,
    #[schema(value_type = Option<Object>)]
    interactive: Option<Value>,
    #[schema(value_type = Option<Object>)]
    template: Option<Value>,
    #[schema(value_type = Option<Object>)]
    reaction: Option<Value>,
    #[schema(value_type = Option<Object>)]
    button: Option<Value>,
    #[schema(value_type = Option<Object>)]
    order: Option<Value>,
    #[schema(value_type = Option<Object>)]
    system: Option<Value>,
    #[schema(value_type = Option<Object>)]
    unsupported: Option<Value>,
    /// Meta's JSON of a message whose type this version does not know.
    #[schema(value_type = Option<Value>)]
    unknown: Option<Value>,
    /// Author of the message, in a group.
    author: Option<AuthorJson>,
    context: Option<MessageContextJson>,
    /// Advertisement or post that led to the message, as reported by Meta.
    #[schema(value_type = Option<Value>)]
    referral: Option<Value>,
    timestamp: Moment,
    /// `received`, `queued`, `in_flight`, `accepted`, `sent`, `delivered`, `read`, `played`, `failed`, `unknown`,
    /// `review`, `expired`, `cancelled`; for messages from a phone's history also `pending` and `error`.
    status: String,
    edited_at: Option<Moment>,
    revoked_at: Option<Moment>,
    #[schema(required = false)]
    reactions: Vec<ShownReactionJson>,
    /// Meta's id. Only for messages sent through this API.
    wamid: Option<String>,
    /// Number of attempts to send. Only for messages sent through this API.
    #[schema(required = false)]
    attempts: u32,
    /// Time of the last attempt; earlier times are not stored. Only for messages sent through this API.
    last_attempt_at: Option<Moment>,
    /// Evidence for the outcome: `status` (Meta reported a status), `wamid` (Meta returned its id), `refusal` (Meta
    /// refused it), `person` (a person settled an unknown outcome). Null: outcome unknown, or never attempted. Only for
    /// messages sent through this API.
    evidence: Option<String>,
    /// Time after which it is no longer sent. Only for single messages sent through this API.
    #[schema(required = false)]
    send_before: Moment,
    /// `hold`, `resend_once` or `fail`: action when the outcome is unknown. Only for single messages sent through this
    /// API.
    #[schema(required = false)]
    on_unknown: String,
    /// Time at which each status was first reported. Only for messages sent through this API.
    #[schema(required = false)]
    statuses: StatusesJson,
    error: Option<ErrorJson>,
    /// Name of the fallback template that was sent instead.
    sent_instead: Option<String>,
    /// Meta is assessing the template's quality. A missing status is normal meanwhile.
    #[schema(required = false)]
    held_for_quality: bool,
    /// Pricing facts, as reported by Meta.
    #[schema(value_type = Option<Value>)]
    pricing: Option<Value>,
    /// State of the payment that the message asked for.
    payment: Option<PaymentJson>,
}
