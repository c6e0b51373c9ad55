//! The message of the Embedded Signup popup (`docs/meta/onboarding.md#section-1-3`). The page passes it on unchanged.

use serde_json::Value;

use crate::domain::accounts::app::SignupSettings;
use crate::domain::ids::{NumberId, WabaId};
use crate::domain::lifecycle::onboarding::{PopupEnd, Shape};

/// The `type` of the popup's messages.
pub const EVENT_TYPE: &str = "WA_EMBEDDED_SIGNUP";

/// Returns the popup's `extras`. The configuration at Meta decides, unless it still needs a feature type
/// (`docs/meta/onboarding.md#section-1-2`).
#[must_use]
pub fn extras(settings: &SignupSettings) -> Value {
    let mut extras = serde_json::json!({"setup": {}});
    if let Some(feature_type) = &settings.feature_type {
        extras["featureType"] = feature_type.clone().into();
    }
    extras
}

/// Reads a message of the popup; `None` for any other message. An unknown `FINISH_…` event counts as finished.
/// Malformed ids are left out.
#[must_use]
pub fn read(message: &Value) -> Option<PopupEnd> {
    // The browser receives a string, which most pages parse.
    let parsed = message.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let message = parsed.as_ref().unwrap_or(message);
    if message.get("type").and_then(Value::as_str) != Some(EVENT_TYPE) {
        return None;
    }
    let event = message.get("event").and_then(Value::as_str)?;
    let none = Value::Null;
    let data = message.get("data").unwrap_or(&none);
    let word = |name: &str| data.get(name).and_then(text);
    // An error is recognised by its id, because the event's name varies.
    if let Some(error) = word("error_id") {
        return Some(PopupEnd::Reported(error, word("error_message")));
    }
    let app_user = data.get("is_wa_login_user").and_then(Value::as_bool) == Some(true);
    let shape = match event {
        "FINISH" if app_user => Shape::Coexistence,
        "FINISH" => Shape::CloudApi,
        "FINISH_ONLY_WABA" => Shape::AccountOnly,
        "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING" => Shape::Coexistence,
        "FINISH_GRANT_ONLY_API_ACCESS" => Shape::AccessOnly,
        other if other.starts_with("FINISH") => Shape::Other,
        _ => return Some(PopupEnd::Cancelled(word("current_step").or_else(|| word("error_message")))),
    };
    Some(PopupEnd::Finished {
        shape,
        account: word("waba_id").and_then(|id| WabaId::parse(&id).ok()),
        number: word("phone_number_id").and_then(|id| NumberId::parse(&id).ok()),
    })
}

/// Meta writes ids as strings, and sometimes as numbers.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finished(shape: Shape, account: Option<&str>, number: Option<&str>) -> PopupEnd {
        PopupEnd::Finished {
            shape,
            account: account.map(|id| WabaId::parse(id).unwrap()),
            number: number.map(|id| NumberId::parse(id).unwrap()),
        }
    }

    #[test]
    fn every_documented_end_is_read() {
        let event = |event: &str, data: Value| json!({"type": EVENT_TYPE, "event": event, "version": 3, "data": data});
        let ids = json!({"phone_number_id": "900100200300777", "waba_id": 900_100_200_300_666_i64, "business_id": "1"});
        let (account, number) = (Some("900100200300666"), Some("900100200300777"));
        let only = json!({"waba_id": "900100200300666"});
        let cases = [
            (event("FINISH", ids.clone()), finished(Shape::CloudApi, account, number)),
            (
                event("FINISH", json!({"waba_id": "900100200300666", "is_wa_login_user": true})),
                finished(Shape::Coexistence, account, None),
            ),
            (event("FINISH_ONLY_WABA", only.clone()), finished(Shape::AccountOnly, account, None)),
            (
                event("FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING", only.clone()),
                finished(Shape::Coexistence, account, None),
            ),
            (event("FINISH_GRANT_ONLY_API_ACCESS", json!({})), finished(Shape::AccessOnly, None, None)),
            (event("FINISH_OF_TOMORROW", only), finished(Shape::Other, account, None)),
            (event("FINISH", json!({"waba_id": "../etc"})), finished(Shape::CloudApi, None, None)),
            (
                event("CANCEL", json!({"current_step": "PHONE_NUMBER_SETUP"})),
                PopupEnd::Cancelled(Some("PHONE_NUMBER_SETUP".to_owned())),
            ),
            (event("CANCEL", json!({})), PopupEnd::Cancelled(None)),
            (
                event("CANCEL", json!({"error_id": "524126", "error_message": "no", "session_id": "f"})),
                PopupEnd::Reported("524126".to_owned(), Some("no".to_owned())),
            ),
            (event("ERROR", json!({"error_id": 7})), PopupEnd::Reported("7".to_owned(), None)),
        ];
        for (message, expected) in cases {
            assert_eq!(read(&message), Some(expected.clone()), "{message}");
            assert_eq!(read(&Value::String(message.to_string())), Some(expected), "{message}");
        }
        for other in [json!({}), json!("hello"), json!({"type": "x", "event": "FINISH"}), json!({"type": EVENT_TYPE})] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
