//! `template.yaml` and the code say the same. cfn-lint and `sam validate` check the rest.

use std::collections::BTreeMap;
use std::path::Path;

use shared::limits::SEND_FUNCTION_TIMEOUT;

/// The template's resources by name, as text.
fn resources() -> BTreeMap<String, String> {
    let template = read("template.yaml");
    let body = template.split("\nResources:\n").nth(1).unwrap().split("\nOutputs:\n").next().unwrap();
    let mut resources: BTreeMap<String, String> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        let is_name = line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
        if is_name {
            current = line.trim().trim_end_matches(':').to_owned();
        }
        let block = resources.entry(current.clone()).or_default();
        block.push_str(line);
        block.push('\n');
    }
    resources
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(file)).unwrap()
}

fn of_type<'a>(resources: &'a BTreeMap<String, String>, kind: &str) -> Vec<(&'a str, &'a str)> {
    let marker = format!("Type: {kind}\n");
    let all = resources.iter().filter(|(_, block)| block.contains(&marker));
    all.map(|(name, block)| (name.as_str(), block.as_str())).collect()
}

fn number_after(block: &str, key: &str) -> u64 {
    let rest = block.split(&format!("{key}: ")).nth(1).unwrap_or_else(|| panic!("no {key} in {block}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn every_function_has_its_own_role_log_group_and_variables() {
    let resources = resources();
    let functions = of_type(&resources, "AWS::Serverless::Function");
    assert_eq!(functions.len(), 11);
    for (name, block) in functions {
        let short = name.trim_end_matches("Function");
        assert!(block.contains(&format!("Role: !GetAtt {short}Role.Arn")), "{name}");
        assert!(block.contains(&format!("LogGroup: !Ref {short}Logs")), "{name}");
        assert!(resources[&format!("{short}Logs")].contains("RetentionInDays: !Ref LogRetentionDays"), "{name}");
        let role = resources[&format!("{short}Role")].replace("kms:EncryptionContext", "context");
        assert!(role.contains(&format!("Resource: !GetAtt {short}Logs.Arn")), "{name} writes its own log only");
        // Who takes a token in seals it; nobody else seals anything.
        let seals = ["SignupCallbackFunction", "OnboardingFunction", "TokenRefreshFunction", "ManagementFunction"]
            .contains(&name);
        // Only what leaves is looked for everywhere.
        assert_eq!(role.contains("dynamodb:Scan"), name == "OffboardingFunction", "{name}");
        assert!(!role.contains("dynamodb:*"), "{name}");
        assert_eq!(role.contains("kms:Encrypt"), seals, "{name}");
        let folder = block.split("CodeUri: ").nth(1).unwrap().lines().next().unwrap();
        assert!(block.contains(&format!("Binary: {}}}", folder.trim_start_matches("functions/"))), "{name}");
        let code = read(&format!("{folder}/src/lib.rs"));
        let wanted: Vec<&str> =
            code.split("config::required(\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(!wanted.is_empty(), "{name}");
        let given = block.split("Variables:").nth(1).unwrap().split("Events:").next().unwrap();
        for variable in &wanted {
            assert!(given.contains(&format!("{variable}: ")), "{name} needs {variable}");
        }
        for line in given.lines().filter(|line| line.contains(": ")) {
            let variable = line.trim().split(':').next().unwrap();
            assert!(code.contains(&format!("\"{variable}\"")), "{name} is given {variable} and does not read it");
        }
    }
}

#[test]
fn every_queue_has_dead_letters_and_time_enough() {
    let resources = resources();
    let (dead, live): (Vec<_>, Vec<_>) =
        of_type(&resources, "AWS::SQS::Queue").into_iter().partition(|(name, _)| name.ends_with("DeadLetters"));
    assert_eq!((dead.len(), live.len()), (4, 4));
    for (name, block) in &live {
        let short = name.trim_end_matches("Queue");
        assert!(block.contains(&format!("{short}DeadLetters.Arn")), "{name}");
        let consumer = resources
            .values()
            .find(|block| block.contains(&format!("Queue: !GetAtt {name}.Arn")))
            .unwrap_or_else(|| panic!("{name} has no consumer"));
        assert!(consumer.contains("FunctionResponseTypes: [ReportBatchItemFailures]"), "{name}");
        assert!(consumer.contains("MaximumConcurrency"), "{name}");
        assert!(number_after(block, "VisibilityTimeout") >= 6 * number_after(consumer, "Timeout"), "{name}");
        assert!(number_after(block, "maxReceiveCount") >= 5, "{name}");
        let dead = &resources[&format!("{short}DeadLetters")];
        assert!(number_after(dead, "MessageRetentionPeriod") > number_after(block, "MessageRetentionPeriod"), "{name}");
        assert_eq!(dead.contains("FifoQueue: true"), block.contains("FifoQueue: true"), "{name}");
    }
    for (name, block) in dead.iter().chain(&live) {
        assert!(block.contains("SqsManagedSseEnabled: true"), "{name}");
        assert!(resources["QueuePolicy"].contains(&format!("!GetAtt {name}.Arn")), "{name} takes TLS only");
    }
    let timeout = number_after(&resources["SendMessageFunction"], "Timeout");
    assert_eq!(timeout, SEND_FUNCTION_TIMEOUT.as_secs(), "the claim's lease is derived from it");
}

#[test]
fn what_a_queue_message_points_to_outlives_the_message() {
    let resources = resources();
    let large = resources["RawBucket"].split("Prefix: large/").nth(1).unwrap();
    let seconds = number_after(large, "ExpirationInDays") * 86_400;
    let waits = number_after(&resources["InboundQueue"], "MessageRetentionPeriod");
    let dead = number_after(&resources["InboundDeadLetters"], "MessageRetentionPeriod");
    assert!(seconds > dead.max(waits));
}

#[test]
fn no_secret_is_a_parameter_or_a_variable() {
    let template = read("template.yaml");
    let parameters = template.split("\nParameters:\n").nth(1).unwrap().split("\nGlobals:\n").next().unwrap();
    for word in ["Secret", "Token", "Password", "Pepper", "NoEcho"] {
        assert!(!parameters.contains(word), "{word}");
    }
}

#[test]
fn the_table_is_the_one_the_code_expects() {
    let table = &resources()["Table"];
    for expected in [
        "IndexName: by_time",
        "IndexName: list",
        "{AttributeName: at, KeyType: RANGE}",
        "{AttributeName: list_at, KeyType: RANGE}",
        "AttributeName: expires_at",
        "PointInTimeRecoveryEnabled: true",
        "DeletionPolicy: Retain",
    ] {
        assert!(table.contains(expected), "{expected}");
    }
}

#[test]
fn panics_unwind_in_what_is_deployed() {
    assert!(read("Cargo.toml").contains("panic = \"unwind\""));
}
