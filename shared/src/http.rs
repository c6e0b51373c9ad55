//! Errors of our own API: problem documents (RFC 9457) that name the field, the rule and the remedy.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// All problem codes, besides the reasons why a message may not be sent ([`crate::domain::sending::policy::Reason`]).
pub const CODES: [&str; 29] = [
    "app_not_known",
    "being_erased",
    "body_too_large",
    "broadcast_ended",
    "changed_meanwhile",
    "exchange_in_progress",
    "foreign_origin",
    "idempotency_key_reused",
    "invalid_request",
    "meta_not_reached",
    "meta_refused",
    "method_not_allowed",
    "no_token",
    "not_fetched",
    "not_found",
    "not_in_doubt",
    "not_queued",
    "not_reachable",
    "not_retryable",
    "not_signed",
    "nothing_to_choose",
    "onboarding_expired",
    "recipients_gone",
    "scope_missing",
    "taken",
    "tenant_leaving",
    "too_many_requests",
    "unauthorized",
    "unavailable",
];

/// An error: `code` for programs, `title`, `rule` and `remedy` for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// The HTTP status, repeated in the body as RFC 9457 recommends.
    pub status: u16,
    /// A stable, machine-readable name of the problem.
    pub code: &'static str,
    /// One sentence that describes the problem.
    pub title: &'static str,
    /// The field of the request that broke a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The rule that it broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The action that solves the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
    /// The error code with which Meta refused the call, or would have refused the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta_code: Option<i64>,
}

impl Problem {
    /// Creates a problem with a title only.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        Self { status: status.as_u16(), code, title, field: None, rule: None, remedy: None, meta_code: None }
    }

    /// 422: a field of the request breaks a rule.
    #[must_use]
    pub fn invalid(field: &str, rule: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            rule: Some(rule.to_owned()),
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "The request breaks a rule.")
        }
    }

    /// 422: a message breaks a rule of the provider, which would have refused it with `meta_code`.
    #[must_use]
    pub fn violates(field: &str, rule: &str, meta_code: i64) -> Self {
        Self { meta_code: Some(meta_code), ..Self::invalid(field, rule) }
    }

    /// Removes the prefix `parent.` from the field, for a request whose body is `parent` itself.
    #[must_use]
    pub fn without_parent(mut self, parent: &str) -> Self {
        let inner = |field: &String| field.strip_prefix(parent)?.strip_prefix('.').map(str::to_owned);
        self.field = self.field.as_ref().and_then(inner).or(self.field);
        self
    }

    /// 413: the request body is larger than [`crate::limits::API_BODY_MAX`].
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request body is larger than 256 KiB.")
    }

    /// 401: the request has no valid API key.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "The API key is missing or not valid.")
            .remedy("Send `Authorization: Bearer sb_live_…` with a key that is neither revoked nor expired.")
    }

    /// 409: the current state does not allow the request.
    #[must_use]
    pub fn conflict(code: &'static str, title: &'static str) -> Self {
        Self::new(StatusCode::CONFLICT, code, title)
    }

    /// 429: the key is over its rate limit.
    #[must_use]
    pub fn too_many() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "The API key is over its rate limit.")
            .remedy("Wait for the number of seconds in the Retry-After header, then repeat the request.")
    }

    /// 413: the request body is larger than [`crate::limits::UPLOAD_MAX`].
    #[must_use]
    pub fn upload_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request body is larger than 4.4 MB.")
            .remedy("Send a larger file by `link`. Send more recipients as CSV or as several broadcasts.")
    }

    /// 404: the resource does not exist or belongs to another tenant; the response is the same.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "The resource does not exist.")
    }

    /// 503: our own infrastructure did not answer. The caller may repeat the same request.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "A part of the service did not answer.")
            .remedy("Repeat the request. If it has an Idempotency-Key, send the same one.")
    }

    /// Sets the remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: &'static str) -> Self {
        self.remedy = Some(remedy);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        response
    }
}
