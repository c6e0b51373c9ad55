//! `GET /v1/conversations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use shared::domain::tenant::Scope;
use shared::http::Problem;

use crate::auth::Caller;
use crate::json::{ConversationJson, List};
use crate::{Deps, storage_problem};

/// Items of a page unless the caller asks for another number.
const LIMIT_DEFAULT: u16 = 50;
/// Most items of a page: what DynamoDB reads in one batch.
const LIMIT_MAX: u16 = 100;

/// Where a page begins and how long it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    limit: Option<u16>,
    cursor: Option<String>,
}

pub(crate) type PageParameters = Result<Query<PageQuery>, QueryRejection>;

impl PageQuery {
    /// The page asked for.
    pub(crate) fn read(parameters: PageParameters) -> Result<(u16, Option<String>), Problem> {
        let Query(query) = parameters
            .map_err(|_| Problem::invalid("query", "takes only `limit` (1 to 100) and `cursor` (a next_cursor)"))?;
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::invalid("limit", "must be from 1 to 100"));
        }
        Ok((limit, query.cursor))
    }
}

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<ConversationJson>>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.conversations(tenant, limit, cursor.as_deref()).await;
    let page = page.map_err(|error| storage_problem(&error))?;
    let now = deps.clock.now();
    Ok(Json(List {
        data: page.items.into_iter().map(|conversation| ConversationJson::new(conversation, now)).collect(),
        next_cursor: page.next,
    }))
}
