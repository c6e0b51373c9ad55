//! Request to send: parsed once; every refusal names the field and the broken rule.

use serde::Deserialize;
use serde_json::Value;
use shared::api::{parse, typed};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::conversations::content::Text;
use shared::domain::ids::MessageId;
use shared::domain::outgoing::{
    Interactive, MessageKind, Outgoing, OutgoingContact, OutgoingMedia, OutgoingReaction, Place, Template,
};
use shared::domain::sending::outbound::OnUnknown;
use shared::domain::sending::pacing::Lane;
use shared::domain::sending::policy::{Category, MessageClass};
use shared::http::Problem;
use shared::limits::{AUTHENTICATION_SEND_BEFORE, SEND_BEFORE_DEFAULT, SEND_BEFORE_MAX};
use utoipa::ToSchema;

/// The request without its content. Field names follow the Cloud API where it has them. Unknown fields are refused, so
/// that no typing error is ignored.
#[derive(Debug, Deserialize)]
struct Envelope {
    conversation_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    context: Option<QuotedRequest>,
    #[serde(flatten)]
    options: Options,
}

/// Sending options of a single message and of a broadcast.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Options {
    /// `marketing`, `utility` or `authentication`; only for templates.
    pub(crate) category: Option<String>,
    /// Action when the outcome is unknown: `hold`, `resend_once` or `fail`.
    pub(crate) on_unknown: Option<String>,
    /// Time after which the message is no longer sent, RFC 3339, at most 30 days ahead.
    pub(crate) send_before: Option<String>,
    /// `live` or `bulk`.
    pub(crate) lane: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct QuotedRequest {
    /// Id of the quoted message: `msg_…`, or Meta's id (wamid).
    message_id: String,
}

/// A message to send, addressed by `conversation_id` or by `from` and `to`. Its content is in the field named by
/// `type`.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "schema of what `SendRequest::read` parses by hand")]
#[serde(deny_unknown_fields)]
pub(crate) struct SendMessage {
    conversation_id: Option<String>,
    /// The id of one of your numbers.
    from: Option<String>,
    /// The customer's number, with `+` and country code.
    to: Option<String>,
    #[schema(inline)]
    r#type: MessageKind,
    context: Option<QuotedRequest>,
    text: Option<Text>,
    image: Option<OutgoingMedia>,
    video: Option<OutgoingMedia>,
    audio: Option<OutgoingMedia>,
    document: Option<OutgoingMedia>,
    sticker: Option<OutgoingMedia>,
    location: Option<Place>,
    contacts: Option<Vec<OutgoingContact>>,
    reaction: Option<OutgoingReaction>,
    interactive: Option<Interactive>,
    template: Option<Template>,
    category: Option<String>,
    on_unknown: Option<String>,
    #[schema(format = DateTime)]
    send_before: Option<String>,
    lane: Option<String>,
}

/// A parsed request to send.
pub(crate) struct SendRequest {
    pub(crate) to: To,
    pub(crate) body: Outgoing,
    pub(crate) quotes: Option<MessageId>,
    pub(crate) chosen: Chosen,
}

/// Destination of a message, as requested.
pub(crate) enum To {
    Conversation(String),
    Customer { from: String, to: String },
}

/// The parsed options.
pub(crate) struct Chosen {
    pub(crate) category: Option<Category>,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) send_before: Timestamp,
    pub(crate) lane: Lane,
}

impl SendRequest {
    pub(crate) fn read(body: &[u8], now: Timestamp) -> Result<Self, Problem> {
        let Value::Object(mut request) = parse(body)? else {
            return Err(Problem::invalid("body", "must be an object"));
        };
        let Some(Value::String(kind)) = request.get("type").cloned() else {
            return Err(Problem::violates("type", "is required", MISSING));
        };
        if MessageKind::of(&kind).is_none() {
            return Err(Outgoing::read(&kind, Value::Null)
                .map_or_else(Problem::from, |_| Problem::invalid("type", "is unknown")));
        }
        // A generated client sends the fields that it leaves out as `null`.
        request.retain(|_, value| !value.is_null());
        let said = request.remove(&kind).filter(|_| MessageKind::of(&kind).is_some());
        // A derived deserializer would accept an array for an object, field by field.
        if request.get("context").is_some_and(|context| !(context.is_object() || context.is_null())) {
            return Err(Problem::invalid("context", "must be an object"));
        }
        known_fields(&request)?;
        let envelope: Envelope = typed(Value::Object(request))?;
        let body = match (said, MessageKind::of(&kind).is_some()) {
            (None | Some(Value::Null), true) => {
                return Err(Problem::violates(&kind, &format!("is required for type `{kind}`"), MISSING));
            }
            (said, _) => Outgoing::read(&kind, said.unwrap_or_default())?,
        };
        let quotes = match &envelope.context {
            Some(context) => Some(
                MessageId::parse(&context.message_id)
                    .map_err(|_| Problem::invalid("context.message_id", "must be the id of a message"))?,
            ),
            None => None,
        };
        if quotes.is_some() && matches!(body, Outgoing::Reaction(_)) {
            return Err(Problem::violates("context", "is not for reactions: a reaction names its message itself", 100));
        }
        let class =
            if matches!(body, Outgoing::Template(_)) { MessageClass::Template(None) } else { MessageClass::FreeForm };
        let chosen = Chosen::read(&envelope.options, class, now)?;
        Ok(Self { to: to(envelope)?, body, quotes, chosen })
    }
}

/// Meta's error code for a missing required parameter.
const MISSING: i64 = 131_008;

/// Serde does not support `flatten` with `deny_unknown_fields`, so the names are checked here.
fn known_fields(request: &serde_json::Map<String, Value>) -> Result<(), Problem> {
    const FIELDS: [&str; 9] =
        ["conversation_id", "from", "to", "type", "context", "category", "on_unknown", "send_before", "lane"];
    match request.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) if MessageKind::of(key).is_some() => {
            Err(Problem::invalid(key, "must be left out: `type` names another field"))
        }
        Some(key) => Err(Problem::invalid(key, "is not a field of this request")),
    }
}

impl Chosen {
    pub(crate) fn read(options: &Options, class: MessageClass, now: Timestamp) -> Result<Self, Problem> {
        fn word<T>(
            field: &str,
            word: Option<&str>,
            read: fn(&str) -> Option<T>,
            rule: &str,
        ) -> Result<Option<T>, Problem> {
            word.map(|word| read(word).ok_or_else(|| Problem::invalid(field, rule))).transpose()
        }
        let exact = |word: &str| Category::ALL.into_iter().find(|category| category.as_str() == word);
        let rule = "must be marketing, utility or authentication";
        let category = match options.category.as_deref() {
            Some(text) => Some(exact(text).ok_or_else(|| Problem::invalid("category", rule))?),
            None => None,
        };
        if category.is_some() && class == MessageClass::FreeForm {
            return Err(Problem::invalid("category", "is allowed only for templates"));
        }
        let rule = "must be hold, resend_once or fail";
        let on_unknown = word("on_unknown", options.on_unknown.as_deref(), OnUnknown::from_word, rule)?;
        let lane = word("lane", options.lane.as_deref(), Lane::from_word, "must be live or bulk")?;
        let usual =
            if category == Some(Category::Authentication) { AUTHENTICATION_SEND_BEFORE } else { SEND_BEFORE_DEFAULT };
        let after = |wait: SignedDuration| shared::clock::after(now, wait);
        let rule = "must be a time in the future, RFC 3339, at most 30 days ahead";
        let send_before = match &options.send_before {
            None => after(usual),
            Some(text) => {
                let at: Option<Timestamp> = text.parse().ok().filter(|at| now < *at && *at <= after(SEND_BEFORE_MAX));
                at.ok_or_else(|| Problem::invalid("send_before", rule))?
            }
        };
        Ok(Self { category, on_unknown: on_unknown.unwrap_or_default(), send_before, lane: lane.unwrap_or(Lane::Live) })
    }
}

fn to(envelope: Envelope) -> Result<To, Problem> {
    match (envelope.conversation_id, envelope.from, envelope.to) {
        (Some(id), None, None) => Ok(To::Conversation(id)),
        (None, Some(from), Some(to)) => Ok(To::Customer { from, to }),
        (Some(_), _, _) => {
            Err(Problem::invalid("conversation_id", "cannot be combined with `from` and `to`: use one of the two"))
        }
        (None, Some(_), None) => Err(Problem::invalid("to", "is required with `from`")),
        (None, None, Some(_)) => Err(Problem::invalid("from", "is required with `to`")),
        (None, None, None) => Err(Problem::invalid("conversation_id", "is required, or `from` and `to`")),
    }
}
