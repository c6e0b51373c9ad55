//! A message as the description shows it: one flat object, where the code has parts that are put together.

use serde_json::Value;
use shared::api::Moment;
use shared::domain::content::Text;
use utoipa::ToSchema;

use crate::json::{AuthorJson, ErrorJson, MessageContextJson, ShownReactionJson, StatusesJson};

/// A message. What it says stands in the field that `type` names.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `MessageJson` puts together")]
pub(crate) struct Message {
    /// The wamid of what others wrote; `msg_…` of what was sent through us.
    id: String,
    conversation_id: String,
    /// `inbound` or `outbound`.
    direction: String,
    /// `customer`, `standby`, `history_customer`; `api`, `business_app`, `other_app`, `history_business`.
    origin: String,
    /// `text`, `image`, `video`, `audio`, `document`, `sticker`, `location`, `contacts`, `interactive`, `template`, `reaction`,
    /// `button`, `order`, `system`, `unsupported`, `media_placeholder`, or what Meta calls it.
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
    /// What Meta sent, of a type that this version does not know.
    #[schema(value_type = Option<Value>)]
    unknown: Option<Value>,
    /// Who wrote it, in a group.
    author: Option<AuthorJson>,
    context: Option<MessageContextJson>,
    /// The advertisement or post it came from, as Meta says it.
    #[schema(value_type = Option<Value>)]
    referral: Option<Value>,
    timestamp: Moment,
    /// `received`, `queued`, `in_flight`, `accepted`, `sent`, `delivered`, `read`, `played`, `failed`, `unknown`, `review`,
    /// `expired`, `cancelled`; of past messages also `pending` and `error`.
    status: String,
    edited_at: Option<Moment>,
    revoked_at: Option<Moment>,
    #[schema(required = false)]
    reactions: Vec<ShownReactionJson>,
    /// Of what was sent through us: Meta's id.
    wamid: Option<String>,
    /// Of what was sent through us.
    #[schema(required = false)]
    attempts: u32,
    /// Of what was sent through us: when it was last tried. Earlier times are not kept.
    last_attempt_at: Option<Moment>,
    /// Of what was sent through us, how it is known what became of it: `status` (Meta reported), `wamid` (Meta named its id), `refusal`
    /// (Meta refused it), `person` (somebody settled a doubt), or null: it is not known, or it was never tried.
    evidence: Option<String>,
    /// Of a single message that was sent through us: until when it may be sent.
    #[schema(required = false)]
    send_before: Moment,
    /// Of a single message that was sent through us: `hold`, `resend_once`, `fail`.
    #[schema(required = false)]
    on_unknown: String,
    /// Of what was sent through us: when each step was first reported.
    #[schema(required = false)]
    statuses: StatusesJson,
    error: Option<ErrorJson>,
    /// The template that was sent instead.
    sent_instead: Option<String>,
    /// Meta assesses the template: silence is normal.
    #[schema(required = false)]
    held_for_quality: bool,
    /// The price facts, as Meta says them.
    #[schema(value_type = Option<Value>)]
    pricing: Option<Value>,
}
