//! Answers of the simulated Graph API: errors in its form, and ordered faults.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::request::Refusal;
use super::serve::DropConnection;
use super::{Meta, ScriptedFault};
use crate::aws::faults::Verdict;

pub(super) fn error(status: StatusCode, code: i64, title: &str, details: &str) -> Response {
    let body = json!({"error": {
        "message": format!("(#{code}) {title}"),
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details},
        "fbtrace_id": "ASandboxTrace",
    }});
    (status, axum::Json(body)).into_response()
}

/// Executes a call with the faults that are ordered for it.
pub(super) async fn call(meta: &Meta, name: &str, effect: impl FnOnce() -> Response) -> Response {
    let verdict = meta.faults.enter(&format!("Graph.{name}"));
    let done = || {
        let answer = effect();
        if answer.status().is_success() {
            meta.took_effect(name);
        }
        answer
    };
    match verdict {
        Verdict::Proceed => {}
        Verdict::Unavailable => return (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        Verdict::LostReply => {
            done();
            return DropConnection::response();
        }
        Verdict::CrashBefore => meta.faults.crash().await,
        Verdict::CrashAfter => {
            done();
            meta.faults.crash().await;
        }
    }
    match meta.next_call_fault(name) {
        None => done(),
        Some(ScriptedFault::Error { http, code, message }) => {
            error(StatusCode::from_u16(http).unwrap_or(StatusCode::BAD_REQUEST), code, &message, "ordered by a fault")
        }
        Some(ScriptedFault::DropBefore) => DropConnection::response(),
        Some(ScriptedFault::Html502) => (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        Some(_) => {
            done();
            DropConnection::response()
        }
    }
}

pub(super) fn shown(answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(answer) => axum::Json(answer).into_response(),
        Err((code, text)) => {
            let status = if code == 190 { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
            error(status, code, text, text)
        }
    }
}
