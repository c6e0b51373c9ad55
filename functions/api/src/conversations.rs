//! `GET /v1/conversations` and `GET /v1/conversations/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use shared::domain::conversation::Conversation;
use shared::domain::ids::ConversationId;
use shared::domain::number::Number;
use shared::domain::tenant::Scope;
use shared::http::Problem;

use crate::auth::Caller;
use crate::json::{ConversationJson, List, time};
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

#[derive(Serialize)]
pub(crate) struct ConversationDetailJson {
    #[serde(flatten)]
    conversation: ConversationJson,
    preferences: Vec<PreferenceJson>,
}

#[derive(Serialize)]
struct PreferenceJson {
    category: String,
    value: String,
    detail: Option<String>,
    at: String,
}

pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<ConversationDetailJson>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let id = path.ok().and_then(|Path(id)| ConversationId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let found = deps.table.conversation(tenant, &id).await.map_err(|error| storage_problem(&error))?;
    let conversation = found.ok_or_else(Problem::not_found)?;
    let number = deps.numbers.get(id.number(), deps.table.number(id.number())).await;
    let number = number.map_err(|error| storage_problem(&error))?.ok_or_else(Problem::not_found)?;
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
        let wishes = deps.table.preferences(contact, &number.waba).await.map_err(|error| storage_problem(&error))?;
        preferences.extend(wishes.into_iter().map(|(preference, at)| PreferenceJson {
            category: preference.category,
            value: preference.value,
            detail: preference.detail,
            at: time(at),
        }));
    }
    Ok(Json(ConversationDetailJson {
        conversation: ConversationJson::new(conversation, deps.clock.now()),
        preferences,
    }))
}
