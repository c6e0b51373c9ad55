//! Crash enumeration: for every k, the function crashes before or after the k-th call to AWS or Meta, the call is
//! refused, or its reply is lost. After recovery every guarantee must hold. Planted bugs show that the checks detect
//! violations.

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use sandbox::aws::faults::Fault;
use sandbox::meta::ScriptedFault;
use serde_json::Value;

use crate::harness::{App, effort};

const FAULTS: [Fault; 4] = [Fault::CrashBefore, Fault::CrashAfter, Fault::Unavailable, Fault::LostReply];

/// Receives messages of two customers, in two webhooks.
async fn receive(app: &mut App) {
    app.until_crash(async |app: &App| app.deliver().await).await;
    app.until_crash(async |app: &App| app.functions.poll_inbound().await).await;
}

async fn receiving_app() -> App {
    let app = App::start().await;
    app.customer_writes("one");
    app.advance(1);
    app.customer_writes("two");
    app
}

/// A client sends a message and repeats the request until it gets an answer. The message is sent, and its statuses
/// arrive.
async fn send(app: &mut App) -> (String, String) {
    let mut accepted = None;
    for _ in 0..10 {
        let answer = app.until_crash(async |app: &App| app.send("answer", Some("k")).await).await;
        app.until_crash(async |app: &App| app.functions.poll_outbound().await).await;
        if let Some(answer) = answer.filter(|answer| answer.status == StatusCode::ACCEPTED) {
            let body = answer.json();
            let text = |key: &str| body[key].as_str().unwrap().to_owned();
            accepted = Some((text("conversation_id"), text("id")));
            break;
        }
    }
    app.until_crash(async |app: &App| app.functions.poll_outbound().await).await;
    app.until_crash(async |app: &App| app.deliver().await).await;
    app.until_crash(async |app: &App| app.functions.poll_inbound().await).await;
    accepted.expect("the client got its answer in ten tries")
}

async fn sending_app() -> App {
    let mut app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app.restart();
    app
}

#[tokio::test]
async fn no_message_is_lost_or_doubled_wherever_receiving_breaks() {
    let mut app = receiving_app().await;
    app.stack.faults.order(usize::MAX, Fault::CrashBefore);
    receive(&mut app).await;
    let calls = app.stack.faults.calls().len();
    let mut runs = 0;
    for call in 0..calls {
        for fault in effort::faults(call, &FAULTS) {
            let mut app = receiving_app().await;
            app.stack.faults.order(call, fault);
            receive(&mut app).await;
            app.stack.faults.clear();
            app.recover().await;
            let wrong = app.receive_violations(vec!["one".to_owned(), "two".to_owned()]).await;
            assert_eq!(wrong, Vec::<String>::new(), "call {call}, {fault:?}");
            assert_eq!(app.conversations().await.len(), 1);
            runs += 1;
        }
    }
    assert!(calls > 10, "{calls}");
    println!("receiving: {calls} calls, {runs} faults, 0 lost, 0 doubled");
}

#[tokio::test]
async fn no_message_is_sent_twice_or_lost_wherever_sending_breaks() {
    let mut app = sending_app().await;
    app.stack.faults.order(usize::MAX, Fault::CrashBefore);
    send(&mut app).await;
    let calls = app.stack.faults.calls();
    let (mut runs, mut held) = (0, Vec::new());
    for (call, name) in calls.iter().enumerate() {
        // At the claim and at the call to Meta each fault ends differently.
        let decisive = name.contains("UpdateItem") || name.contains("Graph");
        for fault in if decisive { FAULTS.to_vec() } else { effort::faults(call, &FAULTS) } {
            let mut app = sending_app().await;
            app.stack.faults.order(call, fault);
            let promised = send(&mut app).await;
            app.stack.faults.clear();
            app.recover().await;
            let wrong = app.send_violations(&[promised]).await;
            assert_eq!(wrong, Vec::<String>::new(), "call {call} ({name}), {fault:?}");
            if app.meta.sent().is_empty() {
                held.push(format!("{fault:?} at {name}"));
            }
            assert_eq!(app.depth(), (0, 0), "call {call}, {fault:?}");
            runs += 1;
        }
    }
    println!("sending: {} calls, {runs} faults, 0 sent twice, 0 lost; held for a person: {held:?}", calls.len());
    // A message ends as `unknown` only after a crash between the claim and the call to Meta, or an unusable answer.
    assert_eq!(
        held,
        [
            "CrashAfter at DynamoDB_20120810.UpdateItem",
            "CrashBefore at Graph.messages",
            "Unavailable at Graph.messages",
        ]
    );
}

#[tokio::test]
async fn a_promise_is_kept_although_the_client_never_comes_back() {
    let mut app = sending_app().await;
    app.stack.faults.order(usize::MAX, Fault::CrashBefore);
    app.send("probe", Some("probe")).await;
    let calls = app.stack.faults.calls();
    let puts: Vec<usize> = (0..calls.len()).filter(|call| calls[*call].contains("PutItem")).collect();
    let [remembered, stored] = puts[..] else { panic!("{calls:?}") };
    for (call, name) in calls.iter().enumerate().skip(remembered) {
        for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::LostReply] {
            // Without an answer from the queue the request continues; the sweep queues the job later.
            let goes_on = name.contains("SendMessage") && fault == Fault::LostReply;
            let durable = goes_on || call > stored || (call == stored && fault != Fault::CrashBefore);
            app = sending_app().await;
            app.stack.faults.order(call, fault);
            app.until_crash(async |app: &App| app.send("answer", Some("k")).await).await;
            app.stack.faults.clear();
            app.recover().await;
            assert_eq!(app.meta.sent().len(), usize::from(durable), "call {call}, {fault:?}");
            if durable {
                assert_eq!(app.only_status().await, "read", "call {call}, {fault:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_same_queue_message_in_three_invocations_at_once_is_sent_once() {
    let app = sending_app().await;
    let promised = promise(&app).await;
    app.functions.poll_outbound_repeatedly(3).await;
    app.recover().await;
    assert_eq!(app.send_violations(&[promised]).await, Vec::<String>::new());
    assert_eq!(app.meta.sent().len(), 1);
}

async fn promise(app: &App) -> (String, String) {
    let body = app.send("answer", Some("k")).await.json();
    (body["conversation_id"].as_str().unwrap().to_owned(), body["id"].as_str().unwrap().to_owned())
}

// ---- planted bugs ----

/// Removes the condition from updates that set `attribute`.
fn without_condition(app: &App, attribute: &'static str) {
    app.stack.aws.set_tap(Some(Arc::new(move |target, body| {
        let Ok(mut json) = serde_json::from_slice::<Value>(&body) else { return body };
        let sets = json["UpdateExpression"].as_str().is_some_and(|text| text.contains(attribute));
        if !target.ends_with("UpdateItem") || !sets {
            return body;
        }
        let condition = json["ConditionExpression"].as_str().unwrap_or_default().to_owned();
        json.as_object_mut().unwrap().remove("ConditionExpression");
        // DynamoDB refuses unused expression names and values.
        let used = json["UpdateExpression"].as_str().unwrap().to_owned();
        for (map, sign) in [("ExpressionAttributeNames", '#'), ("ExpressionAttributeValues", ':')] {
            let words: Vec<&str> =
                used.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == sign)).collect();
            json[map].as_object_mut().unwrap().retain(|name, _| words.contains(&name.as_str()));
        }
        assert!(!condition.is_empty(), "the planted bug takes something away");
        Bytes::from(json.to_string())
    })));
}

#[tokio::test]
async fn planted_bug_no_claim_is_found() {
    let app = sending_app().await;
    without_condition(&app, "#claim = :claim");
    let promised = promise(&app).await;
    app.functions.poll_outbound_repeatedly(3).await;
    app.recover().await;
    let wrong = app.send_violations(&[promised]).await;
    assert!(wrong.iter().any(|wrong| wrong.contains("accepted 3 times")), "{wrong:?}");
}

#[tokio::test]
async fn planted_bug_unfenced_record_is_found() {
    let run = async |plant: bool| {
        let app = sending_app().await;
        if plant {
            without_condition(&app, "#last_error_code");
        }
        app.meta.script([ScriptedFault::DropLate]);
        let promised = promise(&app).await;
        app.send_with_statuses_before_the_reply().await;
        app.recover().await;
        app.send_violations(&[promised]).await
    };
    assert_eq!(run(false).await, Vec::<String>::new());
    let wrong = run(true).await;
    assert!(wrong.iter().any(|wrong| wrong.contains("recorded as")), "{wrong:?}");
}

#[tokio::test]
async fn planted_bug_acknowledged_before_written_is_found() {
    let app = receiving_app().await;
    app.deliver().await;
    app.stack.faults.take_down("DynamoDB");
    app.functions.poll_inbound_acknowledging_first().await;
    app.stack.faults.clear();
    app.recover().await;
    let wrong = app.receive_violations(vec!["one".to_owned(), "two".to_owned()]).await;
    assert!(wrong.iter().any(|wrong| wrong.contains("instead of")), "{wrong:?}");
}

#[tokio::test]
async fn planted_bug_facts_overwritten_is_found() {
    // The last write wins instead of the earliest, which `set_once` prevents.
    let app = sending_app().await;
    app.stack.aws.set_tap(Some(Arc::new(|target, body| {
        let text = String::from_utf8_lossy(&body).into_owned();
        if !target.ends_with("UpdateItem") || !text.contains("#wamid") {
            return body;
        }
        Bytes::from(text.replace("if_not_exists(#read_at, :read_at)", ":read_at"))
    })));
    app.meta.order_statuses(sandbox::meta::StatusOrder::Withheld);
    promise(&app).await;
    app.drain().await;
    app.advance(10);
    app.meta.order_statuses(sandbox::meta::StatusOrder::Normal);
    app.drain().await;
    let read_at = async || {
        let outbound = app.messages().await.into_iter().find(|message| message["direction"] == "outbound");
        outbound.unwrap()["statuses"]["read_at"].clone()
    };
    let first = read_at().await;
    let sent = app.meta.sent().remove(0);
    let later = serde_json::json!({"id": sent.wamid, "status": "read", "timestamp": "1795200000",
        "biz_opaque_callback_data": sent.biz_opaque_callback_data});
    app.webhook(crate::harness::webhook_body(&[crate::harness::change(
        crate::harness::NUMBER,
        serde_json::json!({"statuses": [later]}),
    )]))
    .await;
    app.drain().await;
    assert_ne!(read_at().await, first, "the bug shows where the check looks");
}
