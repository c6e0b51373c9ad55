//! The Graph API client: one HTTP call a method, and every way it can end as a value.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde::Deserialize;

use super::error::{self, Reaction};
use crate::domain::event::ProviderError;
use crate::domain::ids::{PhoneNumberId, Wamid};
use crate::limits::{GRAPH_CONNECT_TIMEOUT, GRAPH_TIMEOUT};
use crate::secret::Secret;

/// Meta's public Graph host.
pub const PUBLIC_URL: &str = "https://graph.facebook.com";
/// The Graph version used unless a setting says otherwise.
pub const DEFAULT_VERSION: &str = "v25.0";

/// A client for one Graph host and version. It never repeats a call, follows no redirect and uses no proxy.
#[derive(Debug, Clone)]
pub struct GraphClient {
    http: reqwest::Client,
    base: String,
}

/// How a send ended (`reliability.md` §2.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// Meta took it and named it.
    Accepted(Wamid),
    /// Surely not sent; it may be tried again.
    NotSent(ProviderError),
    /// Surely not sent, and trying again would not help.
    Refused(ProviderError),
    /// It may have been sent.
    Doubtful(ProviderError),
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the Graph client could not be built")]
pub struct ClientUnavailable(#[source] reqwest::Error);

impl GraphClient {
    /// A client for `base_url` (scheme and host, no trailing slash) and `version`, such as `v25.0`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(base_url: &str, version: &str) -> Result<Self, ClientUnavailable> {
        // Whoever comes second finds the same provider installed: that is success.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = reqwest::Client::builder()
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
            .map_err(ClientUnavailable)?;
        Ok(Self { http, base: format!("{}/{version}", base_url.trim_end_matches('/')) })
    }

    /// `POST /{phone-number-id}/messages`, exactly once.
    pub async fn send_message(&self, token: &Secret, number: &PhoneNumberId, body: Vec<u8>) -> SendOutcome {
        let Ok(mut bearer) = HeaderValue::from_str(&format!("Bearer {}", token.expose())) else {
            return SendOutcome::Refused(ProviderError::ours("token_malformed", "the stored token cannot be a header"));
        };
        bearer.set_sensitive(true);
        let reply = self
            .http
            .post(format!("{}/{number}/messages", self.base))
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .send()
            .await;
        match reply {
            Ok(reply) => read(reply).await,
            // Before a connection stands, not a byte of the message has left us.
            Err(failure) if failure.is_connect() || failure.is_builder() => {
                SendOutcome::NotSent(ProviderError::ours("not_connected", "Meta could not be reached"))
            }
            Err(failure) if failure.is_timeout() => {
                SendOutcome::Doubtful(ProviderError::ours("no_answer", "Meta did not answer in time"))
            }
            Err(_) => SendOutcome::Doubtful(ProviderError::ours(
                "connection_lost",
                "the connection broke before Meta answered",
            )),
        }
    }
}

async fn read(reply: reqwest::Response) -> SendOutcome {
    let status = reply.status();
    let Ok(body) = reply.bytes().await else {
        return SendOutcome::Doubtful(ProviderError::ours("answer_cut", "Meta's answer broke off"));
    };
    if status.is_success() {
        return accepted(&body);
    }
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error }) => {
            let transient = status.is_server_error() && error.is_transient == Some(true);
            let problem = error.into_provider_error();
            match error::reaction(problem.code) {
                Reaction::TryLater => SendOutcome::NotSent(problem),
                Reaction::Doubt => SendOutcome::Doubtful(problem),
                Reaction::GiveUp if transient => SendOutcome::Doubtful(problem),
                Reaction::GiveUp => SendOutcome::Refused(problem),
            }
        }
        // Something in front of Graph is slowing us down.
        Err(_) if matches!(status.as_u16(), 425 | 429) => {
            SendOutcome::NotSent(ProviderError::ours("throttled", "Meta's edge asks us to slow down"))
        }
        Err(_) if status.is_client_error() && status.as_u16() != 408 => {
            SendOutcome::Refused(ProviderError::ours("refused", "Meta refused without saying why"))
        }
        Err(_) => {
            SendOutcome::Doubtful(ProviderError::ours("no_graph_answer", "something between us and Meta answered"))
        }
    }
}

fn accepted(body: &[u8]) -> SendOutcome {
    let wamid = serde_json::from_slice::<Accepted>(body)
        .ok()
        .and_then(|accepted| accepted.messages.into_iter().next())
        .and_then(|message| Wamid::parse(&message.id).ok());
    match wamid {
        Some(wamid) => SendOutcome::Accepted(wamid),
        None => SendOutcome::Doubtful(ProviderError::ours(
            "answer_unreadable",
            "Meta accepted but its answer has no message id",
        )),
    }
}

#[derive(Deserialize)]
struct Accepted {
    messages: Vec<AcceptedMessage>,
}

#[derive(Deserialize)]
struct AcceptedMessage {
    id: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: GraphError,
}

#[derive(Deserialize)]
struct GraphError {
    code: i64,
    message: Option<String>,
    #[serde(default)]
    is_transient: Option<bool>,
    #[serde(default)]
    error_data: Option<ErrorData>,
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
        ProviderError { code: self.code, title, details }
    }
}
