//! Numbers connected by hand with a token that Meta confirms as valid, and the webhook settings for Meta.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use shared::api::{Caller, Id, JsonBody, Manage};
use shared::domain::accounts::app::{MetaApp, SignupSettings};
use shared::domain::accounts::number::{Number, Settings};
use shared::domain::accounts::token::{AccessToken, Unfit};
use shared::domain::ids::{MetaAppId, NumberId, WabaId};
use shared::http::Problem;
use shared::provider::meta::accounts::AccountNumber;
use shared::provider::meta::oauth::appsecret_proof;
use shared::secret::Secret;
use shared::storage::{ConnectError, ConnectFailure};
use shared::vault::Context;
use utoipa::ToSchema;

use crate::Deps;
use crate::account::{app_not_known, refused};
use crate::described::AtMeta;

/// A number, with an access token for its account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNumber {
    /// Meta's id of the phone number.
    phone_number_id: String,
    /// Meta's id of the number's account (WABA).
    waba_id: String,
    /// Name in this system of the Meta app that issued the token.
    app: String,
    /// Access token for the account, preferably a non-expiring token of a system user.
    access_token: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AddedJson {
    id: String,
    account_id: String,
    display_phone_number: String,
    /// Whether the number can send and receive. If false, register it in WhatsApp Manager.
    registered: bool,
    webhook: WebhookJson,
}

/// Webhook settings to enter at Meta, in the app's settings.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookJson {
    callback_url: Option<String>,
    verify_token: Option<String>,
    /// Webhook fields to subscribe to.
    fields: Vec<&'static str>,
}

/// Webhook fields that the app must be subscribed to (`docs/meta/webhooks.md`).
const FIELDS: [&str; 20] = [
    "messages",
    "message_echoes",
    "smb_message_echoes",
    "smb_app_state_sync",
    "history",
    "account_update",
    "account_alerts",
    "account_review_update",
    "account_settings_update",
    "business_capability_update",
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "phone_number_name_update",
    "phone_number_quality_update",
    "user_preferences",
    "security",
    "flows",
    "payment_configuration_update",
];

/// Connects a number by hand. Meta must confirm that the token belongs to the app, is valid and reaches the account.
#[utoipa::path(
    post,
    path = "/v1/numbers",
    tag = "Numbers",
    operation_id = "addNumber",
    request_body = NewNumber,
    responses((status = 201, body = AddedJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn add(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<NewNumber>,
) -> Result<(StatusCode, Json<AddedJson>), Problem> {
    let id = NumberId::parse(&request.phone_number_id);
    let id = id.map_err(|_| Problem::invalid("phone_number_id", "must be a phone number id of Meta"))?;
    let account =
        WabaId::parse(&request.waba_id).map_err(|_| Problem::invalid("waba_id", "must be an account id of Meta"))?;
    let name = MetaAppId::parse(&request.app).ok();
    let known = match &name {
        Some(name) => deps.app(name).await?,
        None => None,
    };
    let rule = "must be the name of a Meta app that is configured for signups";
    let (app, settings) = known.ok_or_else(|| Problem::invalid("app", rule))?;
    let secret = app.app_secrets.first().ok_or_else(Problem::unavailable)?;
    let value = Secret::new(request.access_token);
    let proof = appsecret_proof(secret, &value);
    let token = AccessToken { value, proof: Some(proof) };
    let found = deps.prove(&settings, secret, &token, &account, &id).await?;
    let number = Number {
        id,
        tenant,
        waba: account,
        display_phone_number: found.display_phone_number.clone(),
        coexistence: found.is_on_biz_app,
        fallback: None,
        settings: Settings::default(),
    };
    deps.take(&number, &token, &app.id).await?;
    // Routes the account's webhooks to the app. Repetition changes nothing.
    deps.graph.subscribe(&token, &number.waba).await.map_err(refused)?;
    deps.access.note(Some(tenant), &key, "number.added", number.id.as_str()).await?;
    let added = AddedJson {
        id: number.id.to_string(),
        account_id: number.waba.to_string(),
        display_phone_number: number.display_phone_number,
        registered: found.is_registered(),
        webhook: deps.webhook_of(&app, &headers),
    };
    Ok((StatusCode::CREATED, Json(added)))
}

/// Returns the webhook URL and verify token to enter at Meta.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}/webhook",
    tag = "Numbers",
    operation_id = "getWebhook",
    params(("id" = String, Path)),
    responses((status = 200, body = WebhookJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn webhook(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
    headers: HeaderMap,
) -> Result<Json<WebhookJson>, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let account = deps.access.account_of(tenant, &number.waba).await?;
    let known = match &account.app {
        Some(app) => deps.app(app).await?,
        None => None,
    };
    let (app, _) = known.ok_or_else(app_not_known)?;
    Ok(Json(deps.webhook_of(&app, &headers)))
}

impl Deps {
    async fn app(&self, name: &MetaAppId) -> Result<Option<(MetaApp, SignupSettings)>, Problem> {
        let Some((sealed, settings)) = self.table.signup_app_get(name).await? else { return Ok(None) };
        Ok(Some((self.vault.open_app(name, &sealed).await?, settings)))
    }

    fn webhook_of(&self, app: &MetaApp, headers: &HeaderMap) -> WebhookJson {
        // If neither URL is configured, the host of this request is used.
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(|host| format!("https://{host}"));
        let base = self.webhook_url.clone().or_else(|| self.public_url.clone()).or(host);
        let base = base.map(|base| base.trim_end_matches('/').to_owned());
        WebhookJson {
            callback_url: base.map(|base| format!("{base}/webhooks/meta/{}", app.id)),
            verify_token: app.verify_tokens.first().map(|token| token.expose().to_owned()),
            fields: FIELDS.to_vec(),
        }
    }

    /// Asks Meta whether token, account and number belong together. The caller's statements are not trusted.
    async fn prove(
        &self,
        settings: &SignupSettings,
        secret: &Secret,
        token: &AccessToken,
        account: &WabaId,
        id: &NumberId,
    ) -> Result<AccountNumber, Problem> {
        let facts = self.graph.debug_token(&settings.client_id, secret, &token.value).await.map_err(refused)?;
        facts.check(&settings.client_id, Some(account)).map_err(|unfit| {
            let rule = match unfit {
                Unfit::OtherApp => "must belong to the app named in `app`".to_owned(),
                Unfit::NotValid => "must be valid, but Meta reports that it is not".to_owned(),
                Unfit::Lacks(missing) => format!("must have the permission {missing}"),
                Unfit::OtherAccount => "must have access to the account".to_owned(),
            };
            Problem::invalid("access_token", &rule)
        })?;
        let numbers = self.graph.account_numbers(token, account).await.map_err(refused)?;
        let found = numbers.into_iter().find(|number| number.id == id.as_str());
        found.ok_or_else(|| Problem::invalid("phone_number_id", "must be a number of the account"))
    }

    /// Assigns account and number to the tenant, unless another tenant owns them.
    async fn take(&self, number: &Number, token: &AccessToken, app: &MetaAppId) -> Result<(), Problem> {
        if let Some(hindrance) = self.table.account_check_connectable(number).await? {
            return Err(hindered(hindrance));
        }
        let context = Context::GraphToken { tenant: number.tenant, waba: number.waba.clone() };
        let sealed = self.vault.seal_token(token, &context).await?;
        self.table.account_connect(number, &sealed, Some(app), self.clock.now()).await.map_err(
            |failure| match failure {
                ConnectFailure::Refused(error) => hindered(error),
                ConnectFailure::Storage(error) => error.into(),
            },
        )
    }
}

fn hindered(hindrance: ConnectError) -> Problem {
    match hindrance {
        ConnectError::BeingErased => {
            let title = "Old data of this account is still being erased after its removal.";
            Problem::conflict("being_erased", title).remedy("Repeat the request in a few minutes.")
        }
        ConnectError::TenantLeaves => Problem::conflict("tenant_leaving", "The tenant is being offboarded."),
        ConnectError::AccountTaken | ConnectError::NumberTaken => {
            let problem = Problem::conflict("taken", "This account or number belongs to another tenant.");
            problem.remedy("The other tenant must remove it first.")
        }
    }
}
