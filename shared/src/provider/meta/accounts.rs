//! Accounts and numbers at Meta: the assets that a token reaches, webhook subscriptions, registration
//! (`docs/meta/onboarding.md#section-3` to `#section-6`).

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::domain::accounts::token::AccessToken;
use crate::domain::ids::{NumberId, WabaId};
use crate::provider::meta::graph::{CallFailure, GraphClient, call};
use crate::provider::meta::oauth::unreadable;
use crate::secret::Secret;

/// Items per page (Meta: at most 100).
const PAGE: &str = "100";
/// Most pages read. An account has 20 numbers unless Meta raised its limit, and at most 6,000 templates.
const PAGES_MAX: usize = 100;
const NUMBER_FIELDS: &str =
    "id,display_phone_number,verified_name,code_verification_status,platform_type,status,is_on_biz_app";

/// A WhatsApp Business account as Meta describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// The account's id.
    pub id: String,
    /// The account's name.
    #[serde(default)]
    pub name: Option<String>,
    /// The business that owns it.
    #[serde(default)]
    pub owner_business_info: Option<Business>,
    /// Id of its source of payment: the business's own payment method, or a credit line shared with it.
    #[serde(default)]
    pub primary_funding_id: Option<String>,
}

/// A business portfolio.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Business {
    /// The portfolio's id.
    pub id: String,
}

/// A number as Meta describes it. Meta may add values to every text field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccountNumber {
    /// The number's id.
    pub id: String,
    /// The phone number in display format.
    #[serde(default)]
    pub display_phone_number: String,
    /// The name that customers see.
    #[serde(default)]
    pub verified_name: Option<String>,
    /// Whether somebody verified ownership of the number.
    #[serde(default)]
    pub code_verification_status: Option<String>,
    /// `CLOUD_API` if the number is registered.
    #[serde(default)]
    pub platform_type: Option<String>,
    /// `CONNECTED` if the number can be used.
    #[serde(default)]
    pub status: Option<String>,
    /// Whether the number is also used in the WhatsApp Business app (coexistence).
    #[serde(default)]
    pub is_on_biz_app: bool,
    /// `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    #[serde(default)]
    pub quality_rating: Option<String>,
    /// The number's throughput limit.
    #[serde(default)]
    pub throughput: Option<Throughput>,
    /// Limit of customers who may be contacted first per day, such as `TIER_1K`.
    #[serde(default)]
    pub messaging_limit_tier: Option<String>,
    /// Approval state of the name that customers see.
    #[serde(default)]
    pub name_status: Option<String>,
    /// The callback URLs of the number's webhooks.
    #[serde(default)]
    pub webhook_configuration: Option<WebhookConfiguration>,
}

/// A number's throughput limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Throughput {
    /// `STANDARD`, `HIGH` or `NOT_APPLICABLE`.
    pub level: String,
}

/// The callback URLs that apply to a number, in order of precedence.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WebhookConfiguration {
    /// The number's own URL.
    #[serde(default)]
    pub phone_number: Option<String>,
    /// The account's own URL.
    #[serde(default)]
    pub whatsapp_business_account: Option<String>,
    /// The app's URL.
    #[serde(default)]
    pub application: Option<String>,
}

impl WebhookConfiguration {
    /// Returns the URL that takes precedence.
    #[must_use]
    pub fn winner(&self) -> Option<&str> {
        let all = [&self.phone_number, &self.whatsapp_business_account, &self.application];
        all.into_iter().flatten().map(String::as_str).find(|url| !url.is_empty())
    }
}

/// Whether an account's webhooks go to an app, and at which URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// The app is not subscribed to the account's webhooks.
    Missing,
    /// The webhooks go to the app's callback URL.
    ToApp,
    /// The webhooks go to this callback URL of the account's own.
    ToUrl(String),
}

/// A subscription of a Meta app to webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AppSubscription {
    /// The subscribed object, such as `whatsapp_business_account`.
    pub object: String,
    /// The callback URL.
    #[serde(default)]
    pub callback_url: String,
    /// Whether Meta sends the webhooks.
    #[serde(default)]
    pub active: bool,
    /// The subscribed fields.
    #[serde(default)]
    pub fields: Vec<SubscribedField>,
}

/// A field of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubscribedField {
    /// The field's name.
    pub name: String,
}

impl AccountNumber {
    /// Whether the number can send and receive through the Cloud API.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.platform_type.as_deref() == Some("CLOUD_API")
            && self.status.as_deref().is_none_or(|status| status == "CONNECTED")
    }
}

/// A page of one of Meta's lists.
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
    /// Returns the cursor of the next page. The last page has a cursor too, but no `next`.
    pub(super) fn next(self) -> Option<String> {
        self.paging.filter(|paging| paging.next.is_some())?.cursors?.after
    }
}

#[derive(Deserialize)]
struct SubscribedApp {
    whatsapp_business_api_data: AppReference,
    #[serde(default)]
    override_callback_uri: Option<String>,
}

#[derive(Deserialize)]
struct AppReference {
    id: String,
}

impl GraphClient {
    /// Returns the account, if the token reaches it.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn account(&self, token: &AccessToken, account: &WabaId) -> Result<Account, CallFailure> {
        let fields = [("fields", "id,name,owner_business_info,primary_funding_id")];
        self.ask(token, account.as_str(), &fields).await
    }

    /// Returns the accounts of all businesses that the token's user manages; for a token whose grant names no account.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn reachable_accounts(&self, token: &AccessToken) -> Result<Vec<WabaId>, CallFailure> {
        let businesses: Vec<Business> = self.all(token, "me/businesses", "id").await?;
        let mut reached = Vec::new();
        for Business { id } in businesses {
            for edge in ["owned_whatsapp_business_accounts", "client_whatsapp_business_accounts"] {
                let accounts: Vec<Business> = self.all(token, &format!("{id}/{edge}"), "id").await?;
                reached.extend(accounts.iter().filter_map(|one| WabaId::parse(&one.id).ok()));
            }
        }
        reached.sort_unstable();
        reached.dedup();
        Ok(reached)
    }

    /// Returns the account's numbers.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn account_numbers(
        &self,
        token: &AccessToken,
        account: &WabaId,
    ) -> Result<Vec<AccountNumber>, CallFailure> {
        self.all(token, &format!("{account}/phone_numbers"), NUMBER_FIELDS).await
    }

    /// Reads one of Meta's lists page by page, up to [`PAGES_MAX`] pages.
    pub(super) async fn all<T: DeserializeOwned>(
        &self,
        token: &AccessToken,
        path: &str,
        fields: &str,
    ) -> Result<Vec<T>, CallFailure> {
        let (mut all, mut after) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let mut query = vec![("fields", fields), ("limit", PAGE)];
            if !after.is_empty() {
                query.push(("after", &after));
            }
            let mut page: Paged<T> = self.ask(token, path, &query).await?;
            all.append(&mut page.data);
            match page.next() {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(all)
    }

    /// Returns the account's numbers with their limits, quality and callback URLs.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn numbers_in_detail(
        &self,
        token: &AccessToken,
        account: &WabaId,
    ) -> Result<Vec<AccountNumber>, CallFailure> {
        let fields =
            format!("{NUMBER_FIELDS},quality_rating,throughput,messaging_limit_tier,name_status,webhook_configuration");
        self.all(token, &format!("{account}/phone_numbers"), &fields).await
    }

    /// Calls `GET /{app}/subscriptions` with the app's own token: the webhooks to which the app is subscribed.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn app_subscriptions(&self, app: &str, app_secret: &Secret) -> Result<Vec<AppSubscription>, CallFailure> {
        let app_token = AccessToken::unproved(Secret::new(format!("{app}|{}", app_secret.expose())));
        let page: Paged<AppSubscription> = self.ask(&app_token, &format!("{app}/subscriptions"), &[]).await?;
        Ok(page.data)
    }

    /// Returns one number.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn account_number(&self, token: &AccessToken, number: &NumberId) -> Result<AccountNumber, CallFailure> {
        self.ask(token, number.as_str(), &[("fields", NUMBER_FIELDS)]).await
    }

    /// Calls `POST /{account}/subscribed_apps`: subscribes the token's app to the account's webhooks. May be repeated.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn subscribe(&self, token: &AccessToken, account: &WabaId) -> Result<(), CallFailure> {
        self.change(Method::POST, token, &format!("{account}/subscribed_apps"), None).await
    }

    /// Returns whether `app` is subscribed to the account's webhooks, and at which URL.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn subscription(
        &self,
        token: &AccessToken,
        account: &WabaId,
        app: &str,
    ) -> Result<Subscription, CallFailure> {
        let all: Paged<SubscribedApp> = self.ask(token, &format!("{account}/subscribed_apps"), &[]).await?;
        let ours = all.data.into_iter().find(|one| one.whatsapp_business_api_data.id == app);
        Ok(match ours {
            None => Subscription::Missing,
            Some(app) => match app.override_callback_uri.filter(|url| !url.is_empty()) {
                None => Subscription::ToApp,
                Some(url) => Subscription::ToUrl(url),
            },
        })
    }

    /// Calls `POST /{account}/subscribed_apps` with a callback URL of the account's own. Meta verifies the URL at once.
    /// The app must already be subscribed.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn override_callback(
        &self,
        token: &AccessToken,
        account: &WabaId,
        url: &str,
        verify_token: &Secret,
    ) -> Result<(), CallFailure> {
        let body = json!({"override_callback_uri": url, "verify_token": verify_token.expose()});
        self.change(Method::POST, token, &format!("{account}/subscribed_apps"), Some(body)).await
    }

    /// Calls `DELETE /{account}/subscribed_apps`: unsubscribes the token's app from the account's webhooks.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn unsubscribe(&self, token: &AccessToken, account: &WabaId) -> Result<(), CallFailure> {
        self.change(Method::DELETE, token, &format!("{account}/subscribed_apps"), None).await
    }

    /// Calls `POST /{number}/register`. Meta allows ten calls per number in 72 hours; the caller must count them.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn register(&self, token: &AccessToken, number: &NumberId, pin: &Secret) -> Result<(), CallFailure> {
        let body = json!({"messaging_product": "whatsapp", "pin": pin.expose()});
        self.change(Method::POST, token, &format!("{number}/register"), Some(body)).await
    }

    /// Calls `POST /{number}/smb_app_data`: requests `smb_app_state_sync` (the address book) or `history` from the
    /// phone of a coexistence number. Meta allows each once per onboarding, within 24 hours of it. A successful call
    /// does not mean that the owner agrees.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed; code 2593107 means that it was requested before.
    pub async fn sync(&self, token: &AccessToken, number: &NumberId, what: &str) -> Result<(), CallFailure> {
        let body = json!({"messaging_product": "whatsapp", "sync_type": what});
        self.change(Method::POST, token, &format!("{number}/smb_app_data"), Some(body)).await
    }

    /// Makes a call whose response body carries no information.
    pub(super) async fn change(
        &self,
        method: Method,
        token: &AccessToken,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<(), CallFailure> {
        let request = self.with_token_or_refusal(method, path, token)?;
        call(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await?;
        Ok(())
    }

    /// Makes a `GET` call and reads its JSON response.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        token: &AccessToken,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, CallFailure> {
        let request = self.with_token_or_refusal(Method::GET, path, token)?;
        let body = call(request.query(query)).await?;
        serde_json::from_slice(&body).map_err(|_| unreadable("Meta's answer has an unexpected form"))
    }
}
