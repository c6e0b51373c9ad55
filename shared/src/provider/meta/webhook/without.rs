//! Erasure from raw webhooks: removes the parts that concern erased accounts and numbers.

use serde_json::Value;

use crate::domain::ids::WabaId;

/// Rest of a body after the removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The whole body: nothing had to be removed, or it is not a webhook.
    All,
    /// The entries and changes of others.
    Rest(Vec<u8>),
    /// Nothing is left.
    Nothing,
}

/// Removes the entries and changes of erased accounts and numbers. A mention of them within somebody else's message
/// stays.
#[must_use]
pub fn without(body: &[u8], account: &dyn Fn(&str) -> bool, number: &dyn Fn(&str) -> bool) -> Left {
    let Ok(mut webhook) = serde_json::from_slice::<Value>(body) else { return Left::All };
    let Some(entries) = webhook.get_mut("entry").and_then(Value::as_array_mut) else { return Left::All };
    let mut taken = false;
    for entry in entries.iter_mut() {
        if let Some(changes) = entry.get_mut("changes").and_then(Value::as_array_mut) {
            changes.retain(|change| {
                let named = |path: &str, leaves: &dyn Fn(&str) -> bool| {
                    change.pointer(path).and_then(Value::as_str).is_some_and(leaves)
                };
                let leaves =
                    named("/value/metadata/phone_number_id", number) || named("/value/waba_info/waba_id", account);
                taken |= leaves;
                !leaves
            });
        }
    }
    entries.retain(|entry| {
        let theirs = entry.get("id").and_then(Value::as_str).is_some_and(account);
        let emptied = taken && entry.get("changes").and_then(Value::as_array).is_some_and(Vec::is_empty);
        taken |= theirs;
        !theirs && !emptied
    });
    match (taken, entries.is_empty()) {
        (false, _) => Left::All,
        (true, true) => Left::Nothing,
        (true, false) => serde_json::to_vec(&webhook).map_or(Left::Nothing, Left::Rest),
    }
}

/// Returns the account that the first change of a webhook concerns.
#[must_use]
pub fn account_of(body: &[u8]) -> Option<WabaId> {
    let webhook: Value = serde_json::from_slice(body).ok()?;
    let entry = webhook.pointer("/entry/0")?;
    let named = entry.pointer("/changes/0/value/waba_info/waba_id").or_else(|| entry.get("id"))?;
    WabaId::parse(named.as_str()?).ok()
}

/// Whether the bytes are a webhook.
#[must_use]
pub fn parses(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|webhook| webhook.get("entry").is_some_and(Value::is_array))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_theirs_is_taken_out() {
        let change =
            |number: &str, text: &str| json!({"value": {"metadata": {"phone_number_id": number}, "text": text}});
        let entry = |id: &str, changes: Vec<Value>| json!({"id": id, "changes": changes});
        let left = |entries: Vec<Value>| {
            without(json!({"entry": entries}).to_string().as_bytes(), &|id| id == "A", &|id| id == "n")
        };
        let rest = |entries: Vec<Value>| Left::Rest(json!({"entry": entries}).to_string().into_bytes());
        let (ours, theirs) = (change("n", "x"), change("m", "I wrote to A and n"));
        assert_eq!(left(vec![entry("B", vec![theirs.clone()])]), Left::All);
        assert_eq!(left(vec![entry("A", vec![theirs.clone()])]), Left::Nothing);
        assert_eq!(left(vec![entry("B", vec![ours.clone()])]), Left::Nothing);
        assert_eq!(left(vec![entry("B", vec![ours, theirs.clone()])]), rest(vec![entry("B", vec![theirs.clone()])]));
        let partner = json!({"value": {"waba_info": {"waba_id": "A"}}});
        assert_eq!(
            left(vec![entry("us", vec![partner]), entry("B", vec![theirs.clone()])]),
            rest(vec![entry("B", vec![theirs])])
        );
        for other in ["", "[]", "{}", r#"{"entry": 1}"#] {
            assert_eq!(without(other.as_bytes(), &|_| true, &|_| true), Left::All, "{other}");
        }
    }
}
