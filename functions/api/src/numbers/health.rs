//! `GET /v1/numbers/{id}/health`: one check per stage, from the Meta app's settings to the last stored message.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::api::{Caller, Id, Manage, Moment, Read, Refusals};
use shared::domain::accounts::health::{Finding, Health, Verdict};
use shared::domain::ids::NumberId;
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;

#[derive(Serialize, ToSchema)]
pub(crate) struct HealthJson {
    health: &'static str,
    /// First failed check; it may be the cause of later failures.
    broken: Option<&'static str>,
    looked_at: Option<Moment>,
    hops: Vec<HopJson>,
}

#[derive(Serialize, ToSchema)]
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
            looked_at: health.looked_at.map(Moment),
            hops: health.findings.into_iter().map(hop).collect(),
        }
    }
}

/// Returns one check per stage, from the Meta app's settings to the last stored message.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}/health",
    tag = "Numbers",
    operation_id = "getHealth",
    params(("id" = String, Path)),
    responses((status = 200, body = HealthJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<NumberId>,
) -> Result<Json<HealthJson>, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let health = deps.table.health_get(&number, deps.clock.now()).await?;
    Ok(Json(HealthJson::new(health)))
}

/// Requests new checks at Meta, which run within five minutes instead of within a day.
///
/// The response shows the previous results: another function holds the access token and runs the checks.
#[utoipa::path(
    post,
    path = "/v1/numbers/{id}/health",
    tag = "Numbers",
    operation_id = "lookAtHealth",
    params(("id" = String, Path)),
    responses((status = 202, body = HealthJson), Refusals),
    security(("key" = ["manage"])),
)]
pub(crate) async fn look(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
) -> Result<(StatusCode, Json<HealthJson>), Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let now = deps.clock.now();
    deps.table.token_check_now(&number.waba, now).await?;
    deps.access.note(Some(tenant), &key, "number.health_asked", &id.to_string()).await?;
    let health = deps.table.health_get(&number, now).await?;
    Ok((StatusCode::ACCEPTED, Json(HealthJson::new(health))))
}
