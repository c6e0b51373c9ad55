//! Access tokens: what they are worth, as the provider says it.

use jiff::{SignedDuration, Timestamp};

use super::ids::WabaId;
use crate::secret::Secret;

/// Permissions without which a token is of no use to us (`facts/onboarding.md` §3).
pub const SCOPES_NEEDED: [&str; 2] = ["whatsapp_business_management", "whatsapp_business_messaging"];

/// A token that ends is renewed from then on (`facts/onboarding.md` §10.2).
pub const REFRESH_BEFORE: SignedDuration = SignedDuration::from_hours(15 * 24);
/// Days before its end at which somebody is told that it could not be renewed.
const WARNINGS: [i64; 3] = [3, 7, 14];

/// Which warning is due for a token that ends then: so many days or fewer are left.
#[must_use]
pub fn warning(ends: Timestamp, now: Timestamp) -> Option<i64> {
    let left = ends.duration_since(now);
    WARNINGS.into_iter().find(|days| left <= SignedDuration::from_hours(days * 24))
}

/// A token and the proof that we, and not whoever stole it, hold the app's secret.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token.
    pub value: Secret,
    /// `appsecret_proof`; `None` for a token that was stored without its app being known.
    pub proof: Option<Secret>,
}

impl AccessToken {
    /// A token of an app that is not known.
    #[must_use]
    pub fn unproved(value: Secret) -> Self {
        Self { value, proof: None }
    }
}

/// What the provider says about a token (`debug_token`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TokenFacts {
    /// The app it was made for.
    pub app: String,
    /// The user or system user that it is of, by the app's own id of them.
    pub user: Option<String>,
    /// Whether it can be used now.
    pub is_valid: bool,
    /// What kind of token it is, in the provider's word.
    pub kind: String,
    /// When it ends; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When data can no longer be read with it, although it is still valid (user tokens).
    pub data_access_expires_at: Option<Timestamp>,
    /// Its permissions.
    pub scopes: Vec<String>,
    /// The accounts it reaches, where the grant names some; `None`: it names none, which covers everything.
    pub accounts: Option<Vec<WabaId>>,
}

/// Why a token cannot serve us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It is another app's.
    OtherApp,
    /// The provider says that it cannot be used.
    NotValid,
    /// It lacks this permission.
    Lacks(&'static str),
    /// It does not reach the account.
    OtherAccount,
}

impl TokenFacts {
    /// When it is of no more use; `None`: never.
    #[must_use]
    pub fn ends_at(&self) -> Option<Timestamp> {
        [self.expires_at, self.data_access_expires_at].into_iter().flatten().min()
    }

    /// Whether it is time to renew it.
    #[must_use]
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        self.ends_at().is_some_and(|ends| ends.duration_since(now) <= REFRESH_BEFORE)
    }

    /// Whether a token for `app` can serve us, for `account` where that is known already.
    ///
    /// # Errors
    /// Why not.
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
