//! A webhook body without what concerns accounts and numbers that left.

use serde_json::Value;

/// The body without their entries and changes; `None` if nothing is left, or it is no webhook.
#[must_use]
pub fn without(body: &[u8], account: &dyn Fn(&str) -> bool, number: &dyn Fn(&str) -> bool) -> Option<Vec<u8>> {
    let mut webhook: Value = serde_json::from_slice(body).ok()?;
    let entries = webhook.get_mut("entry")?.as_array_mut()?;
    for entry in entries.iter_mut() {
        if let Some(changes) = entry.get_mut("changes").and_then(Value::as_array_mut) {
            changes.retain(|change| {
                let named = |path: &str, leaves: &dyn Fn(&str) -> bool| {
                    change.pointer(path).and_then(Value::as_str).is_some_and(leaves)
                };
                !(named("/value/metadata/phone_number_id", number) || named("/value/waba_info/waba_id", account))
            });
        }
    }
    entries.retain(|entry| {
        let theirs = entry.get("id").and_then(Value::as_str).is_some_and(account);
        let empty = entry.get("changes").and_then(Value::as_array).is_none_or(Vec::is_empty);
        !theirs && !empty
    });
    if entries.is_empty() { None } else { serde_json::to_vec(&webhook).ok() }
}
