//! Access tokens, and their properties as the provider reports them.

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::WabaId;
use crate::secret::Secret;

/// Permissions that a token must have (`docs/meta/onboarding.md#section-3`).
pub const SCOPES_NEEDED: [&str; 2] = ["whatsapp_business_management", "whatsapp_business_messaging"];

/// Time before its expiry at which a token is renewed (`docs/meta/onboarding.md#section-10-2`).
pub const REFRESH_BEFORE: SignedDuration = SignedDuration::from_hours(15 * 24);
/// Days before the expiry at which an alert says that the token could not be renewed.
const WARNINGS: [i64; 3] = [3, 7, 14];

/// Returns which warning is due for a token with this expiry: 3, 7 or 14 if at most that many days are left.
#[must_use]
pub fn warning(ends: Timestamp, now: Timestamp) -> Option<i64> {
    let left = ends.duration_since(now);
    WARNINGS.into_iter().find(|days| left <= SignedDuration::from_hours(days * 24))
}

/// A token with the proof that its user holds the app secret, which a thief of the token does not.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub value: Secret,
    /// `appsecret_proof`; `None` for a token stored without knowledge of its app.
    pub proof: Option<Secret>,
}

impl AccessToken {
    /// Returns a token whose app is not known.
    #[must_use]
    pub fn unproved(value: Secret) -> Self {
        Self { value, proof: None }
    }
}

/// Properties of a token as the provider reports them (`debug_token`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenFacts {
    /// The app for which the token was issued.
    pub app: String,
    /// The user or system user of the token, by app-scoped id.
    pub user: Option<String>,
    /// Whether the token can be used now.
    pub is_valid: bool,
    /// Kind of token, in the provider's word.
    pub kind: String,
    /// Time of expiry; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Time after which the token reads no more data, although it stays valid (user tokens).
    pub data_access_expires_at: Option<Timestamp>,
    /// Permissions of the token.
    pub scopes: Vec<String>,
    /// Accounts that the token reaches; `None` if the grant names none, which covers all accounts.
    pub accounts: Option<Vec<WabaId>>,
}

/// Reason why a token cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The token belongs to another app.
    OtherApp,
    /// The provider reports the token as invalid.
    NotValid,
    /// The token lacks this permission.
    Lacks(&'static str),
    /// The token does not reach the account.
    OtherAccount,
}

impl TokenFacts {
    /// Returns when the token becomes useless; `None`: never.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        [self.expires_at, self.data_access_expires_at].into_iter().flatten().min()
    }

    /// Returns whether the token is due for renewal.
    #[must_use]
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        self.ends_at().is_some_and(|ends| ends.duration_since(now) <= REFRESH_BEFORE)
    }

    /// Checks that a token is usable for `app`, and for `account` if that is already known.
    ///
    /// # Errors
    /// The first requirement that the token does not meet.
    pub fn check(&self, app: &str, account: Option<&WabaId>) -> Result<(), Unfit> {
        if self.app != app {
            return Err(Unfit::OtherApp);
        }
        if !self.is_valid {
            return Err(Unfit::NotValid);
        }
        if let Some(missing) = SCOPES_NEEDED.into_iter().find(|needed| !self.scopes.iter().any(|it| it == needed)) {
            return Err(Unfit::Lacks(missing));
        }
        match (&self.accounts, account) {
            (Some(reached), Some(account)) if !reached.contains(account) => Err(Unfit::OtherAccount),
            _ => Ok(()),
        }
    }
}
