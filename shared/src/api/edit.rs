//! Partial updates of a resource that other clients may change at the same time: `ETag`, `If-Match`, and optional
//! fields.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{StatusCode, header};
use serde::{Deserialize, Deserializer};

use crate::http::Problem;

/// Returns the entity tag of a revision.
#[must_use]
pub fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// The revision that a change is based on, from `If-Match`; `None` accepts any revision.
#[derive(Debug)]
pub struct Expected(Option<u64>);

impl Expected {
    /// Checks that the current revision is the expected one.
    ///
    /// # Errors
    /// 412 if it is another one.
    pub fn meets(&self, revision: u64) -> Result<(), Problem> {
        match self.0 {
            Some(expected) if expected != revision => Err(Self::changed()),
            _ => Ok(()),
        }
    }

    /// 412: the resource was changed since the caller read it.
    #[must_use]
    pub fn changed() -> Problem {
        let title = "The resource was changed since you read it.";
        Problem::new(StatusCode::PRECONDITION_FAILED, "changed_meanwhile", title)
            .remedy("Read the resource again, and send the change with its new ETag in If-Match.")
    }
}

impl<D: Sync> FromRequestParts<D> for Expected {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &D) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self(None));
        }
        let revision =
            text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|text| text.parse().ok());
        let rule = "must be an ETag of this resource, or *";
        revision.map(|revision| Self(Some(revision))).ok_or_else(|| Problem::invalid("If-Match", rule))
    }
}

/// Deserialises a field so that null (`Some(None)`) differs from a missing field (`None`).
///
/// # Errors
/// As the value's own type.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
