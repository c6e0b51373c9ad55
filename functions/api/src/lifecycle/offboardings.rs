//! `/v1/offboardings`: removal of a number, an account or a tenant, with its data.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::api::{
    Caller, Expected, Id, JsonBody, List, Manage, Moment, PageQuery, QueryParams, Read, Refusals, TenantOrOperator,
};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::number::{Inactive, Settings};
use shared::domain::ids::{NumberId, OffboardingId, TenantId, WabaId};
use shared::domain::lifecycle::offboarding::{BEING_REMOVED, ERASE_AFTER_MAX, Leaving, Offboarding, Why};
use shared::domain::lifecycle::onboarding::StepRecord;
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StartOffboarding)]
pub(crate) struct StartRequest {
    waba_id: Option<String>,
    tenant_id: Option<String>,
    #[serde(default)]
    erase_after_days: i64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct OffboardingJson {
    id: String,
    status: &'static str,
    why: &'static str,
    started_at: Moment,
    erase_at: Moment,
    waba_ids: Vec<String>,
    /// Number that is removed while its account stays.
    number_id: Option<String>,
    erased: u64,
    cancelled: Option<String>,
    steps: Vec<StepJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LeavingStep)]
struct StepJson {
    step: &'static str,
    state: &'static str,
    at: Moment,
    code: Option<i64>,
    cause: Option<String>,
    action: Option<String>,
}

impl OffboardingJson {
    fn new(offboarding: Offboarding, now: Timestamp) -> Self {
        let step_json = |step: Leaving, record: StepRecord| StepJson {
            step: step.as_str(),
            state: record.state.as_str(),
            at: Moment(record.at),
            code: record.code,
            cause: record.cause,
            action: record.action,
        };
        Self {
            id: offboarding.id.to_string(),
            status: offboarding.departure(now).as_str(),
            why: offboarding.why.as_str(),
            started_at: Moment(offboarding.started_at),
            erase_at: Moment(offboarding.erase_at),
            waba_ids: offboarding.accounts.iter().map(ToString::to_string).collect(),
            number_id: offboarding.number.map(|number| number.to_string()),
            erased: offboarding.erased,
            cancelled: offboarding.cancelled,
            steps: offboarding.steps.into_iter().map(|(step, record)| step_json(step, record)).collect(),
        }
    }
}

/// Starts removing an account, or (operators only) a whole tenant, and erasing its data.
#[utoipa::path(
    post,
    path = "/v1/offboardings",
    tag = "Offboardings",
    operation_id = "startOffboarding",
    request_body = StartRequest,
    responses((status = 202, body = OffboardingJson), Refusals),
    security(("key" = ["manage"]), ("key" = ["operator"])),
)]
pub(crate) async fn start(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, key, .. }: TenantOrOperator<Manage>,
    JsonBody(request): JsonBody<StartRequest>,
) -> Result<(StatusCode, Json<OffboardingJson>), Problem> {
    if !(0..=ERASE_AFTER_MAX).contains(&request.erase_after_days) {
        return Err(Problem::invalid("erase_after_days", &format!("must be 0 to {ERASE_AFTER_MAX}")));
    }
    let now = deps.clock.now();
    let erase_after = SignedDuration::from_hours(request.erase_after_days * 24);
    let id = OffboardingId::generate(now)?;
    let offboarding = match (tenant, request.waba_id, request.tenant_id) {
        (Some(tenant), Some(account), None) => {
            let account =
                WabaId::parse(&account).map_err(|_| Problem::invalid("waba_id", "must be an account id of Meta"))?;
            let owner = deps.table.account_get_tenant(&account).await?;
            if owner != Some(tenant) {
                return Err(Problem::not_found());
            }
            deps.table.account_stop(&account, now).await?;
            Offboarding::of_account(id, tenant, account, Why::Requested, now, erase_after)
        }
        (None, None, Some(tenant)) => {
            let tenant = TenantId::parse(&tenant).map_err(|_| Problem::invalid("tenant_id", "must be a tenant id"))?;
            let known = deps.table.tenant_exists(tenant).await?;
            if !known {
                return Err(Problem::not_found());
            }
            Offboarding::of_tenant(id, tenant, Why::Requested, now, erase_after)
        }
        (Some(_), ..) => return Err(Problem::invalid("waba_id", "is required, as the only id in the request")),
        (None, ..) => return Err(Problem::invalid("tenant_id", "is required for operators, as the only id")),
    };
    deps.table.offboarding_put(&offboarding).await?;
    deps.access.note(tenant, &key, "offboarding.started", &id.to_string()).await?;
    deps.metrics.count("offboarding", "started", 1);
    Ok((StatusCode::ACCEPTED, Json(OffboardingJson::new(offboarding, now))))
}

/// Removes a number: it stops sending now, and its stored data is erased.
///
/// Removing the last number of an account removes the account too. Otherwise the number stays registered at Meta and
/// its account stays subscribed; new events for the number are not stored. To keep the data, use `…/deactivate`.
#[utoipa::path(
    delete,
    path = "/v1/numbers/{id}",
    tag = "Numbers",
    operation_id = "deleteNumber",
    params(("id" = String, Path)),
    responses(
        (status = 202, body = OffboardingJson),
        (status = 412, body = Problem, description = "`changed_meanwhile`"),
        Refusals,
    ),
    security(("key" = ["manage"])),
)]
pub(crate) async fn remove(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(number): Id<NumberId>,
) -> Result<(StatusCode, Json<OffboardingJson>), Problem> {
    let number = deps.access.number_of(tenant, &number).await?;
    let now = deps.clock.now();
    let id = OffboardingId::generate(now)?;
    let mut others = 0;
    for other in deps.table.account_list_numbers(&number.waba).await?.into_iter().filter(|other| *other != number.id) {
        let known = deps.table.number_get(&other).await?;
        others += usize::from(known.is_some_and(|known| known.tenant == tenant && known.waba == number.waba));
    }
    let offboarding = if others > 0 {
        let inactive = Inactive { since: now, reason: Some(BEING_REMOVED.to_owned()) };
        let settings = Settings { inactive: Some(inactive), ..number.settings.clone() };
        if !deps.table.number_put_settings(&number, &settings).await? {
            return Err(Expected::changed());
        }
        deps.numbers.forget(&number.id);
        Offboarding::of_number(id, &number, now)
    } else {
        deps.table.account_stop(&number.waba, now).await?;
        Offboarding::of_account(id, tenant, number.waba.clone(), Why::Requested, now, SignedDuration::ZERO)
    };
    deps.standings.forget(&number.id);
    deps.table.offboarding_put(&offboarding).await?;
    deps.access.note(Some(tenant), &key, "number.removed", number.id.as_str()).await?;
    deps.metrics.count("offboarding", "started", 1);
    Ok((StatusCode::ACCEPTED, Json(OffboardingJson::new(offboarding, now))))
}

/// Returns the progress of an offboarding.
#[utoipa::path(
    get,
    path = "/v1/offboardings/{id}",
    tag = "Offboardings",
    operation_id = "getOffboarding",
    params(("id" = String, Path)),
    responses((status = 200, body = OffboardingJson), Refusals),
    security(("key" = ["read"]), ("key" = ["operator"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, .. }: TenantOrOperator<Read>,
    Id(id): Id<OffboardingId>,
) -> Result<Json<OffboardingJson>, Problem> {
    let known = deps.table.offboarding_get(id).await?;
    let known = known.filter(|one| tenant.is_none() || one.tenant == tenant).ok_or_else(Problem::not_found)?;
    Ok(Json(OffboardingJson::new(known, deps.clock.now())))
}

/// Lists the offboardings, latest first.
#[utoipa::path(
    get,
    path = "/v1/offboardings",
    tag = "Offboardings",
    operation_id = "listOffboardings",
    params(PageQuery),
    responses((status = 200, body = List<OffboardingJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<OffboardingJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.offboarding_list(tenant, limit, cursor.as_deref()).await?;
    let now = deps.clock.now();
    let ours = page.items.into_iter().filter(|one| one.tenant == Some(tenant));
    Ok(Json(List { data: ours.map(|one| OffboardingJson::new(one, now)).collect(), next_cursor: page.next }))
}
