//! `GET /v1/merges` and `POST /v1/merges/{one}/{other}/undo`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use shared::domain::ids::ContactId;
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::storage::{Merge, Stored};

use crate::auth::Caller;
use crate::conversations::{PageParameters, PageQuery};
use crate::json::{List, time};
use crate::{Deps, storage_problem};

#[derive(Serialize)]
pub(crate) struct MergeJson {
    contact_ids: [String; 2],
    because: String,
    at: String,
    undone_at: Option<String>,
}

impl MergeJson {
    fn new(merge: Merge) -> Self {
        Self {
            contact_ids: [merge.one.to_string(), merge.other.to_string()],
            because: merge.because,
            at: time(merge.at),
            undone_at: merge.undone_at.map(time),
        }
    }
}

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<MergeJson>>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.merges(tenant, limit, cursor.as_deref()).await.map_err(|error| storage_problem(&error))?;
    Ok(Json(List { data: page.items.into_iter().map(MergeJson::new).collect(), next_cursor: page.next }))
}

pub(crate) async fn undo(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let tenant = caller.tenant(Scope::Manage)?;
    let Path((one, other)) = path.map_err(|_| Problem::not_found())?;
    let contact = |id: &str| ContactId::parse(id).map_err(|_| Problem::not_found());
    let undone = deps.table.undo_merge(tenant, contact(&one)?, contact(&other)?, deps.clock.now()).await;
    match undone.map_err(|error| storage_problem(&error))? {
        Stored::New => Ok(StatusCode::NO_CONTENT),
        Stored::Known => Err(Problem::not_found()),
    }
}
