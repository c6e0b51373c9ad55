//! `GET /v1/numbers` and what hangs on one number: states, templates, kept items.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::domain::account::StoredState;
use shared::domain::contact::ContactCard;
use shared::domain::conversation::Conversation;
use shared::domain::ids::{ConversationId, PhoneNumberId};
use shared::domain::number::Number;
use shared::domain::phone::PhoneNumber;
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::storage::{HistoryPhase, StoredKept};

use crate::auth::Caller;
use crate::conversations::{self, ConversationDetailJson, PageParameters, PageQuery};
use crate::json::{List, raw, time};
use crate::{Deps, storage_problem};

/// Longest raw item that is shown in a list, in bytes: a hundred of them must fit into Lambda's answer of 6 MB.
const SHOWN_RAW_MAX: usize = 32 * 1024;

#[derive(Serialize)]
pub(crate) struct NumberJson {
    id: String,
    account_id: String,
    display_phone_number: String,
}

#[derive(Serialize)]
pub(crate) struct NumberDetailJson {
    #[serde(flatten)]
    number: NumberJson,
    states: Vec<StateJson>,
    account_states: Vec<StateJson>,
    history: Vec<PhaseJson>,
}

#[derive(Serialize)]
struct StateJson {
    aspect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    state: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct PhaseJson {
    phase: i64,
    progress: i64,
    chunks: Vec<i64>,
}

#[derive(Serialize)]
pub(crate) struct TemplateJson {
    id: String,
    states: Vec<StateJson>,
}

#[derive(Serialize)]
pub(crate) struct KeptJson {
    id: String,
    reason: &'static str,
    what: String,
    received_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<Box<RawValue>>,
}

impl NumberJson {
    fn new(number: &Number) -> Self {
        Self {
            id: number.id.to_string(),
            account_id: number.waba.to_string(),
            display_phone_number: number.display_phone_number.clone(),
        }
    }
}

impl StateJson {
    fn new(state: StoredState) -> Self {
        Self {
            aspect: state.aspect,
            key: state.key,
            state: state.word,
            at: time(state.at),
            until: state.until.map(time),
            detail: raw(state.detail),
        }
    }
}

impl KeptJson {
    fn new(kept: StoredKept) -> Self {
        Self {
            id: kept.id,
            reason: kept.reason.as_str(),
            what: kept.what,
            received_at: time(kept.received_at),
            raw: kept
                .raw
                .filter(|raw| raw.len() <= SHOWN_RAW_MAX)
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(raw),
        }
    }
}

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<NumberJson>>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.numbers(tenant, limit, cursor.as_deref()).await.map_err(|error| storage_problem(&error))?;
    let data = page.items.iter().filter(|number| number.tenant == tenant).map(NumberJson::new).collect();
    Ok(Json(List { data, next_cursor: page.next }))
}

pub(crate) type Id = Result<Path<String>, PathRejection>;

/// The caller's number; another tenant's is answered like one that does not exist.
pub(crate) async fn own(deps: &Deps, caller: &Caller, path: Id) -> Result<Number, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let id = path.ok().and_then(|Path(id)| PhoneNumberId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let number = deps.table.number(&id).await.map_err(|error| storage_problem(&error))?;
    number.filter(|number| number.tenant == tenant).ok_or_else(Problem::not_found)
}

pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<NumberDetailJson>, Problem> {
    let number = own(&deps, &caller, path).await?;
    let states = deps.table.number_states(&number.id).await.map_err(|error| storage_problem(&error))?;
    let account_states = deps.table.account_states(&number.waba).await.map_err(|error| storage_problem(&error))?;
    let history = deps.table.history(&number.id).await.map_err(|error| storage_problem(&error))?;
    let phase = |one: HistoryPhase| PhaseJson { phase: one.phase, progress: one.progress, chunks: one.chunks };
    Ok(Json(NumberDetailJson {
        number: NumberJson::new(&number),
        states: states.into_iter().map(StateJson::new).collect(),
        account_states: account_states.into_iter().map(StateJson::new).collect(),
        history: history.into_iter().map(phase).collect(),
    }))
}

/// Whose conversation is asked for: exactly one of the two.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactQuery {
    phone: Option<String>,
    user_id: Option<String>,
}

/// `GET /v1/numbers/{id}/conversation?phone=…`: what is known of a contact, whether or not a message was written.
pub(crate) async fn conversation(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
    query: Result<Query<ContactQuery>, QueryRejection>,
) -> Result<Json<ConversationDetailJson>, Problem> {
    let number = own(&deps, &caller, path).await?;
    let rule = || Problem::invalid("query", "takes exactly one of `phone` (+ and country code) and `user_id`");
    let Query(query) = query.map_err(|_| rule())?;
    let card = match (query.phone, query.user_id) {
        (Some(phone), None) => {
            let phone = PhoneNumber::parse(&phone).map_err(|broken| Problem::invalid("phone", &broken.to_string()))?;
            ContactCard { phone: Some(phone), ..ContactCard::default() }
        }
        (None, Some(user_id)) if !user_id.is_empty() => {
            ContactCard { user_id: Some(user_id), ..ContactCard::default() }
        }
        _ => return Err(rule()),
    };
    let contact = deps.table.find_contact(number.tenant, &card).await.map_err(|error| storage_problem(&error))?;
    let id = ConversationId::new(number.id.clone(), contact.ok_or_else(Problem::not_found)?);
    let known = deps.table.conversation(number.tenant, &id).await.map_err(|error| storage_problem(&error))?;
    let conversation = known.unwrap_or_else(|| Conversation::silent(id, number.tenant));
    conversations::detail(&deps, &number, conversation).await
}

pub(crate) async fn templates(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
) -> Result<Json<List<TemplateJson>>, Problem> {
    let number = own(&deps, &caller, path).await?;
    let states = deps.table.template_states(&number.waba).await.map_err(|error| storage_problem(&error))?;
    let mut templates: BTreeMap<String, Vec<StateJson>> = BTreeMap::new();
    for (id, state) in states {
        templates.entry(id).or_default().push(StateJson::new(state));
    }
    let data = templates.into_iter().map(|(id, states)| TemplateJson { id, states }).collect();
    Ok(Json(List { data, next_cursor: None }))
}

pub(crate) async fn kept(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
    query: PageParameters,
) -> Result<Json<List<KeptJson>>, Problem> {
    let number = own(&deps, &caller, path).await?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.kept_for(&number.id, limit, cursor.as_deref()).await;
    let page = page.map_err(|error| storage_problem(&error))?;
    Ok(Json(List { data: page.items.into_iter().map(KeptJson::new).collect(), next_cursor: page.next }))
}
