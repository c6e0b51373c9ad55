//! IAM permissions that a request needs. Embedded AWS allows everything by itself; with this, a test can hold each
//! function to its role.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header};
use serde_json::Value;

/// One permission that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededPermission {
    /// IAM action, such as `dynamodb:GetItem`.
    pub action: String,
    /// Resource by its name in this installation: the table, `table/index/name`, the queue, `bucket`, `bucket/key` or
    /// the KMS key.
    pub resource: String,
    /// Condition keys with their values.
    pub context: Vec<(&'static str, String)>,
}

/// Decides whether the signer (first argument) has the permission (second argument).
pub type Permissions = Arc<dyn Fn(&str, &NeededPermission) -> bool + Send + Sync>;

/// Returns the access key id that signed a request or a link.
pub(super) fn signer(request: &Request<Bytes>) -> Option<String> {
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let of_header = header.and_then(|header| header.split_once("Credential=")).map(|(_, rest)| rest);
    let query = request.uri().query().and_then(|query| query.split_once("X-Amz-Credential=")).map(|(_, rest)| rest);
    let credential = of_header.or(query)?;
    credential.split(['/', '%']).next().map(str::to_owned)
}

/// Returns the permissions that a request needs; empty for requests that no function makes.
pub(super) fn asked(target: Option<&str>, request: &Request<Bytes>) -> Vec<NeededPermission> {
    let Some((service, operation)) = target.and_then(|target| target.split_once('.')) else { return of_s3(request) };
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    match service {
        "DynamoDB_20120810" => of_dynamodb(operation, &body),
        "AmazonSQS" => {
            let queue = body["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
            // IAM has no action of its own for batch calls.
            let action = format!("sqs:{}", operation.trim_end_matches("Batch"));
            vec![NeededPermission { action, resource: queue.to_owned(), context: Vec::new() }]
        }
        "TrentService" => {
            let purpose = body["EncryptionContext"]["purpose"].as_str().map(str::to_owned);
            let context = purpose.map(|purpose| ("kms:EncryptionContext:purpose", purpose)).into_iter().collect();
            let resource = body["KeyId"].as_str().unwrap_or_default().to_owned();
            vec![NeededPermission { action: format!("kms:{operation}"), resource, context }]
        }
        _ => Vec::new(),
    }
}

fn of_dynamodb(operation: &str, body: &Value) -> Vec<NeededPermission> {
    let one = |operation: &str, body: &Value, key: Option<&str>| {
        let table = body["TableName"].as_str().unwrap_or_default();
        let resource =
            body["IndexName"].as_str().map_or_else(|| table.to_owned(), |index| format!("{table}/index/{index}"));
        let context = key.map(|key| ("dynamodb:LeadingKeys", key.to_owned())).into_iter().collect();
        NeededPermission { action: format!("dynamodb:{operation}"), resource, context }
    };
    let pk = |item: &Value| item["pk"]["S"].as_str().map(str::to_owned);
    match operation {
        "BatchGetItem" => {
            let tables = body["RequestItems"].as_object().into_iter().flatten();
            let keys = tables.flat_map(|(table, wanted)| {
                wanted["Keys"].as_array().into_iter().flatten().map(move |key| (table, pk(key)))
            });
            keys.map(|(table, key)| one(operation, &serde_json::json!({"TableName": table}), key.as_deref())).collect()
        }
        "TransactWriteItems" => {
            let parts = body["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
            parts
                .map(|(kind, part)| {
                    let operation =
                        if kind == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{kind}Item") };
                    one(&operation, part, pk(&part["Key"]).or_else(|| pk(&part["Item"])).as_deref())
                })
                .collect()
        }
        "Query" => {
            let values = body["ExpressionAttributeValues"].as_object().into_iter().flatten();
            let key = values.filter(|(name, _)| *name == ":pk").find_map(|(_, value)| value["S"].as_str());
            vec![one(operation, body, key)]
        }
        _ => vec![one(operation, body, pk(&body["Key"]).or_else(|| pk(&body["Item"])).as_deref())],
    }
}

fn of_s3(request: &Request<Bytes>) -> Vec<NeededPermission> {
    let path = request.uri().path().trim_matches('/');
    let action = match (request.method().as_str(), path.contains('/')) {
        ("GET" | "HEAD", true) => "s3:GetObject",
        ("GET" | "HEAD", false) => "s3:ListBucket",
        ("PUT", _) => "s3:PutObject",
        ("DELETE", _) => "s3:DeleteObject",
        _ => "s3:Unknown",
    };
    vec![NeededPermission { action: action.to_owned(), resource: path.to_owned(), context: Vec::new() }]
}
