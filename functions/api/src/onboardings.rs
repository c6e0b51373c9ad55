//! `POST /v1/onboardings` and below: a tenant lets one of its customers connect a number.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::clock::Timestamp;
use shared::domain::ids::{MetaAppId, OnboardingId, WabaId};
use shared::domain::onboarding::{Onboarding, Progress, STATE_FOR, Step, StepRecord, StepState};
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::queue::OnboardingJob;
use shared::storage::StorageError;
use shared::vault::random_secret;

use crate::auth::Caller;
use crate::json::{self, time};
use crate::{Deps, storage_problem};

type Id = Result<Path<String>, PathRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartRequest {
    app: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceRequest {
    waba_id: String,
}

/// What the page needs to open the popup. `state` is shown this once.
#[derive(Serialize)]
pub(crate) struct StartedJson {
    id: String,
    state: String,
    expires_at: String,
    finish_path: String,
    popup: PopupJson,
}

#[derive(Serialize)]
struct PopupJson {
    app_id: String,
    config_id: String,
    graph_version: String,
    extras: serde_json::Value,
}

#[derive(Serialize)]
pub(crate) struct OnboardingJson {
    id: String,
    status: &'static str,
    app: String,
    created_at: String,
    expires_at: String,
    shape: Option<&'static str>,
    ended: Option<String>,
    waba_id: Option<String>,
    phone_number_id: Option<String>,
    candidates: Vec<String>,
    steps: Vec<StepJson>,
}

#[derive(Serialize)]
struct StepJson {
    step: &'static str,
    state: &'static str,
    at: String,
    tries: u32,
    code: Option<i64>,
    cause: Option<String>,
    action: Option<String>,
}

impl OnboardingJson {
    fn new(onboarding: Onboarding, now: Timestamp) -> Self {
        let step = |(step, record): (Step, StepRecord)| StepJson {
            step: step.as_str(),
            state: record.state.as_str(),
            at: time(record.at),
            tries: record.tries,
            code: record.code,
            cause: record.cause,
            action: record.action,
        };
        Self {
            id: onboarding.id.to_string(),
            status: onboarding.progress(now).as_str(),
            app: onboarding.app.to_string(),
            created_at: time(onboarding.created_at),
            expires_at: time(onboarding.valid_until),
            shape: onboarding.shape.map(shared::domain::onboarding::Shape::as_str),
            ended: onboarding.ended,
            waba_id: onboarding.account.map(|id| id.to_string()),
            phone_number_id: onboarding.number.map(|id| id.to_string()),
            candidates: onboarding.candidates.iter().map(ToString::to_string).collect(),
            steps: onboarding.steps.into_iter().map(step).collect(),
        }
    }
}

pub(crate) async fn start(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<StartedJson>), Problem> {
    let tenant = caller.tenant(Scope::Manage)?;
    let body = body.map_err(|_| Problem::too_large())?;
    let request: StartRequest = json::typed(json::parse(&body)?)?;
    let unknown = || Problem::invalid("app", "must be the name of a Meta app that is set up for signups");
    let app = MetaAppId::parse(&request.app).map_err(|_| unknown())?;
    let settings = deps.table.signup_settings(&app).await.map_err(|error| storage_problem(&error))?;
    let settings = settings.ok_or_else(unknown)?;
    let now = deps.clock.now();
    let no_chance = |error| storage_problem(&StorageError::from(error));
    let id = OnboardingId::generate(now).map_err(no_chance)?;
    let state = random_secret().map_err(no_chance)?;
    let valid_until = now.checked_add(STATE_FOR).unwrap_or(Timestamp::MAX);
    let onboarding = Onboarding {
        id,
        tenant,
        app,
        created_at: now,
        valid_until,
        shape: None,
        account: None,
        number: None,
        candidates: Vec::new(),
        ended: None,
        steps: Vec::new(),
    };
    let hash = hex::encode(Sha256::digest(state.expose().as_bytes()));
    deps.table.put_onboarding(&onboarding, &hash).await.map_err(|error| storage_problem(&error))?;
    deps.metrics.count("onboarding", "started", 1);
    let started = StartedJson {
        id: id.to_string(),
        state: state.expose().to_owned(),
        expires_at: time(valid_until),
        finish_path: format!("/v1/onboardings/{id}/finish"),
        popup: PopupJson {
            app_id: settings.client_id,
            config_id: settings.config_id,
            graph_version: deps.graph_version.clone(),
            extras: serde_json::json!({"setup": {}}),
        },
    };
    Ok((StatusCode::CREATED, Json(started)))
}

pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<OnboardingJson>, Problem> {
    let onboarding = find(&deps, &caller, Scope::Read, path).await?;
    Ok(Json(OnboardingJson::new(onboarding, deps.clock.now())))
}

/// Takes up the step that failed, and what comes after it.
pub(crate) async fn retry(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<(StatusCode, Json<OnboardingJson>), Problem> {
    let onboarding = find(&deps, &caller, Scope::Manage, path).await?;
    let failed = onboarding.steps.iter().find(|(_, record)| record.state == StepState::Failed);
    let Some((step, _)) = failed.filter(|(step, _)| *step > Step::Prove) else {
        let title = "No step has failed that can be retried.";
        return Err(Problem::new(StatusCode::CONFLICT, "not_retryable", title)
            .remedy("What is wrong with the code or the token only a new signup cures."));
    };
    let again = StepRecord::new(StepState::Running, deps.clock.now(), 0);
    deps.table.record_step(onboarding.id, *step, &again).await.map_err(|error| storage_problem(&error))?;
    go_on(&deps, onboarding.id).await
}

/// Says which of several accounts it is about.
pub(crate) async fn choose(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<OnboardingJson>), Problem> {
    let onboarding = find(&deps, &caller, Scope::Manage, path).await?;
    let body = body.map_err(|_| Problem::too_large())?;
    let choice: ChoiceRequest = json::typed(json::parse(&body)?)?;
    if onboarding.progress(deps.clock.now()) != Progress::NeedsChoice {
        let title = "There is nothing to choose.";
        return Err(Problem::new(StatusCode::CONFLICT, "nothing_to_choose", title));
    }
    let chosen = WabaId::parse(&choice.waba_id).ok().filter(|id| onboarding.candidates.contains(id));
    let chosen = chosen.ok_or_else(|| Problem::invalid("waba_id", "must be one of the candidates"))?;
    let settled = deps.table.settle_account(onboarding.id, Some(&chosen), &[]).await;
    settled.map_err(|error| storage_problem(&error))?;
    go_on(&deps, onboarding.id).await
}

async fn go_on(deps: &Deps, id: OnboardingId) -> Result<(StatusCode, Json<OnboardingJson>), Problem> {
    let job = OnboardingJob { id }.encode().map_err(|_| Problem::unavailable())?;
    deps.onboarding.send(job, &id.to_string()).await.map_err(|error| {
        tracing::error!(event = "api.unavailable", %error);
        Problem::unavailable()
    })?;
    let known = deps.table.onboarding(id).await.map_err(|error| storage_problem(&error))?;
    let (onboarding, _) = known.ok_or_else(Problem::not_found)?;
    Ok((StatusCode::ACCEPTED, Json(OnboardingJson::new(onboarding, deps.clock.now()))))
}

async fn find(deps: &Deps, caller: &Caller, scope: Scope, path: Id) -> Result<Onboarding, Problem> {
    let tenant = caller.tenant(scope)?;
    let id = path.ok().and_then(|Path(id)| OnboardingId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let known = deps.table.onboarding(id).await.map_err(|error| storage_problem(&error))?;
    known.map(|(onboarding, _)| onboarding).filter(|one| one.tenant == tenant).ok_or_else(Problem::not_found)
}
