//! `GET /v1/conversations/{id}/messages`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use shared::domain::ids::ConversationId;
use shared::domain::tenant::Scope;
use shared::http::Problem;

use crate::auth::Caller;
use crate::conversations::{PageParameters, PageQuery};
use crate::json::{List, MessageJson};
use crate::{Deps, storage_problem};

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: PageParameters,
) -> Result<Json<List<MessageJson>>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let (limit, cursor) = PageQuery::read(query)?;
    // An id that cannot exist is answered like one that does not.
    let id = path.ok().and_then(|Path(id)| ConversationId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let known = deps.table.conversation(tenant, &id).await.map_err(|error| storage_problem(&error))?;
    known.ok_or_else(Problem::not_found)?;
    let page = deps.table.messages(&id, limit, cursor.as_deref()).await.map_err(|error| storage_problem(&error))?;
    Ok(Json(List { data: page.items.into_iter().map(MessageJson::new).collect(), next_cursor: page.next }))
}
