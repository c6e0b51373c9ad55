//! `GET /v1/conversations/{id}/send-options`: kinds of messages that may be sent now, or the reason against. The same
//! function decides on acceptance and before sending.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::api::{Caller, Id, Moment, Read, Refusals};
use shared::clock::Timestamp;
use shared::domain::accounts::number::Number;
use shared::domain::conversations::conversation::Conversation;
use shared::domain::ids::ConversationId;
use shared::domain::outgoing::Outgoing;
use shared::domain::sending::outbound::{Intent, Recipient};
use shared::domain::sending::policy::{
    Category, Facts, MessageClass, Reach, Reason, TemplateFacts, Verdict, decide, free_form_until,
};
use shared::http::Problem;
use shared::storage::StorageError;
use utoipa::ToSchema;

use crate::Deps;
use crate::messages::template_check::look_up;

#[derive(Serialize, ToSchema)]
pub(crate) struct SendOptionsJson {
    free_form: OptionJson,
    templates: TemplatesJson,
    customer_service_window_closes_at: Option<Moment>,
    free_entry_point_until: Option<Moment>,
    fallback_template: Option<String>,
    paused_until: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
struct TemplatesJson {
    marketing: OptionJson,
    utility: OptionJson,
    authentication: OptionJson,
}

#[derive(Serialize, ToSchema)]
struct OptionJson {
    allowed: bool,
    until: Option<Moment>,
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
        Self {
            allowed,
            until: until.map(Moment),
            reason: reason.map(Reason::as_str),
            remedy: reason.map(Reason::remedy),
        }
    }
}

/// Returns which kinds of messages may be sent now, with the reason where one may not.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/send-options",
    tag = "Conversations",
    operation_id = "getSendOptions",
    params(("id" = String, Path)),
    responses((status = 200, body = SendOptionsJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn options(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ConversationId>,
) -> Result<Json<SendOptionsJson>, Problem> {
    let known = deps.access.conversation_of(tenant, &id).await?;
    let number = deps.cached_number(tenant, id.number()).await?.ok_or_else(Problem::not_found)?;
    let now = deps.clock.now();
    let facts = gather(&deps, &number, &id, MessageClass::FreeForm, TemplateFacts::default()).await?;
    let facts = Facts { reach: Address::of(&deps, &known).await?.reach(), ..facts };
    let pace = deps.table.pace_get(&number.id).await?;
    let template = |category| OptionJson::new(decide(&facts, MessageClass::Template(Some(category)), now), None);
    Ok(Json(SendOptionsJson {
        free_form: OptionJson::new(
            decide(&facts, MessageClass::FreeForm, now),
            facts.last_inbound_at.map(free_form_until),
        ),
        templates: TemplatesJson {
            marketing: template(Category::Marketing),
            utility: template(Category::Utility),
            authentication: template(Category::Authentication),
        },
        customer_service_window_closes_at: known.window_closes_at().map(Moment),
        free_entry_point_until: known.entry_point_until.map(Moment),
        fallback_template: number.fallback.map(|template| template.name),
        paused_until: pace.stopped_until(now).map(Moment),
    }))
}

/// Gathers the facts for the decision about a message of this class.
async fn gather(
    deps: &Deps,
    number: &Number,
    conversation: &ConversationId,
    class: MessageClass,
    template: TemplateFacts,
) -> Result<Facts, StorageError> {
    let standing = deps.standing(number).await?;
    deps.table.policy_get_facts(number, conversation, class, standing, template).await
}

/// Refuses a message that cannot be sent before `send_before`. A message that is blocked only until then is accepted
/// and waits. A free-form message outside the customer service window is accepted if the number has a fallback
/// template.
pub(crate) async fn admit(deps: &Deps, number: &Number, intent: &Intent) -> Result<(), Problem> {
    let Intent { conversation, body, category, send_before, .. } = intent;
    let (class, template) = match body {
        Outgoing::Template(template) => {
            let known = Box::pin(look_up(deps, number, template)).await?;
            known.check(template)?;
            known.check_flows(&deps.standing(number).await?)?;
            (MessageClass::Template(*category), known.facts)
        }
        _ => (MessageClass::FreeForm, TemplateFacts::default()),
    };
    let facts = gather(deps, number, conversation, class, template).await?;
    let facts = Facts { reach: intent.to.reach(), ..facts };
    let reason = match decide(&facts, class, deps.clock.now()) {
        Verdict::Allowed | Verdict::Blocked(Reason::NoToken | Reason::TokenWithdrawn, _) => return Ok(()),
        Verdict::Blocked(_, Some(until)) if until < *send_before => return Ok(()),
        Verdict::TemplateOnly(_) if number.fallback.is_some() => return Ok(()),
        Verdict::Blocked(reason, _) | Verdict::TemplateOnly(reason) => reason,
    };
    Err(refusal(deps, reason, facts.template.status.as_deref()))
}

/// Returns the problem of a message that the rules do not allow.
pub(crate) fn refusal(deps: &Deps, reason: Reason, template: Option<&str>) -> Problem {
    deps.metrics.count("send_not_admitted", reason.as_str(), 1);
    let title = "The rules do not allow this message now.";
    let problem = Problem::conflict(reason.as_str(), title).remedy(reason.remedy());
    Problem { meta_code: saved_code(reason, template), ..problem }
}

/// The address of a conversation's contact.
pub(crate) enum Address {
    /// A message can be sent to it.
    To(Recipient),
    /// No message can be sent, for this reason.
    None(Reason),
    /// Neither a phone number nor a user id is known.
    Unknown,
}

impl Address {
    /// Returns the address of a conversation's contact. A phone number that leads to another contact is not used. One
    /// that ever moved from one person to another is used only if no user id is known. 1 read unit.
    pub(crate) async fn of(deps: &Deps, known: &Conversation) -> Result<Self, StorageError> {
        let user_id = || known.user_id.clone().map(Recipient::UserId);
        if known.group_id.is_some() {
            return Ok(Self::None(Reason::Group));
        }
        let Some(phone) = &known.phone else {
            return Ok(user_id().map_or(Self::Unknown, Self::To));
        };
        let holder = deps.table.contact_get_phone_holder(known.tenant, phone).await?;
        let is_theirs =
            holder.contact.is_some_and(|holder| holder == known.id.contact() || known.also.contains(&holder));
        // A number that no alias names was entered in another spelling.
        if !holder.has_moved && (is_theirs || holder.contact.is_none()) {
            return Ok(Self::To(Recipient::Phone(phone.clone())));
        }
        let by_phone = is_theirs.then(|| Recipient::Phone(phone.clone()));
        Ok(user_id().or(by_phone).map_or(Self::None(Reason::ContactMoved), Self::To))
    }

    fn reach(&self) -> Reach {
        match self {
            Self::To(to) => to.reach(),
            Self::None(Reason::Group) => Reach::Group,
            Self::None(_) | Self::Unknown => Reach::Lost,
        }
    }
}

/// Returns Meta's error code for the same refusal, if it has one (`docs/meta/errors.md`).
fn saved_code(reason: Reason, template: Option<&str>) -> Option<i64> {
    match (reason, template) {
        (Reason::WindowClosed | Reason::WindowNeverOpened, _) => Some(131_047),
        (Reason::TemplateStopped, Some("PAUSED")) => Some(132_015),
        (Reason::TemplateStopped, Some("DISABLED")) => Some(132_016),
        (Reason::PhoneRequired, _) => Some(131_062),
        _ => None,
    }
}
