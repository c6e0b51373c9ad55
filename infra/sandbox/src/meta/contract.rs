//! Checks message bodies against a JSON schema that is independent of the code that builds them.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;
use shared::domain::outgoing::MessageKind;

/// The schema, written for this simulation from `docs/meta/messages.md`.
const SCHEMA: &str = include_str!("messages.schema.json");

static MESSAGES: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(SCHEMA).map_err(|error| error.to_string())?;
    jsonschema::validator_for(&schema).map_err(|error| error.to_string())
});

/// Checks a body as Meta does. The error has Meta's code and the violated rule.
///
/// # Errors
/// 131051 for an unknown type, 131008 for a missing parameter, 100 for other violations.
pub fn check(body: &Value) -> Result<(), (i64, String)> {
    let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
    if MessageKind::of(kind).is_none() {
        return Err((131_051, format!("Message type {kind:?} is not supported")));
    }
    if body.get(kind).is_none() {
        return Err((131_008, format!("Parameter {kind} is missing")));
    }
    if body.get("to").is_none() && body.get("recipient").is_none() {
        return Err((131_008, "Parameter to is missing".to_owned()));
    }
    let validator = MESSAGES.as_ref().map_err(|error| (1, error.clone()))?;
    match validator.iter_errors(body).next() {
        None => Ok(()),
        Some(error) => Err((100, format!("{} at {}", error, error.instance_path()))),
    }
}

/// Returns every file id that a body contains.
pub(super) fn file_ids(body: &Value) -> Vec<String> {
    let mut ids = Vec::new();
    collect(body, &mut ids);
    ids
}

fn collect(value: &Value, ids: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inside) in map {
                let is_file = matches!(key.as_str(), "image" | "video" | "audio" | "document" | "sticker");
                if let (true, Some(Value::String(id))) = (is_file, inside.get("id")) {
                    ids.push(id.clone());
                }
                collect(inside, ids);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, ids)),
        _ => {}
    }
}
