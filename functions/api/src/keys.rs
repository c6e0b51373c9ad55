//! `/v1/tenants`, `/v1/keys`, `/v1/audit`: who may do what, and who changed that.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::ids::TenantId;
use shared::domain::tenant::{ApiKeyRecord, AuditEntry, KEY_DAYS_MAX, NAME_MAX, Scope, Tenant};
use shared::http::Problem;
use shared::storage::StorageError;

use crate::auth::{ApiKey, Caller, hash, pepper};
use crate::conversations::{PageParameters, PageQuery};
use crate::json::{self, List, time};
use crate::{Deps, storage_problem};

type Id = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantRequest {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRequest {
    name: Option<String>,
    scopes: Vec<String>,
    expires_in_days: Option<i64>,
    tenant_id: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct TenantJson {
    id: String,
    name: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaving_since: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct KeyJson {
    id: String,
    /// The whole key: shown when it is made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    name: Option<String>,
    scopes: Vec<&'static str>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct AuditJson {
    at: String,
    key_id: String,
    action: String,
    subject: String,
}

impl TenantJson {
    fn new(tenant: Tenant) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name,
            created_at: time(tenant.created_at),
            leaving_since: tenant.closing_at.map(time),
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
            created_at: time(key.created_at),
            expires_at: key.expires_at.map(time),
            revoked_at: key.revoked_at.map(time),
        }
    }
}

pub(crate) async fn create_tenant(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<TenantJson>), Problem> {
    caller.operator()?;
    let request: TenantRequest = read(body)?;
    let name = named("name", request.name)?;
    let now = deps.clock.now();
    let id = TenantId::generate(now).map_err(|error| storage_problem(&error.into()))?;
    deps.table.put_tenant(id, &name, now).await.map_err(|error| storage_problem(&error))?;
    note(&deps, &caller, Some(id), "tenant.created", &id.to_string(), now).await?;
    let tenant = Tenant { id, name, created_at: now, closing_at: None };
    Ok((StatusCode::CREATED, Json(TenantJson::new(tenant))))
}

pub(crate) async fn tenants(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<TenantJson>>, Problem> {
    caller.operator()?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.tenants(limit, cursor.as_deref()).await.map_err(|error| storage_problem(&error))?;
    Ok(Json(List { data: page.items.into_iter().map(TenantJson::new).collect(), next_cursor: page.next }))
}

pub(crate) async fn tenant(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<TenantJson>, Problem> {
    caller.operator()?;
    let id = path.ok().and_then(|Path(id)| TenantId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let known = deps.table.tenant(id).await.map_err(|error| storage_problem(&error))?;
    Ok(Json(TenantJson::new(known.ok_or_else(Problem::not_found)?)))
}

/// A tenant makes keys for its own programs, an operator for any tenant.
pub(crate) async fn create(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<KeyJson>), Problem> {
    let own = caller.tenant_or_operator(Scope::Manage)?;
    let request: KeyRequest = read(body)?;
    let tenant = match (own, request.tenant_id) {
        (Some(tenant), None) => tenant,
        (None, Some(id)) => {
            let id = TenantId::parse(&id).map_err(|_| Problem::invalid("tenant_id", "must be a tenant's id"))?;
            let known = deps.table.tenant(id).await.map_err(|error| storage_problem(&error))?;
            let open = known.filter(|known| known.closing_at.is_none());
            open.ok_or_else(|| Problem::invalid("tenant_id", "must be a tenant that is not leaving"))?.id
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("tenant_id", "is for operators: a key is made for its maker's tenant"));
        }
        (None, None) => return Err(Problem::invalid("tenant_id", "is required of an operator")),
    };
    let scopes = scopes(&request.scopes)?;
    let name = request.name.map(|name| named("name", name)).transpose()?;
    let now = deps.clock.now();
    let expires_at = expiry(request.expires_in_days, now)?;
    let key = ApiKey::generate(now).map_err(|error| storage_problem(&StorageError::from(error)))?;
    let record = ApiKeyRecord {
        id: key.id.clone(),
        hash: hash(&key, &*pepper(&deps).await?),
        tenant: Some(tenant),
        scopes,
        name,
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    deps.table.put_api_key(&record).await.map_err(|error| storage_problem(&error))?;
    note(&deps, &caller, Some(tenant), "key.created", &record.id, now).await?;
    let shown = key.reveal().expose().to_owned();
    Ok((StatusCode::CREATED, Json(KeyJson::new(record, Some(shown)))))
}

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<KeyJson>>, Problem> {
    let tenant = caller.tenant_or_operator(Scope::Manage)?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.api_keys(tenant, limit, cursor.as_deref()).await.map_err(|error| storage_problem(&error))?;
    let ours = page.items.into_iter().filter(|key| key.tenant == tenant);
    Ok(Json(List { data: ours.map(|key| KeyJson::new(key, None)).collect(), next_cursor: page.next }))
}

/// Takes a key back: refused within a minute.
pub(crate) async fn revoke(State(deps): State<Arc<Deps>>, caller: Caller, path: Id) -> Result<StatusCode, Problem> {
    let tenant = caller.tenant_or_operator(Scope::Manage)?;
    let Path(id) = path.map_err(|_| Problem::not_found())?;
    let known = deps.table.api_key(&id).await.map_err(|error| storage_problem(&error))?;
    // An operator takes back any key.
    let known = known.filter(|key| tenant.is_none() || key.tenant == tenant).ok_or_else(Problem::not_found)?;
    let now = deps.clock.now();
    deps.table.revoke_api_key(&known.id, now).await.map_err(|error| storage_problem(&error))?;
    deps.keys.forget(&known.id);
    note(&deps, &caller, known.tenant, "key.revoked", &known.id, now).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn audit(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<AuditJson>>, Problem> {
    let tenant = caller.tenant_or_operator(Scope::Manage)?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.audit(tenant, limit, cursor.as_deref()).await.map_err(|error| storage_problem(&error))?;
    let shown = |entry: AuditEntry| AuditJson {
        at: time(entry.at),
        key_id: entry.key,
        action: entry.action,
        subject: entry.subject,
    };
    Ok(Json(List { data: page.items.into_iter().map(shown).collect(), next_cursor: page.next }))
}

/// Records who changed what, after it was changed.
pub(crate) async fn note(
    deps: &Deps,
    caller: &Caller,
    tenant: Option<TenantId>,
    action: &str,
    subject: &str,
    now: Timestamp,
) -> Result<(), Problem> {
    let entry =
        AuditEntry { at: now, key: caller.key_id().to_owned(), action: action.to_owned(), subject: subject.to_owned() };
    deps.table.put_audit(tenant, &entry).await.map_err(|error| storage_problem(&error))
}

fn read<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, Problem> {
    json::typed(json::parse(&body.map_err(|_| Problem::too_large())?)?)
}

fn named(field: &str, name: String) -> Result<String, Problem> {
    let fits = !name.trim().is_empty() && name.chars().count() <= NAME_MAX && !name.chars().any(char::is_control);
    if fits { Ok(name) } else { Err(Problem::invalid(field, &format!("must be text of 1 to {NAME_MAX} characters"))) }
}

fn scopes(words: &[String]) -> Result<Vec<Scope>, Problem> {
    let rule = || Problem::invalid("scopes", "must be some of read, send, manage, each once");
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
