//! `GET /v1/conversations` and `GET /v1/conversations/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::api::{Asked, Caller, Id, List, Moment, PageQuery, Read, Refusals};
use shared::domain::conversation::Conversation;
use shared::domain::ids::ConversationId;
use shared::domain::number::Number;
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;
use crate::json::ConversationJson;

/// The conversations, the latest activity first.
#[utoipa::path(get, path = "/v1/conversations", tag = "Conversations", operation_id = "listConversations", params(PageQuery), responses((status = 200, body = List<ConversationJson>), Refusals), security(("key" = ["read"])))]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<List<ConversationJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.conversations(tenant, limit, cursor.as_deref()).await?;
    let now = deps.clock.now();
    Ok(Json(List {
        data: page.items.into_iter().map(|conversation| ConversationJson::new(conversation, now)).collect(),
        next_cursor: page.next,
    }))
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationDetailJson {
    #[serde(flatten)]
    conversation: ConversationJson,
    preferences: Vec<PreferenceJson>,
}

#[derive(Serialize, ToSchema)]
struct PreferenceJson {
    category: String,
    value: String,
    detail: Option<String>,
    at: Moment,
}

/// A conversation, with what its contact wants to get.
#[utoipa::path(get, path = "/v1/conversations/{id}", tag = "Conversations", operation_id = "getConversation", params(("id" = String, Path)), responses((status = 200, body = ConversationDetailJson), Refusals), security(("key" = ["read"])))]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ConversationId>,
) -> Result<Json<ConversationDetailJson>, Problem> {
    let conversation = deps.conversation_of(tenant, &id).await?;
    let number = deps.cached_number(tenant, id.number()).await?.ok_or_else(Problem::not_found)?;
    detail(&deps, &number, conversation).await
}

/// A conversation with what its contact wants to get.
pub(crate) async fn detail(
    deps: &Deps,
    number: &Number,
    conversation: Conversation,
) -> Result<Json<ConversationDetailJson>, Problem> {
    let mut preferences = Vec::new();
    for contact in std::iter::once(conversation.id.contact()).chain(conversation.also.iter().copied()) {
        let wishes = deps.table.preferences(contact, &number.waba).await?;
        preferences.extend(wishes.into_iter().map(|(preference, at)| PreferenceJson {
            category: preference.category,
            value: preference.value,
            detail: preference.detail,
            at: Moment(at),
        }));
    }
    Ok(Json(ConversationDetailJson {
        conversation: ConversationJson::new(conversation, deps.clock.now()),
        preferences,
    }))
}
