//! A Meta app whose webhooks we receive.

use super::ids::MetaAppId;
use crate::secret::Secret;

/// What a signup through an app needs to know; none of it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignupSettings {
    /// The app's id at Meta.
    pub client_id: String,
    /// The configuration of Facebook Login for Business that the popup shows.
    pub config_id: String,
}

/// What proves that a webhook is Meta's. Two of each while one is being replaced: current and previous.
#[derive(Debug, Clone)]
pub struct MetaApp {
    /// The name in its webhook URL.
    pub id: MetaAppId,
    /// App secrets that may sign, the current one first.
    pub app_secrets: Vec<Secret>,
    /// Verify tokens that may be presented, the current one first.
    pub verify_tokens: Vec<Secret>,
}
