//! `POST /v1/offboardings` and below: a business leaves, or a whole tenant.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::ids::{OffboardingId, TenantId, WabaId};
use shared::domain::offboarding::{ERASE_AFTER_MAX, Leaving, Offboarding, Why};
use shared::domain::onboarding::StepRecord;
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::storage::StorageError;

use crate::auth::Caller;
use crate::conversations::{PageParameters, PageQuery};
use crate::json::{self, List, time};
use crate::{Deps, storage_problem};

type Id = Result<Path<String>, PathRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartRequest {
    waba_id: Option<String>,
    tenant_id: Option<String>,
    #[serde(default)]
    erase_after_days: i64,
}

#[derive(Serialize)]
pub(crate) struct OffboardingJson {
    id: String,
    status: &'static str,
    why: &'static str,
    started_at: String,
    erase_at: String,
    waba_ids: Vec<String>,
    erased: u64,
    cancelled: Option<String>,
    steps: Vec<StepJson>,
}

#[derive(Serialize)]
struct StepJson {
    step: &'static str,
    state: &'static str,
    at: String,
    code: Option<i64>,
    cause: Option<String>,
    action: Option<String>,
}

impl OffboardingJson {
    fn new(offboarding: Offboarding, now: Timestamp) -> Self {
        let step = |(step, record): (Leaving, StepRecord)| StepJson {
            step: step.as_str(),
            state: record.state.as_str(),
            at: time(record.at),
            code: record.code,
            cause: record.cause,
            action: record.action,
        };
        Self {
            id: offboarding.id.to_string(),
            status: offboarding.departure(now).as_str(),
            why: offboarding.why.as_str(),
            started_at: time(offboarding.started_at),
            erase_at: time(offboarding.erase_at),
            waba_ids: offboarding.accounts.iter().map(ToString::to_string).collect(),
            erased: offboarding.erased,
            cancelled: offboarding.cancelled,
            steps: offboarding.steps.into_iter().map(step).collect(),
        }
    }
}

/// A tenant's account leaves; for an operator a whole tenant.
pub(crate) async fn start(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<OffboardingJson>), Problem> {
    let caller = caller.tenant_or_operator(Scope::Manage)?;
    let body = body.map_err(|_| Problem::too_large())?;
    let request: StartRequest = json::typed(json::parse(&body)?)?;
    if !(0..=ERASE_AFTER_MAX).contains(&request.erase_after_days) {
        return Err(Problem::invalid("erase_after_days", &format!("must be 0 to {ERASE_AFTER_MAX}")));
    }
    let now = deps.clock.now();
    let when = (now, SignedDuration::from_hours(request.erase_after_days * 24));
    let id = OffboardingId::generate(now).map_err(|error| storage_problem(&StorageError::from(error)))?;
    let offboarding = match (caller, request.waba_id, request.tenant_id) {
        (Some(tenant), Some(account), None) => {
            let account =
                WabaId::parse(&account).map_err(|_| Problem::invalid("waba_id", "must be an id of Meta's"))?;
            let owner = deps.table.account_tenant(&account).await.map_err(|error| storage_problem(&error))?;
            if owner != Some(tenant) {
                return Err(Problem::not_found());
            }
            deps.table.stop_account(&account, now).await.map_err(|error| storage_problem(&error))?;
            Offboarding::of_account(id, (tenant, account), Why::Asked, when)
        }
        (None, None, Some(tenant)) => {
            let tenant =
                TenantId::parse(&tenant).map_err(|_| Problem::invalid("tenant_id", "must be a tenant's id"))?;
            let known = deps.table.has_tenant(tenant).await.map_err(|error| storage_problem(&error))?;
            if !known {
                return Err(Problem::not_found());
            }
            Offboarding::of_tenant(id, tenant, Why::Asked, when)
        }
        (Some(_), ..) => return Err(Problem::invalid("waba_id", "is required, and nothing else names what leaves")),
        (None, ..) => return Err(Problem::invalid("tenant_id", "is required of an operator, and nothing else")),
    };
    deps.table.put_offboarding(&offboarding).await.map_err(|error| storage_problem(&error))?;
    deps.metrics.count("offboarding", "started", 1);
    Ok((StatusCode::ACCEPTED, Json(OffboardingJson::new(offboarding, now))))
}

pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<OffboardingJson>, Problem> {
    let caller = caller.tenant_or_operator(Scope::Read)?;
    let id = path.ok().and_then(|Path(id)| OffboardingId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let known = deps.table.offboarding(id).await.map_err(|error| storage_problem(&error))?;
    let known = known.filter(|one| caller.is_none() || one.tenant == caller).ok_or_else(Problem::not_found)?;
    Ok(Json(OffboardingJson::new(known, deps.clock.now())))
}

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<OffboardingJson>>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.offboardings(tenant, limit, cursor.as_deref()).await;
    let page = page.map_err(|error| storage_problem(&error))?;
    let now = deps.clock.now();
    let ours = page.items.into_iter().filter(|one| one.tenant == Some(tenant));
    Ok(Json(List { data: ours.map(|one| OffboardingJson::new(one, now)).collect(), next_cursor: page.next }))
}
