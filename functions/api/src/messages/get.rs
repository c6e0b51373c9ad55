//! One message: read it, cancel it, or settle its unknown outcome.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use shared::api::{Caller, Ids, JsonBody, Read, Refusals, Send};
use shared::domain::event::ProviderError;
use shared::domain::ids::{ConversationId, MessageId, OutboundId, TenantId};
use shared::domain::sending::outbound::{Intent, SendFacts, SendState};
use shared::http::Problem;
use shared::storage::Ending;
use utoipa::ToSchema;

use crate::Deps;
use crate::messages::json::MessageJson;
use crate::messages::openapi_message::Message;

/// Returns one message.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages/{message}",
    tag = "Conversations",
    operation_id = "getMessage",
    params(("id" = String, Path), ("message" = String, Path)),
    responses((status = 200, body = Message), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Ids(conversation, id): Ids<ConversationId, MessageId>,
) -> Result<Json<MessageJson>, Problem> {
    match id {
        MessageId::Outbound(id) => shown(&deps, &find(&deps, tenant, &conversation, id).await?.0).await,
        MessageId::Inbound(wamid) => {
            deps.access.conversation_of(tenant, &conversation).await?;
            if let Some(message) = deps.table.inbound_message_get(&conversation, &wamid).await? {
                return Ok(Json(MessageJson::new(message)));
            }
            // The wamid may be that of a message sent through this API.
            let sent = deps.table.message_find_accepted(conversation.number(), &wamid).await?;
            let sent = sent.ok_or_else(Problem::not_found)?;
            if !deps.table.conversation_is_same_person(&conversation, &sent.conversation).await? {
                return Err(Problem::not_found());
            }
            shown(&deps, &find(&deps, tenant, &sent.conversation, sent.id).await?.0).await
        }
    }
}

/// Cancels a message that has not been attempted yet.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/messages/{message}/cancel",
    tag = "Messages",
    operation_id = "cancelMessage",
    params(("id" = String, Path), ("message" = String, Path)),
    responses((status = 200, body = Message), (status = 409, body = Problem, description = "`not_queued`"), Refusals),
    security(("key" = ["send"])),
)]
pub(crate) async fn cancel(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Send>,
    Ids(conversation, id): Ids<ConversationId, OutboundId>,
) -> Result<Json<MessageJson>, Problem> {
    let (intent, facts) = find(&deps, tenant, &conversation, id).await?;
    let ended = deps.table.message_end(&conversation, id, &Ending::Cancelled, deps.clock.now()).await?;
    if !ended && facts.state != SendState::Cancelled {
        let title = "The message is no longer waiting to be sent.";
        return Err(Problem::conflict("not_queued", title).remedy("Read the message to see its state."));
    }
    deps.access.note(Some(tenant), &key, "message.cancelled", &id.to_string()).await?;
    deps.metrics.count("cancelled", "api", 1);
    shown(&deps, &intent).await
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settlement {
    /// `sent` or `not_sent`.
    outcome: String,
}

/// Records a person's finding about a message whose outcome is unknown.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/messages/{message}/settle",
    tag = "Messages",
    operation_id = "settleMessage",
    params(("id" = String, Path), ("message" = String, Path)),
    request_body = Settlement,
    responses((status = 200, body = Message), (status = 409, body = Problem, description = "`not_in_doubt`"), Refusals),
    security(("key" = ["send"])),
)]
pub(crate) async fn settle(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Send>,
    Ids(conversation, id): Ids<ConversationId, OutboundId>,
    JsonBody(request): JsonBody<Settlement>,
) -> Result<Json<MessageJson>, Problem> {
    let (intent, _) = find(&deps, tenant, &conversation, id).await?;
    let ending = match request.outcome.as_str() {
        "sent" => Ending::SaidSent,
        "not_sent" => Ending::GivenUp(ProviderError::settled()),
        _ => return Err(Problem::invalid("outcome", "must be sent or not_sent")),
    };
    if !deps.table.message_end(&conversation, id, &ending, deps.clock.now()).await? {
        let title = "The outcome of this message is known.";
        return Err(Problem::conflict("not_in_doubt", title).remedy("Read the message to see its state."));
    }
    deps.access.note(Some(tenant), &key, "message.settled", &id.to_string()).await?;
    deps.metrics.count("unknown_resolved", "person", 1);
    shown(&deps, &intent).await
}

/// Returns a message sent through this API. Another tenant's message is answered as if it did not exist.
async fn find(
    deps: &Deps,
    tenant: TenantId,
    conversation: &ConversationId,
    id: OutboundId,
) -> Result<(Intent, SendFacts), Problem> {
    let found = deps.table.intent_get(conversation, id).await?;
    found.filter(|(intent, _)| intent.tenant == tenant).ok_or_else(Problem::not_found)
}

async fn shown(deps: &Deps, intent: &Intent) -> Result<Json<MessageJson>, Problem> {
    let found = deps.table.message_get(&intent.conversation, intent.id).await?;
    found.map(|message| Json(MessageJson::of_ours(message, intent))).ok_or_else(Problem::not_found)
}
