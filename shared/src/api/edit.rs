//! Changing a part of something that somebody else may be changing too: `ETag`, `If-Match`, and fields that are given or not.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{StatusCode, header};
use serde::{Deserialize, Deserializer};

use crate::http::Problem;

/// The entity tag of a revision.
#[must_use]
pub fn etag(revision: u64) -> String {
    format!("\"{revision}\"")
}

/// The revision that a change is meant for, as `If-Match` names it; none: whatever there is.
#[derive(Debug)]
pub struct Expected(Option<u64>);

impl Expected {
    /// Whether the change is meant for this revision.
    ///
    /// # Errors
    /// 412 if it is for another one.
    pub fn meets(&self, revision: u64) -> Result<(), Problem> {
        match self.0 {
            Some(expected) if expected != revision => Err(Self::changed()),
            _ => Ok(()),
        }
    }

    /// 412: somebody else changed it meanwhile.
    #[must_use]
    pub fn changed() -> Problem {
        let title = "Somebody else has changed it meanwhile.";
        Problem::new(StatusCode::PRECONDITION_FAILED, "changed_meanwhile", title)
            .remedy("Read it again, and send the change with the new ETag in If-Match.")
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
        let rule = "must be an ETag that this resource had, or *";
        revision.map(|revision| Self(Some(revision))).ok_or_else(|| Problem::invalid("If-Match", rule))
    }
}

/// Tells a field that is null from one that is missing.
///
/// # Errors
/// As the value's own type.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
