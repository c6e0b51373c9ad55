//! `GET /v1/conversations/{id}/send-options`: what may be sent now, and why not. The same function decides when a message
//! is accepted and when it is sent.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use shared::clock::Timestamp;
use shared::domain::ids::{ConversationId, TenantId};
use shared::domain::number::Number;
use shared::domain::outgoing::Outgoing;
use shared::domain::policy::{Category, Class, Facts, Reason, TemplateFacts, Verdict, decide, free_form_until};
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::storage::StorageError;

use crate::auth::Caller;
use crate::json::time;
use crate::{Deps, storage_problem};

#[derive(Serialize)]
pub(crate) struct OptionsJson {
    free_form: OptionJson,
    templates: TemplatesJson,
    customer_service_window_closes_at: Option<String>,
    free_entry_point_until: Option<String>,
    fallback_template: Option<String>,
    paused_until: Option<String>,
}

#[derive(Serialize)]
struct TemplatesJson {
    marketing: OptionJson,
    utility: OptionJson,
    authentication: OptionJson,
}

#[derive(Serialize)]
struct OptionJson {
    allowed: bool,
    until: Option<String>,
    reason: Option<&'static str>,
    remedy: Option<&'static str>,
}

impl OptionJson {
    fn new(verdict: Verdict, until: Option<Timestamp>) -> Self {
        let (allowed, until, reason) = match verdict {
            Verdict::Allowed => (true, until, None),
            Verdict::TemplateOnly(reason) => (false, None, Some(reason)),
            Verdict::Blocked(reason, until) => (false, until, Some(reason)),
        };
        Self { allowed, until: until.map(time), reason: reason.map(Reason::as_str), remedy: reason.map(Reason::remedy) }
    }
}

pub(crate) async fn options(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<OptionsJson>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let id = path.ok().and_then(|Path(id)| ConversationId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let known = deps.table.conversation(tenant, &id).await.map_err(|error| storage_problem(&error))?;
    let known = known.ok_or_else(Problem::not_found)?;
    let number = number_of(&deps, tenant, &id).await?.ok_or_else(Problem::not_found)?;
    let now = deps.clock.now();
    let facts = gather(&deps, &number, &id, Class::FreeForm, TemplateFacts::default()).await;
    let facts = facts.map_err(|error| storage_problem(&error))?;
    let pace = deps.table.pace(&number.id).await.map_err(|error| storage_problem(&error))?;
    let template = |category| OptionJson::new(decide(&facts, Class::Template(Some(category)), now), None);
    Ok(Json(OptionsJson {
        free_form: OptionJson::new(decide(&facts, Class::FreeForm, now), facts.last_inbound_at.map(free_form_until)),
        templates: TemplatesJson {
            marketing: template(Category::Marketing),
            utility: template(Category::Utility),
            authentication: template(Category::Authentication),
        },
        customer_service_window_closes_at: known.window_closes_at().map(time),
        free_entry_point_until: known.entry_point_until.map(time),
        fallback_template: number.fallback.map(|template| template.name),
        paused_until: pace.stopped_until(now).map(time),
    }))
}

/// The number of a conversation, if it is this tenant's.
pub(crate) async fn number_of(deps: &Deps, tenant: TenantId, id: &ConversationId) -> Result<Option<Number>, Problem> {
    let number = deps.numbers.get(id.number(), deps.table.number(id.number())).await;
    Ok(number.map_err(|error| storage_problem(&error))?.filter(|number| number.tenant == tenant))
}

/// What decides about a message of this class.
async fn gather(
    deps: &Deps,
    number: &Number,
    conversation: &ConversationId,
    class: Class,
    template: TemplateFacts,
) -> Result<Facts, StorageError> {
    let fetch = async { deps.table.standing(number).await.map(Some) };
    let standing = deps.standings.get(&number.id, fetch).await?.unwrap_or_default();
    deps.table.facts(number, conversation, class, standing, template).await
}

/// Refuses what may not be sent before it is stale. What is blocked for a while is accepted, and waits; a free-form
/// message that comes too late is accepted where the number has a template to send instead.
pub(crate) async fn admit(
    deps: &Deps,
    number: &Number,
    conversation: &ConversationId,
    body: &Outgoing,
    category: Option<Category>,
    send_before: Timestamp,
) -> Result<(), Problem> {
    let (class, template) = match body {
        Outgoing::Template(template) => {
            let facts = deps.table.template_facts(&number.waba, &template.name, &template.language.code).await;
            (Class::Template(category), facts.map_err(|error| storage_problem(&error))?)
        }
        _ => (Class::FreeForm, TemplateFacts::default()),
    };
    let facts = gather(deps, number, conversation, class, template).await.map_err(|error| storage_problem(&error))?;
    let reason = match decide(&facts, class, deps.clock.now()) {
        Verdict::Allowed | Verdict::Blocked(Reason::NoToken | Reason::TokenWithdrawn, _) => return Ok(()),
        Verdict::Blocked(_, Some(until)) if until < send_before => return Ok(()),
        Verdict::TemplateOnly(_) if number.fallback.is_some() => return Ok(()),
        Verdict::Blocked(reason, _) | Verdict::TemplateOnly(reason) => reason,
    };
    deps.metrics.count("send_not_admitted", reason.as_str(), 1);
    let title = "The rules do not allow this message now.";
    Err(Problem::new(StatusCode::CONFLICT, reason.as_str(), title).remedy(reason.remedy()))
}
