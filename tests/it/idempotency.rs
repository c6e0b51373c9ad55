//! One idempotency key, one message (`docs/reliability.md#o1`).

use axum::http::StatusCode;
use futures_util::future::join_all;
use sandbox::aws::faults::Fault;

use crate::harness::{App, to_customer};

async fn open_window() -> App {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app
}

#[tokio::test]
async fn fifty_at_once_with_one_key_make_one_graph_call_and_get_one_id() {
    let app = open_window().await;
    let answers = join_all((0..50).map(|_| app.send("once", Some("order-17")))).await;
    let mut ids: Vec<String> = Vec::new();
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        ids.push(answer.text.clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one answer, fifty times");
    let replayed = answers.iter().filter(|answer| answer.headers.contains_key("idempotent-replayed")).count();
    assert_eq!(replayed, 49);
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 1);
    assert_eq!(app.only_status().await, "read");
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let app = open_window().await;
    assert_eq!(app.send("one", Some("k")).await.status, StatusCode::ACCEPTED);
    let answer = app.send("two", Some("k")).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.json()["code"], "idempotency_key_reused");
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 1);
}

#[tokio::test]
async fn a_key_is_good_for_72_hours_by_the_clock() {
    let app = open_window().await;
    let first = app.send("hi", Some("k")).await;
    app.drain().await;
    app.advance(72 * 3_600 - 1);
    let replay = app.send("hi", Some("k")).await;
    assert_eq!(replay.text, first.text);
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 1);
    app.advance(1);
    app.customer_writes("still there?");
    app.drain().await;
    let fresh = app.send("hi", Some("k")).await;
    assert_ne!(fresh.json()["id"], first.json()["id"]);
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 2);
}

#[tokio::test]
async fn without_a_key_each_request_is_a_message() {
    let app = open_window().await;
    for _ in 0..2 {
        let answer = app.send("hi", None).await;
        assert!(answer.headers["switchboard-warning"].to_str().unwrap().contains("Idempotency-Key"));
    }
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 2);
}

#[tokio::test]
async fn an_unusable_key_is_named() {
    let app = open_window().await;
    for key in ["", &"k".repeat(256)] {
        let answer = app.request(app.api_request("POST", "/v1/messages", Some(to_customer("hi")), Some(key))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(answer.json()["field"], "Idempotency-Key");
    }
}

#[tokio::test]
async fn a_lost_reply_of_the_accepting_writes_does_not_make_a_second_message() {
    let app = open_window().await;
    // Find the writes of the key and of the message among the request's calls, then lose the reply of each.
    app.send("warm", None).await;
    app.stack.faults.order(usize::MAX, Fault::LostReply);
    app.send("probe", Some("probe")).await;
    let calls = app.stack.faults.calls();
    let writes: Vec<usize> = (0..calls.len()).filter(|call| calls[*call].contains("PutItem")).collect();
    assert_eq!(writes.len(), 2, "{calls:?}");
    for (place, write) in writes.into_iter().enumerate() {
        let (text, key) = (format!("hi {place}"), format!("k{place}"));
        app.stack.faults.order(write, Fault::LostReply);
        let lost = app.send(&text, Some(&key)).await;
        assert_eq!(lost.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(lost.json()["code"], "unavailable");
        app.stack.faults.clear();
        let again = app.send(&text, Some(&key)).await;
        assert_eq!(again.status, StatusCode::ACCEPTED);
        assert!(again.headers.contains_key("idempotent-replayed"));
    }
    app.drain().await;
    assert_eq!(app.texts("outbound").await, ["hi 0", "hi 1", "probe", "warm"]);
    assert_eq!(app.meta.sent().len(), 4);
}

#[tokio::test]
async fn a_key_whose_first_request_died_makes_its_message_now() {
    let mut app = open_window().await;
    app.send("warm", None).await;
    app.stack.faults.order(usize::MAX, Fault::CrashBefore);
    app.send("probe", Some("probe")).await;
    let calls = app.stack.faults.calls();
    let stored = calls.iter().rposition(|call| call.contains("PutItem")).unwrap();
    app.stack.faults.order(stored, Fault::CrashBefore);
    assert!(app.until_crash(async |app: &App| app.send("hi", Some("k")).await).await.is_none());
    app.stack.faults.clear();
    app.recover().await;
    assert_eq!(app.meta.sent().len(), 2, "nobody was told that it was accepted");
    for again in 0..2 {
        let answer = app.send("hi", Some("k")).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED);
        assert_eq!(answer.headers.contains_key("idempotent-replayed"), again == 1);
        app.drain().await;
    }
    assert_eq!(app.meta.sent().len(), 3);
    let newest = app.messages().await.remove(0);
    assert_eq!(newest["text"]["body"], "hi", "it stands where it was accepted at last");
}
