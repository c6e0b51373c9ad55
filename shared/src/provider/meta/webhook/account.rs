//! Webhook fields about accounts and numbers (`docs/meta/webhooks.md#section-11`). Each event becomes a state of its
//! subject, and an alert if a person must act.

use jiff::Timestamp;

use crate::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use crate::domain::event::{InboundEvent, InboundEventKind};
use crate::domain::ids::{NumberId, WabaId};
use crate::provider::meta::webhook::item::{moment, timestamp};
use crate::provider::meta::webhook::json::Node;
use crate::provider::meta::webhook::{Change, said};

/// All events of `account_update`, by which a change without its `field` is recognised.
const EVENTS: [&str; 18] = [
    "PARTNER_ADDED",
    "PARTNER_REMOVED",
    "PARTNER_APP_INSTALLED",
    "PARTNER_APP_UNINSTALLED",
    "PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE",
    "PARTNER_CLIENT_CERTIFICATION_NEEDED",
    "ACCOUNT_OFFBOARDED",
    "ACCOUNT_RECONNECTED",
    "ACCOUNT_DELETED",
    "ACCOUNT_RESTRICTION",
    "ACCOUNT_VIOLATION",
    "DISABLED_UPDATE",
    "VERIFIED_ACCOUNT",
    "AD_ACCOUNT_LINKED",
    "MM_LITE_TERMS_SIGNED",
    "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE",
    "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE",
    "VOLUME_BASED_PRICING_TIER_UPDATE",
];

pub(super) fn is_account_event(event: &str) -> bool {
    EVENTS.contains(&event)
}

/// Returns the business that owns an account, from the detail of an event about the account.
#[must_use]
pub fn owner_in(detail: &str) -> Option<String> {
    let detail: serde_json::Value = serde_json::from_str(detail).ok()?;
    let owner = detail.pointer("/waba_info/owner_business_id")?;
    Some(owner.as_str().map_or_else(|| owner.to_string(), str::to_owned))
}

/// Parses the value of `field`; `false` if the field is not handled here.
pub(super) fn tell(change: &Change<'_, '_>, field: &str, value: &Node<'_>, events: &mut Vec<InboundEvent>) -> bool {
    let states = match field {
        "account_update" => account_update(change, value),
        "account_alerts" => provider_alert(change, value),
        "account_review_update" => decided(change, value, Aspect::Review, "decision", review_alert),
        "business_capability_update" => capability(change, value),
        "phone_number_quality_update" => quality(change, value),
        "phone_number_name_update" => decided(change, value, Aspect::DisplayName, "decision", name_alert),
        "security" => decided(change, value, Aspect::Security, "event", |_| Some(PIN)),
        "account_settings_update" => settings(change, value),
        "business_username_updates" | "business_username_update" => {
            decided(change, value, Aspect::Username, "status", |_| None)
        }
        "partner_solutions" => solution(change, value),
        "payment_configuration_update" => decided(change, value, Aspect::Payments, "status", |_| None),
        "business_status_update" => Some(vec![state(change, value, Aspect::BusinessStatus, "reported".to_owned())]),
        "messaging_handovers" => handover(change, value),
        _ => return false,
    };
    match states {
        Some(states) => {
            events
                .extend(states.into_iter().map(|state| said(InboundEventKind::State(Box::new(state)), change.alone())));
        }
        None => events.push(change.malformed(field, None, change.alone())),
    }
    true
}

/// Returns a state of the number that the value names, or else of the entry's account.
pub(super) fn state(change: &Change<'_, '_>, value: &Node<'_>, aspect: Aspect, word: String) -> StateChange {
    StateChange {
        subject: subject(change, value),
        aspect,
        key: None,
        word,
        until: None,
        detail: value.value().map_or_else(|| "{}".to_owned(), |value| value.to_string()),
        at: change.sent_at(),
        timed: change.is_timed(),
        alert: None,
    }
}

fn subject(change: &Change<'_, '_>, value: &Node<'_>) -> Subject {
    let waba = value.get("waba_info").and_then(|info| WabaId::parse(&info.text_of("waba_id")?).ok());
    let waba = waba.or_else(|| change.waba());
    let number_id = change.number(value).or_else(|| {
        let settings = value.get("phone_number_settings").or_else(|| value.get("recipient"))?;
        NumberId::parse(&settings.text_of("phone_number_id")?).ok()
    });
    if let Some(id) = number_id {
        return Subject::Number(id);
    }
    // A number that is written unusually is still not the whole account.
    let named = value.filled("display_phone_number").or_else(|| value.filled("phone_number"));
    let digits = |text: String| text.chars().filter(char::is_ascii_digit).collect();
    match (waba, named.map(digits)) {
        (Some(waba), Some(digits)) => Subject::NumberNamed(waba, digits),
        (Some(waba), None) => Subject::Waba(waba),
        (None, _) => Subject::Portfolio(change.entry.text_of("id").unwrap_or_default()),
    }
}

fn account_update(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let event = value.text_of("event")?;
    let one = |aspect, word: &str| state(change, value, aspect, word.to_owned());
    let with = |state: StateChange, alert: Alert| vec![StateChange { alert: Some(alert), ..state }];
    let plain = |aspect, word: &str| vec![one(aspect, word)];
    let inside = |object: &str, key: &str| value.get(object).and_then(|object| object.filled(key));
    Some(match event.as_str() {
        "PARTNER_ADDED" => vec![one(Aspect::Partner, "added"), one(Aspect::Token, "to_be_proved")],
        "PARTNER_REMOVED" => {
            let mut states = with(one(Aspect::Partner, "removed"), REMOVED);
            if value.get("disconnection_info").is_some() {
                states.push(one(Aspect::Coexistence, "disconnected"));
            }
            states.push(one(Aspect::Token, "withdrawn"));
            states
        }
        "PARTNER_APP_INSTALLED" => vec![one(Aspect::PartnerApp, "installed"), one(Aspect::Token, "to_be_proved")],
        "PARTNER_APP_UNINSTALLED" => {
            let mut states = with(one(Aspect::PartnerApp, "uninstalled"), UNINSTALLED);
            states.push(one(Aspect::Token, "withdrawn"));
            states
        }
        "PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE" => {
            let info = value.get("partner_client_certification_info");
            let word = info.as_ref().and_then(|info| info.filled("status")).unwrap_or_else(|| "UNKNOWN".to_owned());
            let client = info.and_then(|info| info.filled("client_business_id"));
            vec![StateChange { key: client, ..one(Aspect::Certification, &word) }]
        }
        "PARTNER_CLIENT_CERTIFICATION_NEEDED" => {
            let client = inside("partner_client_certification_info", "client_business_id");
            with(StateChange { key: client, ..one(Aspect::Certification, "NEEDED") }, CERTIFICATION)
        }
        "ACCOUNT_OFFBOARDED" => with(one(Aspect::Coexistence, "offboarded"), OFFBOARDED),
        "ACCOUNT_RECONNECTED" => plain(Aspect::Coexistence, "reconnected"),
        "ACCOUNT_DELETED" => with(one(Aspect::Deletion, "deleted"), DELETED),
        "ACCOUNT_RESTRICTION" => restrictions(&one(Aspect::Restriction, "restricted"), value)?,
        "ACCOUNT_VIOLATION" => {
            let kind = inside("violation_info", "violation_type").unwrap_or_else(|| "UNKNOWN".to_owned());
            with(StateChange { key: Some(kind), ..one(Aspect::Violation, "reported") }, VIOLATION)
        }
        "DISABLED_UPDATE" => {
            let word = inside("ban_info", "waba_ban_state").unwrap_or_else(|| "DISABLE".to_owned());
            let alert = if word == "REINSTATE" { REINSTATED } else { BANNED };
            with(one(Aspect::Ban, &word), alert)
        }
        "VERIFIED_ACCOUNT" => plain(Aspect::Verification, "verified"),
        "AD_ACCOUNT_LINKED" => plain(Aspect::AdAccount, "linked"),
        "MM_LITE_TERMS_SIGNED" => plain(Aspect::MarketingTerms, "signed"),
        "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE" => plain(Aspect::InternationalRates, "eligible"),
        "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE" => {
            plain(Aspect::Country, &value.filled("country").unwrap_or_else(|| "unknown".to_owned()))
        }
        "VOLUME_BASED_PRICING_TIER_UPDATE" => {
            let tier = inside("volume_tier_info", "tier").unwrap_or_else(|| "unknown".to_owned());
            let category = inside("volume_tier_info", "pricing_category").unwrap_or_default();
            let region = inside("volume_tier_info", "region").unwrap_or_default();
            vec![StateChange { key: Some(format!("{category}.{region}")), ..one(Aspect::PricingTier, &tier) }]
        }
        // An event of a later version: recorded under its own name and raised as an alert, so that nothing is lost.
        other => with(StateChange { key: Some(other.to_owned()), ..one(Aspect::ProviderAlert, "reported") }, NEW_EVENT),
    })
}

fn restrictions(one: &StateChange, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let list = value.get("restriction_info")?.items()?;
    let restricted = |info: &Node<'_>| {
        let kind = info.filled("restriction_type")?;
        let until: Option<Timestamp> = info.text_of("expiration").and_then(|text| moment(&text));
        Some(StateChange { key: Some(kind), until, alert: Some(RESTRICTED), ..one.clone() })
    };
    let states: Vec<StateChange> = list.iter().filter_map(restricted).collect();
    (!states.is_empty()).then_some(states)
}

fn provider_alert(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    // Older webhooks have the four keys at the top level.
    let info = value.get("alert_info");
    let part = |key: &str| info.as_ref().and_then(|info| info.filled(key)).or_else(|| value.filled(key));
    let kind = part("alert_type")?;
    let severity = match part("alert_severity").as_deref() {
        Some("CRITICAL") => Severity::Critical,
        Some("WARNING") => Severity::Warning,
        _ => Severity::Info,
    };
    let active = part("alert_status").as_deref() != Some("NONE");
    let mut state = state(change, value, Aspect::ProviderAlert, if active { "active" } else { "over" }.to_owned());
    if value.filled("entity_type").as_deref() == Some("PHONE_NUMBER")
        && let Some(id) = value.filled("entity_id").and_then(|id| NumberId::parse(&id).ok())
    {
        state.subject = Subject::Number(id);
    }
    let alert = Alert {
        severity,
        title: "Meta raised an alert.",
        remedy: "Read Meta's description in the detail; most are settled in WhatsApp Manager.",
    };
    Some(vec![StateChange { key: Some(kind), alert: active.then_some(alert), ..state }])
}

/// Parses a field whose state is one word under `key`.
pub(super) fn decided(
    change: &Change<'_, '_>,
    value: &Node<'_>,
    aspect: Aspect,
    key: &str,
    alert: fn(&str) -> Option<Alert>,
) -> Option<Vec<StateChange>> {
    let word = value.filled(key)?;
    let alert = alert(&word);
    let mut state = state(change, value, aspect, word);
    if aspect == Aspect::Payments {
        state.key = value.filled("configuration_name");
    }
    Some(vec![StateChange { alert, ..state }])
}

fn review_alert(word: &str) -> Option<Alert> {
    (word == "REJECTED").then_some(Alert {
        severity: Severity::Critical,
        title: "Meta rejected the account.",
        remedy: "Read the reason in WhatsApp Manager and ask for another review there.",
    })
}

fn name_alert(word: &str) -> Option<Alert> {
    (word == "REJECTED").then_some(Alert {
        severity: Severity::Warning,
        title: "Meta rejected the number's display name.",
        remedy: "Choose another name in WhatsApp Manager; the rejection reason is in the detail.",
    })
}

fn capability(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let limit = value
        .filled("max_daily_conversations_per_business")
        .or_else(|| value.filled("max_daily_conversation_per_phone"))
        .or_else(|| value.filled("max_phone_numbers_per_business"))?;
    Some(vec![state(change, value, Aspect::Capability, limit)])
}

fn quality(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let event = value.filled("event")?;
    let aspect = if event == "THROUGHPUT_UPGRADE" { Aspect::Throughput } else { Aspect::Quality };
    let alert = matches!(event.as_str(), "FLAGGED" | "DOWNGRADE").then_some(Alert {
        severity: Severity::Warning,
        title: "The number's quality fell.",
        remedy: "Send fewer unexpected messages; look at blocks and reports in WhatsApp Manager.",
    });
    Some(vec![StateChange { alert, ..state(change, value, aspect, event) }])
}

fn settings(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let kind = value.filled("type")?;
    let at = timestamp(value, change.received_at).unwrap_or_else(|| change.sent_at());
    Some(vec![StateChange { key: Some(kind), at, ..state(change, value, Aspect::Settings, "changed".to_owned()) }])
}

fn solution(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let word = value.filled("solution_status").or_else(|| value.filled("event"))?;
    let state = state(change, value, Aspect::Solution, word);
    // The entry's id is a portfolio's here, although it looks like an account's.
    let subject = Subject::Portfolio(change.entry.text_of("id").unwrap_or_default());
    let alert = Some(SOLUTION);
    Some(vec![StateChange { subject, key: value.filled("solution_id"), alert, ..state }])
}

/// Parses a change of the app that controls a number's conversations. The word is the kind of handover, which is the
/// name of the key that holds it.
fn handover(change: &Change<'_, '_>, value: &Node<'_>) -> Option<Vec<StateChange>> {
    let kinds = ["control_passed", "control_taken", "control_requested", "app_roles"];
    let word = kinds.into_iter().find(|kind| value.get(kind).is_some()).unwrap_or("handover");
    let at = timestamp(value, change.received_at).unwrap_or_else(|| change.sent_at());
    Some(vec![StateChange { at, ..state(change, value, Aspect::ThreadControl, word.to_owned()) }])
}

const CERTIFICATION: Alert = Alert {
    severity: Severity::Warning,
    title: "Meta wants a client of yours to be certified.",
    remedy: "Submit the client's certification in the Partner Center.",
};
const SOLUTION: Alert = Alert {
    severity: Severity::Info,
    title: "Meta reports a change of a multi-partner solution.",
    remedy: "Read the detail. Nothing is to be done if you made the change.",
};
const REMOVED: Alert = Alert {
    severity: Severity::Critical,
    title: "The business disconnected its account.",
    remedy: "Nothing can be sent or received any more. Ask the business to connect again if that was a mistake.",
};
const UNINSTALLED: Alert = Alert {
    severity: Severity::Critical,
    title: "The business removed our app: its token is dead.",
    remedy: "Connect the business again; messages received meanwhile are lost to us.",
};
const OFFBOARDED: Alert = Alert {
    severity: Severity::Critical,
    title: "The number left the Cloud API for the WhatsApp Business app.",
    remedy: "Connect the number again from the phone.",
};
const DELETED: Alert = Alert {
    severity: Severity::Critical,
    title: "The account was deleted.",
    remedy: "Stop sending. Keep or erase its data as your policy says.",
};
const RESTRICTED: Alert = Alert {
    severity: Severity::Critical,
    title: "Meta restricts what the account may send.",
    remedy: "Wait until the restriction ends, or appeal in WhatsApp Manager.",
};
const VIOLATION: Alert = Alert {
    severity: Severity::Critical,
    title: "Meta says that the account violates a policy.",
    remedy: "Read the kind and the remediation in the detail; repeated violations end in a ban.",
};
const BANNED: Alert = Alert {
    severity: Severity::Critical,
    title: "Meta disables the account.",
    remedy: "Appeal in Business Support Home; nothing can be sent meanwhile.",
};
const REINSTATED: Alert = Alert {
    severity: Severity::Info,
    title: "Meta reinstated the account.",
    remedy: "Nothing to do: sending is possible again.",
};
const PIN: Alert = Alert {
    severity: Severity::Warning,
    title: "The number's two-step PIN was changed or asked for.",
    remedy: "If that was not you, secure the business's Meta account now.",
};
const NEW_EVENT: Alert = Alert {
    severity: Severity::Info,
    title: "Meta reports an account event that this version does not know.",
    remedy: "Read the detail; update Switchboard.",
};
