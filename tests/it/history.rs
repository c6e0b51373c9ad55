//! Chat history of a coexistence number: phases and chunks in any order, with crashes and over several invocations.
//! Each message is stored once and has no effect on the present.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use jiff::SignedDuration;
use sandbox::aws::faults::Fault;
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, change, webhook_body};

const US: &str = "15550001111";

/// Returns a `history` chunk as Meta sends it.
fn chunk(phase: i64, order: i64, progress: i64, threads: &[Value]) -> String {
    let chunk = json!({"metadata": {"phase": phase, "chunk_order": order, "progress": progress}, "threads": threads});
    let mut change = change(NUMBER, json!({"history": [chunk]}));
    change["field"] = json!("history");
    webhook_body(&[change])
}

/// Returns message `index` of a customer's thread; inbound and outbound alternate.
fn past(customer: &str, index: usize) -> Value {
    let at = (1_794_000_000 + index).to_string();
    let text = json!({"body": format!("{customer} {index}")});
    let id = format!("wamid.H{customer}.{index}");
    if index.is_multiple_of(2) {
        json!({"from": customer, "id": id, "timestamp": at, "type": "text", "text": text,
               "history_context": {"status": "DELIVERED"}})
    } else {
        json!({"from": US, "to": customer, "id": id, "timestamp": at, "type": "text", "text": text,
               "history_context": {"status": "READ"}})
    }
}

fn thread(customer: &str, messages: std::ops::Range<usize>) -> Value {
    let messages: Vec<Value> = messages.map(|index| past(customer, index)).collect();
    json!({"id": customer, "context": {"wa_id": customer}, "messages": messages})
}

/// Returns the history of `customers` with `each` messages, in chunks of `per_chunk` thread parts, shuffled.
fn pasts(customers: usize, each: usize, per_chunk: usize) -> Vec<String> {
    let names: Vec<String> = (0..customers).map(|index| format!("1555{index:07}")).collect();
    let parts: Vec<Value> = names
        .iter()
        .flat_map(|name| (0..each).step_by(50).map(move |from| thread(name, from..(from + 50).min(each))))
        .collect();
    let chunks: Vec<&[Value]> = parts.chunks(per_chunk).collect();
    let last = chunks.len();
    let body = |(index, threads): (usize, &&[Value])| {
        let order = i64::try_from(index + 1).unwrap();
        chunk(1, order, if index + 1 == last { 100 } else { order * 99 / i64::try_from(last).unwrap() }, threads)
    };
    let mut bodies: Vec<String> = chunks.iter().enumerate().map(body).collect();
    // A fixed shuffle.
    for index in 0..last {
        bodies.swap(index, (index * 7_919 + 13) % last);
    }
    bodies
}

/// Returns the number of stored messages by origin, and the number of conversations with an open window.
async fn stored(app: &App) -> (BTreeMap<String, usize>, usize) {
    let (mut origins, mut windows) = (BTreeMap::new(), 0);
    for item in app.table_items().await {
        if let Some(origin) = item["past_origin"]["S"].as_str() {
            *origins.entry(origin.to_owned()).or_default() += 1;
        }
        windows += usize::from(!item["last_inbound_at"].is_null());
    }
    (origins, windows)
}

/// Imports a history with crashes and checks the guarantees. Returns the number of chunks.
async fn import(customers: usize, each: usize, per_chunk: usize) -> usize {
    let mut app = App::start().await;
    let bodies = pasts(customers, each, per_chunk);
    for body in &bodies {
        assert!(body.len() < 3_000_000, "{}", body.len());
        assert_eq!(app.webhook(body.as_bytes().to_vec()).await, StatusCode::OK);
    }
    for call in [40, 3, 200] {
        app.stack.faults.order(call, Fault::CrashAfter);
        app.until_crash(async |app: &App| app.functions.poll_inbound().await).await;
        app.stack.faults.clear();
        app.advance(400);
    }
    app.drain().await;
    // Meta may deliver chunks again.
    for body in bodies.iter().take(3) {
        app.webhook(body.as_bytes().to_vec()).await;
    }
    app.drain().await;
    let half = customers * each / 2;
    let expected = BTreeMap::from([("history_business".to_owned(), half), ("history_customer".to_owned(), half)]);
    assert_eq!(stored(&app).await, (expected, 0), "all there once, no window");
    let number = app.api("GET", &format!("/v1/numbers/{NUMBER}"), None).await.json();
    assert_eq!(number["history"][0]["progress"], 100);
    assert_eq!(number["history"][0]["chunks"].as_array().unwrap().len(), bodies.len());
    assert_eq!(app.depth(), (0, 0), "nothing was asked for");
    assert!(app.meta.sent().is_empty());
    bodies.len()
}

#[tokio::test]
async fn two_thousand_past_messages_in_shuffled_chunks_with_crashes() {
    let chunks = import(20, 100, 8).await;
    println!("2,000 past messages in {chunks} chunks, 3 crashes: once each");
}

#[tokio::test]
#[ignore = "takes minutes: .ci/run runs it"]
async fn a_hundred_thousand_past_messages_in_shuffled_chunks_with_crashes() {
    let chunks = import(500, 200, 170).await;
    println!("100,000 past messages in {chunks} chunks, 3 crashes: once each");
}

#[tokio::test]
async fn what_one_invocation_cannot_end_goes_back_to_the_queue() {
    let app = App::start().await;
    let threads: Vec<Value> = (0..60).map(|index| thread(&format!("1555{index:07}"), 0..20)).collect();
    app.webhook(chunk(0, 1, 100, &threads)).await;
    // Each write takes 80 ms of virtual time, so that an invocation has time for one or two slices.
    let clock = app.clock.clone();
    app.stack.aws.set_tap(Some(std::sync::Arc::new(move |target: &str, body| {
        if target.ends_with("UpdateItem") {
            clock.advance(SignedDuration::from_millis(80));
        }
        body
    })));
    let mut invocations = 0;
    while app.depth().0 > 0 {
        let worked = app.functions.poll_inbound_before(SignedDuration::from_secs(25)).await;
        assert!(worked > 0 && invocations < 60, "{invocations}");
        invocations += 1;
    }
    app.stack.aws.set_tap(None);
    assert!(invocations > 3, "{invocations}");
    assert_eq!(stored(&app).await.0.values().sum::<usize>(), 1_200);
    let number = app.api("GET", &format!("/v1/numbers/{NUMBER}"), None).await.json();
    assert_eq!(number["history"][0]["progress"], 100);
    println!("1,200 messages of one body in {invocations} invocations");
}

#[tokio::test]
async fn media_fill_their_placeholder_whichever_comes_first() {
    let placeholder = json!({"from": CUSTOMER, "id": "wamid.M", "timestamp": "1794000000",
        "type": "media_placeholder", "history_context": {"status": "DELIVERED"}});
    let placeholder = chunk(0, 1, 50, &[json!({"id": CUSTOMER, "messages": [placeholder]})]);
    // The phone's clock may differ from Meta's.
    let media = ["1794000000", "1794000001"].map(|timestamp| {
        let media = json!({"from": CUSTOMER, "id": "wamid.M", "timestamp": timestamp, "type": "image",
            "image": {"id": "1", "mime_type": "image/jpeg", "sha256": "x"}});
        let mut media = change(NUMBER, json!({"messages": [media]}));
        media["field"] = json!("history");
        webhook_body(&[media])
    });
    let [same, late] = &media;
    let orders = [[&placeholder, same], [same, &placeholder], [&placeholder, late], [late, &placeholder]];
    for order in orders {
        let app = App::start().await;
        for body in order {
            app.webhook(body.as_bytes().to_vec()).await;
            app.drain().await;
        }
        let messages = app.messages().await;
        assert_eq!(messages.len(), 1);
        assert_eq!((&messages[0]["type"], &messages[0]["image"]["id"]), (&json!("image"), &json!("1")));
    }
}

#[tokio::test]
async fn the_past_never_overtakes_the_present() {
    let app = App::start().await;
    app.customer_writes("now");
    app.drain().await;
    app.webhook(chunk(0, 1, 100, &[thread(CUSTOMER, 0..10)])).await;
    app.drain().await;
    let conversation = app.conversations().await.remove(0);
    assert_eq!(conversation["last_activity_at"], "2026-11-20T12:00:00.000Z");
    assert_eq!(conversation["last_inbound_at"], "2026-11-20T12:00:00.000Z");
    let messages = app.messages().await;
    assert_eq!(messages.len(), 11);
    let origins: BTreeSet<&str> = messages.iter().map(|message| message["origin"].as_str().unwrap()).collect();
    assert_eq!(origins, BTreeSet::from(["customer", "history_business", "history_customer"]));
}
