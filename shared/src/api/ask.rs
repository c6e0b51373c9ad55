//! Extractors of requests: path ids, queries and bodies, checked before a handler runs. A refusal names the field and
//! the rule.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use utoipa::IntoParams;

use crate::domain::ids;
use crate::http::Problem;
use crate::limits::API_BODY_MAX;

/// Items per page unless the caller gives `limit`.
const LIMIT_DEFAULT: u16 = 50;
/// Most items per page: DynamoDB reads at most 100 items in one batch.
const LIMIT_MAX: u16 = 100;
/// Deepest nesting of a request's JSON, in levels (`docs/reliability.md#a3`). Valid requests need at most ten.
const DEPTH_MAX: usize = 64;

/// A value that may appear in a path.
pub trait Named: Sized {
    /// Parses the value. `None` for a malformed one, which is answered 404, like an id that does not exist.
    fn named(text: &str) -> Option<Self>;
}

macro_rules! ids {
    ($($id:ident),*) => {$(
        impl Named for ids::$id {
            fn named(text: &str) -> Option<Self> {
                Self::parse(text).ok()
            }
        }
    )*};
}

ids!(
    BroadcastId,
    ContactId,
    ConversationId,
    ErasureId,
    MediaId,
    MessageId,
    MetaAppId,
    MetaFileId,
    NoteId,
    OffboardingId,
    OnboardingId,
    OutboundId,
    NumberId,
    ReplayId,
    TenantId,
    WabaId
);

impl Named for crate::domain::accounts::template::TemplateKey {
    fn named(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl Named for String {
    fn named(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// The id in the path; 404 if it is malformed.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<T: Named, D: Sync + Send> FromRequestParts<D> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, deps: &D) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, deps).await.map_err(|_| Problem::not_found())?;
        T::named(&id).map(Self).ok_or_else(Problem::not_found)
    }
}

/// Both ids in the path; 404 if one is malformed.
#[derive(Debug)]
pub struct Ids<A, B>(pub A, pub B);

impl<A: Named, B: Named, D: Sync + Send> FromRequestParts<D> for Ids<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, deps: &D) -> Result<Self, Problem> {
        let ids = Path::<(String, String)>::from_request_parts(parts, deps).await;
        let Path((one, other)) = ids.map_err(|_| Problem::not_found())?;
        A::named(&one).zip(B::named(&other)).map(|(one, other)| Self(one, other)).ok_or_else(Problem::not_found)
    }
}

/// The query parameters, read as `T`; 422 if they do not fit.
#[derive(Debug)]
pub struct QueryParams<T>(pub T);

impl<T: DeserializeOwned, D: Sync + Send> FromRequestParts<D> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &D) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(asked)| Self(asked)).map_err(|error| {
            let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Problem::invalid("query", &text)
        })
    }
}

/// Start and length of a page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// Most items of the page.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the previous page; the first page without it.
    cursor: Option<String>,
}

impl PageQuery {
    /// Returns the length limit of the requested page and the cursor where it starts.
    ///
    /// # Errors
    /// 422 when `limit` is not from 1 to 100.
    pub fn read(self) -> Result<(u16, Option<String>), Problem> {
        Ok((limit(self.limit)?, self.cursor))
    }
}

/// Returns the length limit of a page; without `asked` the default of 50.
///
/// # Errors
/// 422 when `asked` is not from 1 to 100.
pub fn limit(asked: Option<u16>) -> Result<u16, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if (1..=LIMIT_MAX).contains(&limit) { Ok(limit) } else { Err(Problem::invalid("limit", "must be from 1 to 100")) }
}

/// A request body of at most [`API_BODY_MAX`], read as `T`.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, D: Sync + Send> FromRequest<D> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, deps: &D) -> Result<Self, Problem> {
        let body = Upload::from_request(request, deps).await.ok().filter(|Upload(body)| body.len() <= API_BODY_MAX);
        let Upload(body) = body.ok_or_else(Problem::too_large)?;
        let json = parse(&body)?;
        // A derived deserialiser would accept an array in place of an object, field by field.
        if !json.is_object() {
            return Err(Problem::invalid("body", "must be an object"));
        }
        typed(json).map(Self)
    }
}

/// A request body as raw bytes, up to the size limit of its route.
#[derive(Debug)]
pub struct Upload(pub Bytes);

impl<D: Sync + Send> FromRequest<D> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, deps: &D) -> Result<Self, Problem> {
        Bytes::from_request(request, deps).await.map(Self).map_err(|_| Problem::upload_too_large())
    }
}

/// Parses a request body as JSON.
///
/// # Errors
/// 422 when it is not JSON, or nested deeper than 64 levels.
pub fn parse(body: &[u8]) -> Result<Value, Problem> {
    let json: Value = serde_json::from_slice(body).map_err(|_| Problem::invalid("body", "must be JSON"))?;
    if depth(&json) > DEPTH_MAX {
        return Err(Problem::invalid("body", "must be nested at most 64 levels deep"));
    }
    Ok(json)
}

/// Nesting depth of arrays and objects. The parser itself stops at 128.
fn depth(json: &Value) -> usize {
    match json {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Reads JSON as `T`.
///
/// # Errors
/// 422 with the field and the rule that it breaks.
pub fn typed<T: DeserializeOwned>(json: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let field = error.path().to_string();
        Problem::invalid(if field == "." { "body" } else { &field }, &error.inner().to_string())
    })
}

/// Checks a name that is shown in lists.
///
/// # Errors
/// 422 when it is empty, longer than `max` characters, or contains control characters.
pub fn named(field: &str, name: String, max: usize) -> Result<String, Problem> {
    let fits = !name.trim().is_empty() && name.chars().count() <= max && !name.chars().any(char::is_control);
    if fits {
        Ok(name)
    } else {
        Err(Problem::invalid(
            field,
            &format!("must be 1 to {max} characters, not only spaces, without control characters"),
        ))
    }
}
