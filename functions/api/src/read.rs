//! `POST /v1/conversations/{id}/read`: a customer's message is marked as read, with `typing` an answer is announced.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use shared::clock::SignedDuration;
use shared::domain::ids::{ConversationId, MessageId, Wamid};
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::queue::{MarkJob, OutboundWork};
use shared::storage::Direction;

use crate::auth::Caller;
use crate::{Deps, json, storage_problem};

/// Messages older than this cannot be marked (`facts/messages.md` §7).
const MARKED_WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadRequest {
    message_id: String,
    #[serde(default)]
    typing: bool,
}

pub(crate) async fn read(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let tenant = caller.tenant(Scope::Send)?;
    let id = path.ok().and_then(|Path(id)| ConversationId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let known = deps.table.conversation(tenant, &id).await.map_err(|error| storage_problem(&error))?;
    known.ok_or_else(Problem::not_found)?;
    let request: ReadRequest = json::typed(json::parse(&body.map_err(|_| Problem::too_large())?)?)?;
    let theirs = || Problem::violates("message_id", "must be the wamid of a customer's message here", 131_009);
    let wamid = Wamid::parse(&request.message_id).map_err(|_| theirs())?;
    let found = deps.table.foreign_message(&id, &MessageId::Inbound(wamid.clone())).await;
    let message = found.map_err(|error| storage_problem(&error))?.ok_or_else(theirs)?;
    if !matches!(message.direction, Direction::Inbound(_)) {
        return Err(theirs());
    }
    let now = deps.clock.now();
    if now.duration_since(message.at) > MARKED_WITHIN {
        return Err(Problem::violates("message_id", "must be of a message of the last 30 days", 131_009));
    }
    let job = MarkJob { conversation: id, message: wamid, typing: request.typing, asked_at: now };
    deps.outbound.send_work(&[OutboundWork::Mark(job)], now).await.map_err(|error| {
        tracing::error!(event = "api.not_enqueued", %error);
        Problem::unavailable()
    })?;
    Ok(StatusCode::ACCEPTED)
}
