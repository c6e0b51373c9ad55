//! Authentication of callers: checks the API key before anything else of a request is read, and counts the request
//! against the key's rate.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::api::key::{ApiKey, hash};
use crate::cache::Cache;
use crate::clock::{Clock, Timestamp};
use crate::domain::accounts::tenant::{ApiKeyRecord, AuditEntry};
use crate::domain::ids::TenantId;
use crate::http::Problem;
use crate::keyring::{Keyring, Remembered, SystemSecretName, Version};
use crate::limits::{API_KEY_CACHE_FOR, CACHE_FOR};
use crate::storage::Table;
use crate::telemetry::Metrics;
use crate::vault::Vault;

/// Checks API keys and their rate limits; one per function instance.
#[derive(Debug)]
pub struct Access {
    table: Table,
    vault: Vault,
    clock: Clock,
    metrics: Metrics,
    keys: Cache<String, ApiKeyRecord>,
    pepper: Remembered,
    rates: crate::api::rate::Rates,
}

/// The dependencies of an API function, which include its [`Access`].
pub trait Guarded: Send + Sync + 'static {
    /// The access check that [`guard`] uses.
    fn access(&self) -> &Access;
}

impl Access {
    /// Creates the access check. Key records are cached for up to a minute ([`API_KEY_CACHE_FOR`]).
    #[must_use]
    pub fn new(table: Table, vault: Vault, clock: Clock, metrics: Metrics) -> Self {
        Self {
            table,
            vault,
            metrics,
            keys: Cache::strict(clock.clone(), API_KEY_CACHE_FOR),
            pepper: Cache::keeping_stale(clock.clone(), CACHE_FOR),
            rates: crate::api::rate::Rates::default(),
            clock,
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Drops a changed key from this instance's cache. Other instances see the change within a minute.
    pub fn forget(&self, key: &str) {
        self.keys.forget(&key.to_owned());
    }

    /// Returns the pepper that all key secrets are hashed with, in its current and its previous version.
    ///
    /// # Errors
    /// When AWS does not answer, or before `operator init`.
    pub async fn pepper(&self) -> Result<Arc<Keyring>, Problem> {
        const NAME: SystemSecretName = SystemSecretName::ApiKeyPepper;
        let stored = async { Ok::<_, Problem>(self.table.system_secret_get(NAME).await?) };
        let known = self.vault.remembered(&self.pepper, NAME, stored).await?;
        known.ok_or_else(|| {
            tracing::error!(event = "api.not_initialised", remedy = "run `operator init`");
            Problem::unavailable()
        })
    }

    /// Whether the secret part of a key is right. A key hashed under the previous pepper is rehashed under the current
    /// one.
    async fn proves(&self, key: &ApiKey, record: &ApiKeyRecord) -> Result<bool, Problem> {
        let mut peppers = self.pepper().await?;
        if matches!(peppers.of(record.pepper), Version::Newer) {
            // The pepper was replaced a moment ago, and this key is already hashed under the new one.
            self.pepper.forget(&());
            peppers = self.pepper().await?;
        }
        let Version::Known(pepper) = peppers.of(record.pepper) else { return Ok(false) };
        let expected = hash(key, pepper);
        if expected.is_empty() || !bool::from(expected.as_bytes().ct_eq(record.hash.as_bytes())) {
            return Ok(false);
        }
        let (version, pepper) = peppers.current();
        if version != record.pepper {
            self.table.api_key_rehash(record, &hash(key, pepper), version).await?;
            self.keys.forget(&record.id);
        }
        Ok(true)
    }

    /// Writes an audit entry: which key changed which subject, after the change.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note(&self, tenant: Option<TenantId>, key: &str, action: &str, subject: &str) -> Result<(), Problem> {
        let (key, action, subject) = (key.to_owned(), action.to_owned(), subject.to_owned());
        Ok(self.table.audit_put(tenant, &AuditEntry { at: self.clock.now(), key, action, subject }).await?)
    }

    async fn known(&self, headers: &HeaderMap, now: Timestamp) -> Result<ApiKeyRecord, Problem> {
        let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        // The scheme's name is case-insensitive (RFC 9110).
        let bearer = header.and_then(|value| value.split_once(' '));
        let key =
            bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).and_then(|(_, key)| ApiKey::parse(key));
        let Some(key) = key else { return Err(self.refused("malformed")) };
        let record = self.keys.get(&key.id, self.table.api_key_get(&key.id)).await?;
        let Some(record) = record else { return Err(self.refused("unknown")) };
        if !self.proves(&key, &record).await? {
            return Err(self.refused("secret"));
        }
        match record.refusal(now) {
            Some(why) => Err(self.refused(why)),
            None => Ok(record),
        }
    }

    fn refused(&self, reason: &str) -> Problem {
        self.metrics.count("auth_failed", reason, 1);
        Problem::unauthorized()
    }
}

/// Middleware of all API routes: answers 401 to a request without a valid key, and 429 to one over the key's rate.
pub async fn guard<D: Guarded>(State(deps): State<Arc<D>>, mut request: Request, next: Next) -> Response {
    let access = deps.access();
    let now = access.clock.now();
    let key = match access.known(request.headers(), now).await {
        Ok(key) => key,
        Err(problem) => return problem.into_response(),
    };
    let standing = match access.rates.take(&access.table, &key, now).await {
        Ok(standing) => standing,
        Err(error) => return Problem::from(error).into_response(),
    };
    let mut response = if standing.is_spent() {
        access.metrics.count("api_rate_limited", "key", 1);
        Problem::too_many().into_response()
    } else {
        request.extensions_mut().insert(Arc::new(key));
        next.run(request).await
    };
    standing.head(response.headers_mut());
    response
}
