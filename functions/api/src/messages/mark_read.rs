//! `POST /v1/conversations/{id}/read`: marks the customer's messages as read.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::api::{Caller, Id, JsonBody, Refusals, Send};
use shared::clock::SignedDuration;
use shared::domain::ids::{ConversationId, ProviderMessageId};
use shared::http::Problem;
use shared::queue::{MarkJob, OutboundWork};
use shared::storage::Direction;
use utoipa::ToSchema;

use crate::Deps;

/// Meta does not mark older messages as read (`docs/meta/messages.md#section-7`).
const MARKED_WITHIN: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadRequest {
    /// Meta's id (wamid) of a customer's message; without it, all messages of the customer so far.
    message_id: Option<String>,
    /// Whether to mark the message at Meta too, visible to the customer; requires `message_id`. Default: the number's
    /// `read_receipts`.
    at_meta: Option<bool>,
    /// Shows the customer a typing indicator for up to 25 seconds.
    #[serde(default)]
    typing: bool,
}

/// Marks a conversation as read up to a customer's message, optionally with a typing indicator.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/read",
    tag = "Conversations",
    operation_id = "markRead",
    params(("id" = String, Path)),
    request_body = ReadRequest,
    responses((status = 202), Refusals),
    security(("key" = ["send"])),
)]
pub(crate) async fn read(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Send>,
    Id(id): Id<ConversationId>,
    JsonBody(request): JsonBody<ReadRequest>,
) -> Result<StatusCode, Problem> {
    let conversation = deps.access.conversation_of(tenant, &id).await?;
    let at_meta = match request.at_meta {
        Some(at_meta) => at_meta,
        None => deps.cached_number(tenant, id.number()).await?.is_none_or(|number| number.settings.read_receipts),
    };
    if request.typing && !at_meta {
        return Err(Problem::invalid(
            "typing",
            "requires `at_meta`: Meta shows a typing indicator only together with a read receipt",
        ));
    }
    let Some(message) = request.message_id else {
        if at_meta {
            return Err(Problem::invalid("message_id", "is required unless `at_meta` is false"));
        }
        if let Some(until) = conversation.last_inbound_at {
            deps.table.conversation_mark_read(tenant, &id, until).await?;
        }
        return Ok(StatusCode::ACCEPTED);
    };
    let theirs = || Problem::violates("message_id", "must be a customer's message in this conversation", 131_009);
    let wamid = ProviderMessageId::parse(&message).map_err(|_| theirs())?;
    let message = deps.table.inbound_message_get(&id, &wamid).await?.ok_or_else(theirs)?;
    if !matches!(message.direction, Direction::Inbound(_)) {
        return Err(theirs());
    }
    let now = deps.clock.now();
    if at_meta && now.duration_since(message.at) > MARKED_WITHIN {
        return Err(Problem::violates("message_id", "must be the wamid of a message of the last 30 days", 131_009));
    }
    deps.table.conversation_mark_read(tenant, &id, message.at).await?;
    if at_meta {
        let job = MarkJob { conversation: id, message: wamid, typing: request.typing, asked_at: now };
        deps.outbound.send_work(&[OutboundWork::Mark(job)], now).await?;
    }
    Ok(StatusCode::ACCEPTED)
}
