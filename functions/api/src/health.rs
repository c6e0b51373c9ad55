//! `GET /v1/numbers/{id}/health`: each hop from the Meta app's settings to the last message stored, and the one that is broken.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::domain::health::{Finding, Health, Verdict};
use shared::domain::tenant::Scope;
use shared::http::Problem;

use crate::auth::Caller;
use crate::json::time;
use crate::numbers::{Id, own};
use crate::{Deps, storage_problem};

#[derive(Serialize)]
pub(crate) struct HealthJson {
    health: &'static str,
    /// The first hop that is broken: what comes after it may be broken because of it.
    broken: Option<&'static str>,
    looked_at: Option<String>,
    hops: Vec<HopJson>,
}

#[derive(Serialize)]
struct HopJson {
    hop: &'static str,
    state: &'static str,
    seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

impl HealthJson {
    fn new(health: Health) -> Self {
        let hop = |finding: Finding| HopJson {
            hop: finding.hop.as_str(),
            state: finding.verdict.as_str(),
            seen: finding.seen,
            remedy: (finding.verdict != Verdict::Ok).then(|| finding.hop.remedy()),
        };
        Self {
            health: health.verdict().as_str(),
            broken: health.broken().map(|finding| finding.hop.as_str()),
            looked_at: health.looked_at.map(time),
            hops: health.findings.into_iter().map(hop).collect(),
        }
    }
}

pub(crate) async fn get(State(deps): State<Arc<Deps>>, caller: Caller, path: Id) -> Result<Json<HealthJson>, Problem> {
    let number = own(&deps, &caller, path).await?;
    let health = deps.table.health(&number, deps.clock.now()).await.map_err(|error| storage_problem(&error))?;
    Ok(Json(HealthJson::new(health)))
}

/// Has Meta asked again: within five minutes instead of within a day. This function itself may open no token.
pub(crate) async fn look(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<(StatusCode, Json<HealthJson>), Problem> {
    caller.tenant(Scope::Manage)?;
    let number = own(&deps, &caller, path).await?;
    let now = deps.clock.now();
    deps.table.visit_now(&number.waba, now).await.map_err(|error| storage_problem(&error))?;
    let health = deps.table.health(&number, now).await.map_err(|error| storage_problem(&error))?;
    Ok((StatusCode::ACCEPTED, Json(HealthJson::new(health))))
}
