//! Translates the DynamoDB JSON protocol to `dynoxide`'s typed database.

use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Answers one request with an HTTP status and a JSON body.
pub(super) fn answer(database: &Database, operation: &str, body: &str) -> (u16, String) {
    let result = match operation {
        "BatchGetItem" => run(body, |request| database.batch_get_item(request)),
        "CreateTable" => run(body, |request| database.create_table(request)),
        "DeleteItem" => run(body, |request| database.delete_item(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "GetItem" => run(body, |request| database.get_item(request)),
        "ListTables" => run(body, |request| database.list_tables(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "Query" if compares_with_nothing(body) => Err(DynoxideError::ValidationException(EMPTY_KEY.to_owned())),
        "Query" => run(body, |request| database.query(request)),
        "Scan" => run(body, |request| database.scan(request)),
        "TransactWriteItems" => run(body, |request| database.transact_write_items(request)),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        other => Err(DynoxideError::ValidationException(format!("embedded AWS does not do DynamoDB {other}"))),
    };
    match result {
        Ok(json) => (200, json),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

/// DynamoDB's error when a key attribute is compared with an empty string. `dynoxide` accepts that comparison.
const EMPTY_KEY: &str = "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value.";

fn compares_with_nothing(query: &str) -> bool {
    let query: serde_json::Value = serde_json::from_str(query).unwrap_or_default();
    let condition = query["KeyConditionExpression"].as_str().unwrap_or_default();
    let names = |name: &str| {
        condition.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).any(|word| word == name)
    };
    let values = query["ExpressionAttributeValues"].as_object();
    values.into_iter().flatten().any(|(name, value)| value["S"] == "" && names(name))
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &str,
    operation: impl FnOnce(Q) -> dynoxide::Result<A>,
) -> dynoxide::Result<String> {
    let request = serde_json::from_str(body).map_err(|error| refused(&error.to_string()))?;
    let answer = operation(request)?;
    serde_json::to_string(&answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// Maps a request that cannot be decoded. `dynoxide` reports validation errors as serde messages with a marker in front
/// and a position behind.
fn refused(message: &str) -> DynoxideError {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let marked = ["VALIDATION_REQUEST:", "VALIDATION_AS_READ:", "VALIDATION:"];
    match marked.iter().find_map(|marker| message.strip_prefix(marker)) {
        Some(rule) => DynoxideError::ValidationException(rule.to_owned()),
        None => DynoxideError::SerializationException(message.to_owned()),
    }
}
