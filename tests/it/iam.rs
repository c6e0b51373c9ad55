//! The policies of `template.yaml`, evaluated as IAM does for every relevant function, action, resource and context,
//! and compared with the intended table in `docs/iam.md`.

use std::collections::BTreeSet;
use std::sync::Arc;

use sandbox::aws::permissions::NeededPermission;
use sandbox::stack::INBOUND;
use serde_json::Value;

use crate::cloudformation::Template;
use crate::harness::iam::{Request, Said, list};
use crate::harness::{App, CUSTOMER, NUMBER};

/// Actions per service: those that functions need, and those that no function should have.
const DYNAMODB: [&str; 12] = [
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:DeleteTable",
    "dynamodb:ExportTableToPointInTime",
    "dynamodb:GetItem",
    "dynamodb:PartiQLSelect",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
    "dynamodb:UpdateTable",
];
const TABLE: [&str; 3] = ["Table", "Table/index/feed", "Table/index/list"];
/// One partition key per kind that a policy names, or whose items not every function may read or write.
const LEADING: [&str; 17] = [
    "ALIAS#t",
    "APP#main",
    "AUDIT#t",
    "CONTACT#c",
    "CONV#n#c",
    "IDEM#t",
    "INBOX#t",
    "QUARANTINE#h",
    "KEY#k",
    "NAMES#t",
    "NUMBER#n",
    "ONBOARDING#o",
    "SECRET#s",
    "SIGNER#a",
    "TENANT#t",
    "USAGE#n",
    "WABA#w",
];
const SQS: [&str; 7] = [
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:PurgeQueue",
    "sqs:ReceiveMessage",
    "sqs:SendMessage",
    "sqs:SetQueueAttributes",
];
const S3: [&str; 5] = ["s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:PutObjectAcl"];
const FOLDERS: [&str; 5] = ["broadcasts", "quarantine", "large", "media", "raw"];
const BUCKET: [&str; 3] = ["s3:DeleteBucket", "s3:ListBucket", "s3:PutBucketPolicy"];
const KMS: [&str; 7] = [
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:PutKeyPolicy",
    "kms:ReEncryptFrom",
    "kms:ScheduleKeyDeletion",
];
const PURPOSES: [&str; 8] =
    ["", "api-key-pepper", "app", "callback-mac", "graph-token", "onboarding-token", "pin", "system-token"];
const LOGS: [&str; 4] = ["logs:CreateLogStream", "logs:DeleteLogGroup", "logs:FilterLogEvents", "logs:PutLogEvents"];
const ELSEWHERE: [&str; 8] = [
    "iam:PassRole",
    "lambda:InvokeFunction",
    "lambda:UpdateFunctionCode",
    "s3:ListAllMyBuckets",
    "secretsmanager:GetSecretValue",
    "sns:Publish",
    "ssm:GetParameter",
    "sts:AssumeRole",
];

/// Returns all requests: each action on the resources of its kind, with the condition keys that DynamoDB and KMS
/// provide.
fn requests(queues: &[&'static str], logs: &[String]) -> Vec<(String, Request<'static>)> {
    let mut all: Vec<(String, Request<'static>)> = Vec::new();
    for action in DYNAMODB {
        for resource in TABLE {
            for key in LEADING {
                let shown = format!("{action} {resource} {}", key.split('#').next().unwrap());
                all.push((shown, Request { action, resource, context: vec![("dynamodb:LeadingKeys", key)] }));
            }
        }
    }
    for action in SQS {
        all.extend(
            queues
                .iter()
                .map(|resource| (format!("{action} {resource}"), Request { action, resource, context: Vec::new() })),
        );
    }
    for action in S3 {
        for folder in FOLDERS {
            let resource: &'static str = format!("RawBucket/{folder}/object").leak();
            all.push((format!("{action} {folder}/"), Request { action, resource, context: Vec::new() }));
        }
    }
    all.extend(
        BUCKET.map(|action| {
            (format!("{action} RawBucket"), Request { action, resource: "RawBucket", context: Vec::new() })
        }),
    );
    for action in KMS {
        for purpose in PURPOSES {
            let context =
                if purpose.is_empty() { Vec::new() } else { vec![("kms:EncryptionContext:purpose", purpose)] };
            all.push((format!("{action} {purpose}"), Request { action, resource: "Key", context }));
        }
    }
    for action in LOGS {
        all.extend(logs.iter().map(|name| {
            let resource: &'static str = name.clone().leak();
            (format!("{action} {name}"), Request { action, resource, context: Vec::new() })
        }));
    }
    all.extend(
        ELSEWHERE.map(|action| (action.to_owned(), Request { action, resource: "anything", context: Vec::new() })),
    );
    all
}

/// Returns the table of `docs/iam.md`: the allowed actions of each function, one line per action.
fn table(template: &Template) -> (usize, usize, String) {
    let queues: Vec<&'static str> =
        template.of_type("AWS::SQS::Queue").map(|(name, _)| &*name.to_owned().leak()).collect();
    let logs: Vec<String> = template.of_type("AWS::Logs::LogGroup").map(|(name, _)| name.to_owned()).collect();
    let (mut cells, mut allowed, mut shown) = (0, 0, String::new());
    for (name, _) in template.of_type("AWS::Serverless::Function") {
        let function = name.trim_end_matches("Function");
        let said = Said::about(template, function);
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        for (cell, request) in requests(&queues, &logs) {
            cells += 1;
            if said.allows(&request) {
                allowed += 1;
                let (action, what) = cell.split_once(' ').unwrap_or((&cell, ""));
                match lines.last_mut().filter(|(last, _)| last == action) {
                    Some((_, all)) => all.push(what.to_owned()),
                    None => lines.push((action.to_owned(), vec![what.to_owned()])),
                }
            }
        }
        shown.push_str(&format!("\n## {function}\n\n| may | what |\n|---|---|\n"));
        for (action, what) in lines {
            shown.push_str(&format!("| `{action}` | {} |\n", shorter(&what)));
        }
    }
    (cells, allowed, shown)
}

/// Leaves out the kinds of items where all of them are allowed.
fn shorter(what: &[String]) -> String {
    let mut shown: Vec<String> = Vec::new();
    let resources: BTreeSet<&str> = what.iter().map(|one| one.split(' ').next().unwrap()).collect();
    for resource in resources {
        let kinds: Vec<&str> = what.iter().filter_map(|one| one.strip_prefix(resource)?.strip_prefix(' ')).collect();
        let others = LEADING.iter().filter_map(|key| key.split('#').next()).filter(|kind| !kinds.contains(kind));
        let others: Vec<&str> = others.collect();
        shown.push(if kinds.is_empty() || others.is_empty() {
            resource.to_owned()
        } else if kinds.len() > others.len() {
            format!("{resource} (but `{}#…`)", others.join("#…`, `"))
        } else {
            format!("{resource} (`{}#…` only)", kinds.join("#…`, `"))
        });
    }
    shown.join(", ")
}

#[test]
fn every_function_may_do_what_is_intended_and_nothing_else() {
    let template = Template::read("template.yaml", &[]);
    let (cells, allowed, shown) = table(&template);
    println!("iam: {cells} cells, {allowed} allowed, as docs/iam.md has them");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/iam.md");
    let intended = std::fs::read_to_string(&path).unwrap();
    let (preface, table) = intended.split_once("\n## ").unwrap();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{preface}{shown}")).unwrap();
    }
    let table = format!("\n## {table}");
    let different = table.lines().zip(shown.lines()).find(|(intended, is)| intended != is);
    assert_eq!(different, None, "docs/iam.md is what is intended (left): change it on purpose, or the policy");
    assert_eq!(table.lines().count(), shown.lines().count());
}

/// The denials of `docs/reliability.md#section-4-2`, written by hand: function, action, resource, and the item's key or
/// the secret's purpose. Exceptions are listed in DECISIONS.md.
const DENIED: [(&str, &str, &str, &str); 44] = [
    ("Webhook", "dynamodb:GetItem", "Table", "CONV#n#c"),
    ("Webhook", "dynamodb:GetItem", "Table", "KEY#k"),
    ("Webhook", "dynamodb:PutItem", "Table", "APP#main"),
    ("Webhook", "dynamodb:Query", "Table", "APP#main"),
    ("Webhook", "kms:Decrypt", "Key", "graph-token"),
    ("Webhook", "sqs:SendMessage", "OutboundQueue", ""),
    ("Inbound", "kms:Decrypt", "Key", "graph-token"),
    ("Inbound", "dynamodb:DeleteItem", "Table", "CONV#n#c"),
    ("Inbound", "dynamodb:GetItem", "Table", "KEY#k"),
    ("Inbound", "sqs:SendMessage", "OutboundQueue", ""),
    ("Api", "kms:Decrypt", "Key", "graph-token"),
    ("Api", "kms:Decrypt", "Key", "app"),
    ("Api", "sqs:ReceiveMessage", "OutboundQueue", ""),
    ("Api", "sqs:ReceiveMessage", "InboundQueue", ""),
    ("SendMessage", "kms:Encrypt", "Key", "graph-token"),
    ("SendMessage", "kms:Decrypt", "Key", "app"),
    ("SendMessage", "dynamodb:PutItem", "Table", "TENANT#t"),
    ("SendMessage", "dynamodb:GetItem", "Table", "KEY#k"),
    ("SendMessage", "dynamodb:UpdateItem", "Table", "APP#main"),
    ("SendMessage", "dynamodb:DeleteItem", "Table", "CONV#n#c"),
    ("SendMessage", "sqs:SendMessage", "InboundQueue", ""),
    ("Release", "kms:Decrypt", "Key", "graph-token"),
    ("Release", "dynamodb:PutItem", "Table", "TENANT#t"),
    ("Release", "dynamodb:GetItem", "Table", "KEY#k"),
    ("Sweep", "kms:Decrypt", "Key", "graph-token"),
    ("Sweep", "dynamodb:GetItem", "Table", "KEY#k"),
    ("Onboarding", "dynamodb:GetItem", "Table", "CONV#n#c"),
    ("Onboarding", "dynamodb:Query", "Table", "CONV#n#c"),
    ("Onboarding", "dynamodb:PutItem", "Table", "KEY#k"),
    ("SignupCallback", "dynamodb:GetItem", "Table", "CONV#n#c"),
    ("SignupCallback", "dynamodb:PutItem", "Table", "KEY#k"),
    ("SignupCallback", "kms:Decrypt", "Key", "graph-token"),
    ("TokenRefresh", "dynamodb:Query", "Table", "CONV#n#c"),
    ("TokenRefresh", "dynamodb:UpdateItem", "Table", "CONV#n#c"),
    ("TokenRefresh", "dynamodb:GetItem", "Table", "KEY#k"),
    ("TokenRefresh", "sqs:SendMessage", "OutboundQueue", ""),
    ("Management", "sqs:SendMessage", "OutboundQueue", ""),
    ("SendMessage", "dynamodb:PutItem", "Table", "SECRET#api-key-pepper"),
    ("SendMessage", "dynamodb:GetItem", "Table", "IDEM#t#k"),
    ("Release", "dynamodb:UpdateItem", "Table", "SECRET#callback-mac"),
    ("Release", "dynamodb:GetItem", "Table", "SIGNER#a#u"),
    ("Onboarding", "dynamodb:GetItem", "Table", "AUDIT#t"),
    ("SignupCallback", "dynamodb:Query", "Table", "INBOX#t"),
    ("TokenRefresh", "dynamodb:Query", "Table", "NAMES#t"),
];

#[test]
fn what_must_be_denied_is_denied() {
    let template = Template::read("template.yaml", &[]);
    for (function, action, resource, about) in DENIED {
        let key = if action.starts_with("kms:") { "kms:EncryptionContext:purpose" } else { "dynamodb:LeadingKeys" };
        let context = if about.is_empty() { Vec::new() } else { vec![(key, about)] };
        let request = Request { action, resource, context };
        assert!(!Said::about(&template, function).allows(&request), "{function} may {action} {resource} {about}");
    }
    println!("iam: {} denials, each as it must be", DENIED.len());
}

#[test]
fn nothing_is_given_by_a_star() {
    let template = Template::read("template.yaml", &["Traces", "ReadsMessageHistory"]);
    for (name, role) in template.of_type("AWS::IAM::Role").chain(template.of_type("AWS::IAM::ManagedPolicy")) {
        let inline = list(&role["Properties"]["Policies"]).into_iter().map(|policy| &policy["PolicyDocument"]);
        let documents = inline.chain(std::iter::once(&role["Properties"]["PolicyDocument"]));
        for statement in documents.flat_map(|document| list(&document["Statement"])) {
            if statement["Effect"] == "Deny" {
                continue;
            }
            let actions = list(&statement["Action"]);
            assert!(actions.iter().all(|action| !action.as_str().unwrap().contains('*')), "{name}: {statement}");
            // X-Ray has no resources.
            let traces = actions.iter().all(|action| action.as_str().unwrap().starts_with("xray:"));
            assert!(traces || list(&statement["Resource"]).iter().all(|one| *one != "*"), "{name}: {statement}");
        }
    }
}

#[test]
fn the_evaluator_finds_what_is_too_wide() {
    let mut template = Template::read("template.yaml", &[]);
    let before = table(&template).2;
    let role =
        &mut template.body["Resources"]["WebhookRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
    // A missing condition, an additional action, and some actions that the guard rails deny.
    role.as_array_mut()
        .unwrap()
        .push(serde_json::json!({"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": "Table"}));
    role.as_array_mut()
        .unwrap()
        .push(serde_json::json!({"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}));
    role.as_array_mut()
        .unwrap()
        .push(serde_json::json!({"Effect": "Allow", "Action": ["dynamodb:Scan", "iam:PassRole"], "Resource": "*"}));
    let after = table(&template).2;
    assert_ne!(before, after);
    let webhook = after.split("\n## ").find(|part| part.starts_with("Webhook\n")).unwrap();
    assert!(webhook.contains("| `dynamodb:GetItem` | Table |"), "{webhook}");
    assert!(
        webhook.contains("OutboundQueue") && !webhook.contains("Scan") && !webhook.contains("PassRole"),
        "{webhook}"
    );
}

#[tokio::test]
async fn a_function_without_a_permission_is_stopped() {
    let app = App::start().await;
    let refuse =
        |signer: &str, asked: &NeededPermission| !(signer == "inbound" && asked.action == "dynamodb:UpdateItem");
    app.stack.aws.set_permissions(Arc::new(refuse));
    let Value::Object(hello) = serde_json::json!({"type": "text", "text": {"body": "hi"}}) else { unreachable!() };
    app.meta.customer_writes(CUSTOMER, NUMBER, hello).unwrap();
    app.deliver_quietly().await;
    app.functions.poll_inbound().await;
    assert_eq!(app.stack.aws.sqs().depth(INBOUND), 1, "not acknowledged");
    assert_eq!(app.messages().await, Vec::<Value>::new());
}
