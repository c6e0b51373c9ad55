//! `template.yaml` and the code agree. cfn-lint and `sam validate` check the rest.

use std::collections::BTreeMap;
use std::path::Path;

use shared::limits::SEND_FUNCTION_TIMEOUT;

use crate::architecture::{root, sources};
use crate::cloudformation::Template;

/// Returns the template's resources by name, as text.
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
        let role = &resources[&format!("{short}Role")];
        assert!(role.contains(&format!("Resource: !GetAtt {short}Logs.Arn")), "{name} writes its own log only");
        let folder = block.split("CodeUri: ").nth(1).unwrap().lines().next().unwrap();
        assert!(block.contains(&format!("Binary: {}}}", folder.trim_start_matches("functions/"))), "{name}");
        let mut code = read(&format!("{folder}/src/lib.rs"));
        if code.contains("GraphEndpoint::from_env") {
            code.push_str(&read("shared/src/provider/meta/graph.rs"));
        }
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
    // Every live queue has one; the fifth is for schedules.
    assert_eq!((dead.len(), live.len()), (5, 4));
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
        "IndexName: feed",
        "IndexName: list",
        "{AttributeName: feed_at, KeyType: RANGE}",
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

/// The metrics namespace of a stack, as [`Template`] reads it.
const NAMESPACE: &str = "Switchboard/AWS::StackName";
/// Templates with alarms.
const ALARMS: [&str; 3] = ["infra/observability.yaml", "infra/function-alarms.yaml", "infra/gradual/added.yaml"];

/// Whether a namespace is the stack's own. Nested templates get it as a parameter.
fn is_ours(namespace: &serde_json::Value) -> bool {
    namespace == "Namespace" || namespace == NAMESPACE
}

#[test]
fn metrics_are_the_stacks_own() {
    let template = Template::read("template.yaml", &[]);
    assert_eq!(template.body["Globals"]["Function"]["Environment"]["Variables"]["METRICS_NAMESPACE"], NAMESPACE);
    assert_eq!(template.properties("Observability")["Parameters"]["Namespace"], NAMESPACE);
    for file in ALARMS {
        let of_all =
            read(file).lines().any(|line| line.contains("Namespace: Switchboard") || line.contains("\"Switchboard\""));
        assert!(!of_all, "{file} watches another stack's metrics too");
    }
}

/// Returns the alarms on own metrics as (function, metric); without a function, any function's.
fn watched() -> Vec<(Option<String>, String)> {
    let mut watched = Vec::new();
    for file in ALARMS {
        let template = Template::read(file, &[]);
        for (_, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
            let properties = &alarm["Properties"];
            if is_ours(&properties["Namespace"]) {
                let function = properties["Dimensions"][0]["Value"].as_str().unwrap();
                watched.push((Some(function.to_owned()), properties["MetricName"].as_str().unwrap().to_owned()));
            }
            for metric in properties["Metrics"].as_array().into_iter().flatten() {
                let named = metric["Expression"]
                    .as_str()
                    .and_then(|text| text.strip_suffix(") FROM SCHEMA(\"Namespace\", Function)"));
                watched.extend(named.map(|text| (None, text.trim_start_matches("SELECT SUM(").to_owned())));
                let one = &metric["MetricStat"]["Metric"];
                if is_ours(&one["Namespace"]) {
                    let function = one["Dimensions"][0]["Value"].as_str().unwrap().to_owned();
                    watched.push((Some(function), one["MetricName"].as_str().unwrap().to_owned()));
                }
            }
        }
        // Metrics of the dashboard: [namespace, metric, "Function", function, …].
        for (_, dashboard) in template.of_type("AWS::CloudWatch::Dashboard") {
            let body: serde_json::Value =
                serde_json::from_str(dashboard["Properties"]["DashboardBody"].as_str().unwrap()).unwrap();
            let widgets = body["widgets"].as_array().unwrap().iter();
            for line in widgets.filter_map(|one| one["properties"]["metrics"].as_array()).flatten() {
                if is_ours(&line[0]) {
                    watched.push((Some(line[3].as_str().unwrap().to_owned()), line[1].as_str().unwrap().to_owned()));
                }
            }
        }
    }
    watched
}

/// Returns all code below a folder of the repository.
fn code(folder: &Path) -> String {
    sources(folder).into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn whatever_an_alarm_or_the_dashboard_watches_is_told_by_the_function_it_names() {
    let root = root();
    let shared = code(&root.join("shared/src"));
    let watched = watched();
    assert!(watched.len() > 30, "{watched:?}");
    for (function, metric) in watched {
        let own = function.as_ref().map(|function| code(&root.join("functions").join(function).join("src")));
        let code = own.unwrap_or_default() + &shared;
        let told = ["count", "took_ms", "now_at"].iter().any(|how| {
            let how = format!(".{how}(");
            code.split(how.as_str()).skip(1).any(|rest| rest.trim_start().starts_with(&format!("\"{metric}\"")))
        });
        // Some names are selected by a match before they are counted.
        let chosen = code.contains(&format!("=> \"{metric}\""))
            || code.contains(&format!("\"{metric}\" }} else"))
            || code.contains(&format!("{{ \"{metric}\" }}"))
            || code.contains(&format!("count(\"{metric}\", error)"));
        assert!(told || chosen, "{function:?} never tells {metric}");
    }
}

#[test]
fn every_alarm_tells_somebody_and_names_a_runbook_that_exists() {
    let mut alarms = 0;
    for file in ALARMS {
        let template = Template::read(file, &[]);
        for (name, alarm) in template.of_type("AWS::CloudWatch::Alarm") {
            let properties = &alarm["Properties"];
            let description = properties["AlarmDescription"].as_str().unwrap();
            let runbook = description
                .split("Runbook ")
                .nth(1)
                .unwrap_or_else(|| panic!("{name}: no runbook"))
                .trim_end_matches('.');
            assert!(read(runbook).starts_with("# "), "{name}: {runbook}");
            let told = properties["AlarmActions"].as_array().is_some_and(|topics| !topics.is_empty());
            assert!(told, "{name} tells nobody");
            alarms += 1;
        }
    }
    println!("alarms: {alarms}, each with somebody to tell and a runbook");
}

#[test]
fn every_function_has_alarms_for_errors_throttles_and_time() {
    let resources = resources();
    let alarms = read("infra/function-alarms.yaml") + &read("infra/observability.yaml");
    for (name, block) in of_type(&resources, "AWS::Serverless::Function") {
        let short = name.trim_end_matches("Function");
        // A release uses its whole timeout.
        let kinds: &[&str] =
            if short == "Release" { &["Errors", "Throttled"] } else { &["Errors", "Throttled", "NearTimeout"] };
        for kind in kinds {
            assert!(alarms.contains(&format!("\n  {short}{kind}:\n")), "{name}: {kind}");
        }
        if short == "Release" {
            continue;
        }
        let near = alarms.split(&format!("\n  {short}NearTimeout:\n")).nth(1).unwrap();
        assert_eq!(number_after(near, "Threshold"), number_after(block, "Timeout") * 800, "{name}: 80 % of its time");
    }
    for queue in
        of_type(&resources, "AWS::SQS::Queue").iter().map(|(name, _)| name).filter(|name| name.ends_with("DeadLetters"))
    {
        assert!(alarms.contains(&format!("\n  {queue}Visible:\n")), "{queue} is not watched");
    }
}

/// Returns whether a path matches a route of API Gateway, and its rank: greedy routes last, then by the number of
/// literal parts.
fn fit(route: &str, path: &str) -> Option<(bool, usize)> {
    let (route, path): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
    let greedy = route.last() == Some(&"{proxy+}");
    let literal = route.iter().filter(|part| !part.starts_with('{')).count();
    let alike = |(part, given): (&&str, &&str)| part == given || part.starts_with('{');
    let reaches = if greedy { path.len() >= route.len() } else { path.len() == route.len() };
    (reaches && route.iter().zip(&path).all(alike)).then_some((!greedy, literal))
}

/// The sandbox has one router for all functions. API Gateway sends each request to the function that the template
/// names.
#[test]
fn every_described_route_leads_to_the_function_that_answers_it() {
    let template = Template::read("template.yaml", &[]);
    let mut events = Vec::new();
    for (function, resource) in template.of_type("AWS::Serverless::Function") {
        for event in resource["Properties"]["Events"].as_object().into_iter().flat_map(|events| events.values()) {
            if let (Some(method), Some(path)) =
                (event["Properties"]["Method"].as_str(), event["Properties"]["Path"].as_str())
            {
                events.push((function, method, path));
            }
        }
    }
    let mut routes = 0;
    for (function, method, path) in sandbox::stack::routes_by_function() {
        let fits = events.iter().filter(|(_, known, _)| *known == "ANY" || known.eq_ignore_ascii_case(method));
        let fits = fits.filter_map(|(to, known, route)| Some((fit(route, path)?, *known != "ANY", *to)));
        assert_eq!(fits.max().map(|(.., to)| to), Some(function), "{method} {path}");
        routes += 1;
    }
    assert!(routes > 80, "{routes}");
}
