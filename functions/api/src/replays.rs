//! `POST /v1/replays` and `GET /v1/replays/{id}`: what was received is read again, and changes nothing twice.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::clock::Timestamp;
use shared::domain::ids::{PhoneNumberId, ReplayId, TenantId, Wamid};
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::queue::{ReplayJob, ReplaySource};
use shared::storage::{ReplayProgress, StorageError};

use crate::auth::Caller;
use crate::json::{self, time};
use crate::{Deps, storage_problem};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayRequest {
    source: ReplaySource,
    number_id: Option<String>,
    message_id: Option<String>,
    from: Option<String>,
    until: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct ReplayJson {
    id: String,
    status: &'static str,
    read: i64,
    queued: i64,
    done_at: Option<String>,
}

impl ReplayJson {
    fn new(id: ReplayId, progress: &ReplayProgress) -> Self {
        Self {
            id: id.to_string(),
            status: if progress.done_at.is_some() { "done" } else { "running" },
            read: progress.read,
            queued: progress.queued,
            done_at: progress.done_at.map(time),
        }
    }
}

pub(crate) async fn start(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<ReplayJson>), Problem> {
    let tenant = caller.tenant_or_operator(Scope::Manage)?;
    let body = body.map_err(|_| Problem::too_large())?;
    let json = json::parse(&body)?;
    if !json.is_object() {
        return Err(Problem::invalid("body", "must be an object"));
    }
    let request: ReplayRequest = json::typed(json)?;
    let job = job(&deps, tenant, &request).await?;
    let progress = ReplayProgress { tenant, read: 0, queued: 0, done_at: None };
    deps.table.put_replay(job.id, &progress).await.map_err(|error| storage_problem(&error))?;
    let text = job.encode().map_err(|_| Problem::unavailable())?;
    deps.inbound.send(text, ReplayJob::GROUP).await.map_err(|error| {
        tracing::error!(event = "api.unavailable", %error);
        Problem::unavailable()
    })?;
    Ok((StatusCode::ACCEPTED, Json(ReplayJson::new(job.id, &progress))))
}

async fn job(deps: &Deps, tenant: Option<TenantId>, request: &ReplayRequest) -> Result<ReplayJob, Problem> {
    let now = deps.clock.now();
    if request.source == ReplaySource::DeadLetters {
        if tenant.is_some() {
            return Err(Problem::invalid(
                "source",
                "must be `archive` or `quarantine`: dead letters are the operator's",
            ));
        }
        if [&request.number_id, &request.message_id, &request.from, &request.until].into_iter().any(Option::is_some) {
            return Err(Problem::invalid("source", "must stand alone: dead letters are replayed whole"));
        }
    }
    let number = match &request.number_id {
        Some(id) => Some(number(deps, tenant, id).await?),
        None => None,
    };
    let message = match &request.message_id {
        Some(id) => {
            Some(Wamid::parse(id).map_err(|_| Problem::invalid("message_id", "must be the wamid of a message"))?)
        }
        None => None,
    };
    let id = ReplayId::generate(now).map_err(|error| storage_problem(&StorageError::from(error)))?;
    let all = ReplayJob::of(request.source, id, now);
    let from = moment("from", request.from.as_deref())?.unwrap_or(all.from).max(all.from);
    let until = moment("until", request.until.as_deref())?.unwrap_or(all.until).min(all.until);
    if until <= from {
        return Err(Problem::invalid("until", "must be later than `from`, and not before what is still kept"));
    }
    Ok(ReplayJob { tenant, number, message, from, until, ..all })
}

async fn number(deps: &Deps, tenant: Option<TenantId>, id: &str) -> Result<PhoneNumberId, Problem> {
    const UNKNOWN: &str = "must be the id of one of your numbers";
    let id = PhoneNumberId::parse(id).map_err(|_| Problem::invalid("number_id", UNKNOWN))?;
    let Some(tenant) = tenant else { return Ok(id) };
    let known = deps.table.number(&id).await.map_err(|error| storage_problem(&error))?;
    known.filter(|number| number.tenant == tenant).ok_or_else(|| Problem::invalid("number_id", UNKNOWN))?;
    Ok(id)
}

fn moment(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let parse = |text: &str| {
        text.parse().map_err(|_| Problem::invalid(field, "must be a time like 2026-11-20T12:00:00Z (RFC 3339)"))
    };
    text.map(parse).transpose()
}

pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ReplayJson>, Problem> {
    let tenant = caller.tenant_or_operator(Scope::Manage)?;
    let id = path.ok().and_then(|Path(id)| ReplayId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let progress = deps.table.replay(id).await.map_err(|error| storage_problem(&error))?;
    let progress = progress.filter(|progress| tenant.is_none() || progress.tenant == tenant);
    Ok(Json(ReplayJson::new(id, &progress.ok_or_else(Problem::not_found)?)))
}
