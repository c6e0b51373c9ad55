//! Checks right before the claim, because a message may have waited: the rules again, the number's pause and suspicion,
//! the customer's pace.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::number::Number;
use shared::domain::event::ProviderError;
use shared::domain::outgoing::{Outgoing, Template};
use shared::domain::sending::broadcast::BroadcastState;
use shared::domain::sending::outbound::Intent;
use shared::domain::sending::pacing::Pace;
use shared::domain::sending::policy::{Facts, MessageClass, Reason, TemplateFacts, Verdict, decide};
use shared::storage::{Reserved, StorageError};

use crate::Deps;
use crate::attempt::NotNow;

/// Interval between two checks of a state that only people can resolve. Each check costs a receive, and 100 are
/// allowed.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(15);

/// Decision of the rules.
pub(crate) enum Gate {
    /// The message itself may be sent.
    Open,
    /// The number's fallback template is sent instead.
    Instead(Template),
    /// Nothing may be sent from this number before this time.
    Wait(Timestamp),
    /// This message must wait until this time; others may be sent.
    Postpone(Timestamp),
    /// The message must never be sent.
    Refused(ProviderError),
}

/// Returns the class of a message for the rules.
pub(crate) fn class_of(says: &Outgoing, intent: &Intent) -> MessageClass {
    match says {
        Outgoing::Template(_) => MessageClass::Template(intent.category),
        _ => MessageClass::FreeForm,
    }
}

/// Evaluates the rules.
pub(crate) async fn rules(deps: &Deps, number: &Number, intent: &Intent) -> Result<Gate, StorageError> {
    let now = deps.clock.now();
    let reason = match verdict(deps, number, intent, &intent.body).await? {
        Verdict::Allowed => return Ok(Gate::Open),
        // A block that ends after `send_before` counts as permanent.
        Verdict::Blocked(reason, Some(until)) if until >= intent.send_before => {
            return Ok(Gate::Refused(refusal(reason)));
        }
        Verdict::Blocked(Reason::CoolDown | Reason::TemplateStopped, Some(until)) => return Ok(Gate::Postpone(until)),
        Verdict::Blocked(_, Some(until)) => return Ok(Gate::Wait(until.min(later(now, LOOK_AGAIN)))),
        Verdict::Blocked(Reason::NoToken | Reason::TokenWithdrawn, None) => {
            return Ok(Gate::Wait(later(now, LOOK_AGAIN)));
        }
        Verdict::Blocked(reason, None) => return Ok(Gate::Refused(refusal(reason))),
        Verdict::TemplateOnly(reason) => reason,
    };
    let Some(fallback) = number.fallback.clone() else { return Ok(Gate::Refused(refusal(reason))) };
    let instead = Outgoing::Template(fallback.clone());
    Ok(match verdict(deps, number, intent, &instead).await? {
        Verdict::Allowed => Gate::Instead(fallback),
        Verdict::Blocked(other, _) | Verdict::TemplateOnly(other) => Gate::Refused(refusal(other)),
    })
}

async fn verdict(deps: &Deps, number: &Number, intent: &Intent, says: &Outgoing) -> Result<Verdict, StorageError> {
    let fetch = async { deps.table.number_status_get(number).await.map(Some) };
    let standing = deps.standings.get(&number.id, fetch).await?.unwrap_or_default();
    let template = match says {
        Outgoing::Template(template) => known_template(deps, number, template).await?,
        _ => TemplateFacts::default(),
    };
    let class = class_of(says, intent);
    let facts: Facts = deps.table.policy_get_facts(number, &intent.conversation, class, standing, template).await?;
    Ok(decide(&facts, class, deps.clock.now()))
}

async fn known_template(deps: &Deps, number: &Number, template: &Template) -> Result<TemplateFacts, StorageError> {
    let key = (number.waba.clone(), template.name.clone(), template.language.code.clone());
    let fetch = async { deps.table.template_get_facts(&key.0, &key.1, &key.2).await.map(|(facts, _)| Some(facts)) };
    Ok(deps.templates.get(&key, fetch).await?.unwrap_or_default())
}

fn refusal(reason: Reason) -> ProviderError {
    ProviderError::ours(reason.as_str(), reason.remedy())
}

/// Returns the number's pace, or `Err` with the time before which nothing may be sent. A suspect number is probed by
/// one call at a time.
pub(crate) async fn pace(deps: &Deps, number: &Number) -> Result<Result<Pace, Timestamp>, StorageError> {
    let now = deps.clock.now();
    let fetch = async { deps.table.pace_get(&number.id).await.map(Some) };
    let pace = deps.paces.get(&number.id, fetch).await?.unwrap_or_default();
    if let Some(until) = pace.stopped_until(now) {
        return Ok(Err(until.min(later(now, LOOK_AGAIN))));
    }
    if pace.suspect_until.is_some() {
        let ours = deps.table.pace_probe(&number.id, now).await?;
        deps.paces.forget(&number.id);
        if !ours {
            return Ok(Err(later(now, shared::storage::SUSPECT_FOR)));
        }
    }
    Ok(Ok(pace))
}

/// Reserves a slot in the pace of number and customer. Not for broadcasts: one message per customer always fits the
/// pair's burst.
pub(crate) async fn pair(deps: &Deps, intent: &Intent) -> Result<Option<Timestamp>, StorageError> {
    if intent.broadcast.is_some() {
        return Ok(None);
    }
    Ok(match deps.table.pair_reserve(&intent.conversation, deps.clock.now()).await? {
        Reserved::At(_) => None,
        Reserved::Busy(until) => Some(until),
    })
}

fn later(now: Timestamp, wait: SignedDuration) -> Timestamp {
    now.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// Interval between two checks of a paused broadcast.
const PAUSED_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// Returns the effect of the broadcast's state on its message, or `None` if it may be sent.
pub(crate) async fn broadcast(deps: &Deps, intent: &Intent) -> Result<Option<NotNow>, StorageError> {
    let Some(id) = intent.broadcast else { return Ok(None) };
    let known = deps.broadcasts.get(&id, deps.table.broadcast_get(id)).await?;
    Ok(match known.map(|broadcast| broadcast.state) {
        Some(BroadcastState::Cancelled) => Some(NotNow::Cancelled),
        Some(BroadcastState::Paused) => Some(NotNow::Postpone(later(deps.clock.now(), PAUSED_WAIT))),
        _ => None,
    })
}
