//! Parts of a request to the simulated Graph API: its parameters, token and proof.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use shared::provider::meta::oauth::appsecret_proof;
use shared::secret::Secret;

use super::{BusinessAccount, Meta, State};

pub(super) type Words = BTreeMap<String, String>;

pub(super) fn word<'a>(words: &'a Words, name: &str) -> &'a str {
    words.get(name).map(String::as_str).unwrap_or_default()
}

pub(super) fn bearer(headers: &HeaderMap) -> String {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
}

pub(super) fn reach(
    meta: &Meta,
    headers: &HeaderMap,
    query: &Words,
    account: &str,
) -> Result<BusinessAccount, Refusal> {
    meta.reach(&bearer(headers), query.get("appsecret_proof").map(String::as_str), account)
}

/// A refusal by Meta: code and text.
pub(super) type Refusal = (i64, &'static str);

/// Checks that `proof` is the `appsecret_proof` of the token.
pub(super) fn is_proof(state: &State, token: &str, proof: Option<&str>) -> Result<(), Refusal> {
    let secret = state.app.as_ref().map(|app| app.secret.clone()).unwrap_or_default();
    let expected = appsecret_proof(&Secret::new(secret), &Secret::new(token.to_owned()));
    let ours = proof == Some(expected.expose());
    if ours { Ok(()) } else { Err((100, "API calls from the server require an appsecret_proof argument")) }
}
