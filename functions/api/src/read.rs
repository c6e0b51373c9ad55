//! `POST /v1/conversations/{id}/read`: a customer's message is marked as read, with `typing` an answer is announced.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::api::{Caller, Id, Refusals, Said, Send};
use shared::clock::SignedDuration;
use shared::domain::ids::{ConversationId, MessageId, Wamid};
use shared::http::Problem;
use shared::queue::{MarkJob, OutboundWork};
use shared::storage::Direction;
use utoipa::ToSchema;

use crate::Deps;

/// Messages older than this cannot be marked (`facts/messages.md` §7).
const MARKED_WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadRequest {
    /// The wamid of a customer's message.
    message_id: String,
    /// The customer sees for up to 25 seconds that an answer is being written.
    #[serde(default)]
    typing: bool,
}

/// Marks a customer's message as read at Meta; with `typing` an answer is announced.
#[utoipa::path(post, path = "/v1/conversations/{id}/read", tag = "Conversations", operation_id = "markRead", params(("id" = String, Path)), request_body = ReadRequest, responses((status = 202), Refusals), security(("key" = ["send"])))]
pub(crate) async fn read(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Send>,
    Id(id): Id<ConversationId>,
    Said(request): Said<ReadRequest>,
) -> Result<StatusCode, Problem> {
    deps.conversation_of(tenant, &id).await?;
    let theirs = || Problem::violates("message_id", "must be the wamid of a customer's message here", 131_009);
    let wamid = Wamid::parse(&request.message_id).map_err(|_| theirs())?;
    let message = deps.table.foreign_message(&id, &MessageId::Inbound(wamid.clone())).await?.ok_or_else(theirs)?;
    if !matches!(message.direction, Direction::Inbound(_)) {
        return Err(theirs());
    }
    let now = deps.clock.now();
    if now.duration_since(message.at) > MARKED_WITHIN {
        return Err(Problem::violates("message_id", "must be of a message of the last 30 days", 131_009));
    }
    let job = MarkJob { conversation: id, message: wamid, typing: request.typing, asked_at: now };
    deps.outbound.send_work(&[OutboundWork::Mark(job)], now).await?;
    Ok(StatusCode::ACCEPTED)
}
