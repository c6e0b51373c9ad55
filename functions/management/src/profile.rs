//! Business profile of a number, as shown to customers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::api::{Caller, Id, JsonBody, Manage, Read, Upload};
use shared::domain::ids::NumberId;
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;
use crate::account::refused;
use crate::described::AtMeta;
use crate::samples::kind_of;

/// Longest texts of a profile, in characters (`docs/meta/messages.md#section-10`).
const ABOUT_MAX: usize = 139;
const ADDRESS_MAX: usize = 256;
const DESCRIPTION_MAX: usize = 512;
const EMAIL_MAX: usize = 128;
const WEBSITE_MAX: usize = 256;
const WEBSITES_MAX: usize = 2;
const VERTICALS: [&str; 22] = [
    "OTHER",
    "AUTO",
    "BEAUTY",
    "APPAREL",
    "EDU",
    "ENTERTAIN",
    "EVENT_PLAN",
    "FINANCE",
    "GROCERY",
    "GOVT",
    "HOTEL",
    "HEALTH",
    "NONPROFIT",
    "PROF_SERVICES",
    "RETAIL",
    "TRAVEL",
    "RESTAURANT",
    "ALCOHOL",
    "ONLINE_GAMBLING",
    "PHYSICAL_GAMBLING",
    "OTC_DRUGS",
    "MATRIMONY_SERVICE",
];

#[derive(Serialize, ToSchema)]
pub(crate) struct ProfileJson {
    about: Option<String>,
    address: Option<String>,
    description: Option<String>,
    email: Option<String>,
    websites: Vec<String>,
    /// Meta's code of the industry.
    vertical: Option<String>,
    profile_picture_url: Option<String>,
}

impl ProfileJson {
    fn new(profile: &Map<String, Value>) -> Self {
        let text = |name: &str| profile.get(name).and_then(Value::as_str).map(str::to_owned);
        let websites = profile.get("websites").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Self {
            about: text("about"),
            address: text("address"),
            description: text("description"),
            email: text("email"),
            websites: websites.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            vertical: text("vertical"),
            profile_picture_url: text("profile_picture_url"),
        }
    }
}

/// Changes to a profile. Omitted fields stay unchanged.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 139)]
    about: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256)]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    email: Option<String>,
    /// At most two URLs, starting with http:// or https://.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 2)]
    websites: Option<Vec<String>>,
    /// Meta's code of the industry, such as `RETAIL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    vertical: Option<String>,
}

impl ProfileChange {
    fn check(&self) -> Result<(), Problem> {
        let fits = |field: &str, text: &Option<String>, min: usize, max: usize| match text {
            Some(text) if !(min..=max).contains(&text.chars().count()) => {
                Err(Problem::invalid(field, &format!("must be {min} to {max} characters")))
            }
            _ => Ok(()),
        };
        fits("about", &self.about, 1, ABOUT_MAX)?;
        fits("address", &self.address, 0, ADDRESS_MAX)?;
        fits("description", &self.description, 0, DESCRIPTION_MAX)?;
        fits("email", &self.email, 0, EMAIL_MAX)?;
        if self.email.as_ref().is_some_and(|email| !email.is_empty() && !email.contains('@')) {
            return Err(Problem::invalid("email", "must be an e-mail address"));
        }
        if let Some(websites) = &self.websites {
            let web =
                |url: &String| (url.starts_with("https://") || url.starts_with("http://")) && url.len() <= WEBSITE_MAX;
            if websites.len() > WEBSITES_MAX || !websites.iter().all(web) {
                let rule = format!("must be at most {WEBSITES_MAX} http or https URLs of {WEBSITE_MAX} characters");
                return Err(Problem::invalid("websites", &rule));
            }
        }
        match &self.vertical {
            Some(word) if !VERTICALS.contains(&word.as_str()) => {
                Err(Problem::invalid("vertical", &format!("must be one of {}", VERTICALS.join(", "))))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the current business profile at Meta.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}/profile",
    tag = "Numbers",
    operation_id = "getProfile",
    params(("id" = String, Path)),
    responses((status = 200, body = ProfileJson), AtMeta),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<NumberId>,
) -> Result<Json<ProfileJson>, Problem> {
    let (number, token) = deps.opened(tenant, &id).await?;
    Ok(Json(ProfileJson::new(&deps.graph.profile(&token, &number.id).await.map_err(refused)?)))
}

/// Changes the business profile.
#[utoipa::path(
    patch,
    path = "/v1/numbers/{id}/profile",
    tag = "Numbers",
    operation_id = "changeProfile",
    params(("id" = String, Path)),
    request_body = ProfileChange,
    responses((status = 200, body = ProfileJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn change(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
    JsonBody(request): JsonBody<ProfileChange>,
) -> Result<Json<ProfileJson>, Problem> {
    let (number, token) = deps.opened(tenant, &id).await?;
    request.check()?;
    let Ok(Value::Object(change)) = serde_json::to_value(&request) else { return Err(Problem::unavailable()) };
    if change.is_empty() {
        return Err(Problem::invalid("about", "or another field is required"));
    }
    deps.graph.change_profile(&token, &number.id, change).await.map_err(refused)?;
    deps.access.note(Some(tenant), &key, "profile.changed", id.as_str()).await?;
    Ok(Json(ProfileJson::new(&deps.graph.profile(&token, &number.id).await.map_err(refused)?)))
}

/// Sets the profile picture, a JPEG or PNG file.
#[utoipa::path(
    put,
    path = "/v1/numbers/{id}/profile/picture",
    tag = "Numbers",
    operation_id = "putProfilePicture",
    params(("id" = String, Path)),
    request_body(content = Vec<u8>, content_type = "image/jpeg", description = "The content of the picture."),
    responses((status = 204), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn picture(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
    Upload(file): Upload,
) -> Result<StatusCode, Problem> {
    let (number, token) = deps.opened(tenant, &id).await?;
    let kind = kind_of(&file, &["image/jpeg", "image/png"]);
    let kind = kind.ok_or_else(|| Problem::invalid("body", "must be a JPEG or PNG picture"))?;
    let handle = deps.handle_of(tenant, &number.waba, &token, kind, file).await?;
    let change = Map::from_iter([("profile_picture_handle".to_owned(), Value::String(handle))]);
    deps.graph.change_profile(&token, &number.id, change).await.map_err(refused)?;
    deps.access.note(Some(tenant), &key, "profile.picture_changed", id.as_str()).await?;
    Ok(StatusCode::NO_CONTENT)
}
