//! Webhook fields about templates (`docs/meta/webhooks.md#section-12`) and flows (`docs/meta/webhooks.md#section-13`).

use crate::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use crate::domain::event::{InboundEvent, InboundEventKind};
use crate::provider::meta::webhook::account::state;
use crate::provider::meta::webhook::item::moment;
use crate::provider::meta::webhook::json::Node;
use crate::provider::meta::webhook::{Change, said};

/// Parses the value of `field`; `false` if the field is not handled here.
pub(super) fn tell(change: &Change<'_, '_>, field: &str, value: &Node<'_>, events: &mut Vec<InboundEvent>) -> bool {
    // Meta's sample of a quality update names the wrong field.
    let field = if value.get("new_quality_score").is_some() { "message_template_quality_update" } else { field };
    let states = match field {
        "message_template_status_update" => value.filled("event").map(|word| {
            let alert = status_alert(&word);
            vec![StateChange { alert, ..state(change, value, Aspect::TemplateStatus, word) }]
        }),
        "message_template_quality_update" => value.filled("new_quality_score").map(|word| {
            let alert = (word == "RED").then_some(LOW_QUALITY);
            vec![StateChange { alert, ..state(change, value, Aspect::TemplateQuality, word) }]
        }),
        "message_template_components_update" => {
            Some(vec![state(change, value, Aspect::TemplateComponents, "changed".to_owned())])
        }
        "template_category_update" => category(change, value),
        "template_correct_category_detection" => value
            .filled("suggested_category")
            .map(|word| vec![state(change, value, Aspect::TemplateCategoryAdvice, word)]),
        "flows" => flow(change, value),
        _ => return false,
    };
    let is_flow = field == "flows";
    let states =
        states.and_then(|states| states.into_iter().map(|one| of_template(change, value, one, is_flow)).collect());
    let states: Option<Vec<StateChange>> = states;
    match states {
        Some(states) => {
            events
                .extend(states.into_iter().map(|state| said(InboundEventKind::State(Box::new(state)), change.alone())));
        }
        None => events.push(change.malformed(field, None, change.alone())),
    }
    true
}

/// Sets the template as the state's subject. In Meta's samples its id is a JSON number beyond 2^31; the id is its
/// digits.
fn of_template(change: &Change<'_, '_>, value: &Node<'_>, state: StateChange, is_flow: bool) -> Option<StateChange> {
    if is_flow {
        return Some(state);
    }
    let subject = Subject::Template(change.waba()?, value.filled("message_template_id")?);
    Some(StateChange { subject, ..state })
}

/// Parses a change of category. In the notice a day before, `new_category` is still the current category; in the notice
/// of the change itself it is the new one.
fn category(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let current = value.filled("new_category")?;
    let now = state(change, value, Aspect::TemplateCategory, current.clone());
    let Some(next) = value.filled("correct_category") else {
        let changed = value.filled("previous_category").is_some_and(|previous| previous != current);
        return Some(vec![StateChange { alert: changed.then_some(CATEGORY_CHANGED), ..now }]);
    };
    let from = value.text_of("category_update_timestamp").and_then(|text| moment(&text));
    let coming = state(change, value, Aspect::TemplateCategoryNext, next);
    Some(vec![now, StateChange { until: from, alert: Some(CATEGORY_CHANGES), ..coming }])
}

fn flow(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let (event, id) = (value.filled("event")?, value.filled("flow_id")?);
    let word =
        value.filled("new_status").or_else(|| value.filled("alert_state")).unwrap_or_else(|| "reported".to_owned());
    let bad = matches!(word.as_str(), "BLOCKED" | "THROTTLED" | "ACTIVATED") || event == "FLOW_VERSION_EXPIRY_WARNING";
    let alert = bad.then_some(Alert {
        severity: Severity::Warning,
        title: "A flow is in trouble.",
        remedy: "Look at the flow's endpoint; Meta throttles and then blocks flows that fail.",
    });
    let key = Some(format!("{id}.{}", event.to_lowercase()));
    Some(vec![StateChange { key, alert, ..state(change, value, Aspect::Flow, word) }])
}

fn status_alert(word: &str) -> Option<Alert> {
    let (severity, title, remedy) = match word {
        "REJECTED" => (
            Severity::Warning,
            "Meta rejected a template.",
            "Read the reason in the detail, change the template and submit it again.",
        ),
        "PAUSED" => (
            Severity::Warning,
            "Meta paused a template for bad feedback.",
            "It comes back by itself after three or six hours; a third time disables it.",
        ),
        "DISABLED" | "LIMIT_EXCEEDED" | "LOCKED" => (
            Severity::Critical,
            "Meta disabled a template.",
            "Use another template; appeal in WhatsApp Manager if the decision is wrong.",
        ),
        "PENDING_DELETION" | "DELETED" => {
            (Severity::Info, "A template was deleted.", "Stop sending it; its name is blocked for 30 days.")
        }
        "FLAGGED" => (
            Severity::Warning,
            "A template's quality is low: Meta will pause it.",
            "Send it to fewer people, or change it.",
        ),
        _ => return None,
    };
    Some(Alert { severity, title, remedy })
}

const LOW_QUALITY: Alert = Alert {
    severity: Severity::Warning,
    title: "A template's quality is low.",
    remedy: "Change it or send it to fewer people before Meta pauses it.",
};
const CATEGORY_CHANGES: Alert = Alert {
    severity: Severity::Warning,
    title: "Meta will change a template's category tomorrow, and with it the price.",
    remedy: "Ask for a review in WhatsApp Manager if the new category is wrong.",
};
const CATEGORY_CHANGED: Alert = Alert {
    severity: Severity::Warning,
    title: "Meta changed a template's category, and with it the price.",
    remedy: "Ask for a review in WhatsApp Manager within 60 days if it is wrong.",
};
