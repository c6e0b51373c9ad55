//! Accounts and numbers of businesses, and the choices a business makes in the signup popup.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A number of a business, not necessarily connected.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessNumber {
    /// Meta's id of the number.
    pub id: String,
    /// The number's digits.
    pub display_phone_number: String,
    /// Whether the number is registered with the Cloud API.
    #[serde(default)]
    pub registered: bool,
    /// Whether the number is used in the WhatsApp Business app.
    #[serde(default)]
    pub on_biz_app: bool,
    /// The PIN, if two-step verification is on.
    #[serde(default)]
    pub pin: Option<String>,
    /// Times of registrations, Unix milliseconds.
    #[serde(default)]
    pub registers: Vec<i64>,
    /// Syncs requested from the phone: `smb_app_state_sync`, `history`.
    #[serde(default)]
    pub synced: Vec<String>,
    /// Quality rating; `GREEN` by default.
    #[serde(default)]
    pub quality: Option<String>,
    /// Throughput level; `STANDARD` by default.
    #[serde(default)]
    pub throughput: Option<String>,
    /// Callback URL that overrides the app's for this number.
    #[serde(default)]
    pub override_url: Option<String>,
}

/// A WhatsApp Business account of a business.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessAccount {
    /// Meta's id of the account.
    pub id: String,
    /// The account's numbers.
    #[serde(default)]
    pub numbers: Vec<BusinessNumber>,
    /// Ids of the apps that receive the account's webhooks.
    #[serde(default)]
    pub subscribed: Vec<String>,
    /// Id of the business that owns the account; an invented one by default.
    #[serde(default)]
    pub business: Option<String>,
    /// Callback URL that overrides the app's for this account.
    #[serde(default)]
    pub override_url: Option<String>,
    /// Ids of the system users who may manage the account.
    #[serde(default)]
    pub managed_by: Vec<String>,
    /// Id of the account's payment method or credit share.
    #[serde(default)]
    pub funding: Option<String>,
}

/// Default owner of an account.
pub(super) const BUSINESS: &str = "900100200300001";

impl BusinessAccount {
    pub(super) fn owner(&self) -> &str {
        self.business.as_deref().unwrap_or(BUSINESS)
    }
}

/// Choices of a business in the signup popup.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopupOrder {
    /// The accounts to which it grants access.
    pub accounts: Vec<String>,
    /// The grant names no account: the granular scopes have no target ids.
    #[serde(default)]
    pub unnamed: bool,
    /// Days until its tokens expire; `None`: never.
    #[serde(default)]
    pub days: Option<i64>,
    /// The granted permissions; by default those that were requested.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// App-scoped id of the person who signs up; an invented one by default.
    #[serde(default)]
    pub user: Option<String>,
}

impl BusinessNumber {
    /// Returns the number as the Graph API shows it.
    pub(super) fn shown(&self) -> Value {
        let connected = self.registered || self.on_biz_app;
        let of = |given: &Option<String>, otherwise: &str| given.clone().unwrap_or_else(|| otherwise.to_owned());
        json!({"id": self.id, "display_phone_number": format!("+{}", self.display_phone_number),
            "verified_name": "A business", "code_verification_status": "VERIFIED", "is_on_biz_app": self.on_biz_app,
            "platform_type": if connected { "CLOUD_API" } else { "NOT_APPLICABLE" },
            "status": if connected { "CONNECTED" } else { "PENDING" }, "name_status": "APPROVED",
            "quality_rating": of(&self.quality, "GREEN"), "throughput": {"level": of(&self.throughput, "STANDARD")},
            "messaging_limit_tier": "TIER_1K"})
    }
}
