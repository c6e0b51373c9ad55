//! Finishing a signup: authorisation by state, the popup's result, and the next steps.

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
use shared::domain::ids::{NumberId, OnboardingId, WabaId};
use shared::domain::lifecycle::onboarding::{Onboarding, PopupEnd, Progress, Shape, Step, StepRecord};
use shared::http::Problem;
use shared::provider::meta::signup;
use shared::queue::OnboardingJob;
use shared::secret::Secret;
use shared::storage::Keyed;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::exchange::Given;
use crate::{Deps, exchange, prove, unavailable};

/// Longest accepted code in bytes; Meta's codes have a few hundred.
const CODE_MAX: usize = 4_096;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FinishOnboarding)]
pub(crate) struct Request {
    /// The onboarding's one-time state, which authorises this request.
    state: String,
    /// The popup's code, valid for 30 seconds.
    code: Option<String>,
    /// The user's access token, if the popup's configuration returns a token instead of a code.
    access_token: Option<String>,
    /// The popup's `WA_EMBEDDED_SIGNUP` message, unchanged.
    event: Option<Value>,
    /// Account id, if the page extracts ids from the message itself.
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
    fn new(step: Step, record: StepRecord) -> Self {
        let StepRecord { state, code, cause, action, .. } = record;
        Self { step: step.as_str(), state: state.as_str(), code, cause, action }
    }
}

/// Finishes a signup with the result of Meta's popup.
///
/// The code is exchanged within this request. No API key is needed: the one-time `state` authorises the request. A
/// repetition of the same request is safe and returns the current progress.
#[utoipa::path(
    post,
    path = "/v1/onboardings/{id}/finish",
    tag = "Onboardings",
    operation_id = "finishOnboarding",
    params(("id" = String, Path)),
    request_body = Request,
    responses(
        (status = 202, body = Answer, description = "The onboarding is still running."),
        (status = 200, body = Answer, description = "The onboarding has ended, or needs a choice or an action."),
        (status = 403, body = Problem, description = "`foreign_origin`: the page's origin is not allowed."),
        (status = 404, body = Problem),
        (status = 410, body = Problem, description = "`onboarding_expired`"),
        (status = 422, body = Problem),
        (status = 503, body = Problem),
    ),
    security(()),
)]
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
        let title = "This signup has expired.";
        return Err(Problem::new(StatusCode::GONE, "onboarding_expired", title).remedy("Start a new signup."));
    }
    let Some(given) = given(request.code, request.access_token)? else {
        let Some(end @ (PopupEnd::Cancelled(_) | PopupEnd::Reported(..))) = end else {
            return Err(Problem::invalid("code", "or `access_token` is required for a finished popup"));
        };
        deps.table.onboarding_put_popup_end(id, &end).await.map_err(|error| unavailable("table", &error))?;
        deps.metrics.count("onboarding", "cancelled", 1);
        return answer(&deps, id, now).await;
    };
    if let Some(end) = end.filter(|_| !begun) {
        deps.table.onboarding_put_popup_end(id, &end).await.map_err(|error| unavailable("table", &error))?;
    }
    if exchange::exchange(&deps, &onboarding, &keyed, &given, now).await? && prove::prove(&deps, id, now).await? {
        let job = OnboardingJob { id }.encode().map_err(|error| unavailable("job", &error))?;
        deps.onboarding.send(job, &id.to_string()).await.map_err(|error| unavailable("queue", &error))?;
    }
    answer(&deps, id, now).await
}

/// Returns the popup's credential: a code or a user token.
fn given(code: Option<String>, token: Option<String>) -> Result<Option<Given>, Problem> {
    let fits = |text: &String| !text.is_empty() && text.len() <= CODE_MAX;
    match (code, token) {
        (Some(_), Some(_)) => Err(Problem::invalid("access_token", "cannot be combined with `code`")),
        (Some(code), None) if fits(&code) => Ok(Some(Given::Code(Secret::new(code)))),
        (None, Some(token)) if fits(&token) => Ok(Some(Given::UserToken(Secret::new(token)))),
        (Some(_), None) => Err(Problem::invalid("code", "must be the code returned by the popup")),
        (None, Some(_)) => Err(Problem::invalid("access_token", "must be the token returned by the popup")),
        (None, None) => Ok(None),
    }
}

/// Returns the onboarding if `state` matches. A wrong id and a wrong state are answered alike.
async fn find(deps: &Deps, id: OnboardingId, state: &str) -> Result<(Onboarding, Keyed), Problem> {
    let known = deps.table.onboarding_get(id).await.map_err(|error| unavailable("table", &error))?;
    let (onboarding, keyed) = known.ok_or_else(Problem::not_found)?;
    let hash = hex::encode(Sha256::digest(state.as_bytes()));
    if bool::from(hash.as_bytes().ct_eq(keyed.state_hash.as_bytes())) {
        Ok((onboarding, keyed))
    } else {
        deps.metrics.count("onboarding", "wrong_state", 1);
        Err(Problem::not_found())
    }
}

/// Returns the popup's result, from its message or from ids sent by the page.
fn popup_end(request: &Request) -> Result<Option<PopupEnd>, Problem> {
    let account = |id: &String| WabaId::parse(id).map_err(|_| Problem::invalid("waba_id", "must be an account id"));
    let number =
        |id: &String| NumberId::parse(id).map_err(|_| Problem::invalid("phone_number_id", "must be a phone number id"));
    let account = request.waba_id.as_ref().map(account).transpose()?;
    let number = request.phone_number_id.as_ref().map(number).transpose()?;
    let end = match &request.event {
        Some(event) => {
            let rule = "must be the popup's WA_EMBEDDED_SIGNUP message, unchanged";
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

/// Responds with the onboarding's current progress.
pub(crate) async fn answer(deps: &Deps, id: OnboardingId, now: Timestamp) -> Result<Response, Problem> {
    let known = deps.table.onboarding_get(id).await.map_err(|error| unavailable("table", &error))?;
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
        steps: onboarding.steps.into_iter().map(|(step, record)| StepJson::new(step, record)).collect(),
    };
    Ok((status, Json(answer)).into_response())
}
