//! Meta apps: secrets for verifying their webhooks, and settings for signups. Only for operators. Secrets are stored
//! but never returned.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::api::{Id, JsonBody, Operator, Refusals};
use shared::domain::accounts::app::{MetaApp, SignupSettings};
use shared::domain::ids::MetaAppId;
use shared::http::Problem;
use shared::secret::Secret;
use utoipa::ToSchema;

use crate::Deps;

/// Longest app secret or verify token, in bytes. All of an app are encrypted together, and KMS encrypts at most 4,096
/// bytes.
const SECRET_MAX: usize = 512;

/// A Meta app. While a secret is being replaced, the previous one stays valid too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppRequest {
    app_secret: String,
    previous_app_secret: Option<String>,
    /// Verify token for Meta's webhook handshake; choose any text.
    verify_token: String,
    previous_verify_token: Option<String>,
    /// The app's id at Meta. Required for signups, together with `config_id`.
    client_id: Option<String>,
    /// Id of the app's configuration of Facebook Login for Business.
    config_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AppJson {
    /// Name of the app in this system, which is the last part of its webhook URL.
    id: String,
    webhook_path: String,
    client_id: Option<String>,
    config_id: Option<String>,
}

impl AppJson {
    fn new(id: &MetaAppId, settings: Option<SignupSettings>) -> Self {
        let (client_id, config_id) = settings.map(|settings| (settings.client_id, settings.config_id)).unzip();
        Self { id: id.to_string(), webhook_path: format!("/webhooks/meta/{id}"), client_id, config_id }
    }
}

/// Stores or replaces a Meta app. Its webhooks are accepted within five minutes.
#[utoipa::path(
    put,
    path = "/v1/apps/{id}",
    tag = "Meta apps",
    operation_id = "putApp",
    params(("id" = String, Path, description = "Name of the app in this system.")),
    request_body = AppRequest,
    responses((status = 200, body = AppJson), Refusals),
    security(("key" = ["operator"])),
)]
pub(crate) async fn put(
    State(deps): State<Arc<Deps>>,
    Operator { key }: Operator,
    Id(id): Id<MetaAppId>,
    JsonBody(request): JsonBody<AppRequest>,
) -> Result<Json<AppJson>, Problem> {
    let known = deps.table.signup_settings_get(&id).await?;
    let settings = match (request.client_id, request.config_id) {
        (Some(client_id), Some(config_id)) => {
            Some(SignupSettings { client_id, config_id, ..known.clone().unwrap_or_default() })
        }
        (None, None) => None,
        _ => return Err(Problem::invalid("config_id", "and `client_id` must be given together")),
    };
    if let Some(settings) = &settings {
        settings.check().map_err(|rule| Problem::invalid("client_id", &rule))?;
    }
    let app = MetaApp {
        id: id.clone(),
        app_secrets: secrets("app_secret", request.app_secret, request.previous_app_secret)?,
        verify_tokens: secrets("verify_token", request.verify_token, request.previous_verify_token)?,
    };
    let sealed = deps.vault.seal_app(&app).await?;
    deps.table.meta_app_put(&id, &sealed).await?;
    if let Some(settings) = &settings {
        deps.table.signup_settings_put(&id, settings).await?;
    }
    deps.access.note(None, &key, "app.stored", id.as_str()).await?;
    Ok(Json(AppJson::new(&id, settings.or(known))))
}

/// Returns a Meta app, without its secrets.
#[utoipa::path(
    get,
    path = "/v1/apps/{id}",
    tag = "Meta apps",
    operation_id = "getApp",
    params(("id" = String, Path, description = "Name of the app in this system.")),
    responses((status = 200, body = AppJson), Refusals),
    security(("key" = ["operator"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    _: Operator,
    Id(id): Id<MetaAppId>,
) -> Result<Json<AppJson>, Problem> {
    deps.table.meta_app_get(&id).await?.ok_or_else(Problem::not_found)?;
    let settings = deps.table.signup_settings_get(&id).await?;
    Ok(Json(AppJson::new(&id, settings)))
}

fn secrets(field: &str, current: String, previous: Option<String>) -> Result<Vec<Secret>, Problem> {
    let fits =
        |text: &String| (8..=SECRET_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let all: Vec<String> = std::iter::once(current).chain(previous).collect();
    if !all.iter().all(fits) {
        return Err(Problem::invalid(field, &format!("must be 8 to {SECRET_MAX} printable characters")));
    }
    Ok(all.into_iter().map(Secret::new).collect())
}
