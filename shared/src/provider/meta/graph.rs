//! The Graph API client: one HTTP call a method, and every way it can end as a value.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::multipart::{Form, Part};
use serde::Deserialize;

use super::error::{self, Class};
use crate::domain::event::ProviderError;
use crate::domain::ids::{PhoneNumberId, Wamid};
use crate::domain::token::AccessToken;
use crate::limits::{GRAPH_CONNECT_TIMEOUT, GRAPH_TIMEOUT};
use crate::secret::Secret;

/// Meta's public Graph host.
pub const PUBLIC_URL: &str = "https://graph.facebook.com";
/// The title of a refusal by something in front of Graph that asks us to slow down.
pub const THROTTLED: &str = "throttled";
/// The Graph version used unless a setting says otherwise.
pub const DEFAULT_VERSION: &str = "v25.0";

/// The longest `fbtrace_id` that is kept, bytes; Meta's have a dozen.
const LONGEST_TRACE: usize = 64;

/// A client for one Graph host and version. It never repeats a call, follows no redirect and uses no proxy.
#[derive(Debug, Clone)]
pub struct GraphClient {
    http: reqwest::Client,
    base: String,
}

/// How a send ended (`reliability.md` §2.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// Meta took it and named it; `held` if it waits for an assessment of its template, so that silence is normal.
    Accepted {
        /// Meta's id of the message.
        wamid: Wamid,
        /// It is held back for now.
        held: bool,
    },
    /// Surely not sent; it may be tried again.
    NotSent(ProviderError),
    /// Surely not sent, and trying again would not help.
    Refused(ProviderError),
    /// It may have been sent. The second part: Meta itself said "something went wrong, try again".
    Doubtful(ProviderError, bool),
}

/// How a call that changes nothing if it is repeated did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallFailure {
    /// Not done, and worth another try.
    TryLater(ProviderError),
    /// Not done, and trying again would not help.
    Refused(ProviderError),
}

impl CallFailure {
    /// What went wrong.
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

/// An HTTP client that repeats nothing, follows no redirect and uses no proxy.
///
/// # Errors
/// When TLS cannot be set up.
pub fn plain_client() -> Result<reqwest::Client, ClientUnavailable> {
    // Whoever comes second finds the same provider installed: that is success.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .connect_timeout(GRAPH_CONNECT_TIMEOUT)
        .timeout(GRAPH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        // No connection is kept: while Lambda freezes the function Meta closes it, and a message written to a dead
        // connection is in doubt for ever although it was never sent. A handshake each is the price.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(ClientUnavailable)
}

impl GraphClient {
    /// A client for `base_url` (scheme and host, no trailing slash) and `version`, such as `v25.0`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(base_url: &str, version: &str) -> Result<Self, ClientUnavailable> {
        let http = plain_client()?;
        Ok(Self { http, base: format!("{}/{version}", base_url.trim_end_matches('/')) })
    }

    /// `POST /{phone-number-id}/messages`, exactly once.
    pub async fn send_message(&self, token: &AccessToken, number: &PhoneNumberId, body: Vec<u8>) -> SendOutcome {
        let Some(request) = self.with_token(Method::POST, &format!("{number}/messages"), token) else {
            return SendOutcome::Refused(malformed_token());
        };
        match request.header(CONTENT_TYPE, "application/json").body(body).send().await {
            Ok(reply) => read(reply).await,
            // Before a connection stands, not a byte of the message has left us.
            Err(failure) if failure.is_connect() || failure.is_builder() => SendOutcome::NotSent(lost(&failure)),
            Err(failure) => SendOutcome::Doubtful(lost(&failure), false),
        }
    }

    /// Tells Meta that a message was read, or that an answer is being typed. Repeating it changes nothing.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn mark(&self, token: &AccessToken, number: &PhoneNumberId, body: Vec<u8>) -> Result<(), CallFailure> {
        let request = self.with_token_or_refusal(Method::POST, &format!("{number}/messages"), token)?;
        call(request.header(CONTENT_TYPE, "application/json").body(body)).await?;
        Ok(())
    }

    /// `POST /{phone-number-id}/media`: gives Meta a file and answers Meta's id of it. Repeating it makes another id.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn upload(
        &self,
        token: &AccessToken,
        number: &PhoneNumberId,
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

    /// A request that was built whole.
    pub(super) async fn run(&self, request: reqwest::Request) -> Result<Vec<u8>, CallFailure> {
        call(reqwest::RequestBuilder::from_parts(self.http.clone(), request)).await
    }

    /// A form that is its own authority.
    pub(super) fn post_form(&self, path: &str, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.post(format!("{}/{path}", self.base)).form(form)
    }

    /// A question whose parameters are its authority. Its URL holds secrets and stands in no error of ours.
    pub(super) fn get_with(&self, path: &str, query: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.get(format!("{}/{path}", self.base)).query(query)
    }

    /// A call with a token and its proof, or why there is none.
    pub(super) fn with_token_or_refusal(
        &self,
        method: Method,
        path: &str,
        token: &AccessToken,
    ) -> Result<reqwest::RequestBuilder, CallFailure> {
        self.with_token(method, path, token).ok_or_else(|| CallFailure::Refused(malformed_token()))
    }

    /// Whether an address is where Graph itself is: the simulated Meta has files there.
    pub(super) fn is_own(&self, url: &reqwest::Url) -> bool {
        reqwest::Url::parse(&self.base).is_ok_and(|own| own.origin() == url.origin())
    }

    /// A call to another address of Meta's, with a token alone.
    pub(super) fn with_bearer(
        &self,
        method: Method,
        url: reqwest::Url,
        token: &AccessToken,
    ) -> Result<reqwest::RequestBuilder, CallFailure> {
        let bearer = bearer(&token.value).ok_or_else(|| CallFailure::Refused(malformed_token()))?;
        Ok(self.http.request(method, url).header(AUTHORIZATION, bearer))
    }

    /// A call with a token and its proof; `None` when the stored token cannot be a header.
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

/// What is said about a call that got no answer; never the URL.
pub(super) fn lost(failure: &reqwest::Error) -> ProviderError {
    if failure.is_connect() || failure.is_builder() {
        ProviderError::ours("not_connected", "Meta could not be reached")
    } else if failure.is_timeout() {
        ProviderError::ours("no_answer", "Meta did not answer in time")
    } else {
        ProviderError::ours("connection_lost", "the connection broke before Meta answered")
    }
}

/// A call that may be repeated: the body of its answer, or how it ended otherwise.
pub(super) async fn call(request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallFailure> {
    let reply = request.send().await.map_err(|failure| CallFailure::TryLater(lost(&failure)))?;
    let status = reply.status();
    let body = reply.bytes().await.map_err(|failure| CallFailure::TryLater(lost(&failure)))?;
    if status.is_success() { Ok(body.to_vec()) } else { Err(failed(status, &body)) }
}

/// What an answer that is no success means.
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

/// A call whose refusal may say more than the usual error: what `why` finds in the answer.
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
        return SendOutcome::Doubtful(ProviderError::ours("answer_cut", "Meta's answer broke off"), false);
    };
    if status.is_success() {
        return accepted(&body);
    }
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error }) => {
            let transient = status.is_server_error() && error.is_transient == Some(true);
            let problem = error.into_provider_error();
            match error::class(problem.code) {
                _ if problem.is_stale_proof() => SendOutcome::NotSent(problem),
                Class::Soft => SendOutcome::Doubtful(problem, true),
                class if class.tries_again() => SendOutcome::NotSent(problem),
                _ if transient => SendOutcome::Doubtful(problem, true),
                _ => SendOutcome::Refused(problem),
            }
        }
        // Something in front of Graph is slowing us down.
        Err(_) if matches!(status.as_u16(), 425 | 429) => {
            SendOutcome::NotSent(ProviderError::ours(THROTTLED, "Meta's edge asks us to slow down"))
        }
        Err(_) if status.is_client_error() && status.as_u16() != 408 => {
            SendOutcome::Refused(ProviderError::ours("refused", "Meta refused without saying why"))
        }
        Err(_) => {
            let something = ProviderError::ours("no_graph_answer", "something between us and Meta answered");
            SendOutcome::Doubtful(something, false)
        }
    }
}

fn accepted(body: &[u8]) -> SendOutcome {
    let message = serde_json::from_slice::<Accepted>(body).ok().and_then(|body| body.messages.into_iter().next());
    let named = message.and_then(|message| {
        let held = message.message_status.is_some_and(|status| status != "accepted");
        Some(SendOutcome::Accepted { wamid: Wamid::parse(&message.id).ok()?, held })
    });
    named.unwrap_or_else(|| {
        let unreadable = ProviderError::ours("answer_unreadable", "Meta accepted but its answer has no message id");
        SendOutcome::Doubtful(unreadable, false)
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
    code: i64,
    message: Option<String>,
    #[serde(default)]
    is_transient: Option<bool>,
    #[serde(default)]
    error_data: Option<ErrorData>,
    /// Read as whatever it is: what only explains must not spoil what decides.
    #[serde(default)]
    fbtrace_id: serde_json::Value,
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
