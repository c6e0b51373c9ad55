//! Tenants and the keys of their programs.

use jiff::Timestamp;

use super::ids::TenantId;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Read conversations, messages, numbers, alerts and merges.
    Read,
    /// Send messages.
    Send,
    /// Change numbers, keys, templates and settings, undo merges, replay what was received.
    Manage,
    /// Make tenants and their keys, replay for all tenants, read the alerts that concern none. Never together with a tenant.
    Operator,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Read, Self::Send, Self::Manage, Self::Operator];

    /// The scope's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Manage => "manage",
            Self::Operator => "operator",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

/// What the table knows of a key: enough to recognise it, not enough to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The part of the key that names it.
    pub id: String,
    /// HMAC-SHA256 of the key's secret part under the pepper, hex.
    pub hash: String,
    /// Which version of the pepper.
    pub pepper: u32,
    /// Whose key it is; an operator's key has no tenant.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// What people call it.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good; `None`: until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// From when on it is refused.
    pub revoked_at: Option<Timestamp>,
    /// Requests a second, averaged over [`BURST_SECONDS`].
    pub requests_per_second: u32,
    /// When it was last used, within a few seconds.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKeyRecord {
    /// Why it is not good now.
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
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is leaving.
    pub closing_at: Option<Timestamp>,
}

/// A change that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// The key that it was made with, by its id.
    pub key: String,
    /// What was done, such as `key.created`.
    pub action: String,
    /// To what, by its id.
    pub subject: String,
}

/// Seconds whose requests a key may make at once.
pub const BURST_SECONDS: u32 = 10;
/// Requests a second that a key may make unless it was made for another rate.
pub const KEY_RATE_DEFAULT: u32 = 100;
/// Most requests a second of one key: what a number of Meta's highest throughput can send.
pub const KEY_RATE_MAX: u32 = 1_000;
/// Longest name of a tenant or key, in characters: it is shown in lists.
pub const NAME_MAX: usize = 100;
/// Longest life of a key that ends, in days.
pub const KEY_DAYS_MAX: i64 = 3_650;
