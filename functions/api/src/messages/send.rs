//! `POST /v1/messages`: parses the request, checks the rules, reserves a slot, stores the idempotency key, enqueues the
//! job, stores the intent and responds 202.
//!
//! A stored intent is certain to be attempted, so its job is enqueued before the intent is stored.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared::api::{Caller, Refusals, Send, Upload};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::number::Number;
use shared::domain::conversations::phone::PhoneNumber;
use shared::domain::ids::{ConversationId, MediaId, MessageId, NumberId, OutboundId, ProviderMessageId, TenantId};
use shared::domain::outgoing::Outgoing;
use shared::domain::sending::outbound::{Intent, Recipient};
use shared::domain::sending::pacing::{self, ANSWER_WAIT_MAX, LIVE_BURST, LIVE_WAIT_MAX, Lane};
use shared::http::Problem;
use shared::limits::{ACCEPTING_TAKES, API_BODY_MAX, IDEMPOTENCY_KEY_MAX};
use shared::queue::{OutboundWork, ReleaseJob, SendJob};
use shared::storage::{Accepted, Handoff, Idempotency, MessageName, Naming, Reserved, StorageError, Vouched};

use crate::Deps;
use crate::messages::json::AcceptedJson;
use crate::messages::policy::{Address, admit, refusal};
use crate::messages::request::{SendMessage, SendRequest, To};

/// Largest assumed difference between the clocks of two instances (`docs/reliability.md#h18`).
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(2);
/// Header that makes a repetition safe.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Meta's error code for a parameter with an invalid value.
const NO_MESSAGE: i64 = 131_009;
/// Header that marks the response of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Header that warns a caller without an idempotency key.
const WARNING: HeaderName = HeaderName::from_static("switchboard-warning");

/// Accepts a message to send.
///
/// Status 202 means that the message is stored and will be attempted until `send_before`.
#[utoipa::path(
    post,
    path = "/v1/messages",
    tag = "Messages",
    operation_id = "sendMessage",
    request_body = SendMessage,
    params(
        (
            "Idempotency-Key" = Option<String>,
            Header,
            description = "Within 72 hours, the same key with the same body returns the existing message.",
        ),
    ),
    responses(
        (status = 202, body = AcceptedJson),
        (status = 409, body = Problem, description = "The rules do not allow this message now; `code` is the reason."),
        Refusals,
    ),
    security(("key" = ["send"])),
)]
pub(crate) async fn send(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Send>,
    headers: HeaderMap,
    Upload(body): Upload,
) -> Result<Response, Problem> {
    if body.len() > API_BODY_MAX {
        return Err(Problem::too_large());
    }
    let idempotency = idempotency(&headers, &[&body])?;
    let now = deps.clock.now();
    // A repetition returns the first response, even if the rules refuse the message by now.
    let earlier = match &idempotency {
        Some(idempotency) => deps.table.message_by_idempotency_key(tenant, idempotency, now).await,
        None => Ok(None),
    };
    let mut begun = match earlier? {
        None => None,
        Some(earlier) => {
            let begun = made(&deps, earlier)?;
            let stands = deps.table.intent_get(&begun.1, begun.0).await?.is_some();
            // A repetition for a contact erased since then sends nothing.
            if stands || deps.table.contact_is_erased(begun.1.contact()).await? {
                return Ok(accepted_response(AcceptedJson::new(begun.0, &begun.1), true, true));
            }
            Some(begun)
        }
    };
    // The first request with this key is still running (finish the same message), or crashed over 60 s ago (take the
    // key over).
    let dead = begun.take_if(|(id, _)| now.duration_since(id.made_at()) > ACCEPTING_TAKES).map(|(id, _)| id);
    let request = SendRequest::read(&body, now)?;
    let (number, mut intent) = intent(&deps, tenant, &request, now).await?;
    files(&deps, tenant, &mut intent.body).await?;
    admit(&deps, &number, &intent).await?;
    let lane = lane(&deps, &number, &mut intent, request.chosen.lane, now).await?;
    if let (None, Some(idempotency)) = (&begun, &idempotency) {
        let remembered = deps.table.message_remember(&intent, idempotency, dead, now).await;
        begun = match remembered? {
            Accepted::New => None,
            other => Some(made(&deps, other)?),
        };
    }
    let replayed = begun.is_some();
    if let Some((id, conversation)) = begun {
        (intent.id, intent.conversation) = (id, conversation);
    }
    store(&deps, &intent, lane, now).await?;
    deps.metrics.count("send_accepted_by_api", "new", 1);
    tracing::debug!(event = "api.accepted", message_id = %intent.id);
    Ok(accepted_response(AcceptedJson::new(intent.id, &intent.conversation), replayed, idempotency.is_some()))
}

/// Returns the message that the key created earlier.
fn made(deps: &Deps, earlier: Accepted<(OutboundId, ConversationId)>) -> Result<(OutboundId, ConversationId), Problem> {
    let Accepted::Replayed(made) = earlier else {
        deps.metrics.count("idem_mismatch", "body", 1);
        return Err(key_reused());
    };
    deps.metrics.count("idem_replayed", "key", 1);
    Ok(made)
}

/// Enqueues the job (or opens the bulk lane), then stores the message. So every stored message has a job, or is left to
/// the sweep if SQS failed. A worker that receives the job too early waits for the message.
async fn store(deps: &Deps, intent: &Intent, lane: Lane, now: Timestamp) -> Result<(), Problem> {
    let mut opened = false;
    let waits = match lane {
        Lane::Bulk => {
            let open = deps.table.bulk_lane_open(intent.conversation.number(), now).await;
            opened = open?;
            Handoff::InLine
        }
        Lane::Live => {
            let job = SendJob { conversation: intent.conversation.clone(), message: intent.id };
            match deps.outbound.send_work(&[OutboundWork::Send(job)], now).await {
                Ok(()) => Handoff::InQueue,
                Err(error) => {
                    tracing::error!(event = "api.not_enqueued", message_id = %intent.id, %error);
                    Handoff::ForSweep
                }
            }
        }
    };
    deps.table.message_accept(intent, waits).await?;
    if let Err(error) = deps.table.conversation_touch_sent(intent).await {
        // `send-message` updates the conversation later.
        tracing::error!(event = "api.conversation_not_noted", message_id = %intent.id, %error);
    }
    if opened {
        ask_for_release(deps, intent.conversation.number()).await;
    }
    Ok(())
}

/// Builds the 202 response, with headers about repeating the request.
pub(crate) fn accepted_response(accepted: impl Serialize, replayed: bool, keyed: bool) -> Response {
    let mut response = (StatusCode::ACCEPTED, Json(accepted)).into_response();
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if !keyed {
        let warning = HeaderValue::from_static("no Idempotency-Key: repeating this request would send again");
        response.headers_mut().insert(WARNING, warning);
    }
    response
}

pub(crate) fn key_reused() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        "This Idempotency-Key was used for another request.",
    )
    .remedy("Use a new key for a new message; repeat a request with the same body.")
}

/// Returns the caller's idempotency key with a hash of all parts of the request.
pub(crate) fn idempotency(headers: &HeaderMap, parts: &[&[u8]]) -> Result<Option<Idempotency>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| (1..=IDEMPOTENCY_KEY_MAX).contains(&key.len()));
    let key = key.ok_or_else(|| Problem::invalid("Idempotency-Key", "must be 1 to 255 printable ASCII characters"))?;
    let hash = parts.iter().fold(Sha256::new(), Digest::chain_update);
    Ok(Some(Idempotency { key: key.to_owned(), body_hash: hex::encode(hash.finalize()) }))
}

async fn intent(
    deps: &Deps,
    tenant: TenantId,
    request: &SendRequest,
    now: Timestamp,
) -> Result<(Number, Intent), Problem> {
    let (number, conversation, to) = match &request.to {
        To::Conversation(id) => in_conversation(deps, tenant, id).await?,
        To::Customer { from, to } => to_customer(deps, tenant, from, to, now).await?,
    };
    let mut body = request.body.clone();
    if let Outgoing::Reaction(reaction) = &mut body {
        let target = MessageId::parse(&reaction.message_id)
            .map_err(|_| Problem::violates("reaction.message_id", "must be the id of a message", NO_MESSAGE))?;
        let target = wamid_of(deps, &conversation, &target, "reaction.message_id").await?;
        target.as_str().clone_into(&mut reaction.message_id);
    }
    let quotes = match &request.quotes {
        Some(quoted) => Some(wamid_of(deps, &conversation, quoted, "context.message_id").await?),
        None => None,
    };
    let id = OutboundId::generate(now)?;
    let intent = Intent {
        id,
        conversation,
        tenant,
        to,
        body,
        quotes,
        // The clock of a worker may be slightly behind.
        not_before: now.checked_sub(CLOCK_SKEW).unwrap_or(now),
        send_before: request.chosen.send_before,
        on_unknown: request.chosen.on_unknown,
        category: request.chosen.category,
        broadcast: None,
        keep_until: number.keeps_until(now),
    };
    Ok((number, intent))
}

/// Returns the provider's id of a message that the request names. The message must be in the same conversation: the
/// customer must have seen it.
async fn wamid_of(
    deps: &Deps,
    conversation: &ConversationId,
    message: &MessageId,
    field: &str,
) -> Result<ProviderMessageId, Problem> {
    match Box::pin(deps.table.message_get_wamid(conversation, message)).await? {
        MessageName::Known(wamid) => Ok(wamid),
        MessageName::NotAccepted => {
            Err(Problem::violates(field, "must be a message that WhatsApp has accepted: this one is not", NO_MESSAGE))
        }
        MessageName::Missing => Err(Problem::violates(field, "must be a message of this conversation", NO_MESSAGE)),
    }
}

async fn in_conversation(
    deps: &Deps,
    tenant: TenantId,
    id: &str,
) -> Result<(Number, ConversationId, Recipient), Problem> {
    const UNKNOWN: &str = "must be one of your conversations";
    let id = ConversationId::parse(id).map_err(|_| Problem::invalid("conversation_id", UNKNOWN))?;
    let known = deps.table.conversation_get(tenant, &id).await?;
    let known = known.ok_or_else(|| Problem::invalid("conversation_id", UNKNOWN))?;
    let number =
        deps.cached_number(tenant, id.number()).await?.ok_or_else(|| Problem::invalid("conversation_id", UNKNOWN))?;
    match Address::of(deps, &known).await? {
        Address::To(to) => Ok((number, id, to)),
        Address::None(reason) => Err(refusal(deps, reason, None)),
        Address::Unknown => {
            Err(Problem::invalid("conversation_id", "must have a contact with phone number or user id"))
        }
    }
}

async fn to_customer(
    deps: &Deps,
    tenant: TenantId,
    from: &str,
    to: &str,
    now: Timestamp,
) -> Result<(Number, ConversationId, Recipient), Problem> {
    let number = own_number(deps, tenant, from).await?;
    let phone = PhoneNumber::parse(to).map_err(|rule| Problem::invalid("to", &rule.to_string()))?;
    let to = Recipient::Phone(phone);
    let card = to.card();
    let naming = Naming { card: &card, linked: &[], vouched: Vouched::Typed, said_at: now };
    let known = deps.table.contact_resolve(tenant, naming, now).await?;
    Ok((number.clone(), ConversationId::new(number.id, known.contact), to))
}

/// Returns the tenant's number named by `from`.
pub(crate) async fn own_number(deps: &Deps, tenant: TenantId, from: &str) -> Result<Number, Problem> {
    let unknown = || Problem::invalid("from", "must be the id of one of your numbers");
    let from = NumberId::parse(from).map_err(|_| unknown())?;
    deps.cached_number(tenant, &from).await?.ok_or_else(unknown)
}

/// Checks that each uploaded file in a message belongs to the tenant and has the right type.
pub(crate) async fn files(deps: &Deps, tenant: TenantId, body: &mut Outgoing) -> Result<(), Problem> {
    /// Meta's error code for media that cannot be used.
    const MEDIA: i64 = 131_053;
    for file in body.files() {
        if !file.id.starts_with(MediaId::PREFIX) {
            continue;
        }
        let unknown = || Problem::violates(&file.field, "must be an id returned by POST /v1/media", MEDIA);
        let id = MediaId::parse(file.id).map_err(|_| unknown())?;
        let found = deps.table.media_get(id, None, deps.clock.now()).await?;
        let (media, _) = found.filter(|(media, _)| media.tenant == tenant).ok_or_else(unknown)?;
        if !media.media_type.fits(file.kind) {
            let rule = format!("must be a file usable as {}: this one is {}", file.kind, media.media_type.mime());
            return Err(Problem::violates(&file.field, &rule, MEDIA));
        }
        if file.voice && media.media_type.mime() != "audio/ogg" {
            return Err(Problem::violates(&file.field, "must be OGG with Opus for a voice message", MEDIA));
        }
    }
    Ok(())
}

/// Reserves a slot in the number's schedule, or chooses the bulk lane if the caller requested it or the number is busy.
/// A free-form message may wait longer for its slot than a template.
async fn lane(
    deps: &Deps,
    number: &Number,
    intent: &mut Intent,
    asked: Lane,
    now: Timestamp,
) -> Result<Lane, StorageError> {
    if asked == Lane::Bulk {
        return Ok(Lane::Bulk);
    }
    let standing = deps.standing(number).await?;
    let pace = deps.paces.get(&number.id, async { deps.table.pace_get(&number.id).await.map(Some) }).await?;
    let interval = pacing::interval_micros(number.rate(&standing), pace.unwrap_or_default().part(now));
    let answer = !matches!(intent.body, Outgoing::Template(_));
    let patience = if answer { ANSWER_WAIT_MAX } else { LIVE_WAIT_MAX };
    match deps.table.pace_reserve(&number.id, 1, interval, patience, now).await? {
        Reserved::At(slot) => {
            let due = slot.checked_sub(LIVE_BURST).unwrap_or(slot);
            if due > now {
                intent.not_before = due;
            }
            Ok(Lane::Live)
        }
        Reserved::Busy(_) => {
            deps.metrics.count("lane", "busy", 1);
            Ok(Lane::Bulk)
        }
    }
}

/// Requests the release of a number's open bulk lane. If that fails, the sweep requests it within a minute.
pub(crate) async fn ask_for_release(deps: &Deps, number: &NumberId) {
    let job = ReleaseJob { number: number.clone() };
    if let Err(error) = deps.release.send_release(&job, 0).await {
        tracing::error!(event = "api.release_not_asked_for", %error);
    }
}
