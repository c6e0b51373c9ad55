//! `GET /v1/conversations` and `GET /v1/conversations/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::{Deserialize, Serialize};
use shared::api::{Caller, Id, List, Moment, QueryParams, Read, Refusals, etag, limit};
use shared::domain::conversations::conversation::Conversation;
use shared::domain::conversations::filter::ConversationFilter;
use shared::domain::ids::{ConversationId, NumberId};
use shared::http::Problem;
use utoipa::{IntoParams, ToSchema};

use crate::Deps;
use crate::messages::json::ConversationJson;

/// Filters of the list of conversations.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Maximum number of items in the page.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the previous page, with the same filters.
    cursor: Option<String>,
    /// Search text: beginnings of words in the contact's names, or the first or last digits of its number. Results are
    /// sorted by name instead of by activity.
    search: Option<String>,
    /// Only conversations of this number.
    number_id: Option<String>,
    /// Only conversations with (`true`) or without (`false`) unread activity.
    unread: Option<bool>,
    /// Only `open` or only `closed` conversations.
    #[param(inline)]
    status: Option<StatusQuery>,
    /// Only conversations assigned to this assignee; empty: only unassigned ones.
    assigned_to: Option<String>,
    /// Only conversations with this label.
    label: Option<String>,
    /// Only conversations whose customer service window is open (`true`) or closed (`false`).
    window_open: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatusQuery {
    Open,
    Closed,
}

/// Lists the conversations, latest activity first.
///
/// A page may contain fewer than `limit` items although more pages follow.
#[utoipa::path(
    get,
    path = "/v1/conversations",
    tag = "Conversations",
    operation_id = "listConversations",
    params(ListQuery),
    responses((status = 200, body = List<ConversationJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<Json<List<ConversationJson>>, Problem> {
    let limit = limit(query.limit)?;
    let number = query.number_id.map(|id| NumberId::parse(&id)).transpose();
    let wanted = ConversationFilter {
        number: number.map_err(|_| Problem::invalid("number_id", "must be the id of a number"))?,
        unread: query.unread,
        open: query.status.map(|status| status == StatusQuery::Open),
        assigned_to: query.assigned_to,
        label: query.label,
        window_open: query.window_open,
    };
    let (now, cursor) = (deps.clock.now(), query.cursor.as_deref());
    let page = match query.search {
        Some(search) => deps.table.conversation_search(tenant, &search, &wanted, now, limit, cursor).await?,
        None => deps.table.conversation_list(tenant, &wanted, now, limit, cursor).await?,
    };
    Ok(Json(List {
        data: page.items.into_iter().map(|conversation| ConversationJson::new(conversation, now)).collect(),
        next_cursor: page.next,
    }))
}

/// A conversation with its revision as `ETag`.
pub(crate) type Shown = ([(HeaderName, String); 1], Json<ConversationDetailJson>);

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

/// Returns a conversation, with its contact's marketing preferences.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}",
    tag = "Conversations",
    operation_id = "getConversation",
    params(("id" = String, Path)),
    responses(
        (
            status = 200,
            body = ConversationDetailJson,
            headers(("ETag" = String, description = "The revision, to be sent as `If-Match`.")),
        ),
        Refusals,
    ),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ConversationId>,
) -> Result<Shown, Problem> {
    let conversation = deps.access.conversation_of(tenant, &id).await?;
    detail(&deps, conversation).await
}

/// Returns a conversation with its contact's marketing preferences.
pub(crate) async fn detail(deps: &Deps, conversation: Conversation) -> Result<Shown, Problem> {
    let number = deps.cached_number(conversation.tenant, conversation.id.number()).await?;
    let number = number.ok_or_else(Problem::not_found)?;
    let etag = [(header::ETAG, etag(conversation.desk.revision))];
    let mut preferences = Vec::new();
    for contact in std::iter::once(conversation.id.contact()).chain(conversation.also.iter().copied()) {
        let wishes = deps.table.preference_list(contact, &number.waba).await?;
        preferences.extend(wishes.into_iter().map(|(preference, at)| PreferenceJson {
            category: preference.category,
            value: preference.value,
            detail: preference.detail,
            at: Moment(at),
        }));
    }
    let conversation = ConversationJson::new(conversation, deps.clock.now());
    Ok((etag, Json(ConversationDetailJson { conversation, preferences })))
}
