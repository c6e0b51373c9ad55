//! `GET /v1/conversations/{id}/messages`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use shared::api::{Asked, Caller, Id, List, PageQuery, Read, Refusals};
use shared::domain::ids::ConversationId;
use shared::http::Problem;

use crate::Deps;
use crate::json::MessageJson;

/// The messages of a conversation, the newest first.
#[utoipa::path(get, path = "/v1/conversations/{id}/messages", tag = "Conversations", operation_id = "listMessages", params(("id" = String, Path), PageQuery), responses((status = 200, body = List<MessageJson>), Refusals), security(("key" = ["read"])))]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ConversationId>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<List<MessageJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    deps.conversation_of(tenant, &id).await?;
    let page = deps.table.messages(&id, limit, cursor.as_deref()).await?;
    Ok(Json(List { data: page.items.into_iter().map(MessageJson::new).collect(), next_cursor: page.next }))
}
