//! `GET /v1/merges` and `POST /v1/merges/{one}/{other}/undo`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::api::{Caller, Ids, List, Manage, Moment, PageQuery, QueryParams, Read, Refusals};
use shared::domain::ids::ContactId;
use shared::http::Problem;
use shared::storage::{Merge, Stored};
use utoipa::ToSchema;

use crate::Deps;

#[derive(Serialize, ToSchema)]
pub(crate) struct MergeJson {
    contact_ids: [String; 2],
    because: String,
    at: Moment,
    undone_at: Option<Moment>,
}

impl MergeJson {
    fn new(merge: Merge) -> Self {
        Self {
            contact_ids: [merge.one.to_string(), merge.other.to_string()],
            because: merge.because,
            at: Moment(merge.at),
            undone_at: merge.undone_at.map(Moment),
        }
    }
}

/// Lists merges of contacts that were found to be the same person.
#[utoipa::path(
    get,
    path = "/v1/merges",
    tag = "Contacts",
    operation_id = "listMerges",
    params(PageQuery),
    responses((status = 200, body = List<MergeJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<MergeJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.merge_list(tenant, limit, cursor.as_deref()).await?;
    Ok(Json(List { data: page.items.into_iter().map(MergeJson::new).collect(), next_cursor: page.next }))
}

/// Undoes a merge permanently.
#[utoipa::path(
    post,
    path = "/v1/merges/{one}/{other}/undo",
    tag = "Contacts",
    operation_id = "undoMerge",
    params(("one" = String, Path), ("other" = String, Path)),
    responses((status = 204), Refusals),
    security(("key" = ["manage"])),
)]
pub(crate) async fn undo(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Ids(one, other): Ids<ContactId, ContactId>,
) -> Result<StatusCode, Problem> {
    if deps.table.merge_undo(tenant, one, other, deps.clock.now()).await? == Stored::Known {
        return Err(Problem::not_found());
    }
    deps.access.note(Some(tenant), &key, "merge.undone", &format!("{one}/{other}")).await?;
    Ok(StatusCode::NO_CONTENT)
}
