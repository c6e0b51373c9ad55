//! The table is restored to an earlier time (runbook R11): later webhooks are replayed, erased data stays erased, and
//! nothing is sent twice.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use jiff::SignedDuration;
use operator::copy::copy_items;
use sandbox::meta::StatusOrder;
use serde_json::{Value, json};

use crate::erasure::{ADA, BOB, contact_of, erase, erasure, half_an_hour, id_of, lively, of, receives, written};
use crate::harness::{App, NUMBER};
use crate::ledger::told;
use crate::replay::replay_as_operator;

const CLEO: &str = "15550006003";

async fn accepted(app: &App, text: &str, lane: Value) -> Value {
    let to = json!({"from": NUMBER, "to": format!("+{BOB}"), "type": "text", "text": {"body": text}, "lane": lane});
    let answer = app.api("POST", "/v1/messages", Some(to)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()
}

async fn broadcast(app: &App) -> String {
    let to: Vec<String> = (0..5).map(|n| format!("+1666{n:07}")).collect();
    let body = json!({"from": NUMBER, "template": {"name": "hello_world", "language": {"code": "en_US"}},
        "category": "utility", "recipients": to});
    let answer = app.api("POST", "/v1/broadcasts", Some(body)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Returns how often each message (recipient and text) reached Meta.
fn sent(app: &App) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for message in app.meta.sent() {
        *sent.entry(format!("{} {}", message.to, message.body["text"]["body"])).or_default() += 1;
    }
    sent
}

/// Runs only webhooks and the inbound function; nothing is sent.
async fn only_inbound(app: &App) {
    while Box::pin(app.deliver()).await + Box::pin(app.functions.poll_inbound()).await > 0 {}
}

/// Runs everything in steps of ten minutes.
async fn hours(app: &App, hours: i64) {
    for _ in 0..hours * 6 {
        Box::pin(app.drain()).await;
        app.advance(600);
        app.functions.tick().await.unwrap();
    }
}

/// A restored installation: messages at Meta before and after, and the message that waited in the bulk lane at the
/// restore time.
struct Restored {
    app: App,
    before: BTreeMap<String, usize>,
    in_line: Value,
    erasure: Value,
}

/// Two customers and a broadcast; then the table is restored. With `hasty` the senders start before the archive is
/// replayed.
async fn restored(hasty: bool) -> Restored {
    let (mut app, _) = lively().await;
    app.meta.order_statuses(StatusOrder::Normal);
    let Value::Object(hello) = json!({"type": "text", "text": {"body": "hello"}}) else { unreachable!() };
    app.meta.customer_writes(BOB, NUMBER, hello).unwrap();
    Box::pin(app.drain()).await;
    // State at the restore time: messages and a broadcast wait to be sent.
    accepted(&app, "queued", Value::Null).await;
    let in_line = accepted(&app, "in line", json!("bulk")).await;
    let campaign = broadcast(&app).await;
    let then = app.clock.now();
    let items = app.table_items().await;

    // After that time: they are sent, customers write, one contact is erased, another message is sent, and one more
    // waits.
    Box::pin(app.recover()).await;
    receives(&app, &written(&app, NUMBER, BOB, "wamid.later.bob", "still there?")).await;
    receives(&app, &written(&app, NUMBER, CLEO, "wamid.later.cleo", "hello, it is cleo")).await;
    let forgotten = of(&app, NUMBER, ADA).await.unwrap();
    erase(&app, &contact_of(&forgotten)).await;
    Box::pin(half_an_hour(&app)).await;
    accepted(&app, "after", Value::Null).await;
    Box::pin(app.drain()).await;
    accepted(&app, "waits when it happens", Value::Null).await;
    let before = sent(&app);
    assert_eq!((before.len(), before.values().max()), (8, Some(&1)), "{before:?}");

    // The runbook from step 4 on.
    app.restore(&items).await;
    let erasure = erase(&app, &contact_of(&forgotten)).await;
    for _ in 0..7 {
        Box::pin(app.functions.offboard()).await.unwrap();
        app.advance(300);
    }
    let paused = app.stack.operator.pause_broadcasts().await.unwrap();
    assert_eq!(paused.iter().map(|broadcast| broadcast.id.to_string()).collect::<Vec<_>>(), [campaign]);
    if hasty {
        Box::pin(app.recover()).await;
    }
    let from = then.checked_sub(SignedDuration::from_hours(96)).unwrap();
    for order in [json!({"source": "archive", "from": from.to_string()}), json!({"source": "dead_letters"})] {
        let answer = replay_as_operator(&app, &order).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        only_inbound(&app).await;
    }
    Box::pin(app.recover()).await;
    Restored { app, before, in_line, erasure }
}

#[tokio::test]
async fn a_restored_table_takes_in_what_it_missed_and_sends_nothing_twice() {
    let Restored { app, before, in_line, erasure: begun } = Box::pin(restored(false)).await;
    assert_eq!(sent(&app), before, "nothing is sent twice");
    let path = format!(
        "/v1/conversations/{}/messages/{}",
        in_line["conversation_id"].as_str().unwrap(),
        in_line["id"].as_str().unwrap()
    );
    assert_eq!(app.api("GET", &path, None).await.json()["status"], "read", "its statuses came back");
    assert_eq!(erasure(&app, &begun).await["status"], "done");
    assert!(of(&app, NUMBER, ADA).await.is_none());
    for (who, text) in [(BOB, "still there?"), (CLEO, "hello, it is cleo")] {
        let conversation = of(&app, NUMBER, who).await.unwrap();
        let messages = app.api("GET", &format!("/v1/conversations/{}/messages", id_of(&conversation)), None).await;
        assert!(messages.text.contains(text), "{who}: {}", messages.text);
    }
    Box::pin(hours(&app, 25)).await;
    assert_eq!((told(&app), app.functions.metrics.total("ledger_checked") > 0), (0, true));
    println!("restored: {} messages at Meta, each once", before.len());
}

#[tokio::test]
async fn who_starts_the_senders_before_the_archive_is_read_sends_twice() {
    let Restored { app, before, .. } = Box::pin(restored(true)).await;
    let twice: Vec<String> = sent(&app).into_iter().filter(|(_, times)| *times > 1).map(|(text, _)| text).collect();
    assert_eq!(twice, [format!("{BOB} \"in line\"")], "{before:?}");
}

#[tokio::test]
async fn what_is_gone_is_copied_back_and_what_stands_there_stays() {
    let (app, _) = lively().await;
    let client = app.stack.operator_dynamodb();
    shared::storage::schema(&client, "restored").await.unwrap();
    let all = copy_items(&client, sandbox::stack::TABLE, "restored", "", false).await.unwrap();
    assert_eq!((all.written, all.stood), (app.table_items().await.len(), 0));
    let begins = format!("CONV#{NUMBER}#");
    let ours = async || -> Vec<Value> {
        let items = app.table_items().await.into_iter();
        items.filter(|item| item["pk"]["S"].as_str().unwrap().starts_with(&begins)).collect()
    };
    let before = ours().await;
    assert!(before.len() > 3, "{before:?}");
    for item in before.iter().skip(1) {
        app.delete_item(item).await;
    }
    let back = copy_items(&client, "restored", sandbox::stack::TABLE, &begins, false).await.unwrap();
    assert_eq!((back.written, back.stood), (before.len() - 1, 1));
    assert_eq!(ours().await, before);
    let replaced = copy_items(&client, "restored", sandbox::stack::TABLE, "SECRET#", true).await.unwrap();
    assert_eq!((replaced.written, replaced.stood), (2, 0));
    accepted(&app, "sealed secrets are as they were", Value::Null).await;
    let nowhere = copy_items(&client, "restored", "nowhere", "SECRET#", true).await.unwrap_err();
    assert!(nowhere.to_string().starts_with("after 0 items: "), "{nowhere}");
}
