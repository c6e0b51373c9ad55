//! `/v1/tenants`, `/v1/keys`, `/v1/audit`: tenants, API keys and the audit log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::api::{
    ApiKey, Id, JsonBody, List, Manage, Moment, Operator, PageQuery, QueryParams, Refusals, TenantOrOperator, hash,
    named,
};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::tenant::{
    ApiKeyRecord, AuditEntry, KEY_DAYS_MAX, KEY_RATE_DEFAULT, KEY_RATE_MAX, NAME_MAX, Scope, Tenant,
};
use shared::domain::ids::TenantId;
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantRequest {
    name: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    name: Option<String>,
    /// One or more of `read`, `send`, `manage`.
    scopes: Vec<String>,
    /// Lifetime in days; without it, the key never expires.
    #[schema(minimum = 1, maximum = 3650)]
    expires_in_days: Option<i64>,
    /// Rate limit, averaged over ten seconds. Only an operator may set more than 100.
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    requests_per_second: Option<u32>,
    /// The key's tenant. Required for operators, not allowed for tenants.
    tenant_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TenantJson {
    id: String,
    name: String,
    created_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaving_since: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct KeyJson {
    id: String,
    /// The complete key. Returned only when the key is created.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    name: Option<String>,
    scopes: Vec<&'static str>,
    created_at: Moment,
    expires_at: Option<Moment>,
    revoked_at: Option<Moment>,
    requests_per_second: u32,
    /// Time of the last use, accurate to a few seconds.
    last_used_at: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AuditJson {
    at: Moment,
    key_id: String,
    action: String,
    subject: String,
}

impl TenantJson {
    fn new(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            created_at: Moment(tenant.created_at),
            leaving_since: tenant.closing_at.map(Moment),
        }
    }
}

impl KeyJson {
    fn new(key: ApiKeyRecord, shown: Option<String>) -> Self {
        Self {
            id: key.id,
            key: shown,
            name: key.name,
            scopes: key.scopes.into_iter().map(Scope::as_str).collect(),
            created_at: Moment(key.created_at),
            expires_at: key.expires_at.map(Moment),
            revoked_at: key.revoked_at.map(Moment),
            requests_per_second: key.requests_per_second,
            last_used_at: key.last_used_at.map(Moment),
        }
    }
}

/// Creates a tenant.
#[utoipa::path(
    post,
    path = "/v1/tenants",
    tag = "Tenants and keys",
    operation_id = "createTenant",
    request_body = TenantRequest,
    responses((status = 201, body = TenantJson), Refusals),
    security(("key" = ["operator"])),
)]
pub(crate) async fn create_tenant(
    State(deps): State<Arc<Deps>>,
    Operator { key }: Operator,
    JsonBody(request): JsonBody<TenantRequest>,
) -> Result<(StatusCode, Json<TenantJson>), Problem> {
    let name = named("name", request.name, NAME_MAX)?;
    let now = deps.clock.now();
    let id = TenantId::generate(now)?;
    deps.table.tenant_put(id, &name, now).await?;
    deps.access.note(Some(id), &key, "tenant.created", &id.to_string()).await?;
    let tenant = Tenant { id, name, created_at: now, closing_at: None };
    Ok((StatusCode::CREATED, Json(TenantJson::new(tenant))))
}

/// Lists all tenants, latest first.
#[utoipa::path(
    get,
    path = "/v1/tenants",
    tag = "Tenants and keys",
    operation_id = "listTenants",
    params(PageQuery),
    responses((status = 200, body = List<TenantJson>), Refusals),
    security(("key" = ["operator"])),
)]
pub(crate) async fn tenants(
    State(deps): State<Arc<Deps>>,
    _: Operator,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<TenantJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.tenant_list(limit, cursor.as_deref()).await?;
    Ok(Json(List { data: page.items.into_iter().map(TenantJson::new).collect(), next_cursor: page.next }))
}

/// Returns a tenant.
#[utoipa::path(
    get,
    path = "/v1/tenants/{id}",
    tag = "Tenants and keys",
    operation_id = "getTenant",
    params(("id" = String, Path)),
    responses((status = 200, body = TenantJson), Refusals),
    security(("key" = ["operator"])),
)]
pub(crate) async fn tenant(
    State(deps): State<Arc<Deps>>,
    _: Operator,
    Id(id): Id<TenantId>,
) -> Result<Json<TenantJson>, Problem> {
    let known = deps.table.tenant_get(id).await?;
    Ok(Json(TenantJson::new(known.ok_or_else(Problem::not_found)?)))
}

/// Creates an API key. Only this response contains the complete key.
///
/// A tenant creates keys for itself, an operator for any tenant.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "Tenants and keys",
    operation_id = "createKey",
    request_body = KeyRequest,
    responses((status = 201, body = KeyJson), Refusals),
    security(("key" = ["manage"]), ("key" = ["operator"])),
)]
pub(crate) async fn create(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant: own, key: maker, .. }: TenantOrOperator<Manage>,
    JsonBody(request): JsonBody<KeyRequest>,
) -> Result<(StatusCode, Json<KeyJson>), Problem> {
    let tenant = match (own, request.tenant_id) {
        (Some(tenant), None) => tenant,
        (None, Some(id)) => {
            let id = TenantId::parse(&id).map_err(|_| Problem::invalid("tenant_id", "must be a tenant id"))?;
            let known = deps.table.tenant_get(id).await?;
            let open = known.filter(|known| known.closing_at.is_none());
            open.ok_or_else(|| Problem::invalid("tenant_id", "must be a tenant that is not being offboarded"))?.id
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("tenant_id", "is only for operators: a tenant creates keys for itself"));
        }
        (None, None) => return Err(Problem::invalid("tenant_id", "is required for operators")),
    };
    let scopes = scopes(&request.scopes)?;
    let name = request.name.map(|name| named("name", name, NAME_MAX)).transpose()?;
    let now = deps.clock.now();
    let expires_at = expiry(request.expires_in_days, now)?;
    let rate = request.requests_per_second.unwrap_or(KEY_RATE_DEFAULT);
    if !(1..=KEY_RATE_MAX).contains(&rate) || (rate > KEY_RATE_DEFAULT && own.is_some()) {
        let rule = format!("must be 1 to {KEY_RATE_DEFAULT} (for operators 1 to {KEY_RATE_MAX})");
        return Err(Problem::invalid("requests_per_second", &rule));
    }
    let key = ApiKey::generate(now)?;
    let peppers = deps.access.pepper().await?;
    let (version, pepper) = peppers.current();
    let record = ApiKeyRecord {
        id: key.id.clone(),
        hash: hash(&key, pepper),
        pepper: version,
        tenant: Some(tenant),
        scopes,
        name,
        created_at: now,
        expires_at,
        revoked_at: None,
        requests_per_second: rate,
        last_used_at: None,
    };
    deps.table.api_key_put(&record).await?;
    deps.access.note(Some(tenant), &maker, "key.created", &record.id).await?;
    let shown = key.reveal().expose().to_owned();
    Ok((StatusCode::CREATED, Json(KeyJson::new(record, Some(shown)))))
}

/// Lists the API keys, latest first.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "Tenants and keys",
    operation_id = "listKeys",
    params(PageQuery),
    responses((status = 200, body = List<KeyJson>), Refusals),
    security(("key" = ["manage"]), ("key" = ["operator"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, .. }: TenantOrOperator<Manage>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<KeyJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.api_key_list(tenant, limit, cursor.as_deref()).await?;
    let ours = page.items.into_iter().filter(|key| key.tenant == tenant);
    Ok(Json(List { data: ours.map(|key| KeyJson::new(key, None)).collect(), next_cursor: page.next }))
}

/// Revokes an API key. It is refused within one minute.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    tag = "Tenants and keys",
    operation_id = "revokeKey",
    params(("id" = String, Path)),
    responses((status = 204), Refusals),
    security(("key" = ["manage"]), ("key" = ["operator"])),
)]
pub(crate) async fn revoke(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, key, .. }: TenantOrOperator<Manage>,
    Id(id): Id<String>,
) -> Result<StatusCode, Problem> {
    let known = deps.table.api_key_get(&id).await?;
    // An operator may revoke any key.
    let known = known.filter(|key| tenant.is_none() || key.tenant == tenant).ok_or_else(Problem::not_found)?;
    deps.table.api_key_revoke(&known.id, deps.clock.now()).await?;
    deps.access.forget(&known.id);
    deps.access.note(known.tenant, &key, "key.revoked", &known.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the audit log of changes, latest first. Entries are kept for 400 days.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "Tenants and keys",
    operation_id = "listAudit",
    params(PageQuery),
    responses((status = 200, body = List<AuditJson>), Refusals),
    security(("key" = ["manage"]), ("key" = ["operator"])),
)]
pub(crate) async fn audit(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, .. }: TenantOrOperator<Manage>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<AuditJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.audit_list(tenant, limit, cursor.as_deref()).await?;
    let shown = |entry: AuditEntry| AuditJson {
        at: Moment(entry.at),
        key_id: entry.key,
        action: entry.action,
        subject: entry.subject,
    };
    Ok(Json(List { data: page.items.into_iter().map(shown).collect(), next_cursor: page.next }))
}

fn scopes(words: &[String]) -> Result<Vec<Scope>, Problem> {
    let rule = || Problem::invalid("scopes", "must be one or more of read, send, manage, without repetition");
    let scope = |word: &String| Scope::from_word(word).filter(|scope| *scope != Scope::Operator).ok_or_else(rule);
    let mut scopes = words.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() || scopes.len() != words.len() { Err(rule()) } else { Ok(scopes) }
}

fn expiry(days: Option<i64>, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    match days {
        None => Ok(None),
        Some(days) if (1..=KEY_DAYS_MAX).contains(&days) => {
            Ok(now.checked_add(SignedDuration::from_hours(days * 24)).ok())
        }
        Some(_) => Err(Problem::invalid("expires_in_days", &format!("must be 1 to {KEY_DAYS_MAX}"))),
    }
}
