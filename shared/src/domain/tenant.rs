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
    /// Undo merges, replay what was received; later change numbers, keys and settings.
    Manage,
    /// Replay for all tenants, read the alerts that concern none. Never together with a tenant.
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
    /// Whose key it is; an operator's key has no tenant.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// From when on it is refused.
    pub revoked_at: Option<Timestamp>,
}
