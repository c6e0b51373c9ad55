//! Meta's handshake: Meta saves a callback URL only if the URL echoes the challenge.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::secret::{Secret, same};

use crate::Deps;

/// Longest challenge echoed, in bytes; Meta's are short numbers. The limit prevents reflecting foreign content.
const CHALLENGE_MAX: usize = 64;

pub(crate) async fn verify(
    State(deps): State<Arc<Deps>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<HashMap<String, String>>, QueryRejection>,
) -> Response {
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let given = |name: &str| query.get(name).map(String::as_str);
    let (Some("subscribe"), Some(token), Some(challenge)) =
        (given("hub.mode"), given("hub.verify_token"), given("hub.challenge"))
    else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let Ok(app) = deps.app(&path.map(|Path(app)| app).unwrap_or_default()).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let tokens: &[Secret] = app.as_ref().map_or(&[], |app| &app.verify_tokens);
    if !same(tokens, token) {
        deps.metrics.count("webhook_rejected", "verify_token", 1);
        return StatusCode::FORBIDDEN.into_response();
    }
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if challenge.is_empty() || challenge.len() > CHALLENGE_MAX || !challenge.bytes().all(harmless) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain")], challenge.to_owned()).into_response()
}
