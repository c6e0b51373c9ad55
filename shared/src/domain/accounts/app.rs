//! A Meta app whose webhooks we receive.

use crate::domain::ids::{MetaAppId, TenantId};
use crate::secret::Secret;

/// Settings of the signup through an app. None of them is secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignupSettings {
    /// The app's id at Meta.
    pub client_id: String,
    /// Configuration of Facebook Login for Business that the popup uses.
    pub config_id: String,
    /// `extras.featureType` of the popup, if the configuration needs one (`docs/meta/onboarding.md#section-1-2`).
    pub feature_type: Option<String>,
    /// Callback URL for the webhooks of new accounts; `None`: the app's own callback URL.
    pub override_url: Option<String>,
    /// Origins of tenants' own pages that may finish a signup from the browser, such as `https://app.example.com`.
    pub origins: Vec<String>,
    /// Tenant that gets the accounts shared through Meta's hosted signup, which does not pass through a page of ours.
    pub hosted_for: Option<TenantId>,
    /// Credit line that pays for the accounts, if we are a Solution Partner; `None`: each business pays Meta directly.
    pub credit: Option<CreditLine>,
}

/// A Solution Partner's credit line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditLine {
    /// Id of the credit line at Meta (`GET /{business}/extendedcredits`).
    pub id: String,
    /// Currency of the accounts, such as `USD`.
    pub currency: String,
    /// System user that manages shared accounts. Its token is stored with the app.
    pub system_user: String,
}

/// Possible currencies of a credit line (`docs/meta/onboarding.md#section-7-1`).
pub const CREDIT_CURRENCIES: [&str; 6] = ["AUD", "EUR", "GBP", "IDR", "INR", "USD"];
/// Longest callback URL that Meta accepts as an override, in bytes (`docs/meta/onboarding.md#section-5`).
pub const OVERRIDE_URL_MAX: usize = 200;

impl SignupSettings {
    /// Checks that the settings are valid.
    ///
    /// # Errors
    /// Names the setting and the broken rule.
    pub fn check(&self) -> Result<(), String> {
        let ids = [("client_id", Some(&self.client_id)), ("config_id", Some(&self.config_id))];
        let credit = self.credit.as_ref();
        let ids = ids.into_iter().chain([
            ("credit_line", credit.map(|credit| &credit.id)),
            ("system_user", credit.map(|credit| &credit.system_user)),
        ]);
        for (name, id) in ids {
            if id.is_some_and(|id| id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_digit())) {
                return Err(format!("{name} must be an id of Meta's, digits only"));
            }
        }
        if credit.is_some_and(|credit| !CREDIT_CURRENCIES.contains(&credit.currency.as_str())) {
            return Err(format!("currency must be one of {}", CREDIT_CURRENCIES.join(", ")));
        }
        if self.override_url.as_ref().is_some_and(|url| !url.starts_with("https://") || url.len() > OVERRIDE_URL_MAX) {
            return Err(format!("override_url must begin with https:// and have at most {OVERRIDE_URL_MAX} bytes"));
        }
        let is_origin = |origin: &String| match origin.strip_prefix("http://localhost") {
            // Allowed for the development of a page.
            Some(port) => port.is_empty() || port.starts_with(':') && !port.contains('/'),
            None => origin.strip_prefix("https://").is_some_and(|host| !host.is_empty() && !host.contains('/')),
        };
        if !self.origins.iter().all(is_origin) {
            return Err("origin must be https:// and a host, without a path".to_owned());
        }
        Ok(())
    }
}

/// Credentials of a Meta app that authenticate its webhooks. While a credential is being replaced there are two of it:
/// the current and the previous one.
#[derive(Debug, Clone)]
pub struct MetaApp {
    /// Name of the app in its webhook URL.
    pub id: MetaAppId,
    /// App secrets accepted in signatures, the current one first.
    pub app_secrets: Vec<Secret>,
    /// Verify tokens accepted in Meta's verification request, the current one first.
    pub verify_tokens: Vec<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_meant_are_named() {
        let good = SignupSettings { client_id: "1".to_owned(), config_id: "2".to_owned(), ..SignupSettings::default() };
        assert_eq!(good.check(), Ok(()));
        let origins =
            |origin: &str| SignupSettings { origins: vec![origin.to_owned()], ..good.clone() }.check().is_ok();
        for origin in
            ["https://app.example.com", "https://app.example.com:444", "http://localhost", "http://localhost:3000"]
        {
            assert!(origins(origin), "{origin}");
        }
        for origin in
            ["", "https://", "app.example.com", "http://app.example.com", "https://a.example/", "http://localhostevil"]
        {
            assert!(!origins(origin), "{origin}");
        }
        let url = |url: String| SignupSettings { override_url: Some(url), ..good.clone() }.check().is_ok();
        assert!(url(format!("https://{}", "a".repeat(192))) && !url(format!("https://{}", "a".repeat(193))));
        assert!(!url("http://a.example".to_owned()));
        assert!(SignupSettings { client_id: "x1".to_owned(), ..good }.check().unwrap_err().contains("client_id"));
    }
}
