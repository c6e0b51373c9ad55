//! Numbers that are connected by hand, with a token that Meta says is good; and what to type in at Meta.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use shared::api::{Caller, Id, Manage, Said};
use shared::domain::app::{MetaApp, SignupSettings};
use shared::domain::ids::{MetaAppId, PhoneNumberId, WabaId};
use shared::domain::number::{Number, Settings};
use shared::domain::token::{AccessToken, Unfit};
use shared::http::Problem;
use shared::provider::meta::accounts::AccountNumber;
use shared::provider::meta::oauth::appsecret_proof;
use shared::secret::Secret;
use shared::storage::Hindrance;
use shared::vault::Context;
use utoipa::ToSchema;

use crate::Deps;
use crate::account::{app_not_known, refused};
use crate::described::AtMeta;

/// A number and the token that opens its account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewNumber {
    /// Meta's id of the number.
    phone_number_id: String,
    /// Meta's id of its account.
    waba_id: String,
    /// The Meta app that the token is of, by our name for it.
    app: String,
    /// A token that reaches the account, best of a system user and without end.
    access_token: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AddedJson {
    id: String,
    account_id: String,
    display_phone_number: String,
    /// Whether it can send and receive: else register it in WhatsApp Manager.
    registered: bool,
    webhook: WebhookJson,
}

/// What to type in at Meta, in the app's settings.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookJson {
    callback_url: Option<String>,
    verify_token: Option<String>,
    /// What to subscribe to.
    fields: Vec<&'static str>,
}

/// What the app must be subscribed to (`facts/webhooks.md`).
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

/// Connects a number by hand. The token is proved: Meta says that it is the app's, good, and reaches the account.
#[utoipa::path(post, path = "/v1/numbers", tag = "Numbers", operation_id = "addNumber", request_body = NewNumber, responses((status = 201, body = AddedJson), AtMeta), security(("key" = ["manage"])))]
pub(crate) async fn add(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    headers: HeaderMap,
    Said(request): Said<NewNumber>,
) -> Result<(StatusCode, Json<AddedJson>), Problem> {
    let id = PhoneNumberId::parse(&request.phone_number_id);
    let id = id.map_err(|_| Problem::invalid("phone_number_id", "must be an id of Meta's"))?;
    let account =
        WabaId::parse(&request.waba_id).map_err(|_| Problem::invalid("waba_id", "must be an id of Meta's"))?;
    let name = MetaAppId::parse(&request.app).ok();
    let known = match &name {
        Some(name) => deps.app(name).await?,
        None => None,
    };
    let rule = "must be the name of a Meta app that is set up for signups";
    let (app, settings) = known.ok_or_else(|| Problem::invalid("app", rule))?;
    let secret = app.app_secrets.first().ok_or_else(Problem::unavailable)?;
    let value = Secret::new(request.access_token);
    let proof = appsecret_proof(secret, &value);
    let token = AccessToken { value, proof: Some(proof) };
    let found = deps.prove(&settings, secret, &token, (&account, &id)).await?;
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
    // The account's webhooks come to the app; repeating it changes nothing.
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

/// The webhook URL and verify token to type in at Meta.
#[utoipa::path(get, path = "/v1/numbers/{id}/webhook", tag = "Numbers", operation_id = "getWebhook", params(("id" = String, Path)), responses((status = 200, body = WebhookJson), AtMeta), security(("key" = ["manage"])))]
pub(crate) async fn webhook(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Manage>,
    Id(id): Id<PhoneNumberId>,
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
        let Some((sealed, settings)) = self.table.signup_app(name).await? else { return Ok(None) };
        Ok(Some((self.vault.open_app(name, &sealed).await?, settings)))
    }

    fn webhook_of(&self, app: &MetaApp, headers: &HeaderMap) -> WebhookJson {
        // Where nobody said what this installation is called, it is called what the caller calls it.
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(|host| format!("https://{host}"));
        let base = self.webhook_url.clone().or_else(|| self.public_url.clone()).or(host);
        let base = base.map(|base| base.trim_end_matches('/').to_owned());
        WebhookJson {
            callback_url: base.map(|base| format!("{base}/webhooks/meta/{}", app.id)),
            verify_token: app.verify_tokens.first().map(|token| token.expose().to_owned()),
            fields: FIELDS.to_vec(),
        }
    }

    /// What Meta says of token, account and number together is believed; nothing that the caller says.
    async fn prove(
        &self,
        settings: &SignupSettings,
        secret: &Secret,
        token: &AccessToken,
        (account, id): (&WabaId, &PhoneNumberId),
    ) -> Result<AccountNumber, Problem> {
        let facts = self.graph.debug_token(&settings.client_id, secret, &token.value).await.map_err(refused)?;
        facts.check(&settings.client_id, Some(account)).map_err(|unfit| {
            let rule = match unfit {
                Unfit::OtherApp => "must be of the app that is named".to_owned(),
                Unfit::NotValid => "must be good: Meta says that it is not".to_owned(),
                Unfit::Lacks(missing) => format!("must have the permission {missing}"),
                Unfit::OtherAccount => "must reach the account".to_owned(),
            };
            Problem::invalid("access_token", &rule)
        })?;
        let numbers = self.graph.account_numbers(token, account).await.map_err(refused)?;
        let found = numbers.into_iter().find(|number| number.id == id.as_str());
        found.ok_or_else(|| Problem::invalid("phone_number_id", "must be a number of the account"))
    }

    /// Account and number become the tenant's, unless another one has them.
    async fn take(&self, number: &Number, token: &AccessToken, app: &MetaAppId) -> Result<(), Problem> {
        if let Some(hindrance) = self.table.hindrance(number).await? {
            return Err(hindered(hindrance));
        }
        let context = Context::GraphToken { tenant: number.tenant, waba: number.waba.clone() };
        let sealed = self.vault.seal_token(token, &context).await?;
        self.table.connect(number, (&sealed, Some(app)), self.clock.now()).await?.map_err(hindered)
    }
}

fn hindered(hindrance: Hindrance) -> Problem {
    match hindrance {
        Hindrance::BeingErased => {
            let title = "What was stored of this account when it left is being erased.";
            Problem::conflict("being_erased", title).remedy("Repeat the request in a few minutes.")
        }
        Hindrance::TenantLeaves => Problem::conflict("tenant_leaving", "The tenant is leaving."),
        Hindrance::AccountTaken | Hindrance::NumberTaken => {
            let problem = Problem::conflict("taken", "Another tenant has this account or number.");
            problem.remedy("Let the other tenant release it first.")
        }
    }
}
