//! Customers blocked by a number.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use shared::api::{Caller, Id, Send};
use shared::domain::ids::ConversationId;
use shared::http::Problem;

use crate::Deps;
use crate::account::refused;
use crate::described::AtMeta;

/// Blocks the customer of a conversation at Meta. The customer must have written within the last 24 hours.
#[utoipa::path(
    put,
    path = "/v1/conversations/{id}/block",
    tag = "Conversations",
    operation_id = "blockContact",
    params(("id" = String, Path)),
    responses((status = 204), AtMeta),
    security(("key" = ["send"])),
)]
pub(crate) async fn block(
    State(deps): State<Arc<Deps>>,
    caller: Caller<Send>,
    Id(id): Id<ConversationId>,
) -> Result<StatusCode, Problem> {
    deps.block(caller, &id, true).await
}

/// Unblocks the customer of a conversation.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/block",
    tag = "Conversations",
    operation_id = "unblockContact",
    params(("id" = String, Path)),
    responses((status = 204), AtMeta),
    security(("key" = ["send"])),
)]
pub(crate) async fn unblock(
    State(deps): State<Arc<Deps>>,
    caller: Caller<Send>,
    Id(id): Id<ConversationId>,
) -> Result<StatusCode, Problem> {
    deps.block(caller, &id, false).await
}

impl Deps {
    async fn block(&self, caller: Caller<Send>, id: &ConversationId, block: bool) -> Result<StatusCode, Problem> {
        let Caller { tenant, key, .. } = caller;
        let conversation = self.access.conversation_of(tenant, id).await?;
        let (number, token) = self.opened(tenant, id.number()).await?;
        let phone = conversation.phone.as_ref().map(|phone| phone.e164().to_owned());
        let user = phone
            .or(conversation.user_id)
            .ok_or_else(|| Problem::conflict("not_reachable", "The contact has neither phone number nor user id."))?;
        self.graph.block(&token, &number.id, &user, block).await.map_err(refused)?;
        for contact in std::iter::once(conversation.id.contact()).chain(conversation.also) {
            self.table.contact_put_blocked(contact, &number, block).await?;
        }
        let action = if block { "contact.blocked" } else { "contact.unblocked" };
        self.access.note(Some(tenant), &key, action, &id.to_string()).await?;
        Ok(StatusCode::NO_CONTENT)
    }
}
