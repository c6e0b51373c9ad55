//! Accounts and numbers at Meta: what a token reaches, where its webhooks go, registration (`facts/onboarding.md` §3 to §6).

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::graph::{CallFailure, GraphClient, call};
use super::oauth::unreadable;
use crate::domain::ids::{PhoneNumberId, WabaId};
use crate::domain::token::AccessToken;
use crate::secret::Secret;

/// Numbers of one page (Meta: 100 at most).
const PAGE: &str = "100";
/// Pages read: an account has 20 numbers unless Meta raised that, and 6,000 templates at most.
const PAGES_MAX: usize = 100;
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
    /// What pays for it: a payment method of the business's, or a credit that was shared with it.
    #[serde(default)]
    pub primary_funding_id: Option<String>,
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
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    #[serde(default)]
    pub quality_rating: Option<String>,
    /// How fast it may send.
    #[serde(default)]
    pub throughput: Option<Throughput>,
    /// How many people may be written to first in a day, such as `TIER_1K`.
    #[serde(default)]
    pub messaging_limit_tier: Option<String>,
    /// Whether the name that customers see is approved.
    #[serde(default)]
    pub name_status: Option<String>,
    /// Where its webhooks go.
    #[serde(default)]
    pub webhook_configuration: Option<WebhookConfiguration>,
}

/// A number's throughput.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Throughput {
    /// `STANDARD`, `HIGH`, `NOT_APPLICABLE`.
    pub level: String,
}

/// Callback URLs of a number, the strongest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WebhookConfiguration {
    /// The number's own.
    #[serde(default)]
    pub phone_number: Option<String>,
    /// Its account's own.
    #[serde(default)]
    pub whatsapp_business_account: Option<String>,
    /// The app's.
    #[serde(default)]
    pub application: Option<String>,
}

impl WebhookConfiguration {
    /// The one that wins.
    #[must_use]
    pub fn winner(&self) -> Option<&str> {
        let all = [&self.phone_number, &self.whatsapp_business_account, &self.application];
        all.into_iter().flatten().map(String::as_str).find(|url| !url.is_empty())
    }
}

/// A subscription of a Meta app to webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AppSubscription {
    /// What of, such as `whatsapp_business_account`.
    pub object: String,
    /// Where they go.
    #[serde(default)]
    pub callback_url: String,
    /// Whether they are sent.
    #[serde(default)]
    pub active: bool,
    /// Their fields.
    #[serde(default)]
    pub fields: Vec<SubscribedField>,
}

/// A field of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SubscribedField {
    /// Its name.
    pub name: String,
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
    #[serde(default)]
    override_callback_uri: Option<String>,
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
        let fields = [("fields", "id,name,owner_business_info,primary_funding_id")];
        self.ask(token, account.as_str(), &fields).await
    }

    /// The accounts that a token reaches whose grant names none: those of the businesses that its user manages.
    ///
    /// # Errors
    /// How the call ended otherwise.
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

    /// The account's numbers.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn account_numbers(
        &self,
        token: &AccessToken,
        account: &WabaId,
    ) -> Result<Vec<AccountNumber>, CallFailure> {
        self.all(token, &format!("{account}/phone_numbers"), NUMBER_FIELDS).await
    }

    /// A list of Meta's, page by page.
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

    /// The account's numbers with what Meta allows each, and where its webhooks go.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn numbers_in_detail(
        &self,
        token: &AccessToken,
        account: &WabaId,
    ) -> Result<Vec<AccountNumber>, CallFailure> {
        let fields =
            format!("{NUMBER_FIELDS},quality_rating,throughput,messaging_limit_tier,name_status,webhook_configuration");
        self.all(token, &format!("{account}/phone_numbers"), &fields).await
    }

    /// `GET /{app}/subscriptions`, with the app's own token: which webhooks the app gets at all.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn app_subscriptions(&self, app: &str, app_secret: &Secret) -> Result<Vec<AppSubscription>, CallFailure> {
        let app_token = AccessToken::unproved(Secret::new(format!("{app}|{}", app_secret.expose())));
        let page: Paged<AppSubscription> = self.ask(&app_token, &format!("{app}/subscriptions"), &[]).await?;
        Ok(page.data)
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
        self.change(Method::POST, token, &format!("{account}/subscribed_apps"), None).await
    }

    /// Whether the account's webhooks come to `app`: `None` if they do not, else the callback URL of their own that they go to, if
    /// they have one.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn subscription(
        &self,
        token: &AccessToken,
        account: &WabaId,
        app: &str,
    ) -> Result<Option<Option<String>>, CallFailure> {
        let all: Paged<Subscription> = self.ask(token, &format!("{account}/subscribed_apps"), &[]).await?;
        let ours = all.data.into_iter().find(|one| one.whatsapp_business_api_data.id == app);
        Ok(ours.map(|one| one.override_callback_uri.filter(|url| !url.is_empty())))
    }

    /// `POST /{account}/subscribed_apps` with a callback URL of the account's own, which Meta asks at once to prove itself. The app must
    /// be subscribed already.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn override_callback(
        &self,
        token: &AccessToken,
        account: &WabaId,
        (url, verify_token): (&str, &Secret),
    ) -> Result<(), CallFailure> {
        let body = json!({"override_callback_uri": url, "verify_token": verify_token.expose()});
        self.change(Method::POST, token, &format!("{account}/subscribed_apps"), Some(body)).await
    }

    /// `DELETE /{account}/subscribed_apps`: the account's webhooks come to the token's app no more.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn unsubscribe(&self, token: &AccessToken, account: &WabaId) -> Result<(), CallFailure> {
        self.change(Method::DELETE, token, &format!("{account}/subscribed_apps"), None).await
    }

    /// `POST /{number}/register`. Meta allows ten in 72 hours: whoever calls this keeps count.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn register(&self, token: &AccessToken, number: &PhoneNumberId, pin: &Secret) -> Result<(), CallFailure> {
        let body = json!({"messaging_product": "whatsapp", "pin": pin.expose()});
        self.change(Method::POST, token, &format!("{number}/register"), Some(body)).await
    }

    /// `POST /{number}/smb_app_data`: asks the phone of a coexistence number for `smb_app_state_sync` (its address book) or `history`. Meta allows
    /// each once for an onboarding, within 24 hours of it. Accepted does not mean that the owner agrees.
    ///
    /// # Errors
    /// How the call ended otherwise; 2593107 says that it was asked for before.
    pub async fn sync(&self, token: &AccessToken, number: &PhoneNumberId, what: &str) -> Result<(), CallFailure> {
        let body = json!({"messaging_product": "whatsapp", "sync_type": what});
        self.change(Method::POST, token, &format!("{number}/smb_app_data"), Some(body)).await
    }

    /// A call that changes something and answers nothing that matters.
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

    /// A question.
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
