//! Broadcasts under way: progress, results, pause, resume, cancel.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use shared::domain::broadcast::{Broadcast, BroadcastState, RECIPIENTS_A_CHUNK};
use shared::domain::ids::BroadcastId;
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::storage::{ArchiveError, Stored, StoredMessage};

use crate::auth::Caller;
use crate::conversations::{PageParameters, PageQuery};
use crate::json::{ErrorJson, List, MessageJson, time};
use crate::send::ask_for_release;
use crate::{Deps, storage_problem};

#[derive(Serialize)]
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
    send_before: String,
    created_at: String,
}

impl BroadcastJson {
    pub(crate) fn new(broadcast: &Broadcast) -> Self {
        Self {
            id: broadcast.id.to_string(),
            from: broadcast.number.to_string(),
            template: broadcast.template.name.clone(),
            language: broadcast.template.language.code.clone(),
            category: broadcast.category.map(shared::domain::policy::Category::as_str),
            state: broadcast.state.as_str(),
            recipients: broadcast.recipients.count,
            duplicates: broadcast.recipients.duplicates,
            released: broadcast.released,
            send_before: time(broadcast.send_before),
            created_at: time(broadcast.created_at),
        }
    }
}

#[derive(Serialize)]
pub(crate) struct RecipientJson {
    to: String,
    message_id: Option<String>,
    conversation_id: Option<String>,
    status: String,
    error: Option<ErrorJson>,
}

type Id = Result<Path<String>, PathRejection>;

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<BroadcastJson>>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.broadcasts(tenant, limit, cursor.as_deref()).await;
    let page = page.map_err(|error| storage_problem(&error))?;
    Ok(Json(List { data: page.items.iter().map(BroadcastJson::new).collect(), next_cursor: page.next }))
}

pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<BroadcastJson>, Problem> {
    let broadcast = find(&deps, &caller, Scope::Read, path).await?;
    Ok(Json(BroadcastJson::new(&broadcast)))
}

pub(crate) async fn pause(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<BroadcastJson>, Problem> {
    steer(&deps, &caller, path, BroadcastState::Paused).await
}

pub(crate) async fn resume(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<BroadcastJson>, Problem> {
    steer(&deps, &caller, path, BroadcastState::Running).await
}

pub(crate) async fn cancel(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<BroadcastJson>, Problem> {
    steer(&deps, &caller, path, BroadcastState::Cancelled).await
}

async fn steer(deps: &Deps, caller: &Caller, path: Id, to: BroadcastState) -> Result<Json<BroadcastJson>, Problem> {
    let broadcast = find(deps, caller, Scope::Send, path).await?;
    let steered = deps.table.steer(&broadcast, to).await.map_err(|error| storage_problem(&error))?;
    if steered == Stored::Known && broadcast.state != to {
        let title = "The broadcast has ended.";
        return Err(Problem::new(StatusCode::CONFLICT, "broadcast_ended", title));
    }
    if to == BroadcastState::Running {
        let opened = deps.table.open_line(&broadcast.number, deps.clock.now()).await;
        if opened.map_err(|error| storage_problem(&error))? {
            ask_for_release(deps, &broadcast.number).await;
        }
    }
    let now = deps.table.broadcast(broadcast.id).await.map_err(|error| storage_problem(&error))?;
    Ok(Json(BroadcastJson::new(&now.unwrap_or(broadcast))))
}

/// What became of each recipient, in the broadcast's order; the cursor is a place.
pub(crate) async fn recipients(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
    query: PageParameters,
) -> Result<Json<List<RecipientJson>>, Problem> {
    let broadcast = find(&deps, &caller, Scope::Read, path).await?;
    let (limit, cursor) = PageQuery::read(query)?;
    let rule = "must be a next_cursor that this list gave out";
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
            ArchiveError::Unavailable(_) => {
                tracing::error!(event = "api.recipients_not_read", %error);
                Problem::unavailable()
            }
        })?
    } else {
        Vec::new()
    };
    let here = all.into_iter().enumerate().skip(from % RECIPIENTS_A_CHUNK).take(usize::from(limit));
    let here: Vec<_> = here.map(|(place, one)| (page * RECIPIENTS_A_CHUNK + place, one.to)).collect();
    let found = deps.table.recipient_messages(&broadcast, &here).await.map_err(|error| storage_problem(&error))?;
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

async fn find(deps: &Deps, caller: &Caller, scope: Scope, path: Id) -> Result<Broadcast, Problem> {
    let tenant = caller.tenant(scope)?;
    let id = path.ok().and_then(|Path(id)| BroadcastId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let found = deps.table.broadcast(id).await.map_err(|error| storage_problem(&error))?;
    found.filter(|broadcast| broadcast.tenant == tenant).ok_or_else(Problem::not_found)
}
