//! The Graph API: token, shape and window are checked as Meta checks them.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use shared::provider::meta::message::TEXT_BODY_MAX;
use subtle::ConstantTimeEq;

use super::serve::DropConnection;
use super::state::{Meta, ScriptedFault};
use crate::aws::faults::Verdict;

/// Longest callback data Meta takes, in characters.
const OPAQUE_MAX: usize = 512;

pub(super) fn graph_routes(meta: Arc<Meta>) -> Router {
    Router::new().route("/{version}/{number}/messages", post(messages)).with_state(meta)
}

async fn messages(
    State(meta): State<Arc<Meta>>,
    Path((_, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
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
    let Some(fault) = meta.next_fault() else {
        return send(meta, number, headers, body);
    };
    match fault {
        ScriptedFault::Error { http, code, message } => {
            let status = StatusCode::from_u16(http).unwrap_or(StatusCode::BAD_REQUEST);
            error(status, code, &message, "ordered by a fault")
        }
        ScriptedFault::DropBefore => DropConnection::response(),
        ScriptedFault::DropAfter => {
            send(meta, number, headers, body);
            DropConnection::response()
        }
        ScriptedFault::DropLate => {
            let delivered = meta.delivered.notified();
            send(meta, number, headers, body);
            delivered.await;
            DropConnection::response()
        }
        ScriptedFault::Html502 => (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        ScriptedFault::Truncated => {
            send(meta, number, headers, body);
            (StatusCode::OK, r#"{"messaging_product":"whatsapp","mess"#).into_response()
        }
    }
}

fn send(meta: &Meta, number: &str, headers: &HeaderMap, body: &[u8]) -> Response {
    let Some(known) = meta.lock().numbers.get(number).cloned() else {
        return error(StatusCode::BAD_REQUEST, 100, "Invalid parameter", "Object with this id does not exist");
    };
    let bearer = headers.get(header::AUTHORIZATION).map(header::HeaderValue::as_bytes).unwrap_or_default();
    if !bool::from(bearer.ct_eq(format!("Bearer {}", known.token).as_bytes())) {
        return error(StatusCode::UNAUTHORIZED, 190, "Invalid OAuth access token", "The token cannot be used");
    }
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return error(StatusCode::BAD_REQUEST, 100, "Invalid parameter", "The body is not JSON");
    };
    if let Err((code, details)) = check(&body) {
        return error(StatusCode::BAD_REQUEST, code, "Invalid parameter", details);
    }
    let to: String = text(&body, "to").or(text(&body, "recipient")).unwrap_or_default().to_owned();
    let customer = to.trim_start_matches('+').to_owned();
    if customer == known.display_phone_number {
        return error(StatusCode::BAD_REQUEST, 131_021, "Recipient cannot be sender", "Same number");
    }
    if !meta.window_is_open(number, &customer) {
        return error(
            StatusCode::BAD_REQUEST,
            131_047,
            "Re-engagement message",
            "More than 24 hours have passed since the customer last replied to this number",
        );
    }
    let wamid = meta.accept(number, &customer, body);
    axum::Json(json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": to, "wa_id": customer}],
        "messages": [{"id": wamid}],
    }))
    .into_response()
}

/// The contract of a text message (`facts/messages.md` §1, §3, §4).
fn check(body: &Value) -> Result<(), (i64, &'static str)> {
    const KEYS: [&str; 8] = [
        "messaging_product",
        "recipient_type",
        "to",
        "recipient",
        "type",
        "text",
        "context",
        "biz_opaque_callback_data",
    ];
    let object = body.as_object().ok_or((100, "The body must be an object"))?;
    if object.keys().any(|key| !KEYS.contains(&key.as_str())) {
        return Err((100, "An unknown key"));
    }
    if text(body, "messaging_product") != Some("whatsapp") {
        return Err((100, "messaging_product must be whatsapp"));
    }
    if object.get("recipient_type").is_some_and(|kind| kind != "individual") {
        return Err((100, "recipient_type must be individual"));
    }
    let to = text(body, "to");
    let digits = |to: &str| {
        to.strip_prefix('+')
            .is_some_and(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    match (to, text(body, "recipient")) {
        (None, None) => return Err((131_008, "to or recipient is required")),
        (Some(to), _) if !digits(to) => return Err((131_009, "to must be + and a country code")),
        _ => {}
    }
    if text(body, "type") != Some("text") {
        return Err((131_051, "This simulation takes text messages only"));
    }
    let said = body.get("text").and_then(|content| text(content, "body")).ok_or((131_008, "text.body is required"))?;
    if said.is_empty() || said.encode_utf16().count() > TEXT_BODY_MAX {
        return Err((131_009, "text.body must be 1 to 4096 characters"));
    }
    if text(body, "biz_opaque_callback_data").is_some_and(|data| data.chars().count() > OPAQUE_MAX) {
        return Err((131_009, "biz_opaque_callback_data must be at most 512 characters"));
    }
    Ok(())
}

fn text<'a>(body: &'a Value, key: &str) -> Option<&'a str> {
    body.get(key).and_then(Value::as_str)
}

fn error(status: StatusCode, code: i64, title: &str, details: &str) -> Response {
    let body = json!({"error": {
        "message": format!("(#{code}) {title}"),
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details},
        "fbtrace_id": "ASandboxTrace",
    }});
    (status, axum::Json(body)).into_response()
}
