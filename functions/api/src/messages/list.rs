//! `GET /v1/conversations/{id}/messages`, and the export of a conversation.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::api::{Caller, Id, List, QueryParams, Read, Refusals, limit};
use shared::domain::ids::ConversationId;
use shared::http::Problem;
use shared::storage::Order;
use utoipa::{IntoParams, ToSchema};

use crate::Deps;
use crate::messages::json::MessageJson;
use crate::messages::openapi_message::Message;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessagesQuery {
    /// Maximum number of items in the page.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the previous page. With the opposite `order`, the pages go back from that point.
    cursor: Option<String>,
    /// `newest` (default) or `oldest` messages first.
    #[param(inline)]
    order: Option<OrderQuery>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OrderQuery {
    Newest,
    Oldest,
}

/// Lists the messages of a conversation, newest first by default.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages",
    tag = "Conversations",
    operation_id = "listMessages",
    params(("id" = String, Path), MessagesQuery),
    responses((status = 200, body = List<Message>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ConversationId>,
    QueryParams(query): QueryParams<MessagesQuery>,
) -> Result<Json<List<MessageJson>>, Problem> {
    let limit = limit(query.limit)?;
    deps.access.conversation_of(tenant, &id).await?;
    let order = match query.order {
        Some(OrderQuery::Oldest) => Order::Oldest,
        Some(OrderQuery::Newest) | None => Order::Newest,
    };
    let page = deps.table.message_list(&id, order, limit, query.cursor.as_deref()).await?;
    Ok(Json(List { data: page.items.into_iter().map(MessageJson::new).collect(), next_cursor: page.next }))
}

/// Size in bytes at which one response of an export ends. A Lambda response is limited to 6 MB.
const EXPORT_BYTES: usize = 3_000_000;
/// Messages read per query.
const EXPORT_PAGE: u16 = 100;
/// Header with the cursor of the export's next part.
const NEXT: HeaderName = HeaderName::from_static("next-cursor");

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// The `Next-Cursor` of the previous part.
    cursor: Option<String>,
}

/// Exports a conversation as JSON Lines, oldest message first.
///
/// One response contains about 3 MB. Its header `Next-Cursor` is the `cursor` of the next part; the last part has none.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/export",
    tag = "Conversations",
    operation_id = "exportConversation",
    params(("id" = String, Path), ExportQuery),
    responses(
        (
            status = 200,
            description = "One message per line.",
            content_type = "application/x-ndjson",
            body = String,
            headers(("Next-Cursor" = String)),
        ),
        Refusals,
    ),
    security(("key" = ["read"])),
)]
pub(crate) async fn export(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ConversationId>,
    QueryParams(query): QueryParams<ExportQuery>,
) -> Result<Response, Problem> {
    deps.access.conversation_of(tenant, &id).await?;
    let (mut lines, mut cursor) = (String::new(), query.cursor);
    loop {
        let page = deps.table.message_list(&id, Order::Oldest, EXPORT_PAGE, cursor.as_deref()).await?;
        for message in page.items {
            lines.push_str(&serde_json::to_string(&MessageJson::new(message)).map_err(|_| Problem::unavailable())?);
            lines.push('\n');
        }
        cursor = page.next;
        if cursor.is_none() || lines.len() >= EXPORT_BYTES {
            break;
        }
    }
    let mut response = ([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response();
    if let Some(next) = cursor.and_then(|cursor| HeaderValue::from_str(&cursor).ok()) {
        response.headers_mut().insert(NEXT, next);
    }
    Ok(response)
}
