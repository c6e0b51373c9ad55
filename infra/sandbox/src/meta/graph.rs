//! The Graph API for messages and files. Token, body, customer service window, templates, files and limits are checked
//! as Meta checks them.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::StreamExt;
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::answer::error;
use super::contract;
use super::request::{Words, bearer, is_proof};
use super::serve::DropConnection;
use super::{After, Meta, MetaNumber, ScriptedFault};
use crate::aws::faults::Verdict;

pub(super) fn graph_routes(meta: Arc<Meta>) -> Router {
    Router::new()
        .route("/{version}/{number}/messages", post(messages))
        .route("/{version}/{number}/media", post(upload))
        .route("/{version}/{number}/message_history", get(message_history))
        .layer(DefaultBodyLimit::disable())
        .with_state(meta)
}

async fn messages(
    State(meta): State<Arc<Meta>>,
    Path((_, number)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // A given `appsecret_proof` must be correct, even where it is not required.
    let token = bearer(&headers);
    let proof = query.get("appsecret_proof").map(String::as_str);
    if proof.is_some() && is_proof(&meta.lock(), &token, proof).is_err() {
        let details = "Invalid appsecret_proof provided in the API argument";
        return error(StatusCode::BAD_REQUEST, 100, "GraphMethodException", details);
    }
    match meta.faults.enter("Graph.messages") {
        Verdict::Proceed => answer(&meta, &number, &headers, &body).await,
        Verdict::Unavailable => (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        Verdict::LostReply => {
            answer(&meta, &number, &headers, &body).await;
            DropConnection::response()
        }
        Verdict::CrashBefore => meta.faults.crash().await,
        Verdict::CrashAfter => {
            answer(&meta, &number, &headers, &body).await;
            meta.faults.crash().await
        }
    }
}

async fn answer(meta: &Meta, number: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    // Read receipts are not sends: ordered faults wait for a send.
    let receipt = serde_json::from_slice::<Value>(body).is_ok_and(|body| body.get("status").is_some());
    if receipt {
        return mark(meta, number, headers, body);
    }
    let Some(fault) = meta.next_fault() else {
        return send(meta, number, headers, body, After::Statuses);
    };
    match fault {
        ScriptedFault::Error { http, code, message } => {
            let status = StatusCode::from_u16(http).unwrap_or(StatusCode::BAD_REQUEST);
            error(status, code, &message, "ordered by a fault")
        }
        ScriptedFault::Lie { http, code } => {
            send(meta, number, headers, body, After::Statuses);
            error(StatusCode::from_u16(http).unwrap_or(StatusCode::BAD_REQUEST), code, "scripted", "but it is sent")
        }
        ScriptedFault::DropBefore => DropConnection::response(),
        ScriptedFault::DropAfter => {
            send(meta, number, headers, body, After::Statuses);
            DropConnection::response()
        }
        ScriptedFault::DropLate => {
            let delivered = meta.delivered.notified();
            send(meta, number, headers, body, After::Statuses);
            delivered.await;
            DropConnection::response()
        }
        ScriptedFault::Html502 => (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        ScriptedFault::Truncated => {
            send(meta, number, headers, body, After::Statuses);
            (StatusCode::OK, r#"{"messaging_product":"whatsapp","mess"#).into_response()
        }
        ScriptedFault::FailLater { code } => send(meta, number, headers, body, After::Failure(code)),
        ScriptedFault::Held => send(meta, number, headers, body, After::Assessment),
        ScriptedFault::Silent { accepted } => {
            let spoken = meta.spoken.notified();
            if accepted {
                send(meta, number, headers, body, After::Statuses);
            }
            spoken.await;
            DropConnection::response()
        }
        ScriptedFault::Drip => drip(send(meta, number, headers, body, After::Statuses)).await,
    }
}

/// Returns the same response, sent byte by byte.
async fn drip(answer: Response) -> Response {
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let pieces: Vec<Result<Bytes, std::io::Error>> =
        bytes.iter().map(|byte| Ok(Bytes::copy_from_slice(&[*byte]))).collect();
    let slowly = futures_util::stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    Response::from_parts(parts, axum::body::Body::from_stream(slowly))
}

/// Returns the number, if the token may send from it.
pub(super) fn authorised(meta: &Meta, number: &str, headers: &HeaderMap) -> Result<MetaNumber, Box<Response>> {
    let known = meta.lock().numbers.get(number).cloned();
    let Some(known) = known else {
        let details = "Object with this id does not exist";
        return Err(Box::new(error(StatusCode::BAD_REQUEST, 100, "Invalid parameter", details)));
    };
    let bearer = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes).unwrap_or_default();
    let token = std::str::from_utf8(bearer).unwrap_or_default().trim_start_matches("Bearer ");
    // Any valid token of a business may send.
    let ours =
        bool::from(bearer.ct_eq(format!("Bearer {}", known.token).as_bytes())) || meta.sends_for(token, &known.waba_id);
    if !ours || meta.is_spent(token) {
        let details = "The token cannot be used";
        return Err(Box::new(error(StatusCode::UNAUTHORIZED, 190, "Invalid OAuth access token", details)));
    }
    Ok(known)
}

fn send(meta: &Meta, number: &str, headers: &HeaderMap, body: &[u8], after: After) -> Response {
    let known = match authorised(meta, number, headers) {
        Ok(known) => known,
        Err(refused) => return *refused,
    };
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return error(StatusCode::BAD_REQUEST, 100, "Invalid parameter", "The body is not JSON");
    };
    if let Err((code, details)) = contract::check(&body) {
        return error(StatusCode::BAD_REQUEST, code, "Invalid parameter", &details);
    }
    let to: String = text(&body, "to").or(text(&body, "recipient")).unwrap_or_default().to_owned();
    let customer = to.trim_start_matches('+').to_owned();
    if let Err((code, title, details)) = allowed(meta, &known, &customer, &body) {
        // Meta answers throttling with 400 too, and an unknown template with 404.
        let status = if code == 132_001 { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        return error(status, code, title, &details);
    }
    let template = text(&body, "type") == Some("template");
    let held = after == After::Assessment;
    let wamid = meta.accept(number, &customer, body, after);
    let mut message = json!({"id": wamid});
    if template {
        message["message_status"] = json!(if held { "held_for_quality_assessment" } else { "accepted" });
    }
    axum::Json(json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": customer}],
        "messages": [message],
    }))
    .into_response()
}

/// Checks what Meta refuses although the body is valid. The error has code, title and details.
fn allowed(meta: &Meta, known: &MetaNumber, customer: &str, body: &Value) -> Result<(), (i64, &'static str, String)> {
    if customer == known.display_phone_number {
        return Err((131_021, "Recipient cannot be sender", "Same number".to_owned()));
    }
    let number = &known.phone_number_id;
    if meta.is_unregistered(number) {
        return Err((133_010, "Phone number is not registered", "Register it first".to_owned()));
    }
    match body.get("template") {
        Some(template) => meta.check_template(template)?,
        None if !meta.window_is_open(number, customer) => {
            let details = "More than 24 hours have passed since the customer last replied to this number";
            return Err((131_047, "Re-engagement message", details.to_owned()));
        }
        None => {}
    }
    for id in contract::file_ids(body) {
        if !meta.has_file(number, &id) {
            return Err((131_053, "Media upload error", format!("There is no file {id} of this number")));
        }
    }
    let now = meta.clock.now().as_millisecond();
    let entered = meta.lock().limits.enter(number, customer, now);
    entered.map_err(|code| (code, "Rate limit hit", "Too many messages".to_owned()))
}

/// Answers a read receipt or a typing indicator.
fn mark(meta: &Meta, number: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    if let Err(refused) = authorised(meta, number, headers) {
        return *refused;
    }
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let shape = body.as_object().is_some_and(|object| {
        let keys = ["messaging_product", "status", "message_id", "typing_indicator"];
        object.keys().all(|key| keys.contains(&key.as_str()))
    });
    let typing = body.get("typing_indicator").is_none_or(|typing| *typing == json!({"type": "text"}));
    let read = text(&body, "status") == Some("read") && text(&body, "messaging_product") == Some("whatsapp");
    let wamid = text(&body, "message_id").unwrap_or_default().to_owned();
    if !(shape && typing && read && meta.marked(number, &wamid, body)) {
        return error(StatusCode::BAD_REQUEST, 100, "Invalid parameter", "No message of a customer has this id");
    }
    axum::Json(json!({"success": true})).into_response()
}

/// Answers a file upload.
async fn upload(
    State(meta): State<Arc<Meta>>,
    Path((_, number)): Path<(String, String)>,
    headers: HeaderMap,
    mut form: Multipart,
) -> Response {
    if let Err(refused) = authorised(&meta, &number, &headers) {
        return *refused;
    }
    let (mut product, mut declared, mut file) = (None, None, None);
    while let Ok(Some(field)) = form.next_field().await {
        match field.name().unwrap_or_default().to_owned().as_str() {
            "messaging_product" => product = field.text().await.ok(),
            "type" => declared = field.text().await.ok(),
            "file" => {
                let mime = field.content_type().unwrap_or_default().to_owned();
                file = field.bytes().await.ok().map(|bytes| (mime, bytes.len()));
            }
            _ => {}
        }
    }
    match (product.as_deref(), declared, file) {
        (Some("whatsapp"), Some(declared), Some((mime, size)))
            if declared == mime && size > 0 && mime != "audio/ogg" =>
        {
            axum::Json(json!({"id": meta.take_file(&number)})).into_response()
        }
        _ => {
            error(StatusCode::BAD_REQUEST, 131_053, "Media upload error", "messaging_product, type and file are needed")
        }
    }
}

#[derive(serde::Deserialize)]
struct HistoryQuery {
    #[serde(default)]
    message_id: Option<String>,
    #[serde(default)]
    fields: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    after: Option<String>,
}

/// Lists the messages of a number and their delivery events, newest first.
async fn message_history(
    State(meta): State<Arc<Meta>>,
    Path((_, number)): Path<(String, String)>,
    Query(query): Query<HistoryQuery>,
    headers: HeaderMap,
) -> Response {
    if let Err(refused) = authorised(&meta, &number, &headers) {
        return *refused;
    }
    let (limit, from) = (query.limit.unwrap_or(25), query.after.and_then(|after| after.parse().ok()).unwrap_or(0));
    if !(1..=100).contains(&limit) {
        return error(StatusCode::BAD_REQUEST, 100, "Invalid parameter", "limit must be 1 to 100");
    }
    let sent = meta.sent();
    let all: Vec<_> = sent
        .iter()
        .rev()
        .filter(|one| one.phone_number_id == number)
        .filter(|one| query.message_id.as_ref().is_none_or(|wanted| *wanted == one.wamid))
        .collect();
    let data: Vec<Value> = all
        .iter()
        .skip(from)
        .take(limit)
        .map(|one| {
            let event = |status: &str| {
                json!({"delivery_status": status, "webhook_update_state": "PENDING", "timestamp": one.accepted_at})
            };
            let later = one.statuses.iter().filter(|status| *status != "sent");
            let events: Vec<Value> =
                std::iter::once(event("SENT")).chain(later.map(|status| event(&status.to_uppercase()))).collect();
            let mut entry = json!({"id": format!("history.{}", one.wamid), "message_id": one.wamid});
            if query.fields.as_ref().is_some_and(|fields| fields.contains("events")) {
                entry["events"] = json!({"data": events});
            }
            entry
        })
        .collect();
    let next = from + data.len();
    let mut paging = json!({"cursors": {"after": next.to_string()}});
    if next < all.len() {
        paging["next"] = json!(format!("https://graph.facebook.com/v25.0/{number}/message_history?after={next}"));
    }
    axum::Json(json!({"data": data, "paging": paging})).into_response()
}

fn text<'a>(body: &'a Value, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}
