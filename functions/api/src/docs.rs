//! `/openapi.json` and `/docs`: description of the API, for programs and for people. Both need no key and contain no
//! tenant's data.

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Generated from the code; a test compares the two.
const DESCRIPTION: &str = include_str!("../../../docs/openapi.json");
const PAGE: &str = include_str!("docs.html");
/// Content security policy: the page runs its inline script and fetches only from its own origin.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/openapi.json", get(async || answer("application/json", DESCRIPTION)))
        .route("/docs", get(async || answer("text/html; charset=utf-8", PAGE)))
}

fn answer(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    (headers, text).into_response()
}
