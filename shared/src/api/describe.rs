//! The OpenAPI description of the whole API, merged from the descriptions of its functions.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::api::Refusals;
use crate::domain::sending::policy::Reason;

/// An example body per operation that takes JSON, by operation id. The sandbox accepts each of them once the objects
/// that it refers to exist (`tests/it/matrix.rs`).
const EXAMPLES: &str = include_str!("examples.json");
/// Patterns of header values, by header name.
const HEADERS: [(&str, &str); 2] = [("Idempotency-Key", "^[\\x20-\\x7E]{1,255}$"), ("If-Match", "^\"[0-9]{1,9}\"$")];
/// Suffix of our response types' Rust names; removed from the schema names of the description.
const SUFFIX: &str = "Json";
/// Prefix of a reference to a schema.
const SCHEMAS: &str = "#/components/schemas/";

/// Merges the functions' descriptions into one OpenAPI 3.1 document.
#[must_use]
pub fn describe(parts: impl IntoIterator<Item = OpenApi>) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    for part in parts {
        let Ok(Value::Object(mut part)) = serde_json::to_value(part) else { continue };
        for (path, methods) in object(part.remove("paths")) {
            let mut known = object(paths.remove(&path));
            known.extend(object(Some(methods)));
            paths.insert(path, Value::Object(known));
        }
        let mut components = object(part.remove("components"));
        for (mut name, schema) in object(components.remove("schemas")) {
            // Two different types of one name: the suffix makes the clash visible, so that somebody renames one of
            // them.
            while schemas.get(&name).is_some_and(|known| *known != schema) {
                name.push_str("_other_Json");
            }
            schemas.insert(name, schema);
        }
    }
    describe_answers(&mut paths);
    describe_requests(&mut paths);
    if let Some(code) = schemas.get_mut("Problem").and_then(|problem| problem.pointer_mut("/properties/code")) {
        let reasons = Reason::ALL.into_iter().map(Reason::as_str);
        code["examples"] = crate::http::CODES.into_iter().chain(reasons).collect();
    }
    let responses: Map<String, Value> = Refusals::ALL.into_iter().chain(Refusals::META).map(response).collect();
    let mut description = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Switchboard",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "WhatsApp Business conversations of your tenants. Every request carries an API key, which determines the tenant. Resources of another tenant are answered as if they did not exist.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "securitySchemes": {"key": {
                "type": "http", "scheme": "bearer", "bearerFormat": "sb_live_…",
                "description": "An API key. Each operation names the scope that the key needs: `read`, `send` or `manage` of a tenant, or `operator`.",
            }},
        },
    });
    rename(&mut description);
    description
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn response((_, name, meaning): (&str, &str, &str)) -> (String, Value) {
    let schema = json!({"$ref": format!("{SCHEMAS}Problem")});
    let mut response = json!({"description": meaning, "content": {crate::http::PROBLEM_JSON: {"schema": schema}}});
    if name == "TooMany" {
        response["headers"] = json!({"Retry-After": {"description": "Seconds to wait before the next request.", "schema": {"type": "integer"}}});
    }
    (name.to_owned(), response)
}

fn operations(paths: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut)
}

/// Adds an example to each request body and a pattern to each header.
fn describe_requests(paths: &mut Map<String, Value>) {
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap_or_default();
    for operation in operations(paths) {
        let example = operation["operationId"].as_str().and_then(|name| examples.get(name)).cloned();
        if let (Some(example), Some(body)) = (example, operation.pointer_mut("/requestBody/content/application~1json"))
        {
            body["example"] = example;
        }
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some((_, pattern)) = HEADERS.iter().find(|(name, _)| parameter["name"] == *name) {
                parameter["schema"] = json!({"type": "string", "pattern": pattern});
            }
        }
    }
}

/// Fills in missing descriptions of responses, which OpenAPI requires. Most responses need no more than their status
/// and type.
fn describe_answers(paths: &mut Map<String, Value>) {
    for operation in operations(paths) {
        let Some(Value::Object(responses)) = operation.get_mut("responses") else { continue };
        for (status, response) in responses.iter_mut().filter(|(_, response)| response.get("$ref").is_none()) {
            let Value::Object(response) = response else { continue };
            let meaning = match status.as_str() {
                "201" => "Created.",
                "202" => "Accepted: the work is done later.",
                "204" => "Done.",
                _ => "Success.",
            };
            let description = response.entry("description").or_insert_with(|| json!(meaning));
            if description == "" {
                *description = json!(meaning);
            }
        }
    }
}

/// Removes [`SUFFIX`] from all schema names, and gives error responses the media type of problems.
fn rename(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(reference)) = object.get_mut("$ref")
                && reference.starts_with(SCHEMAS)
            {
                *reference = reference.replace(SUFFIX, "");
            }
            if let Some(Value::Object(schemas)) = object.get_mut("schemas") {
                let known = std::mem::take(schemas);
                for (name, schema) in &known {
                    let short = name.replace(SUFFIX, "");
                    let taken = short != *name && (known.contains_key(&short) || short.contains("_other_"));
                    schemas.insert(if taken { name.clone() } else { short }, schema.clone());
                }
            }
            let refusal = object.get("content").and_then(|content| content.pointer("/application~1json/schema/$ref"));
            if refusal.and_then(Value::as_str).is_some_and(|reference| reference.ends_with("/Problem"))
                && let Some(Value::Object(content)) = object.get_mut("content")
                && let Some(schema) = content.remove("application/json")
            {
                content.insert(crate::http::PROBLEM_JSON.to_owned(), schema);
            }
            object.values_mut().for_each(rename);
        }
        Value::Array(items) => items.iter_mut().for_each(rename),
        _ => {}
    }
}
