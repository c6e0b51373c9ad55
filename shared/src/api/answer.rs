//! How it is answered: pages, moments, refusals; and what of it stands in the description.

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
    /// The items; a page may be shorter than asked for although there are more.
    pub data: Vec<T>,
    /// The `cursor` of the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// A moment: RFC 3339, UTC, to the millisecond.
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
            .description(Some("RFC 3339, UTC, to the millisecond."))
            .examples(["2026-11-20T12:00:05.000Z"])
            .into()
    }
}

/// JSON that a provider wrote, passed on as it is.
#[must_use]
pub fn raw(json: String) -> Option<Box<RawValue>> {
    RawValue::from_string(json).ok()
}

/// The refusals that any route may answer with.
#[derive(Debug)]
pub struct Refusals;

impl Refusals {
    /// Status, name in the description, and what it means.
    pub const ALL: [(&'static str, &'static str, &'static str); 7] = [
        ("401", "Unauthorized", "`unauthorized`: the API key is missing, malformed, revoked or expired."),
        ("403", "Forbidden", "`scope_missing`: the API key lacks the scope."),
        ("404", "NotFound", "`not_found`: there is no such resource, or it is another tenant's."),
        ("413", "TooLarge", "`body_too_large`."),
        ("422", "Invalid", "`invalid_request` names the field and the rule."),
        ("429", "TooMany", "`too_many_requests`: the key's rate is used up; `Retry-After` says for how many seconds."),
        ("503", "Unavailable", "`unavailable`: a part of the service did not answer; repeat the request."),
    ];
}

impl Refusals {
    /// Those of routes that ask Meta.
    pub const META: [(&'static str, &'static str, &'static str); 2] = [
        (
            "409",
            "RefusedByMeta",
            "`meta_refused`: `meta_code` and `rule` are Meta's; `no_token`: the account must be connected again.",
        ),
        (
            "502",
            "MetaNotReached",
            "`meta_not_reached`: Meta did not answer, or asks for another try; repeat the request.",
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
