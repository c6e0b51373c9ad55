//! Documents generated from the code. `UPDATE_DOCS=1 cargo test -p tests -- documents` writes them again.

use std::collections::BTreeSet;
use std::path::Path;

use shared::clock::at_millis;
use shared::domain::accounts::account::StoredState;
use shared::domain::lifecycle::onboarding::Step;
use shared::domain::sending::policy::{Category, Facts, MessageClass, Reach, Reason, Verdict, decide};
use shared::domain::sending::status::{Status, StatusTimes};
use shared::provider::meta::error::{ErrorClass, RULES};
use shared::provider::meta::signup_errors::{self, Again};

use crate::architecture::{root, sources};

const OPENAPI: &str = "docs/openapi.json";
const STATUSES: &str = "docs/statuses.md";

/// Returns the table of every non-empty set of reported steps and the status shown for it (`docs/reliability.md#s2`).
fn status_table() -> String {
    let mut table = String::from(
        "# Which status is shown\n\n\
         Meta reports steps in any order, repeatedly, and not all of them. The set of reported steps is stored, each with its\n\
         earliest time. The shown status is this function of the set. Written from `shared/src/domain/sending/status.rs` by\n\
         `tests/it/documents.rs`.\n\n\
         | sent | delivered | read | played | failed | shown |\n|---|---|---|---|---|---|\n",
    );
    for set in 1_u32..1 << Status::ALL.len() {
        let mut times = StatusTimes::default();
        let mut cells = Vec::new();
        for (place, status) in Status::ALL.into_iter().enumerate() {
            let reported = set & (1 << place) != 0;
            if reported {
                times.merge(status, at_millis(1));
            }
            cells.push(if reported { "x" } else { "" });
        }
        let shown = times.furthest().unwrap().as_str();
        table.push_str(&format!("| {} | {shown} |\n", cells.join(" | ")));
    }
    table.push_str(
        "\nA failure after a delivery is not believed, a failure after `sent` is. `delivered` implies `sent`, and `read` \
         implies\n`delivered`, although their times may be unknown. The error is the first that came with a text. The price is \
         the first\nthat came with a delivery, else the one that came with `sent`.\n",
    );
    table
}

/// Returns the table of Meta's error codes and their handling.
fn error_table() -> String {
    let mut table = String::from(
        "# Meta's error codes\n\n\
         The handling of a send that Meta refuses, at once or later by a `failed` status. Written from\n\
         `shared/src/provider/meta/error/table.rs` by `tests/it/documents.rs`. A code that is not here is final and\n\
         raises an alert.\n\n\
         | class | what happens to the message | what happens besides |\n|---|---|---|\n\
         | retry | tried again after 1, 4, 16, 64 s | the number pauses for 15 s |\n\
         | throttle: number | tried again | the number pauses for a second; three within a minute lower its rate by 20 % |\n\
         | throttle: app, account | tried again | the number pauses for a minute |\n\
         | throttle: pair | tried again after 1, 4, 16, … s | the conversation waits |\n\
         | wait | tried again after the time in the table | |\n\
         | doubt, then retry | `unknown`; without a status for 2 minutes tried again, twice at most | a status for such a try \
         ends that for the number |\n\
         | final | `failed` | |\n\
         | template needed | `failed`; our own rules stop such a message first, and send the fallback template | |\n\
         | final, cool-down | `failed` | no marketing to the customer for the time, twice as long each further time |\n\
         | final, opted out | `failed` | no marketing to the customer until they resume |\n\
         | final, blocked | `failed` | nothing to the customer |\n\
         | reconnect | waits, tried every 5 minutes until `send_before` | alert |\n\
         | account | `failed` | the number stops for the time; alert |\n\
         | template | `failed` | the template stops for the time, or until Meta says otherwise; alert |\n\n\
         | code | class | time | meaning | remedy |\n|---|---|---|---|---|\n",
    );
    for rule in RULES {
        let (first, last) = (rule.codes.start(), rule.codes.end());
        let codes = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let time = match rule.class {
            ErrorClass::Wait(wait)
            | ErrorClass::CoolDown(wait)
            | ErrorClass::Account(wait)
            | ErrorClass::Template(Some(wait)) => {
                if wait.as_hours() > 0 {
                    format!("{} h", wait.as_hours())
                } else {
                    format!("{} min", wait.as_mins())
                }
            }
            _ => String::new(),
        };
        table.push_str(&format!(
            "| {codes} | {} | {time} | {} | {} |\n",
            rule.class.as_str(),
            rule.meaning,
            rule.remedy
        ));
    }
    table
}

/// The name of a situation, and the change that creates it.
type Situation = (&'static str, fn(&mut Facts));

fn situations() -> Vec<Situation> {
    fn state(facts: &mut Facts, aspect: &str, key: Option<&str>, word: &str, until: Option<i64>) {
        facts.standing.account.push(StoredState {
            aspect: aspect.to_owned(),
            key: key.map(str::to_owned),
            word: word.to_owned(),
            until: until.map(at_millis),
            detail: String::new(),
            at: at_millis(0),
        });
    }
    vec![
        ("the customer wrote an hour ago", |_| {}),
        ("the customer wrote 23 h 54 min ago", |facts| facts.last_inbound_at = Some(at_millis(NOW - 86_040_000))),
        ("the customer wrote 23 h 55 min ago", |facts| facts.last_inbound_at = Some(at_millis(NOW - 86_100_000))),
        ("the customer never wrote", |facts| facts.last_inbound_at = None),
        ("the contact is a group", |facts| facts.reach = Reach::Group),
        ("only the customer's user id is known", |facts| facts.reach = Reach::UserId),
        ("somebody else has the customer's only number", |facts| facts.reach = Reach::Lost),
        ("the business disconnected, and connected again", |facts| {
            state(facts, "partner", None, "removed", None);
            state(facts, "coexistence", None, "reconnected", None);
            facts.standing.account[1].at = at_millis(1_000);
        }),
        ("a free entry point is open, the window is not", |facts| {
            facts.last_inbound_at = Some(at_millis(NOW - 100_000_000));
            facts.entry_point_until = Some(at_millis(NOW + 1));
        }),
        ("the customer stopped marketing", |facts| facts.opted_out = true),
        ("marketing cools down, the window is open", |facts| facts.cool_down_until = Some(at_millis(NOW + 60_000))),
        ("marketing cools down, the window is closed", |facts| {
            facts.last_inbound_at = None;
            facts.cool_down_until = Some(at_millis(NOW + 60_000));
        }),
        ("a cool-down is over", |facts| {
            facts.last_inbound_at = None;
            facts.cool_down_until = Some(at_millis(NOW));
        }),
        ("we blocked the customer", |facts| facts.blocked_until = Some(at_millis(NOW + 1))),
        ("the template is paused", |facts| facts.template.status = Some("PAUSED".to_owned())),
        ("the template was refused, its stop is over", |facts| {
            facts.template.status = Some("REFUSED_132001".to_owned());
            facts.template.until = Some(at_millis(NOW));
        }),
        ("Meta says the template is marketing, the customer stopped that", |facts| {
            facts.template.category = Some(Category::Marketing);
            facts.opted_out = true;
        }),
        ("the number is not connected", |facts| facts.standing.connected = false),
        ("its tenant made the number inactive", |facts| facts.standing.active = false),
        ("the account has no token", |facts| facts.standing.has_token = false),
        ("the token was withdrawn", |facts| state(facts, "token", None, "withdrawn", None)),
        ("the account is banned", |facts| state(facts, "ban", None, "DISABLE", None)),
        ("the account was reinstated", |facts| state(facts, "ban", None, "REINSTATE", None)),
        ("the account was deleted", |facts| state(facts, "deletion", None, "deleted", None)),
        ("the account was rejected", |facts| state(facts, "review", None, "REJECTED", None)),
        ("the business disconnected", |facts| state(facts, "partner", None, "removed", None)),
        ("no templates allowed, for a minute", |facts| {
            state(facts, "restriction", Some("RESTRICTED_BIZ_INITIATED_MESSAGING"), "restricted", Some(NOW + 60_000));
        }),
        ("no answers allowed", |facts| {
            state(facts, "restriction", Some("RESTRICTED_CUSTOMER_INITIATED_MESSAGING"), "restricted", None);
        }),
        ("a restriction is over", |facts| {
            state(facts, "restriction", Some("RESTRICTED_BIZ_INITIATED_MESSAGING"), "restricted", Some(NOW));
        }),
        ("payment is refused, for a minute", |facts| {
            state(facts, "trouble", Some("131042"), "stopped", Some(NOW + 60_000));
        }),
        ("payment was refused, the stop is over", |facts| {
            state(facts, "trouble", Some("131042"), "stopped", Some(NOW));
        }),
    ]
}

const NOW: i64 = 1_795_176_000_000;

/// Returns the table of what may be sent in each situation.
fn policy_table() -> (String, usize) {
    let classes = [
        ("free-form", MessageClass::FreeForm),
        ("marketing", MessageClass::Template(Some(Category::Marketing))),
        ("utility", MessageClass::Template(Some(Category::Utility))),
        ("authentication", MessageClass::Template(Some(Category::Authentication))),
        ("template of unknown category", MessageClass::Template(None)),
    ];
    let mut table = String::from(
        "# Messages that may be sent\n\n\
         One pure function decides, when a message is accepted and again when it is sent. Written from\n\
         `shared/src/domain/sending/policy.rs` by `tests/it/documents.rs`. A message that is blocked\n\
         \"for a while\", or by `no_token` or `token_withdrawn`, is accepted and waits, unless it would be stale by then.\n\
         \"template\" means that only a template may be sent; the number's fallback template is sent if there is one.\n\n",
    );
    table.push_str(&format!(
        "| situation | {} |\n|---|---|---|---|---|---|\n",
        classes.map(|(name, _)| name).join(" | ")
    ));
    let mut cases = 0;
    for (name, change) in situations() {
        let mut facts = Facts { last_inbound_at: Some(at_millis(NOW - 3_600_000)), ..Facts::default() };
        let standing = &mut facts.standing;
        (standing.connected, standing.active, standing.has_token) = (true, true, true);
        change(&mut facts);
        let cells = classes.map(|(_, class)| {
            cases += 1;
            match decide(&facts, class, at_millis(NOW)) {
                Verdict::Allowed => "yes".to_owned(),
                Verdict::TemplateOnly(reason) => format!("template: {}", reason.as_str()),
                Verdict::Blocked(reason, None) => format!("no: {}", reason.as_str()),
                Verdict::Blocked(reason, Some(_)) => format!("no, for a while: {}", reason.as_str()),
            }
        });
        table.push_str(&format!("| {name} | {} |\n", cells.join(" | ")));
    }
    table.push_str("\n| reason | remedy |\n|---|---|\n");
    for reason in Reason::ALL {
        table.push_str(&format!("| {} | {} |\n", reason.as_str(), reason.remedy()));
    }
    (table, cases)
}

fn is_the_codes(document: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(document);
    if shared::config::optional("UPDATE_DOCS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == text, "{document} is not what the code says");
}

/// Returns the table of Meta's errors while a number is connected.
fn onboarding_table() -> String {
    let mut table = String::from(
        "# When a number cannot be connected\n\n\
         The record of an onboarding step that Meta answers with an error. Written from\n\
         `shared/src/provider/meta/signup_errors.rs` by `tests/it/documents.rs`. A code that is not here\nstops the step. \
         A step that Meta does not answer is tried again.\n\n\
         | code | step | cause | action | again by itself |\n|---|---|---|---|---|\n",
    );
    for rule in signup_errors::RULES {
        let codes = if rule.codes.0 == rule.codes.1 {
            rule.codes.0.to_string()
        } else {
            format!("{} to {}", rule.codes.0, rule.codes.1)
        };
        let step = rule.step.map_or("any", Step::as_str);
        let again = match rule.again {
            Again::After(wait) => format!("after {wait:#}, then later"),
            Again::Never => "no".to_owned(),
        };
        table.push_str(&format!("| {codes} | {step} | {} | {} | {again} |\n", rule.cause, rule.action));
    }
    table
}

#[test]
fn the_table_of_onboarding_errors_is_the_codes() {
    is_the_codes("docs/onboarding-errors.md", &onboarding_table());
}

#[test]
fn the_description_of_the_api_is_the_codes() {
    let described = sandbox::stack::description();
    let text = format!("{described:#}\n");
    if shared::config::optional("UPDATE_DOCS").is_some() {
        is_the_codes(OPENAPI, &text);
    }
    let stored = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(OPENAPI));
    // The order of keys depends on the crate features of the build.
    let stored: serde_json::Value = serde_json::from_str(&stored.unwrap()).unwrap();
    assert!(stored == described, "{OPENAPI} is not what the code says");
    let suffixed = described["components"]["schemas"].as_object().unwrap().keys().find(|name| name.ends_with("Json"));
    assert_eq!(suffixed, None, "two types have one name");
    let documented: BTreeSet<(&str, &str)> = described["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (method.as_str(), path.as_str())))
        .collect();
    assert_eq!(documented, sandbox::stack::routes().collect(), "what is described is what is routed");
}

#[test]
fn the_table_of_errors_is_the_codes() {
    is_the_codes("docs/errors.md", &error_table());
}

#[test]
fn the_table_of_what_may_be_sent_is_the_codes() {
    let (table, cases) = policy_table();
    assert!(cases >= 60, "{cases}");
    is_the_codes("docs/policy.md", &table);
    for reason in Reason::ALL {
        assert!(table.matches(reason.as_str()).count() > 1, "no case shows {}", reason.as_str());
    }
}

#[test]
fn the_table_of_statuses_is_the_codes() {
    let table = status_table();
    assert_eq!(table.lines().filter(|line| line.ends_with(" |")).count(), 32, "31 sets and the header");
    is_the_codes(STATUSES, &table);
}

/// Returns the problem codes in a source file, found by `conflict("…` and `Problem::new(StatusCode::…, "…`.
fn codes_of(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let text: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let made = text.split("conflict(\"").skip(1);
    let named = text
        .split("::new(StatusCode::")
        .skip(1)
        .filter_map(|rest| rest.split_once(",\""))
        .filter(|(status, _)| status.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'));
    made.chain(named.map(|(_, rest)| rest)).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

#[test]
fn every_problem_code_and_an_example_of_each_body_are_in_the_description() {
    let files = ["functions", "shared/src"].into_iter().flat_map(|folder| sources(&root().join(folder)));
    let made: BTreeSet<String> = files.flat_map(|path| codes_of(&path)).collect();
    assert_eq!(made, shared::http::CODES.into_iter().map(str::to_owned).collect());
    let description = sandbox::stack::description();
    let shown = &description["components"]["schemas"]["Problem"]["properties"]["code"]["examples"];
    let shown: BTreeSet<&str> = shown.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    assert!(made.iter().all(|code| shown.contains(code.as_str())));
    assert!(Reason::ALL.into_iter().all(|reason| shown.contains(reason.as_str())));
    let methods =
        description["paths"].as_object().unwrap().values().flat_map(|methods| methods.as_object().unwrap().values());
    let mut bodies = 0;
    for operation in methods {
        if let Some(body) = operation.pointer("/requestBody/content/application~1json") {
            assert!(body["example"].is_object(), "{}", operation["operationId"]);
            bodies += 1;
        }
    }
    assert!(bodies > 20, "{bodies}");
}
