//! The inbox lists every conversation once, latest activity first, in whatever order its messages arrived.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use proptest::prelude::{Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::{App, NUMBER, change, effort, webhook_body};
use crate::inbound::permutations;

/// Page limit of a walk, above the length of every list here.
const PAGES_MAX: usize = 100;

/// An event in the inbox.
#[derive(Debug, Clone)]
enum Event {
    /// Customer, and age of the message in seconds.
    Theirs(u8, u16),
    /// The business answers this customer now.
    Ours(u8),
    /// This customer calls now: the window opens, and the list order stays.
    Call(u8),
    /// Time advances.
    Later(u8),
    /// The waiting webhooks are processed.
    Stored,
}

fn customer(who: u8) -> String {
    format!("1555000{:04}", 7000 + u16::from(who))
}

fn text(app: &App, who: u8, ago: i64, id: &str, name: &str) -> Value {
    let at = app.clock.now().as_second() - ago;
    json!({"contacts": [{"profile": {"name": name}, "wa_id": customer(who)}],
        "messages": [{"from": customer(who), "id": id, "timestamp": at.to_string(), "type": "text", "text": {"body": id}}]})
}

async fn receive(app: &App, value: Value) {
    assert_eq!(app.webhook(webhook_body(&[change(NUMBER, value)])).await, StatusCode::OK);
}

/// Returns all conversations, on pages of this size: customer and time of activity.
async fn listed(app: &App, limit: usize) -> Vec<(String, String)> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for _ in 0..PAGES_MAX {
        let page = app.api("GET", &format!("/v1/conversations?limit={limit}{cursor}"), None).await.json();
        for one in page["data"].as_array().unwrap() {
            let phone = one["contact"]["phone"].as_str().unwrap().to_owned();
            all.push((phone, one["last_activity_at"].as_str().unwrap().to_owned()));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
    panic!("the list does not end: {all:?}")
}

async fn run(events: Vec<Event>) {
    let app = App::start().await;
    // Every customer has written, so answers are allowed.
    let mut latest = BTreeMap::new();
    for who in 0..8 {
        receive(&app, text(&app, who, 3_600, &format!("wamid.first{who}"), "Ada")).await;
        latest.insert(format!("+{}", customer(who)), app.clock.now().as_second() - 3_600);
    }
    app.drain().await;
    for (place, event) in events.into_iter().enumerate() {
        let now = app.clock.now().as_second();
        let (who, at) = match event {
            Event::Theirs(who, ago) => {
                receive(&app, text(&app, who, i64::from(ago), &format!("wamid.{place}"), "Ada")).await;
                (who, now - i64::from(ago))
            }
            Event::Ours(who) => {
                let body = json!({"from": NUMBER, "to": format!("+{}", customer(who)), "type": "text", "text": {"body": "yes"}});
                assert_eq!(app.api("POST", "/v1/messages", Some(body)).await.status, StatusCode::ACCEPTED);
                (who, now)
            }
            Event::Call(who) => {
                let call = json!({"id": format!("wacid.{place}"), "from": customer(who), "to": "15550001111", "event": "connect",
                    "direction": "USER_INITIATED", "timestamp": now.to_string()});
                let mut call = change(NUMBER, json!({"calls": [call]}));
                call["field"] = json!("calls");
                assert_eq!(app.webhook(webhook_body(&[call])).await, StatusCode::OK);
                continue;
            }
            Event::Later(seconds) => {
                app.advance(i64::from(seconds));
                continue;
            }
            Event::Stored => {
                app.drain().await;
                continue;
            }
        };
        let known = latest.get_mut(&format!("+{}", customer(who))).unwrap();
        *known = at.max(*known);
    }
    app.drain().await;
    let mut expected: Vec<i64> = latest.values().copied().collect();
    expected.sort_by_key(|at| std::cmp::Reverse(*at));
    for limit in [1, 3, 100] {
        let all = listed(&app, limit).await;
        let seconds = |at: &str| at.parse::<shared::clock::Timestamp>().unwrap().as_second();
        let order: Vec<i64> = all.iter().map(|(_, at)| seconds(at)).collect();
        assert_eq!(order, expected, "pages of {limit}: {all:?}");
        let shown: BTreeMap<String, i64> = all.iter().map(|(who, at)| (who.clone(), seconds(at))).collect();
        assert_eq!(shown, latest, "pages of {limit}");
    }
}

#[test]
fn every_conversation_stands_once_at_its_latest_activity() {
    let event = (any::<u8>(), 0_u8..8, 0_u16..40, 0_u8..30).prop_map(|(kind, who, ago, later)| match kind % 8 {
        0..=3 => Event::Theirs(who, ago),
        4 => Event::Ours(who),
        5 => Event::Call(who),
        6 => Event::Later(later),
        _ => Event::Stored,
    });
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(effort::count(12, 24)) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runner.run(&prop::collection::vec(event, 1..60), |events| {
        runtime.block_on(run(events));
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn the_latest_name_counts_in_whatever_order_it_is_told() {
    for order in permutations(&[0, 1, 2, 3]) {
        let app = App::start().await;
        // A message with a known name skips the write, but still counts when a name arrives late.
        let told = [(40, "Ada"), (30, "Countess"), (20, "Ada"), (10, "Ada")];
        for place in &order {
            let (ago, name) = told[*place];
            receive(&app, text(&app, 1, ago, &format!("wamid.{place}"), name)).await;
            app.drain().await;
        }
        let conversation = &app.conversations().await[0];
        assert_eq!(conversation["contact"]["profile_name"], "Ada", "{order:?}");
        assert_eq!(listed(&app, 10).await.len(), 1);
        let inbound_at = conversation["last_inbound_at"].as_str().unwrap().parse::<shared::clock::Timestamp>().unwrap();
        assert_eq!(inbound_at.as_second(), app.clock.now().as_second() - 10, "{order:?}");
    }
}

#[tokio::test]
async fn the_text_of_a_known_customer_is_one_write() {
    let app = App::start().await;
    let write_all = async |series: i64| {
        for who in 0..10 {
            receive(&app, text(&app, who, 20 - series, &format!("wamid.{series}.{who}"), "Ada")).await;
        }
        app.stack.aws.start_meter();
        app.drain().await;
        app.stack.aws.consumed().write
    };
    let new = write_all(1).await;
    let known = write_all(2).await;
    println!("ten texts: {new} write units of new customers, {known} of known ones");
    assert!(new > 20.0, "{new}: conversation, alias, names");
    // Ten message writes, and one inbox write; or two, if the ten-second bucket ends between them.
    assert!((11.0..=12.0).contains(&known), "{known}");
}
