//! Shared parts of responses: pages, timestamps and refusals, with their OpenAPI descriptions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items. A page may hold fewer than `limit` although more follow; only a null `next_cursor` ends the list.
    pub data: Vec<T>,
    /// The `cursor` of the next page; null on the last page.
    pub next_cursor: Option<String>,
}

/// A point in time: RFC 3339, UTC, with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Timestamp);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

impl ToSchema for Moment {
    fn name() -> Cow<'static, str> {
        "Moment".into()
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("RFC 3339, UTC, with milliseconds."))
            .examples(["2026-11-20T12:00:05.000Z"])
            .into()
    }
}

/// Passes a provider's JSON on unchanged; `None` if it is not valid JSON.
#[must_use]
pub fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}

/// The error responses that any route may return.
#[derive(Debug)]
pub struct Refusals;

impl Refusals {
    /// HTTP status, name in the OpenAPI description, and meaning.
    pub const ALL: [(&'static str, &'static str, &'static str); 7] = [
        ("401", "Unauthorized", "`unauthorized`: the API key is missing, malformed, revoked or expired."),
        ("403", "Forbidden", "`scope_missing`: the API key lacks the scope."),
        ("404", "NotFound", "`not_found`: the resource does not exist, or belongs to another tenant."),
        ("413", "TooLarge", "`body_too_large`: the request body is over the size limit."),
        ("422", "Invalid", "`invalid_request`: `field` and `rule` name the field and the rule that it breaks."),
        (
            "429",
            "TooMany",
            "`too_many_requests`: the API key is over its rate limit. `Retry-After` gives the seconds to wait.",
        ),
        ("503", "Unavailable", "`unavailable`: a part of the service did not answer. Repeat the request."),
    ];
}

impl Refusals {
    /// The error responses of routes that call Meta.
    pub const META: [(&'static str, &'static str, &'static str); 2] = [
        (
            "409",
            "RefusedByMeta",
            "`meta_refused`: Meta refused the call; `meta_code` and `rule` give its error code and reason. `no_token`: there is no access token; connect the account again.",
        ),
        (
            "502",
            "MetaNotReached",
            "`meta_not_reached`: Meta did not answer, or reported a temporary error. Repeat the request.",
        ),
    ];
}

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let one =
            |(status, name, _): (&str, &str, &str)| (status.to_owned(), RefOr::Ref(Ref::from_response_name(name)));
        Self::ALL.into_iter().map(one).collect()
    }
}
