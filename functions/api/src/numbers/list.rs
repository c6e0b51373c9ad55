//! `GET /v1/numbers`, and states and templates of one number.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::api::{Caller, Id, List, Moment, PageQuery, QueryParams, Read, Refusals, etag, raw};
use shared::domain::accounts::account::StoredState;
use shared::domain::accounts::number::Number;
use shared::domain::accounts::states::{self, Scope};
use shared::domain::conversations::contact::ContactIdentity;
use shared::domain::conversations::conversation::Conversation;
use shared::domain::conversations::phone::PhoneNumber;
use shared::domain::ids::{ConversationId, NumberId};
use shared::domain::outgoing::Template;
use shared::http::Problem;
use shared::storage::HistoryPhase;
use utoipa::{IntoParams, ToSchema};

use crate::Deps;
use crate::conversations::list::{ConversationDetailJson, Shown, detail};
use crate::numbers::settings::SettingsJson;

#[derive(Serialize, ToSchema)]
pub(crate) struct NumberJson {
    id: String,
    account_id: String,
    display_phone_number: String,
    /// Name given by the tenant.
    label: Option<String>,
    /// Whether the number may send.
    active: bool,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NumberDetailJson {
    #[serde(flatten)]
    number: NumberJson,
    settings: SettingsJson,
    /// Template to send when a free-form message is too late for the customer service window.
    fallback_template: Option<Template>,
    states: Vec<StateJson>,
    account_states: Vec<StateJson>,
    history: Vec<PhaseJson>,
}

#[derive(Serialize, ToSchema)]
struct StateJson {
    aspect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    state: String,
    at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Moment>,
    /// Whether the state no longer holds: `until` has passed, or a later report ended it.
    over: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    detail: Option<Box<RawValue>>,
}

#[derive(Serialize, ToSchema)]
struct PhaseJson {
    phase: i64,
    progress: i64,
    chunks: Vec<i64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TemplateStatesJson {
    id: String,
    states: Vec<StateJson>,
}

impl NumberJson {
    fn new(number: &Number) -> Self {
        Self {
            id: number.id.to_string(),
            account_id: number.waba.to_string(),
            display_phone_number: number.display_phone_number.clone(),
            label: number.settings.label.clone(),
            active: number.settings.inactive.is_none(),
        }
    }
}

impl StateJson {
    fn new(state: StoredState, over: bool) -> Self {
        Self {
            aspect: state.aspect,
            key: state.key,
            state: state.word,
            at: Moment(state.at),
            until: state.until.map(Moment),
            over,
            detail: raw(state.detail),
        }
    }
}

/// Lists the numbers, latest first.
#[utoipa::path(
    get,
    path = "/v1/numbers",
    tag = "Numbers",
    operation_id = "listNumbers",
    params(PageQuery),
    responses((status = 200, body = List<NumberJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<NumberJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.number_list(tenant, limit, cursor.as_deref()).await?;
    let data = page.items.iter().filter(|number| number.tenant == tenant).map(NumberJson::new).collect();
    Ok(Json(List { data, next_cursor: page.next }))
}

/// Returns a number, with the states that Meta reported for the number and its account.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}",
    tag = "Numbers",
    operation_id = "getNumber",
    params(("id" = String, Path)),
    responses((status = 200, body = NumberDetailJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<NumberId>,
) -> Result<([(HeaderName, String); 1], Json<NumberDetailJson>), Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let states_of_number = deps.table.number_list_states(&number.id).await?;
    let account_states = deps.table.account_list_states(&number.waba).await?;
    let now = deps.clock.now();
    let shown = |scope, of: &[StoredState]| {
        let over = |state: &StoredState| states::is_over(scope, state, &states_of_number, &account_states, now);
        of.iter().map(|state| StateJson::new(state.clone(), over(state))).collect()
    };
    let history = deps.table.history_get(&number.id).await?;
    let phase = |one: HistoryPhase| PhaseJson { phase: one.phase, progress: one.progress, chunks: one.chunks };
    Ok((
        [(header::ETAG, etag(number.settings.revision))],
        Json(NumberDetailJson {
            number: NumberJson::new(&number),
            settings: SettingsJson::new(&number.settings),
            fallback_template: number.fallback.clone(),
            states: shown(Scope::Number, &states_of_number),
            account_states: shown(Scope::Account, &account_states),
            history: history.into_iter().map(phase).collect(),
        }),
    ))
}

/// Identifier of the contact: exactly one of the two.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContactQuery {
    /// Phone number with `+` and country code.
    phone: Option<String>,
    /// Meta's business-scoped user id.
    user_id: Option<String>,
}

/// Returns the conversation with a contact, even if it has no messages yet.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}/conversation",
    tag = "Numbers",
    operation_id = "findConversation",
    params(("id" = String, Path), ContactQuery),
    responses((status = 200, body = ConversationDetailJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn conversation(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<NumberId>,
    QueryParams(query): QueryParams<ContactQuery>,
) -> Result<Shown, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let card = match (query.phone, query.user_id) {
        (Some(phone), None) => {
            let phone = PhoneNumber::parse(&phone).map_err(|broken| Problem::invalid("phone", &broken.to_string()))?;
            ContactIdentity { phone: Some(phone), ..ContactIdentity::default() }
        }
        (None, Some(user_id)) if !user_id.is_empty() => {
            ContactIdentity { user_id: Some(user_id), ..ContactIdentity::default() }
        }
        _ => return Err(Problem::invalid("phone", "or `user_id` is required, but not both")),
    };
    let contact = deps.table.contact_find(number.tenant, &card).await?;
    let id = ConversationId::new(number.id.clone(), contact.ok_or_else(Problem::not_found)?);
    let known = deps.table.conversation_get(number.tenant, &id).await?;
    let conversation = known.unwrap_or_else(|| Conversation::silent(id, number.tenant));
    detail(&deps, conversation).await
}

/// Lists the states that Meta reported for the account's templates.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}/templates",
    tag = "Numbers",
    operation_id = "listTemplateStates",
    params(("id" = String, Path)),
    responses((status = 200, body = List<TemplateStatesJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn templates(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<NumberId>,
) -> Result<Json<List<TemplateStatesJson>>, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let now = deps.clock.now();
    let states = deps.table.template_list_states(&number.waba).await?;
    let mut templates: BTreeMap<String, Vec<StateJson>> = BTreeMap::new();
    for (id, state) in states {
        let over = state.until.is_some_and(|until| until <= now);
        templates.entry(id).or_default().push(StateJson::new(state, over));
    }
    let data = templates.into_iter().map(|(id, states)| TemplateStatesJson { id, states }).collect();
    Ok(Json(List { data, next_cursor: None }))
}
