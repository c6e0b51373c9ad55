//! Checks right before the claim, because a message may have waited: the rules again, the number's pause and suspicion,
//! the customer's pace.

use shared::clock::{self, SignedDuration};
use shared::domain::accounts::number::Number;
use shared::domain::event::ProviderError;
use shared::domain::outgoing::{Outgoing, Template};
use shared::domain::sending::broadcast::BroadcastState;
use shared::domain::sending::outbound::Intent;
use shared::domain::sending::pacing::Pace;
use shared::domain::sending::policy::{Facts, MessageClass, Reason, TemplateFacts, Verdict, decide};
use shared::storage::{Reserved, StorageError};

use crate::Deps;
use crate::not_ready::{NotReady, Stop};

/// Interval between two checks of a state that only people can resolve. Each check costs a receive, and 100 are
/// allowed.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// Returns the class of a message for the rules.
pub(crate) fn class_of(says: &Outgoing, intent: &Intent) -> MessageClass {
    match says {
        Outgoing::Template(_) => MessageClass::Template(intent.category),
        _ => MessageClass::FreeForm,
    }
}

/// Evaluates the rules; returns the number's fallback template if only a template may be sent.
pub(crate) async fn rules(deps: &Deps, number: &Number, intent: &Intent) -> Result<Option<Template>, NotReady> {
    let later = clock::after(deps.clock.now(), LOOK_AGAIN);
    let reason = match verdict(deps, number, intent, &intent.body).await? {
        Verdict::Allowed => return Ok(None),
        // A block that ends after `send_before` counts as permanent.
        Verdict::Blocked(reason, Some(until)) if until >= intent.send_before => return Err(refusal(reason)),
        Verdict::Blocked(Reason::CoolDown | Reason::TemplateStopped, Some(until)) => {
            return Err(NotReady::message_until(until));
        }
        Verdict::Blocked(_, Some(until)) => return Err(NotReady::conversation_until(until.min(later))),
        Verdict::Blocked(Reason::NoToken | Reason::TokenWithdrawn, None) => {
            return Err(NotReady::conversation_until(later));
        }
        Verdict::Blocked(reason, None) => return Err(refusal(reason)),
        Verdict::TemplateOnly(reason) => reason,
    };
    let fallback = number.fallback.clone().ok_or_else(|| refusal(reason))?;
    let instead = Outgoing::Template(fallback.clone());
    match verdict(deps, number, intent, &instead).await? {
        Verdict::Allowed => Ok(Some(fallback)),
        Verdict::Blocked(other, _) | Verdict::TemplateOnly(other) => Err(refusal(other)),
    }
}

async fn verdict(deps: &Deps, number: &Number, intent: &Intent, says: &Outgoing) -> Result<Verdict, StorageError> {
    let fetch = async { deps.table.number_status_get(number).await.map(Some) };
    let standing = deps.standings.get(&number.id, fetch).await?.unwrap_or_default();
    let template = match says {
        Outgoing::Template(template) => known_template(deps, number, template).await?,
        _ => TemplateFacts::default(),
    };
    let class = class_of(says, intent);
    let facts = deps.table.policy_get_facts(number, &intent.conversation, class, standing, template).await?;
    let facts = Facts { reach: intent.to.reach(), ..facts };
    Ok(decide(&facts, class, deps.clock.now()))
}

async fn known_template(deps: &Deps, number: &Number, template: &Template) -> Result<TemplateFacts, StorageError> {
    let key = (number.waba.clone(), template.name.clone(), template.language.code.clone());
    let fetch = async { deps.table.template_get_facts(&key.0, &key.1, &key.2).await.map(|(facts, _)| Some(facts)) };
    Ok(deps.templates.get(&key, fetch).await?.unwrap_or_default())
}

fn refusal(reason: Reason) -> NotReady {
    NotReady::refused(ProviderError::ours(reason.as_str(), reason.remedy()))
}

/// Returns the number's pace. A suspect number is tried by one call at a time.
pub(crate) async fn pace(deps: &Deps, number: &Number) -> Result<Pace, NotReady> {
    let now = deps.clock.now();
    let fetch = async { deps.table.pace_get(&number.id).await.map(Some) };
    let pace = deps.paces.get(&number.id, fetch).await?.unwrap_or_default();
    if let Some(until) = pace.stopped_until(now) {
        return Err(NotReady::conversation_until(until.min(clock::after(now, LOOK_AGAIN))));
    }
    if pace.suspect_until.is_some() {
        let ours = deps.table.pace_probe(&number.id, now).await?;
        deps.paces.forget(&number.id);
        if !ours {
            return Err(NotReady::conversation_until(clock::after(now, shared::storage::SUSPECT_FOR)));
        }
    }
    Ok(pace)
}

/// Reserves a slot in the pace of number and customer. Not for broadcasts: one message per customer always fits the
/// pair's burst.
pub(crate) async fn pair(deps: &Deps, intent: &Intent) -> Result<(), NotReady> {
    if intent.broadcast.is_some() {
        return Ok(());
    }
    match deps.table.pair_reserve(&intent.conversation, deps.clock.now()).await? {
        Reserved::At(_) => Ok(()),
        Reserved::Busy(until) => Err(NotReady::conversation_until(until)),
    }
}

/// Interval between two checks of a paused broadcast.
const PAUSED_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// Checks the state of the message's broadcast.
pub(crate) async fn broadcast(deps: &Deps, intent: &Intent) -> Result<(), NotReady> {
    let Some(id) = intent.broadcast else { return Ok(()) };
    let known = deps.broadcasts.get(&id, deps.table.broadcast_get(id)).await?;
    match known.map(|broadcast| broadcast.state) {
        Some(BroadcastState::Cancelled) => Err(NotReady::Stop(Stop::Cancelled)),
        Some(BroadcastState::Paused) => Err(NotReady::message_until(clock::after(deps.clock.now(), PAUSED_WAIT))),
        Some(BroadcastState::Running | BroadcastState::Done) | None => Ok(()),
    }
}
