//! `/v1/onboardings`: a tenant lets one of its customers connect a number.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::api::{Caller, Id, JsonBody, List, Manage, Moment, PageQuery, QueryParams, Read, Refusals};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::ids::{MetaAppId, NumberId, OnboardingId, TenantId, WabaId};
use shared::domain::lifecycle::onboarding::{
    LINK_DAYS_MAX, Onboarding, Progress, STATE_FOR, Step, StepRecord, StepState,
};
use shared::http::Problem;
use shared::provider::meta::signup;
use shared::queue::OnboardingJob;
use shared::secret::Secret;
use shared::vault::random_secret;
use utoipa::ToSchema;

use crate::Deps;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StartOnboarding)]
pub(crate) struct StartRequest {
    /// Name of the Meta app, as configured in this system.
    app: String,
    /// Lifetime in days of a link to the signup page; without it, no link is created.
    #[schema(minimum = 1, maximum = 30)]
    link_days: Option<i64>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChoiceRequest {
    waba_id: Option<String>,
    phone_number_id: Option<String>,
}

/// Parameters for opening the signup popup. Only this response contains `state`.
#[derive(Serialize, ToSchema)]
pub(crate) struct StartedJson {
    id: String,
    state: String,
    expires_at: Moment,
    finish_path: String,
    popup: PopupJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<LinkJson>,
}

/// Link for the tenant's customer. Only this response contains it.
#[derive(Serialize, ToSchema)]
struct LinkJson {
    path: String,
    expires_at: Moment,
}

#[derive(Serialize, ToSchema)]
struct PopupJson {
    app_id: String,
    config_id: String,
    graph_version: String,
    extras: serde_json::Value,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct OnboardingJson {
    id: String,
    status: &'static str,
    app: String,
    created_at: Moment,
    expires_at: Moment,
    shape: Option<&'static str>,
    ended: Option<String>,
    waba_id: Option<String>,
    phone_number_id: Option<String>,
    candidates: Vec<String>,
    steps: Vec<StepJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = OnboardingStep)]
struct StepJson {
    step: &'static str,
    state: &'static str,
    at: Moment,
    tries: u32,
    code: Option<i64>,
    cause: Option<String>,
    action: Option<String>,
}

impl OnboardingJson {
    fn new(onboarding: Onboarding, now: Timestamp) -> Self {
        let step_json = |step: Step, record: StepRecord| StepJson {
            step: step.as_str(),
            state: record.state.as_str(),
            at: Moment(record.at),
            tries: record.tries,
            code: record.code,
            cause: record.cause,
            action: record.action,
        };
        Self {
            id: onboarding.id.to_string(),
            status: onboarding.progress(now).as_str(),
            app: onboarding.app.to_string(),
            created_at: Moment(onboarding.created_at),
            expires_at: Moment(onboarding.valid_until),
            shape: onboarding.shape.map(shared::domain::lifecycle::onboarding::Shape::as_str),
            ended: onboarding.ended,
            waba_id: onboarding.account.map(|id| id.to_string()),
            phone_number_id: onboarding.number.map(|id| id.to_string()),
            candidates: onboarding.candidates.iter().map(ToString::to_string).collect(),
            steps: onboarding.steps.into_iter().map(|(step, record)| step_json(step, record)).collect(),
        }
    }
}

/// Starts connecting a number through Meta's Embedded Signup.
#[utoipa::path(
    post,
    path = "/v1/onboardings",
    tag = "Onboardings",
    operation_id = "startOnboarding",
    request_body = StartRequest,
    responses((status = 201, body = StartedJson), Refusals),
    security(("key" = ["manage"])),
)]
pub(crate) async fn start(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    JsonBody(request): JsonBody<StartRequest>,
) -> Result<(StatusCode, Json<StartedJson>), Problem> {
    let unknown = || Problem::invalid("app", "must be the name of a Meta app that is configured for signups");
    let app = MetaAppId::parse(&request.app).map_err(|_| unknown())?;
    let settings = deps.table.signup_settings_get(&app).await?;
    let settings = settings.ok_or_else(unknown)?;
    let now = deps.clock.now();
    let id = OnboardingId::generate(now)?;
    let state = random_secret()?;
    let valid_until = shared::clock::after(now, STATE_FOR);
    let link = match request.link_days {
        None => None,
        Some(days) if (1..=LINK_DAYS_MAX).contains(&days) => {
            let until = shared::clock::after(now, SignedDuration::from_hours(days * 24));
            Some((random_secret()?, until))
        }
        Some(_) => return Err(Problem::invalid("link_days", &format!("must be 1 to {LINK_DAYS_MAX}"))),
    };
    let onboarding = Onboarding {
        id,
        tenant,
        app,
        created_at: now,
        valid_until,
        link_until: link.as_ref().map(|(_, until)| *until),
        hosted_by: None,
        shape: None,
        account: None,
        number: None,
        candidates: Vec::new(),
        ended: None,
        steps: Vec::new(),
    };
    let hash = |secret: &Secret| hex::encode(Sha256::digest(secret.expose().as_bytes()));
    let link_hash = link.as_ref().map(|(secret, _)| hash(secret));
    deps.table.onboarding_put(&onboarding, &hash(&state), link_hash.as_deref()).await?;
    deps.access.note(Some(tenant), &key, "onboarding.started", &id.to_string()).await?;
    deps.metrics.count("onboarding", "started", 1);
    let started = StartedJson {
        id: id.to_string(),
        state: state.expose().to_owned(),
        expires_at: Moment(valid_until),
        finish_path: format!("/v1/onboardings/{id}/finish"),
        popup: PopupJson {
            extras: signup::extras(&settings),
            app_id: settings.client_id,
            config_id: settings.config_id,
            graph_version: deps.graph_version.clone(),
        },
        link: link.map(|(secret, until)| LinkJson {
            path: format!("/signup/{id}#{}", secret.expose()),
            expires_at: Moment(until),
        }),
    };
    Ok((StatusCode::CREATED, Json(started)))
}

/// Lists the onboardings, latest first.
#[utoipa::path(
    get,
    path = "/v1/onboardings",
    tag = "Onboardings",
    operation_id = "listOnboardings",
    params(PageQuery),
    responses((status = 200, body = List<OnboardingJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<OnboardingJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.onboarding_list(tenant, limit, cursor.as_deref()).await?;
    let now = deps.clock.now();
    let shown = page.items.into_iter().filter(|one| one.tenant == tenant).map(|one| OnboardingJson::new(one, now));
    Ok(Json(List { data: shown.collect(), next_cursor: page.next }))
}

/// Returns the progress of an onboarding.
#[utoipa::path(
    get,
    path = "/v1/onboardings/{id}",
    tag = "Onboardings",
    operation_id = "getOnboarding",
    params(("id" = String, Path)),
    responses((status = 200, body = OnboardingJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<OnboardingId>,
) -> Result<Json<OnboardingJson>, Problem> {
    let onboarding = find(&deps, tenant, id).await?;
    Ok(Json(OnboardingJson::new(onboarding, deps.clock.now())))
}

/// Retries the failed step, and continues with the steps after it.
#[utoipa::path(
    post,
    path = "/v1/onboardings/{id}/retry",
    tag = "Onboardings",
    operation_id = "retryOnboarding",
    params(("id" = String, Path)),
    responses(
        (status = 202, body = OnboardingJson),
        (status = 409, body = Problem, description = "`not_retryable`"),
        Refusals,
    ),
    security(("key" = ["manage"])),
)]
pub(crate) async fn retry(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<OnboardingId>,
) -> Result<(StatusCode, Json<OnboardingJson>), Problem> {
    let onboarding = find(&deps, tenant, id).await?;
    let failed = onboarding.steps.iter().find(|(_, record)| record.state == StepState::Failed);
    let repeatable = |step: Step| step > Step::Prove || onboarding.hosted_by.is_some();
    let Some((step, _)) = failed.filter(|(step, _)| repeatable(*step)) else {
        let title = "No failed step can be retried.";
        return Err(Problem::conflict("not_retryable", title)
            .remedy("If the code exchange or the token check failed, start a new signup."));
    };
    try_again(&deps, onboarding.id, *step).await?;
    deps.access.note(Some(tenant), &key, "onboarding.retried", &id.to_string()).await?;
    go_on(&deps, onboarding.id).await
}

/// Chooses one of several accounts, or one of the account's numbers.
#[utoipa::path(
    post,
    path = "/v1/onboardings/{id}/choose",
    tag = "Onboardings",
    operation_id = "chooseForOnboarding",
    params(("id" = String, Path)),
    request_body = ChoiceRequest,
    responses(
        (status = 202, body = OnboardingJson),
        (status = 409, body = Problem, description = "`nothing_to_choose`"),
        Refusals,
    ),
    security(("key" = ["manage"])),
)]
pub(crate) async fn choose(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<OnboardingId>,
    JsonBody(request): JsonBody<ChoiceRequest>,
) -> Result<(StatusCode, Json<OnboardingJson>), Problem> {
    let onboarding = find(&deps, tenant, id).await?;
    let account_failed = onboarding.step(Step::Account).is_some_and(|record| record.state == StepState::Failed);
    match (request.waba_id, request.phone_number_id) {
        (Some(account), None) if onboarding.progress(deps.clock.now()) == Progress::NeedsChoice => {
            let chosen = WabaId::parse(&account).ok().filter(|id| onboarding.candidates.contains(id));
            let chosen = chosen.ok_or_else(|| Problem::invalid("waba_id", "must be one of the candidates"))?;
            deps.table.onboarding_settle_account(onboarding.id, Some(&chosen), &[]).await?;
        }
        // The step asks Meta whether the number belongs to the account.
        (None, Some(number)) if account_failed => {
            let rule = |_| Problem::invalid("phone_number_id", "must be a phone number id of Meta");
            let number = NumberId::parse(&number).map_err(rule)?;
            deps.table.onboarding_settle_number(onboarding.id, &number).await?;
            try_again(&deps, onboarding.id, Step::Account).await?;
        }
        (Some(_), None) | (None, Some(_)) => {
            let title = "There is nothing to choose.";
            return Err(Problem::conflict("nothing_to_choose", title));
        }
        _ => return Err(Problem::invalid("waba_id", "or `phone_number_id` is required, but not both")),
    }
    deps.access.note(Some(tenant), &key, "onboarding.chosen", &id.to_string()).await?;
    go_on(&deps, onboarding.id).await
}

async fn try_again(deps: &Deps, id: OnboardingId, step: Step) -> Result<(), Problem> {
    let again = StepRecord::new(StepState::Running, deps.clock.now(), 0);
    Ok(deps.table.onboarding_record_step(id, step, &again).await?)
}

async fn go_on(deps: &Deps, id: OnboardingId) -> Result<(StatusCode, Json<OnboardingJson>), Problem> {
    let job = OnboardingJob { id }.encode().map_err(|_| Problem::unavailable())?;
    deps.onboarding.send(job, &id.to_string()).await?;
    let known = deps.table.onboarding_get(id).await?;
    let (onboarding, _) = known.ok_or_else(Problem::not_found)?;
    Ok((StatusCode::ACCEPTED, Json(OnboardingJson::new(onboarding, deps.clock.now()))))
}

async fn find(deps: &Deps, tenant: TenantId, id: OnboardingId) -> Result<Onboarding, Problem> {
    let known = deps.table.onboarding_get(id).await?;
    known.map(|(onboarding, _)| onboarding).filter(|one| one.tenant == tenant).ok_or_else(Problem::not_found)
}
