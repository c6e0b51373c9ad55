//! Existing broadcasts: progress, results, pause, resume, cancel.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::api::{Caller, Id, List, Moment, PageQuery, QueryParams, Read, Refusals, Send};
use shared::domain::ids::{BroadcastId, TenantId};
use shared::domain::sending::broadcast::{Broadcast, BroadcastState, RECIPIENTS_A_CHUNK};
use shared::http::Problem;
use shared::storage::{ArchiveError, Stored, StoredMessage};
use utoipa::ToSchema;

use crate::Deps;
use crate::messages::json::{ErrorJson, MessageJson};
use crate::messages::send::ask_for_release;

#[derive(Serialize, ToSchema)]
pub(crate) struct BroadcastJson {
    id: String,
    from: String,
    template: String,
    language: String,
    category: Option<&'static str>,
    state: &'static str,
    recipients: usize,
    duplicates: usize,
    released: usize,
    send_before: Moment,
    created_at: Moment,
}

impl BroadcastJson {
    pub(crate) fn new(broadcast: &Broadcast) -> Self {
        Self {
            id: broadcast.id.to_string(),
            from: broadcast.number.to_string(),
            template: broadcast.template.name.clone(),
            language: broadcast.template.language.code.clone(),
            category: broadcast.category.map(shared::domain::sending::policy::Category::as_str),
            state: broadcast.state.as_str(),
            recipients: broadcast.recipients.count,
            duplicates: broadcast.recipients.duplicates,
            released: broadcast.released,
            send_before: Moment(broadcast.send_before),
            created_at: Moment(broadcast.created_at),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct RecipientJson {
    to: String,
    message_id: Option<String>,
    conversation_id: Option<String>,
    status: String,
    error: Option<ErrorJson>,
}

/// Lists the broadcasts, latest first.
#[utoipa::path(
    get,
    path = "/v1/broadcasts",
    tag = "Broadcasts",
    operation_id = "listBroadcasts",
    params(PageQuery),
    responses((status = 200, body = List<BroadcastJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<BroadcastJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.broadcast_list(tenant, limit, cursor.as_deref()).await?;
    Ok(Json(List { data: page.items.iter().map(BroadcastJson::new).collect(), next_cursor: page.next }))
}

/// Returns the progress of a broadcast.
#[utoipa::path(
    get,
    path = "/v1/broadcasts/{id}",
    tag = "Broadcasts",
    operation_id = "getBroadcast",
    params(("id" = String, Path)),
    responses((status = 200, body = BroadcastJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<BroadcastId>,
) -> Result<Json<BroadcastJson>, Problem> {
    let broadcast = find(&deps, tenant, id).await?;
    Ok(Json(BroadcastJson::new(&broadcast)))
}

/// Pauses a broadcast: remaining recipients wait until it is resumed.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/pause",
    tag = "Broadcasts",
    operation_id = "pauseBroadcast",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = BroadcastJson),
        (status = 409, body = Problem, description = "`broadcast_ended`"),
        Refusals,
    ),
    security(("key" = ["send"])),
)]
pub(crate) async fn pause(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Send>,
    Id(id): Id<BroadcastId>,
) -> Result<Json<BroadcastJson>, Problem> {
    steer(&deps, tenant, &key, id, BroadcastState::Paused).await
}

/// Resumes a paused broadcast.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/resume",
    tag = "Broadcasts",
    operation_id = "resumeBroadcast",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = BroadcastJson),
        (status = 409, body = Problem, description = "`broadcast_ended`"),
        Refusals,
    ),
    security(("key" = ["send"])),
)]
pub(crate) async fn resume(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Send>,
    Id(id): Id<BroadcastId>,
) -> Result<Json<BroadcastJson>, Problem> {
    steer(&deps, tenant, &key, id, BroadcastState::Running).await
}

/// Cancels a broadcast: remaining recipients receive nothing.
#[utoipa::path(
    post,
    path = "/v1/broadcasts/{id}/cancel",
    tag = "Broadcasts",
    operation_id = "cancelBroadcast",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = BroadcastJson),
        (status = 409, body = Problem, description = "`broadcast_ended`"),
        Refusals,
    ),
    security(("key" = ["send"])),
)]
pub(crate) async fn cancel(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Send>,
    Id(id): Id<BroadcastId>,
) -> Result<Json<BroadcastJson>, Problem> {
    steer(&deps, tenant, &key, id, BroadcastState::Cancelled).await
}

async fn steer(
    deps: &Deps,
    tenant: TenantId,
    key: &str,
    id: BroadcastId,
    to: BroadcastState,
) -> Result<Json<BroadcastJson>, Problem> {
    let broadcast = find(deps, tenant, id).await?;
    let steered = deps.table.broadcast_set_state(&broadcast, to).await?;
    if steered == Stored::Known && broadcast.state != to {
        let title = "The broadcast has ended.";
        return Err(Problem::conflict("broadcast_ended", title));
    }
    if to == BroadcastState::Running && deps.table.bulk_lane_open(&broadcast.number, deps.clock.now()).await? {
        ask_for_release(deps, &broadcast.number).await;
    }
    deps.access.note(Some(tenant), key, &format!("broadcast.{}", to.as_str()), &broadcast.id.to_string()).await?;
    let now = deps.table.broadcast_get(broadcast.id).await?;
    Ok(Json(BroadcastJson::new(&now.unwrap_or(broadcast))))
}

/// Lists the outcome per recipient, in the broadcast's order.
#[utoipa::path(
    get,
    path = "/v1/broadcasts/{id}/recipients",
    tag = "Broadcasts",
    operation_id = "listRecipients",
    params(("id" = String, Path), PageQuery),
    responses(
        (status = 200, body = List<RecipientJson>),
        (status = 410, body = Problem, description = "`recipients_gone`"),
        Refusals,
    ),
    security(("key" = ["read"])),
)]
pub(crate) async fn recipients(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<BroadcastId>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<RecipientJson>>, Problem> {
    let broadcast = find(&deps, tenant, id).await?;
    let (limit, cursor) = query.read()?;
    let rule = "must be a `next_cursor` returned by this list";
    let from = match cursor {
        None => 0,
        Some(cursor) => cursor.parse::<usize>().map_err(|_| Problem::invalid("cursor", rule))?,
    };
    if from > broadcast.recipients.count {
        return Err(Problem::invalid("cursor", rule));
    }
    let page = from / RECIPIENTS_A_CHUNK;
    let all = if from < broadcast.recipients.count {
        deps.files.recipients(broadcast.id, page).await.map_err(|error| match error {
            ArchiveError::Gone => Problem::new(StatusCode::GONE, "recipients_gone", "Recipients are kept for 90 days."),
            other => other.into(),
        })?
    } else {
        Vec::new()
    };
    let here = all.into_iter().enumerate().skip(from % RECIPIENTS_A_CHUNK).take(usize::from(limit));
    let here: Vec<_> = here.map(|(place, one)| (page * RECIPIENTS_A_CHUNK + place, one.to)).collect();
    let found = deps.table.broadcast_list_messages(&broadcast, &here).await?;
    let next = from + here.len();
    let data = here
        .into_iter()
        .zip(found)
        .map(|((place, to), message)| result(&broadcast, place, to.e164(), message))
        .collect();
    let next_cursor = (next < broadcast.recipients.count).then(|| next.to_string());
    Ok(Json(List { data, next_cursor }))
}

fn result(broadcast: &Broadcast, place: usize, to: &str, message: Option<StoredMessage>) -> RecipientJson {
    let Some(message) = message else {
        let status = match broadcast.state {
            _ if place < broadcast.released => "queued",
            BroadcastState::Cancelled => "cancelled",
            _ => "waiting",
        };
        return RecipientJson {
            to: to.to_owned(),
            message_id: None,
            conversation_id: None,
            status: status.to_owned(),
            error: None,
        };
    };
    let shown = MessageJson::new(message);
    RecipientJson {
        to: to.to_owned(),
        message_id: Some(shown.id),
        conversation_id: Some(shown.conversation_id),
        status: shown.status.to_owned(),
        error: shown.outbound.and_then(|outbound| outbound.error),
    }
}

async fn find(deps: &Deps, tenant: TenantId, id: BroadcastId) -> Result<Broadcast, Problem> {
    let found = deps.table.broadcast_get(id).await?;
    found.filter(|broadcast| broadcast.tenant == tenant).ok_or_else(Problem::not_found)
}
