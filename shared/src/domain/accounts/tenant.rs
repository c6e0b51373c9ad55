//! Tenants and their API keys.

use jiff::Timestamp;

use crate::domain::ids::TenantId;

/// Permission of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Read conversations, messages, numbers, alerts and merges.
    Read,
    /// Send messages.
    Send,
    /// Change numbers, keys, templates and settings, undo merges, replay received webhooks.
    Manage,
    /// Create tenants and their keys, replay for all tenants, read alerts that concern no tenant. A key with this scope
    /// has no tenant.
    Operator,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Read, Self::Send, Self::Manage, Self::Operator];

    /// Returns the scope's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Manage => "manage",
            Self::Operator => "operator",
        }
    }

    /// Returns the scope with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// The stored form of a key: enough to verify it, not enough to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Public part of the key, which identifies it.
    pub id: String,
    /// HMAC-SHA256 of the key's secret part under the pepper, in hexadecimal.
    pub hash: String,
    /// Version of the pepper.
    pub pepper: u32,
    /// Tenant that owns the key; `None` for an operator's key.
    pub tenant: Option<TenantId>,
    /// Permissions of the key.
    pub scopes: Vec<Scope>,
    /// Name of the key for people.
    pub name: Option<String>,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of expiry; `None`: valid until revoked.
    pub expires_at: Option<Timestamp>,
    /// Time from which the key is refused.
    pub revoked_at: Option<Timestamp>,
    /// Allowed requests per second, averaged over [`BURST_SECONDS`].
    pub requests_per_second: u32,
    /// Time of the last use, accurate to a few seconds.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKeyRecord {
    /// Returns why the key is not valid now: `revoked` or `expired`; `None` if it is valid.
    #[must_use]
    pub fn refusal(&self, now: Timestamp) -> Option<&'static str> {
        if self.revoked_at.is_some_and(|at| at <= now) {
            return Some("revoked");
        }
        self.expires_at.is_some_and(|at| at <= now).then_some("expired")
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Name of the tenant for people.
    pub name: String,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time since which the tenant is being offboarded.
    pub closing_at: Option<Timestamp>,
}

/// Audit entry of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Time of the change.
    pub at: Timestamp,
    /// Id of the key that made the change.
    pub key: String,
    /// Action, such as `key.created`.
    pub action: String,
    /// Id of the changed object.
    pub subject: String,
}

/// Size of a burst: the requests of this many seconds may arrive at once.
pub const BURST_SECONDS: u32 = 10;
/// Default rate of a key, in requests per second.
pub const KEY_RATE_DEFAULT: u32 = 100;
/// Highest rate of a key, in requests per second: as much as a number with Meta's highest throughput can send.
pub const KEY_RATE_MAX: u32 = 1_000;
/// Longest name of a tenant or key, in characters; names are shown in lists.
pub const NAME_MAX: usize = 100;
/// Longest life of a key with an expiry, in days.
pub const KEY_DAYS_MAX: i64 = 3_650;
