//! The table goes back to an earlier hour (runbook R11): what was received since comes back, what was erased does not, and nothing is sent twice.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use sandbox::meta::StatusOrder;
use serde_json::{Value, json};

use crate::erasure::{ADA, BOB, contact_of, erase, erasure, half_an_hour, id_of, lively, of, receives, written};
use crate::harness::{App, NUMBER};
use crate::ledger::told;
use crate::replay::replay_as_operator;

const CLEO: &str = "15550006003";

async fn accepted(app: &App, text: &str) -> Value {
    let to = json!({"from": NUMBER, "to": format!("+{BOB}"), "type": "text", "text": {"body": text}});
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

/// How often each message reached Meta: to whom, and what.
fn sent(app: &App) -> BTreeMap<String, usize> {
    let mut sent = BTreeMap::new();
    for message in app.meta.sent() {
        *sent.entry(format!("{} {}", message.to, message.body["text"]["body"])).or_default() += 1;
    }
    sent
}

/// Only what is received is worked on: nobody sends.
async fn only_inbound(app: &App) {
    while Box::pin(app.deliver()).await + Box::pin(app.functions.poll_inbound()).await > 0 {}
}

#[tokio::test]
async fn a_restored_table_takes_in_what_it_missed_and_sends_nothing_twice() {
    let (mut app, _) = lively().await;
    app.meta.order_statuses(StatusOrder::Normal);
    let Value::Object(hello) = json!({"type": "text", "text": {"body": "hello"}}) else { unreachable!() };
    app.meta.customer_writes(BOB, NUMBER, hello).unwrap();
    Box::pin(app.drain()).await;
    // As it is when the hour comes back to which the table is restored: a message and a broadcast wait to be sent.
    let waiting = accepted(&app, "waiting").await;
    let campaign = broadcast(&app).await;
    let then = app.clock.now();
    let items = app.table_items().await;

    // What happens after it: both are sent, people write, one is forgotten, one message more is sent and one waits.
    Box::pin(app.recover()).await;
    receives(&app, &written(&app, NUMBER, BOB, "wamid.later.bob", "still there?")).await;
    receives(&app, &written(&app, NUMBER, CLEO, "wamid.later.cleo", "hello, it is cleo")).await;
    let forgotten = of(&app, NUMBER, ADA).await.unwrap();
    erase(&app, &contact_of(&forgotten)).await;
    Box::pin(half_an_hour(&app)).await;
    accepted(&app, "after").await;
    Box::pin(app.drain()).await;
    accepted(&app, "waits when it happens").await;
    let before = sent(&app);
    assert_eq!(before.len(), 7, "{before:?}");

    // The runbook, in its order.
    app.restore(&items).await;
    let begun = erase(&app, &contact_of(&forgotten)).await;
    Box::pin(half_an_hour_of_erasing(&app)).await;
    let answer = replay_as_operator(&app, &json!({"source": "archive", "from": then.to_string()})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    only_inbound(&app).await;
    let paused = app.stack.operator.pause_broadcasts().await.unwrap();
    assert_eq!(paused.iter().map(|broadcast| broadcast.id.to_string()).collect::<Vec<_>>(), [campaign]);
    Box::pin(app.recover()).await;
    Box::pin(half_an_hour(&app)).await;

    assert_eq!(sent(&app), before, "nothing is sent twice");
    let path = format!(
        "/v1/conversations/{}/messages/{}",
        waiting["conversation_id"].as_str().unwrap(),
        waiting["id"].as_str().unwrap()
    );
    assert_eq!(app.api("GET", &path, None).await.json()["status"], "read", "its statuses came back");
    assert_eq!(erasure(&app, &begun).await["status"], "done");
    assert!(of(&app, NUMBER, ADA).await.is_none());
    for (who, text) in [(BOB, "still there?"), (CLEO, "hello, it is cleo")] {
        let conversation = of(&app, NUMBER, who).await.unwrap();
        let messages = app.api("GET", &format!("/v1/conversations/{}/messages", id_of(&conversation)), None).await;
        assert!(messages.text.contains(text), "{who}: {}", messages.text);
    }
    assert_eq!(told(&app), 0);
    println!("restored: {} messages at Meta, each once", before.len());
}

/// The erasures' worker alone.
async fn half_an_hour_of_erasing(app: &App) {
    for _ in 0..7 {
        Box::pin(app.functions.offboard()).await.unwrap();
        app.advance(300);
    }
}
