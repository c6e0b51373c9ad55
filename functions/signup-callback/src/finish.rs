//! The request: who may finish, how the popup ended, and what follows.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared::clock::Timestamp;
use shared::domain::ids::{OnboardingId, PhoneNumberId, WabaId};
use shared::domain::onboarding::{Onboarding, PopupEnd, Progress, Shape, Step, StepRecord};
use shared::http::Problem;
use shared::provider::meta::signup;
use shared::queue::OnboardingJob;
use shared::secret::Secret;
use shared::storage::Keyed;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::exchange::Given;
use crate::{Deps, exchange, prove, unavailable};

/// Longest code in bytes; Meta's have some hundred.
const CODE_MAX: usize = 4_096;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FinishOnboarding)]
pub(crate) struct Request {
    /// The one-time state that the onboarding was started with: it is what this call is allowed by.
    state: String,
    /// The code that the popup gave; good for 30 seconds.
    code: Option<String>,
    /// Or the user's access token, where the popup's configuration gives one.
    access_token: Option<String>,
    /// The popup's `WA_EMBEDDED_SIGNUP` message, as it came.
    event: Option<Value>,
    /// What the message said, where the page read it itself.
    waba_id: Option<String>,
    phone_number_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FinishedOnboarding)]
pub(crate) struct Answer {
    id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    waba_id: Option<String>,
    phone_number_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<String>,
    steps: Vec<StepJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = FinishedStep)]
struct StepJson {
    step: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
}

impl StepJson {
    fn new((step, record): (Step, StepRecord)) -> Self {
        let StepRecord { state, code, cause, action, .. } = record;
        Self { step: step.as_str(), state: state.as_str(), code, cause, action }
    }
}

/// Ends a signup with what Meta's popup gave: the code is exchanged within this call. No key: the one-time state allows it.
///
/// The same posted again is answered as the first time.
#[utoipa::path(post, path = "/v1/onboardings/{id}/finish", tag = "Onboardings", operation_id = "finishOnboarding", params(("id" = String, Path)), request_body = Request, responses((status = 202, body = Answer, description = "It goes on."), (status = 200, body = Answer, description = "It has ended, or somebody must choose or act."), (status = 403, body = Problem, description = "`foreign_origin`: a page of another origin."), (status = 404, body = Problem), (status = 410, body = Problem, description = "`onboarding_expired`"), (status = 422, body = Problem), (status = 503, body = Problem)), security(()))]
pub(crate) async fn finish(
    State(deps): State<Arc<Deps>>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let id = path.ok().and_then(|Path(id)| OnboardingId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let body = body.map_err(|_| Problem::invalid("body", "must be at most 64 KiB"))?;
    let request: Request =
        serde_json::from_slice(&body).map_err(|error| Problem::invalid("body", &error.to_string()))?;
    let now = deps.clock.now();
    let (onboarding, keyed) = find(&deps, id, &request.state).await?;
    let end = popup_end(&request)?;
    let begun = keyed.code.is_some() || keyed.token.is_some();
    if !begun && now >= onboarding.valid_until {
        let title = "This signup was started too long ago.";
        return Err(Problem::new(StatusCode::GONE, "onboarding_expired", title).remedy("Start a new one."));
    }
    let Some(given) = given(request.code, request.access_token)? else {
        let Some(end @ (PopupEnd::Cancelled(_) | PopupEnd::Reported(..))) = end else {
            return Err(Problem::invalid("code", "or access_token is required where the popup was finished"));
        };
        deps.table.note_popup_end(id, &end).await.map_err(|error| unavailable("table", &error))?;
        deps.metrics.count("onboarding", "cancelled", 1);
        return answer(&deps, id, now).await;
    };
    if let Some(end) = end.filter(|_| !begun) {
        deps.table.note_popup_end(id, &end).await.map_err(|error| unavailable("table", &error))?;
    }
    if exchange::exchange(&deps, &onboarding, &keyed, &given, now).await? && prove::prove(&deps, id, now).await? {
        let job = OnboardingJob { id }.encode().map_err(|error| unavailable("job", &error))?;
        deps.onboarding.send(job, &id.to_string()).await.map_err(|error| unavailable("queue", &error))?;
    }
    answer(&deps, id, now).await
}

/// What the popup gave, by the way that its configuration has it.
fn given(code: Option<String>, token: Option<String>) -> Result<Option<Given>, Problem> {
    let fits = |text: &String| !text.is_empty() && text.len() <= CODE_MAX;
    match (code, token) {
        (Some(_), Some(_)) => Err(Problem::invalid("access_token", "must not stand beside code")),
        (Some(code), None) if fits(&code) => Ok(Some(Given::Code(Secret::new(code)))),
        (None, Some(token)) if fits(&token) => Ok(Some(Given::UserToken(Secret::new(token)))),
        (Some(_), None) => Err(Problem::invalid("code", "must be the code that the popup gave")),
        (None, Some(_)) => Err(Problem::invalid("access_token", "must be the token that the popup gave")),
        (None, None) => Ok(None),
    }
}

/// The onboarding, if `state` is its own. Which of the two is wrong is not said.
async fn find(deps: &Deps, id: OnboardingId, state: &str) -> Result<(Onboarding, Keyed), Problem> {
    let known = deps.table.onboarding(id).await.map_err(|error| unavailable("table", &error))?;
    let (onboarding, keyed) = known.ok_or_else(Problem::not_found)?;
    let hash = hex::encode(Sha256::digest(state.as_bytes()));
    if bool::from(hash.as_bytes().ct_eq(keyed.state_hash.as_bytes())) {
        Ok((onboarding, keyed))
    } else {
        deps.metrics.count("onboarding", "wrong_state", 1);
        Err(Problem::not_found())
    }
}

/// What the popup said, or what the page says of it.
fn popup_end(request: &Request) -> Result<Option<PopupEnd>, Problem> {
    let account = |id: &String| WabaId::parse(id).map_err(|_| Problem::invalid("waba_id", "must be an id of Meta's"));
    let number = |id: &String| {
        PhoneNumberId::parse(id).map_err(|_| Problem::invalid("phone_number_id", "must be an id of Meta's"))
    };
    let account = request.waba_id.as_ref().map(account).transpose()?;
    let number = request.phone_number_id.as_ref().map(number).transpose()?;
    let end = match &request.event {
        Some(event) => {
            let rule = "must be a WA_EMBEDDED_SIGNUP message of the popup, as it came";
            Some(signup::read(event).ok_or_else(|| Problem::invalid("event", rule))?)
        }
        None => None,
    };
    Ok(match end {
        Some(PopupEnd::Finished { shape, account: said, number: named }) => {
            Some(PopupEnd::Finished { shape, account: said.or(account), number: named.or(number) })
        }
        None if account.is_some() || number.is_some() => {
            Some(PopupEnd::Finished { shape: Shape::Other, account, number })
        }
        other => other,
    })
}

/// Where the onboarding stands now.
pub(crate) async fn answer(deps: &Deps, id: OnboardingId, now: Timestamp) -> Result<Response, Problem> {
    let known = deps.table.onboarding(id).await.map_err(|error| unavailable("table", &error))?;
    let (onboarding, _) = known.ok_or_else(Problem::not_found)?;
    let progress = onboarding.progress(now);
    let status = if progress == Progress::Running { StatusCode::ACCEPTED } else { StatusCode::OK };
    let answer = Answer {
        id: id.to_string(),
        status: progress.as_str(),
        ended: onboarding.ended,
        waba_id: onboarding.account.map(|id| id.to_string()),
        phone_number_id: onboarding.number.map(|id| id.to_string()),
        candidates: onboarding.candidates.iter().map(ToString::to_string).collect(),
        steps: onboarding.steps.into_iter().map(StepJson::new).collect(),
    };
    Ok((status, Json(answer)).into_response())
}
