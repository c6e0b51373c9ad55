//! What a business has at Meta before it is connected, and what it orders in the popup.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A number of a business, as it is before anybody connects it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessNumber {
    /// Its id.
    pub id: String,
    /// Its digits.
    pub display_phone_number: String,
    /// It is registered with the Cloud API.
    #[serde(default)]
    pub registered: bool,
    /// It is used in the WhatsApp Business app.
    #[serde(default)]
    pub on_biz_app: bool,
    /// Its PIN, where two-step verification is on.
    #[serde(default)]
    pub pin: Option<String>,
    /// When it was registered, Unix milliseconds.
    #[serde(default)]
    pub registers: Vec<i64>,
    /// What its phone was asked for.
    #[serde(default)]
    pub synced: Vec<String>,
    /// Its quality; `GREEN`, unless given.
    #[serde(default)]
    pub quality: Option<String>,
    /// How fast it may send; `STANDARD`, unless given.
    #[serde(default)]
    pub throughput: Option<String>,
    /// The callback URL of its own.
    #[serde(default)]
    pub override_url: Option<String>,
}

/// A WhatsApp Business account of a business.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessAccount {
    /// Its id.
    pub id: String,
    /// Its numbers.
    #[serde(default)]
    pub numbers: Vec<BusinessNumber>,
    /// Apps that get its webhooks.
    #[serde(default)]
    pub subscribed: Vec<String>,
    /// The business that owns it; one that is invented, unless given.
    #[serde(default)]
    pub business: Option<String>,
    /// The callback URL of its own.
    #[serde(default)]
    pub override_url: Option<String>,
    /// System users who may manage it.
    #[serde(default)]
    pub managed_by: Vec<String>,
    /// What pays for it.
    #[serde(default)]
    pub funding: Option<String>,
}

/// The business that owns an account unless another one is given.
pub(super) const BUSINESS: &str = "900100200300001";

impl BusinessAccount {
    pub(super) fn owner(&self) -> &str {
        self.business.as_deref().unwrap_or(BUSINESS)
    }
}

/// What a business does in the popup.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PopupOrder {
    /// The accounts it gives access to.
    pub accounts: Vec<String>,
    /// The grant names no accounts: it covers everything.
    #[serde(default)]
    pub unnamed: bool,
    /// Days that its tokens last; for ever, unless given.
    #[serde(default)]
    pub days: Option<i64>,
    /// The permissions it grants; those that are asked for, unless given.
    #[serde(default)]
    pub scopes: Option<Vec<String>>,
    /// The app's own id of whoever signs up; one that is invented, unless given.
    #[serde(default)]
    pub user: Option<String>,
}

impl BusinessNumber {
    /// As the Graph API shows it.
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
