//! `POST /v1/messages`: read the request, store intent and idempotency record in one transaction, wake the sender, 202.
//!
//! The intent is the promise: once it is stored it will be tried, even if the queue never hears of it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::content::Text;
use shared::domain::ids::{ConversationId, MessageId, OutboundId, PhoneNumberId, TenantId, Wamid};
use shared::domain::outbound::{Intent, Recipient};
use shared::domain::phone::PhoneNumber;
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::limits::{IDEMPOTENCY_KEY_MAX, SEND_BEFORE_DEFAULT};
use shared::provider::meta::message::TEXT_BODY_MAX;
use shared::queue::SendJob;
use shared::storage::{Accepted, Idempotency, Noted, StorageError, Vouched};

use crate::auth::Caller;
use crate::json::{self, AcceptedJson};
use crate::{Deps, storage_problem};

/// How far two of our clocks may be apart (`reliability.md` H18).
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// The header that makes a repetition harmless.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Tells that the answer is an earlier request's.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Tells a caller without a key what it risks.
const WARNING: HeaderName = HeaderName::from_static("switchboard-warning");

/// The request. Names are the Cloud API's own; unknown ones are refused so that a typing error is not ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRequest {
    conversation_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<TextRequest>,
    context: Option<ContextRequest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextRequest {
    body: String,
    #[serde(default)]
    preview_url: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContextRequest {
    message_id: String,
}

pub(crate) async fn send(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(Scope::Send)?;
    let body = body.map_err(|_| Problem::too_large())?;
    let idempotency = idempotency(&headers, &body)?;
    let request = read(&body)?;
    let now = deps.clock.now();
    let intent = intent(&deps, tenant, request, now).await?;

    let accepted = deps.table.accept(&intent, idempotency.as_ref(), now).await;
    let (id, conversation, replayed) = match accepted.map_err(|error| storage_problem(&error))? {
        Accepted::New => {
            deps.metrics.count("send_accepted_by_api", "new", 1);
            (intent.id, intent.conversation.clone(), false)
        }
        Accepted::Replayed { id, conversation } => {
            deps.metrics.count("idem_replayed", "key", 1);
            (id, conversation, true)
        }
        Accepted::KeyReused => {
            deps.metrics.count("idem_mismatch", "body", 1);
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request.",
            )
            .remedy("Use a new key for a new message, and the same body for a repetition."));
        }
    };
    tracing::debug!(event = "api.accepted", message_id = %id, replayed);
    follow_up(&deps, tenant, &intent, &conversation, id, replayed).await;

    let accepted = AcceptedJson { id: id.to_string(), conversation_id: conversation.to_string(), status: "queued" };
    let mut response = (StatusCode::ACCEPTED, Json(accepted)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if idempotency.is_none() {
        let warning = HeaderValue::from_static("no Idempotency-Key: repeating this request would send twice");
        response.headers_mut().insert(WARNING, warning);
    }
    Ok(response)
}

fn idempotency(headers: &HeaderMap, body: &Bytes) -> Result<Option<Idempotency>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()));
    let key = key.ok_or_else(|| Problem::invalid("Idempotency-Key", "must be 1 to 255 printable ASCII characters"))?;
    Ok(Some(Idempotency { key: key.to_owned(), body_hash: hex::encode(Sha256::digest(body)) }))
}

fn read(body: &Bytes) -> Result<SendRequest, Problem> {
    let json = json::parse(body)?;
    // A derived reader would take an array for an object, field by field.
    for (field, value) in [("body", Some(&json)), ("text", json.get("text")), ("context", json.get("context"))] {
        if value.is_some_and(|value| !(value.is_object() || (value.is_null() && field != "body"))) {
            return Err(Problem::invalid(field, "must be an object"));
        }
    }
    json::typed(json)
}

async fn intent(deps: &Deps, tenant: TenantId, request: SendRequest, now: Timestamp) -> Result<Intent, Problem> {
    let text = text_of(&request)?;
    let quotes = match &request.context {
        Some(context) => Some(
            Wamid::parse(&context.message_id)
                .map_err(|_| Problem::invalid("context.message_id", "must be the wamid of a message"))?,
        ),
        None => None,
    };
    let (conversation, to) = addressee(deps, tenant, &request, now).await?;
    let id = OutboundId::generate(now).map_err(|error| storage_problem(&StorageError::from(error)))?;
    Ok(Intent {
        id,
        conversation,
        tenant,
        to,
        text,
        quotes,
        accepted_at: now,
        // A worker's clock may be a little behind ours.
        not_before: now.checked_sub(CLOCK_SKEW).unwrap_or(now),
        send_before: now.checked_add(SEND_BEFORE_DEFAULT).unwrap_or(Timestamp::MAX),
    })
}

fn text_of(request: &SendRequest) -> Result<Text, Problem> {
    match request.kind.as_deref() {
        Some("text") => {}
        Some(_) => return Err(Problem::invalid("type", "must be `text`: other kinds are not supported yet")),
        None => return Err(Problem::invalid("type", "is required")),
    }
    let Some(text) = &request.text else { return Err(Problem::invalid("text", "is required for type `text`")) };
    let length = text.body.encode_utf16().count();
    if length == 0 || text.body.trim().is_empty() {
        return Err(Problem::invalid("text.body", "must not be empty"));
    }
    if length > TEXT_BODY_MAX {
        return Err(Problem::invalid("text.body", "must be at most 4096 characters (UTF-16 units)"));
    }
    if text.body.contains('\0') {
        return Err(Problem::invalid("text.body", "must not contain the character U+0000"));
    }
    Ok(Text { body: text.body.clone(), preview_url: text.preview_url })
}

/// Where the message goes: an existing conversation, or one of our numbers and a customer's.
async fn addressee(
    deps: &Deps,
    tenant: TenantId,
    request: &SendRequest,
    now: Timestamp,
) -> Result<(ConversationId, Recipient), Problem> {
    match (&request.conversation_id, &request.from, &request.to) {
        (Some(id), None, None) => in_conversation(deps, tenant, id).await,
        (None, Some(from), Some(to)) => to_customer(deps, tenant, from, to, now).await,
        (Some(_), _, _) => {
            Err(Problem::invalid("conversation_id", "must stand alone: leave out `from` and `to`, or leave it out"))
        }
        (None, Some(_), None) => Err(Problem::invalid("to", "is required with `from`")),
        (None, None, Some(_)) => Err(Problem::invalid("from", "is required with `to`")),
        (None, None, None) => Err(Problem::invalid("conversation_id", "is required, or `from` and `to`")),
    }
}

async fn in_conversation(deps: &Deps, tenant: TenantId, id: &str) -> Result<(ConversationId, Recipient), Problem> {
    const UNKNOWN: &str = "must be one of your conversations";
    let id = ConversationId::parse(id).map_err(|_| Problem::invalid("conversation_id", UNKNOWN))?;
    let known = deps.table.conversation(tenant, &id).await.map_err(|error| storage_problem(&error))?;
    let known = known.ok_or_else(|| Problem::invalid("conversation_id", UNKNOWN))?;
    let to = known.phone.map(Recipient::Phone).or(known.user_id.map(Recipient::UserId));
    let to = to.ok_or_else(|| Problem::invalid("conversation_id", "must have a contact who can be reached"))?;
    Ok((id, to))
}

async fn to_customer(
    deps: &Deps,
    tenant: TenantId,
    from: &str,
    to: &str,
    now: Timestamp,
) -> Result<(ConversationId, Recipient), Problem> {
    const UNKNOWN: &str = "must be the id of one of your numbers";
    let from = PhoneNumberId::parse(from).map_err(|_| Problem::invalid("from", UNKNOWN))?;
    let phone = PhoneNumber::parse(to).map_err(|rule| Problem::invalid("to", &rule.to_string()))?;
    let number = deps.numbers.get(&from, deps.table.number(&from)).await.map_err(|error| storage_problem(&error))?;
    let number = number.filter(|number| number.tenant == tenant).ok_or_else(|| Problem::invalid("from", UNKNOWN))?;
    let to = Recipient::Phone(phone);
    let contact = deps.table.resolve_contact(tenant, &to.card(), &[], Vouched::Typed, now).await;
    let contact = contact.map_err(|error| storage_problem(&error))?;
    Ok((ConversationId::new(number.id, contact), to))
}

/// What follows from the stored intent. None of it may fail the request: the sweep repairs what is missed here, within
/// two minutes. A replay wakes the sender again only if the message may still be waiting for its first wake-up.
async fn follow_up(
    deps: &Deps,
    tenant: TenantId,
    intent: &Intent,
    conversation: &ConversationId,
    id: OutboundId,
    replayed: bool,
) {
    /// After this the sweep has certainly seen a message that no wake-up reached.
    const SWEEP_COVERS: SignedDuration = SignedDuration::from_mins(2);
    if replayed && intent.accepted_at.duration_since(id.made_at()) > SWEEP_COVERS {
        return;
    }
    let message = MessageId::Outbound(id);
    // What was typed is only better than nothing: what the provider says of the contact is from a later time.
    let told_at = Some(Timestamp::UNIX_EPOCH);
    let noted = Noted { message: Some((&message, id.made_at())), told_at, ..Noted::default() };
    if let Err(error) = deps.table.note(tenant, conversation, &intent.to.card(), &noted).await {
        tracing::error!(event = "api.conversation_not_noted", message_id = %id, %error);
        return;
    }
    let job = SendJob { conversation: conversation.clone(), message: id };
    if let Err(error) = deps.outbound.send_job(&job, deps.clock.now()).await {
        tracing::error!(event = "api.not_enqueued", message_id = %id, %error);
    }
}
