//! Templates of an account: the local copy of Meta's list, and changes at Meta.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use shared::api::{Caller, Id, Ids, JsonBody, List, Manage, Moment, QueryParams, Read, limit, raw};
use shared::clock::Timestamp;
use shared::domain::accounts::template::{ListedTemplate, TemplateKey, TemplateRecord, is_language, is_name};
use shared::domain::ids::{TenantId, WabaId};
use shared::domain::outgoing::{Component, Definition, Language, Template, draft};
use shared::domain::sending::policy::Category;
use shared::http::Problem;
use shared::provider::meta::templates::creation;
use utoipa::{IntoParams, ToSchema};

use crate::Deps;
use crate::account::refused;
use crate::described::AtMeta;

#[derive(Serialize, ToSchema)]
pub(crate) struct AccountJson {
    id: String,
    /// Meta app through which the account was connected; null if an operator stored it by hand.
    app: Option<String>,
    connected_at: Moment,
    /// Whether an access token is stored.
    connected: bool,
    /// Time at which the templates were last fetched from Meta.
    templates_fetched_at: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct MirroredTemplateJson {
    /// Name and language, such as `order_update.en_US`.
    id: String,
    name: String,
    language: String,
    /// Meta's id of the template.
    template_id: Option<String>,
    /// Meta's status, such as `APPROVED`, `PENDING`, `REJECTED`, `PAUSED`.
    status: Option<String>,
    status_at: Option<Moment>,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`.
    category: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    quality: Option<String>,
    rejected_reason: Option<String>,
    /// `NAMED` or `POSITIONAL`.
    parameter_format: &'static str,
    /// Components in Meta's format; null until fetched.
    #[schema(value_type = Option<Value>)]
    components: Option<Box<RawValue>>,
    fetched_at: Option<Moment>,
}

impl MirroredTemplateJson {
    fn new(record: TemplateRecord) -> Self {
        Self {
            id: format!("{}.{}", record.name, record.language),
            name: record.name,
            language: record.language,
            template_id: record.id,
            status: record.status,
            status_at: record.status_at.map(Moment),
            category: record.category,
            quality: record.quality,
            rejected_reason: record.rejected_reason,
            parameter_format: if record.named { "NAMED" } else { "POSITIONAL" },
            components: record.components.and_then(raw),
            fetched_at: record.fetched_at.map(Moment),
        }
    }
}

/// A template for Meta's approval, with Meta's field names.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTemplate {
    /// Lower-case letters, digits and underscores.
    name: String,
    /// Locale, such as `en_US`.
    language: String,
    /// `MARKETING`, `UTILITY` or `AUTHENTICATION`. Meta may assign another category.
    category: String,
    /// `NAMED` or `POSITIONAL`.
    parameter_format: Option<String>,
    #[schema(value_type = Vec<Object>)]
    components: Value,
    /// Time in seconds during which Meta attempts delivery.
    message_send_ttl_seconds: Option<i64>,
}

/// Changes to a template. Given components replace all existing ones.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplateChange {
    #[schema(value_type = Option<Vec<Object>>)]
    components: Option<Value>,
    /// New category; not possible for an approved template.
    category: Option<String>,
    message_send_ttl_seconds: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewRequest {
    /// Components with parameters, as in a message.
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PreviewJson {
    header: Option<String>,
    body: Option<String>,
    footer: Option<String>,
    buttons: Vec<PreviewButtonJson>,
}

#[derive(Serialize, ToSchema)]
struct PreviewButtonJson {
    text: String,
    url: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RefreshedJson {
    /// Number of templates at Meta.
    templates: usize,
    fetched_at: Moment,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TemplatesQuery {
    /// Maximum number of items in the page.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
    /// Only templates with this status, such as `APPROVED`.
    status: Option<String>,
    /// Only templates of this category, such as `UTILITY`.
    category: Option<String>,
    /// Only templates in this language, such as `en_US`.
    language: Option<String>,
}

/// Lists the connected accounts.
#[utoipa::path(
    get,
    path = "/v1/accounts",
    tag = "Accounts",
    operation_id = "listAccounts",
    responses((status = 200, body = List<AccountJson>), AtMeta),
    security(("key" = ["read"])),
)]
pub(crate) async fn accounts(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
) -> Result<Json<List<AccountJson>>, Problem> {
    let mut data = Vec::new();
    for id in deps.table.tenant_list_accounts(tenant).await? {
        let Some(account) = deps.table.account_get(&id).await?.filter(|account| account.tenant == tenant) else {
            continue;
        };
        data.push(AccountJson {
            app: account.app.map(|app| app.to_string()),
            connected_at: Moment(account.connected_at),
            connected: account.has_token,
            templates_fetched_at: deps.table.template_get_fetched_at(&id).await?.map(Moment),
            id: id.to_string(),
        });
    }
    Ok(Json(List { data, next_cursor: None }))
}

/// Lists the account's templates by name, from the local copy.
///
/// The copy is fetched from Meta once per day, when Meta reports a change, and on request; changes reported since are
/// applied. A page may contain fewer than `limit` items although more pages follow.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/templates",
    tag = "Templates",
    operation_id = "listTemplates",
    params(("id" = String, Path), TemplatesQuery),
    responses((status = 200, body = List<MirroredTemplateJson>), AtMeta),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<WabaId>,
    QueryParams(query): QueryParams<TemplatesQuery>,
) -> Result<Json<List<MirroredTemplateJson>>, Problem> {
    deps.access.account_of(tenant, &id).await?;
    let page = deps.table.template_list(&id, limit(query.limit)?, query.cursor.as_deref()).await?;
    let is = |wanted: &Option<String>, known: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| known.is_some_and(|known| known.eq_ignore_ascii_case(wanted)))
    };
    let wanted = |one: &TemplateRecord| {
        is(&query.status, one.status.as_deref())
            && is(&query.category, one.category.as_deref())
            && is(&query.language, Some(&one.language))
    };
    let data = page.items.into_iter().filter(wanted).map(MirroredTemplateJson::new).collect();
    Ok(Json(List { data, next_cursor: page.next }))
}

/// Returns a template.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/templates/{template}",
    tag = "Templates",
    operation_id = "getTemplate",
    params(
        ("id" = String, Path),
        ("template" = String, Path, description = "Name and language, such as `order_update.en_US`."),
    ),
    responses((status = 200, body = MirroredTemplateJson), AtMeta),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Ids(id, template): Ids<WabaId, TemplateKey>,
) -> Result<Json<MirroredTemplateJson>, Problem> {
    Ok(Json(MirroredTemplateJson::new(deps.template_of(tenant, &id, &template).await?)))
}

/// Fetches all templates from Meta now.
#[utoipa::path(
    post,
    path = "/v1/accounts/{id}/templates/refresh",
    tag = "Templates",
    operation_id = "refreshTemplates",
    params(("id" = String, Path)),
    responses((status = 200, body = RefreshedJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn refresh(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<WabaId>,
) -> Result<Json<RefreshedJson>, Problem> {
    let token = deps.token_of(tenant, &id).await?;
    let began = deps.clock.now();
    let listed = deps.graph.templates(&token, &id).await.map_err(refused)?;
    deps.table.template_put_all(&id, &listed, began).await?;
    deps.access.note(Some(tenant), &key, "templates.refreshed", id.as_str()).await?;
    Ok(Json(RefreshedJson { templates: listed.len(), fetched_at: Moment(began) }))
}

/// Submits a template to Meta for approval.
///
/// Meta may assign another category than requested; the response contains the assigned one.
#[utoipa::path(
    post,
    path = "/v1/accounts/{id}/templates",
    tag = "Templates",
    operation_id = "createTemplate",
    params(("id" = String, Path)),
    request_body = NewTemplate,
    responses((status = 201, body = MirroredTemplateJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn create(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<WabaId>,
    JsonBody(request): JsonBody<NewTemplate>,
) -> Result<(StatusCode, Json<MirroredTemplateJson>), Problem> {
    let token = deps.token_of(tenant, &id).await?;
    if !is_name(&request.name) {
        return Err(Problem::invalid("name", "must be 1 to 512 lower-case letters, digits and underscores"));
    }
    if !is_language(&request.language) {
        return Err(Problem::invalid("language", "must be a locale such as en_US"));
    }
    let category = category(&request.category)?;
    let named = format(request.parameter_format.as_deref())?;
    draft::check(&request.components, named)?;
    let ttl = request.message_send_ttl_seconds;
    time_to_live(&category, ttl)?;
    let body = creation(&request.name, &request.language, &category, named, &request.components, ttl);
    let began = began(&deps);
    let created = deps.graph.create_template(&token, &id, &body).await.map_err(refused)?;
    let listed = ListedTemplate {
        id: created.id,
        name: request.name,
        language: request.language,
        status: created.status.unwrap_or_else(|| "PENDING".to_owned()),
        category: created.category.unwrap_or(category),
        quality: None,
        rejected_reason: None,
        named,
        components: request.components.to_string(),
    };
    let template = TemplateKey { name: listed.name.clone(), language: listed.language.clone() };
    deps.table.template_put(&id, &listed, began).await?;
    deps.access.note(Some(tenant), &key, "template.created", &format!("{id}/{template}")).await?;
    Ok((StatusCode::CREATED, Json(MirroredTemplateJson::new(deps.template_of(tenant, &id, &template).await?))))
}

/// Changes a template. Meta reviews it again.
#[utoipa::path(
    patch,
    path = "/v1/accounts/{id}/templates/{template}",
    tag = "Templates",
    operation_id = "editTemplate",
    params(
        ("id" = String, Path),
        ("template" = String, Path, description = "Name and language, such as `order_update.en_US`."),
    ),
    request_body = TemplateChange,
    responses((status = 200, body = MirroredTemplateJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn edit(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Ids(id, template): Ids<WabaId, TemplateKey>,
    JsonBody(request): JsonBody<TemplateChange>,
) -> Result<Json<MirroredTemplateJson>, Problem> {
    let known = deps.template_of(tenant, &id, &template).await?;
    let token = deps.token_of(tenant, &id).await?;
    let meta_id = known.id.clone().ok_or_else(not_fetched)?;
    let mut change = serde_json::Map::new();
    if let Some(components) = &request.components {
        draft::check(components, known.named)?;
        change.insert("components".to_owned(), components.clone());
    }
    let asked = request.category.as_deref().map(category).transpose()?;
    if let Some(category) = &asked {
        change.insert("category".to_owned(), json!(category));
    }
    if let Some(ttl) = request.message_send_ttl_seconds {
        time_to_live(asked.as_deref().or(known.category.as_deref()).unwrap_or_default(), Some(ttl))?;
        change.insert("message_send_ttl_seconds".to_owned(), json!(ttl));
    }
    if change.is_empty() {
        return Err(Problem::invalid("components", "or another field is required"));
    }
    let began = began(&deps);
    deps.graph.edit_template(&token, &meta_id, &Value::Object(change)).await.map_err(refused)?;
    let edited = edited(known, request.components, asked, meta_id);
    deps.table.template_put(&id, &edited, began).await?;
    deps.access.note(Some(tenant), &key, "template.edited", &format!("{id}/{template}")).await?;
    Ok(Json(MirroredTemplateJson::new(deps.template_of(tenant, &id, &template).await?)))
}

/// Deletes a template in one language. Meta blocks the name of an approved template for 30 days.
#[utoipa::path(
    delete,
    path = "/v1/accounts/{id}/templates/{template}",
    tag = "Templates",
    operation_id = "deleteTemplate",
    params(
        ("id" = String, Path),
        ("template" = String, Path, description = "Name and language, such as `order_update.en_US`."),
    ),
    responses((status = 204), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn delete(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Ids(id, template): Ids<WabaId, TemplateKey>,
) -> Result<StatusCode, Problem> {
    let known = deps.template_of(tenant, &id, &template).await?;
    let token = deps.token_of(tenant, &id).await?;
    let meta_id = known.id.ok_or_else(not_fetched)?;
    deps.graph.delete_template(&token, &id, &meta_id, &known.name).await.map_err(refused)?;
    deps.table.template_delete(&id, &template.name, &template.language, deps.clock.now()).await?;
    deps.access.note(Some(tenant), &key, "template.deleted", &format!("{id}/{template}")).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Renders a template as the customer would see it. Errors in the parameters are reported.
#[utoipa::path(
    post,
    path = "/v1/accounts/{id}/templates/{template}/preview",
    tag = "Templates",
    operation_id = "previewTemplate",
    params(
        ("id" = String, Path),
        ("template" = String, Path, description = "Name and language, such as `order_update.en_US`."),
    ),
    request_body = PreviewRequest,
    responses((status = 200, body = PreviewJson), AtMeta),
    security(("key" = ["read"])),
)]
pub(crate) async fn preview(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Ids(id, template): Ids<WabaId, TemplateKey>,
    JsonBody(request): JsonBody<PreviewRequest>,
) -> Result<Json<PreviewJson>, Problem> {
    let known = deps.template_of(tenant, &id, &template).await?;
    let components = known.components.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let definition = Definition::read(known.named, &components.ok_or_else(not_fetched)?);
    let language = Language { code: template.language, policy: None };
    let sent = Template { name: template.name, language, components: request.components };
    definition.check(&sent).map_err(|broken| Problem::from(broken).without_parent("template"))?;
    let filled = definition.fill(&sent);
    let buttons = filled.buttons.into_iter().map(|(text, url)| PreviewButtonJson { text, url }).collect();
    Ok(Json(PreviewJson { header: filled.header, body: filled.body, footer: filled.footer, buttons }))
}

impl Deps {
    async fn template_of(
        &self,
        tenant: TenantId,
        account: &WabaId,
        key: &TemplateKey,
    ) -> Result<TemplateRecord, Problem> {
        self.access.account_of(tenant, account).await?;
        let known = self.table.template_get(account, &key.name, &key.language).await?;
        known.filter(|known| known.status.as_deref() != Some("DELETED")).ok_or_else(Problem::not_found)
    }
}

/// Time before the call to Meta, in whole seconds as in Meta's reports, so that reports made during the call count as
/// newer.
fn began(deps: &Deps) -> Timestamp {
    Timestamp::from_second(deps.clock.now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn edited(known: TemplateRecord, components: Option<Value>, category: Option<String>, id: String) -> ListedTemplate {
    let replaced = components.map(|components| components.to_string());
    ListedTemplate {
        id,
        // Meta reviews the template again. A webhook or the next fetch brings the new status.
        status: known.status.unwrap_or_else(|| "PENDING".to_owned()),
        category: category.or(known.category).unwrap_or_default(),
        quality: known.quality,
        rejected_reason: None,
        named: known.named,
        components: replaced.or(known.components).unwrap_or_else(|| "[]".to_owned()),
        name: known.name,
        language: known.language,
    }
}

fn category(word: &str) -> Result<String, Problem> {
    let known = Category::from_word(word).map(|category| category.as_str().to_ascii_uppercase());
    known.ok_or_else(|| Problem::invalid("category", "must be MARKETING, UTILITY or AUTHENTICATION"))
}

fn format(word: Option<&str>) -> Result<bool, Problem> {
    match word {
        None | Some("POSITIONAL") => Ok(false),
        Some("NAMED") => Ok(true),
        Some(_) => Err(Problem::invalid("parameter_format", "must be NAMED or POSITIONAL")),
    }
}

/// Checks the delivery period of a template against Meta's limits by category (`docs/meta/messages.md#section-12`); -1
/// is 30 days.
fn time_to_live(category: &str, ttl: Option<i64>) -> Result<(), Problem> {
    let Some(ttl) = ttl else { return Ok(()) };
    let (allowed, or_month) = match Category::from_word(category) {
        Some(Category::Authentication) => (30..=900, true),
        Some(Category::Utility) => (30..=43_200, true),
        _ => (43_200..=2_592_000, false),
    };
    if allowed.contains(&ttl) || (or_month && ttl == -1) {
        return Ok(());
    }
    let rule = format!("must be {} to {} for this category", allowed.start(), allowed.end());
    Err(Problem::invalid("message_send_ttl_seconds", &rule))
}

fn not_fetched() -> Problem {
    Problem::conflict("not_fetched", "The template has not been fetched from Meta yet.")
        .remedy("Fetch the templates: POST /v1/accounts/{id}/templates/refresh.")
}
