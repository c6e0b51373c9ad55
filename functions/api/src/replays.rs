//! `POST /v1/replays` and `GET /v1/replays/{id}`: processes received webhooks again. Repeated events change nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::api::{Id, JsonBody, Manage, Moment, Refusals, TenantOrOperator};
use shared::clock::Timestamp;
use shared::domain::ids::{NumberId, ProviderMessageId, ReplayId, TenantId};
use shared::http::Problem;
use shared::queue::{ReplayJob, ReplaySource};
use shared::storage::ReplayProgress;
use utoipa::ToSchema;

use crate::Deps;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayRequest {
    /// `archive`, `quarantine` or (operators only) `dead_letters`.
    #[schema(value_type = String)]
    source: ReplaySource,
    number_id: Option<String>,
    message_id: Option<String>,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ReplayJson {
    id: String,
    status: &'static str,
    /// Start of the replayed period, by time of receipt, limited to the stored data. Null for dead letters: they are
    /// replayed completely.
    from: Option<Moment>,
    /// End of the replayed period, exclusive.
    until: Option<Moment>,
    read: i64,
    queued: i64,
    done_at: Option<Moment>,
}

impl ReplayJson {
    fn new(id: ReplayId, progress: &ReplayProgress) -> Self {
        Self {
            id: id.to_string(),
            status: if progress.done_at.is_some() { "done" } else { "running" },
            from: progress.period.map(|(from, _)| Moment(from)),
            until: progress.period.map(|(_, until)| Moment(until)),
            read: progress.read,
            queued: progress.queued,
            done_at: progress.done_at.map(Moment),
        }
    }
}

/// Processes received webhooks again. Existing data stays unchanged.
#[utoipa::path(
    post,
    path = "/v1/replays",
    tag = "Replays",
    operation_id = "startReplay",
    request_body = ReplayRequest,
    responses((status = 202, body = ReplayJson), Refusals),
    security(("key" = ["manage"]), ("key" = ["operator"])),
)]
pub(crate) async fn start(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, key, .. }: TenantOrOperator<Manage>,
    JsonBody(request): JsonBody<ReplayRequest>,
) -> Result<(StatusCode, Json<ReplayJson>), Problem> {
    let job = job(&deps, tenant, &request).await?;
    let progress = ReplayProgress { tenant, period: job.period(), read: 0, queued: 0, done_at: None };
    deps.table.replay_put(job.id, &progress).await?;
    let text = job.encode().map_err(|_| Problem::unavailable())?;
    deps.inbound.send(text, ReplayJob::GROUP).await?;
    deps.access.note(tenant, &key, "replay.started", &job.id.to_string()).await?;
    Ok((StatusCode::ACCEPTED, Json(ReplayJson::new(job.id, &progress))))
}

async fn job(deps: &Deps, tenant: Option<TenantId>, request: &ReplayRequest) -> Result<ReplayJob, Problem> {
    let now = deps.clock.now();
    if request.source == ReplaySource::DeadLetters {
        if tenant.is_some() {
            return Err(Problem::invalid(
                "source",
                "must be `archive` or `quarantine`: only operators replay dead letters",
            ));
        }
        if [&request.number_id, &request.message_id, &request.from, &request.until].into_iter().any(Option::is_some) {
            return Err(Problem::invalid("source", "must be the only field to replay dead letters"));
        }
    }
    let number = match &request.number_id {
        Some(id) => Some(number(deps, tenant, id).await?),
        None => None,
    };
    let message = match &request.message_id {
        Some(id) => Some(
            ProviderMessageId::parse(id)
                .map_err(|_| Problem::invalid("message_id", "must be the wamid of a message"))?,
        ),
        None => None,
    };
    let id = ReplayId::generate(now)?;
    let all = ReplayJob::of(request.source, id, now);
    let from = moment("from", request.from.as_deref())?.unwrap_or(all.from).max(all.from);
    let until = moment("until", request.until.as_deref())?.unwrap_or(all.until).min(all.until);
    if until <= from {
        return Err(Problem::invalid("until", "must be later than `from`, and within the stored period"));
    }
    Ok(ReplayJob { tenant, number, message, from, until, ..all })
}

async fn number(deps: &Deps, tenant: Option<TenantId>, id: &str) -> Result<NumberId, Problem> {
    const UNKNOWN: &str = "must be the id of one of your numbers";
    let id = NumberId::parse(id).map_err(|_| Problem::invalid("number_id", UNKNOWN))?;
    let Some(tenant) = tenant else { return Ok(id) };
    let known = deps.table.number_get(&id).await?;
    known.filter(|number| number.tenant == tenant).ok_or_else(|| Problem::invalid("number_id", UNKNOWN))?;
    Ok(id)
}

fn moment(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let parse = |text: &str| {
        text.parse().map_err(|_| Problem::invalid(field, "must be a time like 2026-11-20T12:00:00Z (RFC 3339)"))
    };
    text.map(parse).transpose()
}

/// Returns the progress of a replay.
#[utoipa::path(
    get,
    path = "/v1/replays/{id}",
    tag = "Replays",
    operation_id = "getReplay",
    params(("id" = String, Path)),
    responses((status = 200, body = ReplayJson), Refusals),
    security(("key" = ["manage"]), ("key" = ["operator"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, .. }: TenantOrOperator<Manage>,
    Id(id): Id<ReplayId>,
) -> Result<Json<ReplayJson>, Problem> {
    let progress = deps.table.replay_get(id).await?;
    let progress = progress.filter(|progress| tenant.is_none() || progress.tenant == tenant);
    Ok(Json(ReplayJson::new(id, &progress.ok_or_else(Problem::not_found)?)))
}
