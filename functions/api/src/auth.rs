//! Who is asking. A key is `sb_live_<id>_<secret><checksum>`; the table has an HMAC of the secret under a pepper, so a
//! stolen table opens nothing.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use shared::clock::Timestamp;
use shared::domain::ids::TenantId;
use shared::domain::tenant::{ApiKeyRecord, Scope};
use shared::http::Problem;
use shared::random::{self, NoRandomness};
use shared::secret::Secret;
use shared::vault::Context;
use subtle::ConstantTimeEq;

use crate::Deps;

/// What every key begins with, so that secret scanners find a leaked one.
const PREFIX: &str = "sb_live_";
/// Hex digits of the checksum (CRC-32): a mistyped key is refused without asking the table.
const CHECKSUM_DIGITS: usize = 8;

/// An API key in clear. It exists when it is made and shown, and while a request is checked.
#[derive(Debug)]
pub struct ApiKey {
    /// The part that names the key.
    pub id: String,
    secret: Secret,
}

impl ApiKey {
    /// A new key with a secret of 256 bits.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn generate(now: Timestamp) -> Result<Self, NoRandomness> {
        let id = random::ulid(now)?.to_string();
        Ok(Self { id, secret: shared::vault::random_secret()? })
    }

    /// Reads a key from an `Authorization` header's value.
    fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let (secret, checksum) = rest.split_at_checked(rest.len().checked_sub(CHECKSUM_DIGITS)?)?;
        let well_formed = !id.is_empty() && id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (well_formed && checksum == Self::checksum(id, secret))
            .then(|| Self { id: id.to_owned(), secret: Secret::new(secret.to_owned()) })
    }

    /// The whole key, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> Secret {
        let (id, secret) = (&self.id, self.secret.expose());
        Secret::new(format!("{PREFIX}{id}_{secret}{}", Self::checksum(id, secret)))
    }

    fn checksum(id: &str, secret: &str) -> String {
        format!("{:08x}", crc32fast::hash(format!("{id}_{secret}").as_bytes()))
    }
}

/// What the table stores of a key: HMAC-SHA256 of its secret under the pepper, hex.
#[must_use]
pub fn hash(key: &ApiKey, pepper: &Secret) -> String {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(pepper.expose().as_bytes()) else { return String::new() };
    hex::encode(mac.chain_update(key.secret.expose()).finalize().into_bytes())
}

/// A caller whose key is good. Handlers ask it for the tenant, naming the scope they need.
#[derive(Debug)]
pub(crate) struct Caller {
    record: ApiKeyRecord,
}

impl Caller {
    /// The key that it came with, by its id.
    pub(crate) fn key_id(&self) -> &str {
        &self.record.id
    }

    /// An operator, who may make tenants and their keys.
    pub(crate) fn operator(&self) -> Result<(), Problem> {
        match self.tenant_or_operator(Scope::Operator)? {
            None => Ok(()),
            Some(_) => Err(Problem::unavailable()),
        }
    }

    /// The caller's tenant if its key has `scope`; none for an operator, who may do it for everybody.
    pub(crate) fn tenant_or_operator(&self, scope: Scope) -> Result<Option<TenantId>, Problem> {
        if self.record.tenant.is_none() && self.record.scopes.contains(&Scope::Operator) {
            return Ok(None);
        }
        self.tenant(scope).map(Some)
    }

    /// The caller's tenant, if its key has `scope`.
    pub(crate) fn tenant(&self, scope: Scope) -> Result<TenantId, Problem> {
        match self.record.tenant {
            Some(tenant) if self.record.scopes.contains(&scope) => Ok(tenant),
            _ => Err(Problem {
                rule: Some(format!("needs the scope `{}`", scope.as_str())),
                ..Problem::new(StatusCode::FORBIDDEN, "scope_missing", "The API key may not do this.")
                    .remedy("Use a key of a tenant that has this scope.")
            }),
        }
    }
}

impl FromRequestParts<Arc<Deps>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, deps: &Arc<Deps>) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // The scheme's name has no case (RFC 9110).
        let bearer = header.and_then(|value| value.split_once(' '));
        let key =
            bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).and_then(|(_, key)| ApiKey::parse(key));
        let Some(key) = key else { return Err(refused(deps, "malformed")) };
        let record = deps.keys.get(&key.id, deps.table.api_key(&key.id)).await;
        let Some(record) = record.map_err(|error| crate::storage_problem(&error))? else {
            return Err(refused(deps, "unknown"));
        };
        let expected = hash(&key, &*pepper(deps).await?);
        if expected.is_empty() || !bool::from(expected.as_bytes().ct_eq(record.hash.as_bytes())) {
            return Err(refused(deps, "secret"));
        }
        if let Some(why) = record.refusal(deps.clock.now()) {
            return Err(refused(deps, why));
        }
        Ok(Self { record })
    }
}

pub(crate) async fn pepper(deps: &Deps) -> Result<Arc<Secret>, Problem> {
    let fetch = async {
        let sealed =
            deps.table.system_secret("api-key-pepper").await.map_err(|error| crate::storage_problem(&error))?;
        let Some(sealed) = sealed else { return Ok(None) };
        let pepper = deps.vault.open(&sealed, &Context::ApiKeyPepper).await.map_err(|error| {
            tracing::error!(event = "api.unavailable", %error);
            Problem::unavailable()
        })?;
        Ok(Some(Arc::new(pepper)))
    };
    deps.pepper.get(&(), fetch).await?.ok_or_else(|| {
        tracing::error!(event = "api.not_initialised", remedy = "run `operator init`");
        Problem::unavailable()
    })
}

fn refused(deps: &Deps, reason: &str) -> Problem {
    deps.metrics.count("auth_failed", reason, 1);
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "The API key is missing or not valid.")
        .remedy("Send `Authorization: Bearer sb_live_…` with a key that was not revoked.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_a_changed_one_does_not() {
        let key = ApiKey::generate(Timestamp::UNIX_EPOCH).unwrap();
        let shown = key.reveal();
        let read = ApiKey::parse(shown.expose()).unwrap();
        let pepper = Secret::new("pepper".to_owned());
        assert_eq!(hash(&read, &pepper), hash(&key, &pepper));
        assert!(!hash(&key, &pepper).contains(key.secret.expose()));
        for at in 0..shown.expose().len() {
            let mut changed = shown.expose().as_bytes().to_vec();
            changed[at] ^= 1;
            assert!(ApiKey::parse(&String::from_utf8(changed).unwrap()).is_none(), "byte {at}");
        }
        for wrong in ["", "sb_live_", "sb_live__", "sb_live_a_", "sb_live_a_b", "Bearer x"] {
            assert!(ApiKey::parse(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{key:?}").contains(key.secret.expose()));
    }
}
