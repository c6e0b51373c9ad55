//! Client of the Graph API: one HTTP call per method, and every way the call can end as a value.

use std::sync::OnceLock;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use crate::config;
use crate::domain::accounts::token::AccessToken;
use crate::domain::event::ProviderError;
use crate::domain::ids::{NumberId, ProviderMessageId};
use crate::domain::sending::outcome::SendOutcome;
use crate::limits::{GRAPH_CONNECT_TIMEOUT, GRAPH_TIMEOUT};
use crate::provider::meta::error::{self, ErrorClass};
use crate::secret::Secret;

/// Meta's public Graph host.
pub const PUBLIC_URL: &str = "https://graph.facebook.com";
/// Title of the error when Graph's edge throttles us.
pub const THROTTLED: &str = "throttled";
/// Default version of the Graph API.
pub const DEFAULT_VERSION: &str = "v25.0";

/// Longest `fbtrace_id` that is stored, in bytes; Meta's have about a dozen.
const LONGEST_TRACE: usize = 64;

/// Host and version of the Graph API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphEndpoint {
    /// Scheme and host.
    pub url: String,
    /// Version, such as `v25.0`.
    pub version: String,
}

impl GraphEndpoint {
    /// Returns the endpoint that `META_GRAPH_URL` and `META_GRAPH_VERSION` name. Without them it is Meta's public host
    /// in the default version.
    #[must_use]
    pub fn from_env() -> Self {
        let public = Self::at(&config::optional("META_GRAPH_URL").unwrap_or_else(|| PUBLIC_URL.to_owned()));
        Self { version: config::optional("META_GRAPH_VERSION").unwrap_or(public.version), url: public.url }
    }

    /// Returns the default version of the API at `url`.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { url: url.to_owned(), version: DEFAULT_VERSION.to_owned() }
    }
}

/// A client for one Graph host and version. It retries no call, follows no redirect and uses no proxy.
#[derive(Debug, Clone)]
pub struct GraphClient {
    http: reqwest::Client,
    base: String,
}

/// Failure of a call that may be repeated without effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallFailure {
    /// Not done; a later try may succeed.
    TryLater(ProviderError),
    /// Not done, and a retry would not help.
    Refused(ProviderError),
}

impl CallFailure {
    /// Returns the error.
    #[must_use]
    pub fn error(&self) -> &ProviderError {
        match self {
            Self::TryLater(error) | Self::Refused(error) => error,
        }
    }
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the Graph client could not be built")]
pub struct ClientUnavailable(#[source] reqwest::Error);

/// Creates an HTTP client that retries nothing, follows no redirect and uses no proxy.
///
/// # Errors
/// When TLS cannot be set up.
pub fn plain_client() -> Result<reqwest::Client, ClientUnavailable> {
    // One client per process: reading the system's certificates takes milliseconds, and a second client needs the same.
    static BUILT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(built) = BUILT.get() {
        return Ok(built.clone());
    }
    // An error means that the same provider is already installed, which is fine.
    drop(rustls::crypto::ring::default_provider().install_default());
    let built = reqwest::Client::builder()
        .connect_timeout(GRAPH_CONNECT_TIMEOUT)
        .timeout(GRAPH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        // No connection is reused. Meta closes idle ones while Lambda freezes the function, and a message written to a
        // closed connection would end with outcome unknown although it was never sent. The price is a TLS handshake per
        // call.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(ClientUnavailable)?;
    Ok(BUILT.get_or_init(|| built).clone())
}

impl GraphClient {
    /// Creates a client.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(endpoint: &GraphEndpoint) -> Result<Self, ClientUnavailable> {
        let base = format!("{}/{}", endpoint.url.trim_end_matches('/'), endpoint.version);
        Ok(Self { http: plain_client()?, base })
    }

    /// Calls `POST /{phone-number-id}/messages`, exactly once.
    pub async fn send_message(&self, token: &AccessToken, number: &NumberId, body: Vec<u8>) -> SendOutcome {
        let Some(request) = self.with_token(Method::POST, &format!("{number}/messages"), token) else {
            return SendOutcome::Refused(malformed_token());
        };
        match request.header(CONTENT_TYPE, "application/json").body(body).send().await {
            Ok(reply) => read(reply).await,
            // Until the connection is established, no byte of the message has left.
            Err(failure) if failure.is_connect() || failure.is_builder() => SendOutcome::NotSent(lost(&failure)),
            Err(failure) => unknown(lost(&failure)),
        }
    }

    /// Marks a message as read, or shows the typing indicator. May be repeated.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn mark(&self, token: &AccessToken, number: &NumberId, body: Vec<u8>) -> Result<(), CallFailure> {
        let request = self.with_token_or_refusal(Method::POST, &format!("{number}/messages"), token)?;
        call(request.header(CONTENT_TYPE, "application/json").body(body)).await?;
        Ok(())
    }

    /// Calls `POST /{phone-number-id}/media`: uploads a file and returns Meta's id of it. A repetition creates another
    /// id.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn upload(
        &self,
        token: &AccessToken,
        number: &NumberId,
        mime: &str,
        file: Vec<u8>,
    ) -> Result<String, CallFailure> {
        let request = self.with_token_or_refusal(Method::POST, &format!("{number}/media"), token)?;
        let part = Part::bytes(file).file_name("file").mime_str(mime).map_err(|_| {
            CallFailure::Refused(ProviderError::ours("mime_malformed", "the file's type cannot be a header"))
        })?;
        let form = Form::new().text("messaging_product", "whatsapp").text("type", mime.to_owned()).part("file", part);
        let answered = call(request.multipart(form)).await?;
        let uploaded: AcceptedMessage = serde_json::from_slice(&answered).map_err(|_| {
            CallFailure::TryLater(ProviderError::ours("answer_unreadable", "Meta's answer has no file id"))
        })?;
        Ok(uploaded.id)
    }

    /// Sends a request that is already built.
    pub(super) async fn run(&self, request: reqwest::Request) -> Result<Vec<u8>, CallFailure> {
        call(reqwest::RequestBuilder::from_parts(self.http.clone(), request)).await
    }

    /// Builds a form request that carries its own credentials.
    pub(super) fn post_form(&self, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/{path}", self.base)).form(form)
    }

    /// Builds a `GET` request that carries its credentials in the query. The URL contains secrets and must not appear
    /// in any error.
    pub(super) fn get_with(&self, path: &str, query: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.get(format!("{}/{path}", self.base)).query(query)
    }

    /// Builds a request with a token and its `appsecret_proof`, or refuses a token that cannot be a header.
    pub(super) fn with_token_or_refusal(
        &self,
        method: Method,
        path: &str,
        token: &AccessToken,
    ) -> Result<reqwest::RequestBuilder, CallFailure> {
        self.with_token(method, path, token).ok_or_else(|| CallFailure::Refused(malformed_token()))
    }

    /// Whether a URL has Graph's own origin, where the simulated Meta serves its files.
    pub(super) fn is_own(&self, url: &reqwest::Url) -> bool {
        reqwest::Url::parse(&self.base).is_ok_and(|own| own.origin() == url.origin())
    }

    /// Builds a request to another address of Meta's, with the token but without `appsecret_proof`.
    pub(super) fn with_bearer(
        &self,
        method: Method,
        url: reqwest::Url,
        token: &AccessToken,
    ) -> Result<reqwest::RequestBuilder, CallFailure> {
        let bearer = bearer(&token.value).ok_or_else(|| CallFailure::Refused(malformed_token()))?;
        Ok(self.http.request(method, url).header(AUTHORIZATION, bearer))
    }

    /// Builds a request with a token and its `appsecret_proof`; `None` when the token cannot be a header.
    pub(super) fn with_token(
        &self,
        method: Method,
        path: &str,
        token: &AccessToken,
    ) -> Option<reqwest::RequestBuilder> {
        let request = self.http.request(method, format!("{}/{path}", self.base));
        let request = request.header(AUTHORIZATION, bearer(&token.value)?);
        Some(match &token.proof {
            Some(proof) => request.query(&[("appsecret_proof", proof.expose())]),
            None => request,
        })
    }
}

fn bearer(token: &Secret) -> Option<HeaderValue> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose())).ok()?;
    bearer.set_sensitive(true);
    Some(bearer)
}

pub(super) fn malformed_token() -> ProviderError {
    ProviderError::ours("token_malformed", "the stored token cannot be a header")
}

/// Describes a call without a response. Never contains the URL.
pub(super) fn lost(failure: &reqwest::Error) -> ProviderError {
    if failure.is_connect() || failure.is_builder() {
        ProviderError::ours("not_connected", "Meta could not be reached")
    } else if failure.is_timeout() {
        ProviderError::ours("no_answer", "Meta did not answer in time")
    } else {
        ProviderError::ours("connection_lost", "the connection broke before Meta answered")
    }
}

/// Makes a call that may be repeated, and returns the body of its response.
pub(super) async fn call(request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallFailure> {
    let reply = request.send().await.map_err(|failure| CallFailure::TryLater(lost(&failure)))?;
    let status = reply.status();
    let body = reply.bytes().await.map_err(|failure| CallFailure::TryLater(lost(&failure)))?;
    if status.is_success() { Ok(body.to_vec()) } else { Err(failed(status, &body)) }
}

/// Classifies a response that is not a success.
pub(super) fn failed(status: reqwest::StatusCode, body: &[u8]) -> CallFailure {
    match serde_json::from_slice::<ErrorBody>(body) {
        Ok(ErrorBody { error }) => {
            let problem = error.into_provider_error();
            let again = error::class(problem.code).tries_again();
            if again { CallFailure::TryLater(problem) } else { CallFailure::Refused(problem) }
        }
        Err(_) if status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429) => {
            CallFailure::Refused(ProviderError::ours("refused", "Meta refused without saying why"))
        }
        Err(_) => {
            CallFailure::TryLater(ProviderError::ours("no_graph_answer", "something between us and Meta answered"))
        }
    }
}

/// Makes a call that can also fail in part. `why` finds the code and title of such a failure in the response body.
pub(super) async fn refused_in_part(
    request: reqwest::RequestBuilder,
    why: impl FnOnce(&[u8]) -> Option<(i64, String)>,
) -> Result<(), CallFailure> {
    let reply = request.send().await.map_err(|failure| CallFailure::TryLater(lost(&failure)))?;
    let status = reply.status();
    let body = reply.bytes().await.map_err(|failure| CallFailure::TryLater(lost(&failure)))?;
    if let Some((code, title)) = why(&body) {
        return Err(CallFailure::Refused(ProviderError { code, title, details: None, trace: None }));
    }
    if status.is_success() { Ok(()) } else { Err(failed(status, &body)) }
}

async fn read(reply: reqwest::Response) -> SendOutcome {
    let status = reply.status();
    let Ok(body) = reply.bytes().await else {
        return unknown(ProviderError::ours("answer_cut", "Meta's answer broke off"));
    };
    if status.is_success() {
        return accepted(&body);
    }
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error }) => {
            let transient = status.is_server_error() && error.is_transient == Some(true);
            let problem = error.into_provider_error();
            match error::class(problem.code) {
                _ if error::is_stale_proof(&problem) => SendOutcome::NotSent(problem),
                ErrorClass::RetryableAnswer => SendOutcome::Unknown { error: problem, retryable_answer: true },
                class if class.tries_again() => SendOutcome::NotSent(problem),
                _ if transient => SendOutcome::Unknown { error: problem, retryable_answer: true },
                _ => SendOutcome::Refused(problem),
            }
        }
        // Graph's edge throttles us.
        Err(_) if matches!(status.as_u16(), 425 | 429) => {
            SendOutcome::NotSent(ProviderError::ours(THROTTLED, "Meta's edge asks us to slow down"))
        }
        Err(_) if status.is_client_error() && status.as_u16() != 408 => {
            SendOutcome::Refused(ProviderError::ours("refused", "Meta refused without saying why"))
        }
        Err(_) => unknown(ProviderError::ours("no_graph_answer", "something between us and Meta answered")),
    }
}

/// Returns the outcome of a call without an answer of Meta's.
fn unknown(error: ProviderError) -> SendOutcome {
    SendOutcome::Unknown { error, retryable_answer: false }
}

fn accepted(body: &[u8]) -> SendOutcome {
    let message = serde_json::from_slice::<Accepted>(body).ok().and_then(|body| body.messages.into_iter().next());
    let named = message.and_then(|message| {
        let held = message.message_status.is_some_and(|status| status != "accepted");
        Some(SendOutcome::Accepted { wamid: ProviderMessageId::parse(&message.id).ok()?, held })
    });
    named.unwrap_or_else(|| {
        unknown(ProviderError::ours("answer_unreadable", "Meta accepted but its answer has no message id"))
    })
}

#[derive(Deserialize)]
struct Accepted {
    messages: Vec<AcceptedMessage>,
}

#[derive(Deserialize)]
struct AcceptedMessage {
    id: String,
    #[serde(default)]
    message_status: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ErrorBody {
    error: GraphError,
}

impl ErrorBody {
    pub(super) fn into_provider_error(self) -> ProviderError {
        self.error.into_provider_error()
    }
}

#[derive(Deserialize)]
struct GraphError {
    #[serde(deserialize_with = "number_or_text")]
    code: i64,
    message: Option<String>,
    #[serde(default)]
    is_transient: Option<bool>,
    #[serde(default)]
    error_data: Option<ErrorData>,
    /// Any JSON value: an odd trace id must not make the error code unreadable.
    #[serde(default)]
    fbtrace_id: serde_json::Value,
}

/// Reads a code that some edges write as a text.
fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Code {
        Number(i64),
        Text(String),
    }
    match Code::deserialize(deserializer)? {
        Code::Number(code) => Ok(code),
        Code::Text(text) => text.trim().parse().map_err(serde::de::Error::custom),
    }
}

/// An object on most edges, a string on some.
#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorData {
    Object { details: Option<String> },
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl GraphError {
    fn into_provider_error(self) -> ProviderError {
        let details = match self.error_data {
            Some(ErrorData::Object { details }) => details,
            Some(ErrorData::Text(text)) => Some(text),
            Some(ErrorData::Other(_)) | None => None,
        };
        // Meta writes "(#131047) Re-engagement message".
        let message = self.message.unwrap_or_default();
        let title = message.strip_prefix(&format!("(#{}) ", self.code)).unwrap_or(&message).to_owned();
        let trace = self.fbtrace_id.as_str().filter(|trace| trace.len() <= LONGEST_TRACE).map(str::to_owned);
        ProviderError { code: self.code, title, details, trace }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_code_however_it_is_written() {
        for (written, code) in
            [("131056", Some(131_056)), ("\"131056\"", Some(131_056)), ("\" 4 \"", Some(4)), ("\"x\"", None)]
        {
            let body = format!(r#"{{"error":{{"code":{written},"message":"(#131056) Too fast"}}}}"#);
            let read = serde_json::from_str::<ErrorBody>(&body).ok().map(|body| body.into_provider_error().code);
            assert_eq!(read, code, "{written}");
        }
    }

    #[test]
    fn what_only_explains_does_not_spoil_what_decides() {
        let long = format!(r#""{}""#, "A".repeat(LONGEST_TRACE + 1));
        for (trace, kept) in [(r#""AbcTrace""#, Some("AbcTrace")), ("7", None), ("null", None), (long.as_str(), None)] {
            let body =
                format!(r#"{{"error":{{"code":130429,"message":"(#130429) Rate limit hit","fbtrace_id":{trace}}}}}"#);
            let CallFailure::TryLater(error) = failed(reqwest::StatusCode::BAD_REQUEST, body.as_bytes()) else {
                panic!("{trace}: tried again later")
            };
            assert_eq!((error.code, error.title.as_str(), error.trace.as_deref()), (130_429, "Rate limit hit", kept));
        }
    }
}
