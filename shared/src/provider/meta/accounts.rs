//! Accounts and numbers at Meta: what a token reaches, where its webhooks go, registration (`facts/onboarding.md` §3 to §6).

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::graph::{CallFailure, GraphClient, call, malformed_token};
use super::oauth::unreadable;
use crate::domain::ids::{PhoneNumberId, WabaId};
use crate::domain::token::AccessToken;
use crate::secret::Secret;

/// Numbers of one page (Meta: 100 at most).
const PAGE: &str = "100";
/// Pages read: an account has 20 numbers unless Meta raised that.
const PAGES_MAX: usize = 10;
const NUMBER_FIELDS: &str =
    "id,display_phone_number,verified_name,code_verification_status,platform_type,status,is_on_biz_app";

/// A WhatsApp Business account as Meta describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// The business that owns it.
    #[serde(default)]
    pub owner_business_info: Option<Business>,
}

/// A business portfolio.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Business {
    /// Its id.
    pub id: String,
}

/// A number as Meta describes it. Every word of Meta's is an open set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccountNumber {
    /// Its id.
    pub id: String,
    /// As people write it.
    #[serde(default)]
    pub display_phone_number: String,
    /// The name that customers see.
    #[serde(default)]
    pub verified_name: Option<String>,
    /// Whether somebody proved that it is theirs.
    #[serde(default)]
    pub code_verification_status: Option<String>,
    /// `CLOUD_API` where it is registered.
    #[serde(default)]
    pub platform_type: Option<String>,
    /// `CONNECTED` where it can be used.
    #[serde(default)]
    pub status: Option<String>,
    /// It is also used in the WhatsApp Business app: coexistence.
    #[serde(default)]
    pub is_on_biz_app: bool,
}

impl AccountNumber {
    /// Whether it can send and receive through the Cloud API.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.platform_type.as_deref() == Some("CLOUD_API")
            && self.status.as_deref().is_none_or(|status| status == "CONNECTED")
    }
}

/// A page of a list of Meta's.
#[derive(Deserialize)]
pub(super) struct Paged<T> {
    pub(super) data: Vec<T>,
    #[serde(default)]
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Paging {
    #[serde(default)]
    cursors: Option<Cursors>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Cursors {
    #[serde(default)]
    after: Option<String>,
}

impl<T> Paged<T> {
    /// Where the next page begins. On the last one too there is a cursor, but no next page.
    pub(super) fn next(self) -> Option<String> {
        self.paging.filter(|paging| paging.next.is_some())?.cursors?.after
    }
}

#[derive(Deserialize)]
struct Subscription {
    whatsapp_business_api_data: SubscribedApp,
}

#[derive(Deserialize)]
struct SubscribedApp {
    id: String,
}

impl GraphClient {
    /// The account of this id, if the token reaches it.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn account(&self, token: &AccessToken, account: &WabaId) -> Result<Account, CallFailure> {
        let fields = [("fields", "id,name,owner_business_info")];
        self.ask(token, account.as_str(), &fields).await
    }

    /// The account's numbers.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn account_numbers(
        &self,
        token: &AccessToken,
        account: &WabaId,
    ) -> Result<Vec<AccountNumber>, CallFailure> {
        let (mut numbers, mut after) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let mut query = vec![("fields", NUMBER_FIELDS), ("limit", PAGE)];
            if !after.is_empty() {
                query.push(("after", &after));
            }
            let mut page: Paged<AccountNumber> = self.ask(token, &format!("{account}/phone_numbers"), &query).await?;
            numbers.append(&mut page.data);
            match page.next() {
                Some(next) => after = next,
                None => return Ok(numbers),
            }
        }
        Ok(numbers)
    }

    /// One number.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn account_number(
        &self,
        token: &AccessToken,
        number: &PhoneNumberId,
    ) -> Result<AccountNumber, CallFailure> {
        self.ask(token, number.as_str(), &[("fields", NUMBER_FIELDS)]).await
    }

    /// `POST /{account}/subscribed_apps`: the account's webhooks come to the token's app. Repeating it changes nothing.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn subscribe(&self, token: &AccessToken, account: &WabaId) -> Result<(), CallFailure> {
        let request = self.with_token(Method::POST, &format!("{account}/subscribed_apps"), token);
        call(request.ok_or_else(|| CallFailure::Refused(malformed_token()))?).await?;
        Ok(())
    }

    /// Whether the account's webhooks come to `app`.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn is_subscribed(&self, token: &AccessToken, account: &WabaId, app: &str) -> Result<bool, CallFailure> {
        let all: Paged<Subscription> = self.ask(token, &format!("{account}/subscribed_apps"), &[]).await?;
        Ok(all.data.iter().any(|one| one.whatsapp_business_api_data.id == app))
    }

    /// `POST /{number}/register`. Meta allows ten in 72 hours: whoever calls this keeps count.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn register(&self, token: &AccessToken, number: &PhoneNumberId, pin: &Secret) -> Result<(), CallFailure> {
        let request = self.with_token(Method::POST, &format!("{number}/register"), token);
        let request = request.ok_or_else(|| CallFailure::Refused(malformed_token()))?;
        call(request.json(&json!({"messaging_product": "whatsapp", "pin": pin.expose()}))).await?;
        Ok(())
    }

    /// `POST /{number}/smb_app_data`: asks the phone of a coexistence number for `smb_app_state_sync` (its address book) or `history`. Meta allows
    /// each once for an onboarding, within 24 hours of it. Accepted does not mean that the owner agrees.
    ///
    /// # Errors
    /// How the call ended otherwise; 2593107 says that it was asked for before.
    pub async fn sync(&self, token: &AccessToken, number: &PhoneNumberId, what: &str) -> Result<(), CallFailure> {
        let request = self.with_token(Method::POST, &format!("{number}/smb_app_data"), token);
        let request = request.ok_or_else(|| CallFailure::Refused(malformed_token()))?;
        call(request.json(&json!({"messaging_product": "whatsapp", "sync_type": what}))).await?;
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        token: &AccessToken,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CallFailure> {
        let request = self.with_token(Method::GET, path, token);
        let request = request.ok_or_else(|| CallFailure::Refused(malformed_token()))?;
        let body = call(request.query(query)).await?;
        serde_json::from_slice(&body).map_err(|_| unreadable("Meta's answer has an unexpected form"))
    }
}
