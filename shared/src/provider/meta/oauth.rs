//! Tokens at Meta: code exchange, extension, inspection, revocation (`docs/meta/onboarding.md#section-2`,
//! `docs/meta/onboarding.md#section-3` and `docs/meta/onboarding.md#section-10`).

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::Sha256;
use zeroize::Zeroize;

use crate::domain::accounts::token::{AccessToken, SCOPES_NEEDED, TokenFacts};
use crate::domain::event::ProviderError;
use crate::domain::ids::WabaId;
use crate::provider::meta::graph::{CallFailure, ErrorBody, GraphClient, call, lost};
use crate::secret::Secret;

/// Prefix of all of Meta's access tokens.
const TOKEN_PREFIX: &str = "EAA";
/// The permission whose targets are the token's accounts.
const ACCOUNTS_SCOPE: &str = "whatsapp_business_management";

/// Result of a code exchange. A code is valid for one exchange, within 30 seconds.
#[derive(Debug, Clone)]
pub enum Exchange {
    /// The access token.
    Done(AccessToken),
    /// Meta refused the code: it was used, is too old, or is invalid.
    Refused(ProviderError),
    /// Meta was not reached; the code can be tried again.
    NotReached(ProviderError),
    /// Outcome unknown; the code may have been used.
    Unknown(ProviderError),
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
}

#[derive(Deserialize)]
struct DebugAnswer {
    data: DebugData,
}

#[derive(Deserialize)]
struct DebugData {
    #[serde(default)]
    app_id: Option<serde_json::Value>,
    #[serde(default)]
    user_id: Option<serde_json::Value>,
    #[serde(default)]
    is_valid: bool,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    expires_at: Option<i64>,
    #[serde(default)]
    data_access_expires_at: Option<i64>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    granular_scopes: Vec<GranularScope>,
}

#[derive(Deserialize)]
struct GranularScope {
    scope: String,
    #[serde(default)]
    target_ids: Option<Vec<serde_json::Value>>,
}

/// Returns `appsecret_proof`: HMAC-SHA256 of the token under the app secret, in lower-case hex
/// (`docs/meta/onboarding.md#section-10-3`).
#[must_use]
pub fn appsecret_proof(app_secret: &Secret, token: &Secret) -> Secret {
    // HMAC accepts keys of any length.
    let mac = Hmac::<Sha256>::new_from_slice(app_secret.expose().as_bytes());
    let mac = mac.map(|mac| mac.chain_update(token.expose().as_bytes()).finalize().into_bytes());
    Secret::new(mac.map(hex::encode).unwrap_or_default())
}

impl GraphClient {
    /// Calls `POST /oauth/access_token`: exchanges a code of Embedded Signup for a token. POST keeps the secret and the
    /// code out of the URL. There is no `redirect_uri`, because a code of the popup has none. Never retried.
    pub async fn exchange_code(&self, app: &str, app_secret: &Secret, code: &Secret) -> Exchange {
        let form = [("client_id", app), ("client_secret", app_secret.expose()), ("code", code.expose())];
        let request = self.post_form("oauth/access_token", &form);
        let reply = match request.send().await {
            Ok(reply) => reply,
            Err(failure) if failure.is_connect() || failure.is_builder() => {
                return Exchange::NotReached(lost(&failure));
            }
            Err(failure) => return Exchange::Unknown(lost(&failure)),
        };
        let status = reply.status();
        let Ok(body) = reply.bytes().await else {
            return Exchange::Unknown(ProviderError::ours("answer_cut", "Meta's answer broke off"));
        };
        if status.is_success() {
            let token = token_in(&body);
            let unreadable = || ProviderError::ours("answer_unreadable", "Meta's answer has no token");
            let proved = |value: Secret| AccessToken { proof: Some(appsecret_proof(app_secret, &value)), value };
            return token.map_or_else(|| Exchange::Unknown(unreadable()), |value| Exchange::Done(proved(value)));
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) if status.is_client_error() => Exchange::Refused(body.into_provider_error()),
            Ok(body) => Exchange::Unknown(body.into_provider_error()),
            Err(_) => {
                Exchange::Unknown(ProviderError::ours("no_graph_answer", "something between us and Meta answered"))
            }
        }
    }

    /// Calls `POST /oauth/access_token` with `grant_type=fb_exchange_token`: exchanges a short-lived user token for a
    /// long-lived one, or renews a token of sixty days. May be repeated.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn extend_token(
        &self,
        app: &str,
        app_secret: &Secret,
        token: &Secret,
    ) -> Result<AccessToken, CallFailure> {
        let form = [
            ("grant_type", "fb_exchange_token"),
            ("client_id", app),
            ("client_secret", app_secret.expose()),
            ("fb_exchange_token", token.expose()),
            ("set_token_expires_in_60_days", "true"),
        ];
        let body = call(self.post_form("oauth/access_token", &form)).await?;
        let value = token_in(&body).ok_or_else(|| unreadable("Meta's answer has no token"))?;
        Ok(AccessToken { proof: Some(appsecret_proof(app_secret, &value)), value })
    }

    /// Calls `POST /{business}/system_user_access_tokens` with our own system user's token: returns the token that a
    /// business granted our app. With `fetch` it is the existing token, else a new one for sixty days, for apps whose
    /// tokens expire.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn business_token(
        &self,
        app_secret: &Secret,
        system: &AccessToken,
        business: &str,
        fetch: bool,
    ) -> Result<AccessToken, CallFailure> {
        let proof = appsecret_proof(app_secret, &system.value);
        let kind = if fetch { "fetch_only" } else { "set_token_expires_in_60_days" };
        let scope = SCOPES_NEEDED.join(",");
        let form = [
            ("access_token", system.value.expose()),
            ("appsecret_proof", proof.expose()),
            ("scope", &scope),
            (kind, "true"),
        ];
        let body = call(self.post_form(&format!("{business}/system_user_access_tokens"), &form)).await?;
        let value = token_in(&body).ok_or_else(|| unreadable("Meta's answer has no token"))?;
        Ok(AccessToken { proof: Some(appsecret_proof(app_secret, &value)), value })
    }

    /// Calls `GET /oauth/revoke`: revokes a token.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn revoke_token(&self, app: &str, app_secret: &Secret, token: &Secret) -> Result<(), CallFailure> {
        let app_token = Secret::new(format!("{app}|{}", app_secret.expose()));
        let query = [
            ("client_id", app),
            ("client_secret", app_secret.expose()),
            ("revoke_token", token.expose()),
            ("access_token", app_token.expose()),
        ];
        call(self.get_with("oauth/revoke", &query)).await?;
        Ok(())
    }

    /// Calls `GET /debug_token` with the app's own token: returns validity, expiry, scopes and accounts of a token.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn debug_token(&self, app: &str, app_secret: &Secret, token: &Secret) -> Result<TokenFacts, CallFailure> {
        let app_token = Secret::new(format!("{app}|{}", app_secret.expose()));
        let query = [("input_token", token.expose()), ("access_token", app_token.expose())];
        let body = call(self.get_with("debug_token", &query)).await?;
        let answer: DebugAnswer =
            serde_json::from_slice(&body).map_err(|_| unreadable("Meta's answer says nothing of the token"))?;
        Ok(facts(answer.data))
    }
}

fn facts(data: DebugData) -> TokenFacts {
    let moment = |at: Option<i64>| at.filter(|at| *at > 0).and_then(|at| Timestamp::from_second(at).ok());
    let targets = data.granular_scopes.into_iter().find(|one| one.scope == ACCOUNTS_SCOPE);
    let accounts = targets.and_then(|one| one.target_ids).filter(|ids| !ids.is_empty());
    TokenFacts {
        app: data.app_id.as_ref().map(digits).unwrap_or_default(),
        user: data.user_id.as_ref().map(digits),
        is_valid: data.is_valid,
        kind: data.kind.unwrap_or_default(),
        expires_at: moment(data.expires_at),
        data_access_expires_at: moment(data.data_access_expires_at),
        scopes: data.scopes,
        accounts: accounts.map(|ids| ids.iter().filter_map(|id| WabaId::parse(&digits(id)).ok()).collect()),
    }
}

/// Meta writes ids as strings, and sometimes as numbers.
fn digits(id: &serde_json::Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// Finds the token in a response. Meta documents a bare token, but returns JSON.
fn token_in(body: &[u8]) -> Option<Secret> {
    if let Ok(mut answer) = serde_json::from_slice::<TokenAnswer>(body) {
        let token = Secret::new(std::mem::take(&mut answer.access_token));
        return (!token.expose().is_empty()).then_some(token);
    }
    let mut text = String::from_utf8(body.to_vec()).ok()?;
    let token = text.trim().starts_with(TOKEN_PREFIX).then(|| Secret::new(text.trim().to_owned()));
    text.zeroize();
    token
}

pub(super) fn unreadable(why: &'static str) -> CallFailure {
    CallFailure::TryLater(ProviderError::ours("answer_unreadable", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_metas() {
        // Test vector of `docs/meta/onboarding.md#section-10-3`.
        let proof = appsecret_proof(
            &Secret::new("test_app_secret_0001".to_owned()),
            &Secret::new("EAATESTTOKEN0001".to_owned()),
        );
        assert_eq!(proof.expose(), "610946a501f909669df8136646ef03e6c48aaa5d8b628530ddf73baf5baa0add");
    }

    #[test]
    fn a_token_is_found_in_both_answers() {
        let found = |body: &str| token_in(body.as_bytes()).map(|token| token.expose().to_owned());
        assert_eq!(found(r#"{"access_token":"EAAx","token_type":"bearer"}"#).as_deref(), Some("EAAx"));
        assert_eq!(found("EAAx\n").as_deref(), Some("EAAx"));
        for none in ["", "{}", "<html>", r#"{"access_token":""}"#, r#"{"error":{}}"#] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
