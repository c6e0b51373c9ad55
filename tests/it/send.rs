//! Every way in which a send can end (`docs/reliability.md#section-2-3-4`, `docs/reliability.md#o3`,
//! `docs/reliability.md#o4`, `docs/reliability.md#o5`).

use axum::http::StatusCode;
use jiff::SignedDuration;
use sandbox::aws::faults::Fault;
use sandbox::meta::{ScriptedFault, StatusOrder};
use sandbox::stack::OUTBOUND_DEAD;
use serde_json::{Value, json};

use crate::harness::App;

async fn accepted(faults: Vec<ScriptedFault>) -> App {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app.meta.script(faults);
    assert_eq!(app.send("answer", Some("k")).await.status, StatusCode::ACCEPTED);
    app
}

fn error(http: u16, code: i64) -> ScriptedFault {
    ScriptedFault::Error { http, code, message: "scripted".to_owned() }
}

async fn only_outbound(app: &App) -> Value {
    app.messages().await.into_iter().find(|message| message["direction"] == "outbound").unwrap()
}

#[tokio::test]
async fn refused_for_good_is_failed_with_reason_and_remedy() {
    for code in [100, 131_026, 131_047, 132_001, 999_999] {
        let app = accepted(vec![error(400, code)]).await;
        app.recover().await;
        let message = only_outbound(&app).await;
        assert_eq!((message["status"].as_str(), message["error"]["code"].as_i64()), (Some("failed"), Some(code)));
        assert_eq!(message["error"]["title"], "scripted");
        assert_eq!(message["attempts"], 1, "never tried again");
        assert!(app.meta.sent().is_empty());
    }
}

#[tokio::test]
async fn throttled_is_tried_again_later_and_sent_once() {
    for code in [4, 80_007, 130_429, 131_056, 131_057, 190] {
        let app = accepted(vec![error(400, code), error(400, code)]).await;
        app.drain().await;
        assert_eq!(app.only_status().await, "queued", "{code}");
        app.recover().await;
        let message = only_outbound(&app).await;
        assert_eq!((message["status"].as_str(), message["attempts"].as_i64()), (Some("read"), Some(3)), "{code}");
        assert_eq!(app.meta.sent().len(), 1);
    }
}

#[tokio::test]
async fn in_doubt_is_unknown_and_never_sent_again() {
    let not_sent = [ScriptedFault::Html502, ScriptedFault::DropBefore];
    for fault in not_sent {
        let app = accepted(vec![fault.clone()]).await;
        app.recover().await;
        assert_eq!(app.only_status().await, "unknown", "{fault:?}");
        assert!(app.meta.sent().is_empty(), "{fault:?}");
        app.advance(86_400);
        app.recover().await;
        assert_eq!(app.only_status().await, "review", "a person is asked after a day");
        assert!(app.meta.sent().is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_doubt_is_settled_by_the_status_that_carries_our_data() {
    for fault in [ScriptedFault::DropAfter, ScriptedFault::Truncated] {
        let app = accepted(vec![fault.clone()]).await;
        app.meta.order_statuses(StatusOrder::Withheld);
        app.recover().await;
        assert_eq!(app.only_status().await, "unknown", "{fault:?}");
        assert_eq!(app.meta.sent().len(), 1);

        app.meta.order_statuses(StatusOrder::ReversedTwice);
        app.drain().await;
        assert_eq!(app.only_status().await, "read", "{fault:?}");
        assert_eq!(app.functions.metrics.total("unknown_resolved"), 1);
        assert_eq!(app.meta.sent().len(), 1, "sent once");
        let sent = app.meta.sent().remove(0);
        assert_eq!(only_outbound(&app).await["wamid"], sent.wamid);
    }
}

#[tokio::test]
async fn a_doubt_is_settled_even_after_a_person_was_asked() {
    let app = accepted(vec![ScriptedFault::DropAfter]).await;
    app.meta.order_statuses(StatusOrder::Withheld);
    app.recover().await;
    app.advance(86_400);
    app.recover().await;
    assert_eq!(app.only_status().await, "review");
    app.meta.order_statuses(StatusOrder::Normal);
    app.drain().await;
    assert_eq!(app.only_status().await, "read");
}

#[tokio::test]
async fn a_status_before_the_reply_is_not_undone_by_it() {
    let app = accepted(vec![ScriptedFault::DropLate]).await;
    app.send_with_statuses_before_the_reply().await;
    assert_eq!(app.only_status().await, "read");
    app.recover().await;
    assert_eq!(app.only_status().await, "read");
    assert_eq!(app.meta.sent().len(), 1);
}

#[tokio::test]
async fn what_meta_cannot_be_reached_for_waits_and_gives_up_after_five_tries() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let nowhere = app.stack.functions("http://127.0.0.1:9").unwrap();
    assert_eq!(app.send("answer", None).await.status, StatusCode::ACCEPTED);
    for attempt in 1..=5 {
        assert_eq!(only_outbound(&app).await["attempts"], attempt - 1);
        nowhere.poll_outbound().await;
        app.advance(300);
    }
    let message = only_outbound(&app).await;
    assert_eq!((message["status"].as_str(), message["attempts"].as_i64()), (Some("failed"), Some(5)));
    assert_eq!(message["error"]["title"], "not_connected");
}

#[tokio::test]
async fn what_the_queue_gave_up_is_sent_when_the_outage_is_over() {
    let app = accepted(Vec::new()).await;
    // A hundred receives during which the table does not answer.
    for _ in 0..101 {
        app.stack.faults.order(0, Fault::Unavailable);
        app.functions.poll_outbound().await;
        app.advance(300);
    }
    app.stack.faults.clear();
    app.functions.poll_outbound().await;
    assert_eq!(app.stack.aws.sqs().depth(OUTBOUND_DEAD), 1);
    assert_eq!(app.only_status().await, "queued");
    app.recover().await;
    assert_eq!((app.only_status().await.as_str(), app.meta.sent().len()), ("read", 1));
    assert_eq!(app.stack.aws.sqs().depth(OUTBOUND_DEAD), 0);
}

#[tokio::test]
async fn work_that_cannot_be_read_is_not_thrown_away() {
    let app = accepted(Vec::new()).await;
    // A job of a later version.
    app.stack.aws.set_tap(Some(std::sync::Arc::new(|target, body| {
        let text = String::from_utf8_lossy(&body).into_owned();
        if target.contains("SendMessageBatch") {
            text.replace("send_message.v1", "send_message.v9").into()
        } else {
            body
        }
    })));
    app.advance(10);
    app.send("of a newer version", None).await;
    app.stack.aws.set_tap(None);
    app.recover().await;
    assert_eq!(app.meta.sent().len(), 1);
    for _ in 0..101 {
        app.functions.poll_outbound().await;
        app.advance(300);
    }
    app.functions.tick().await.unwrap();
    assert_eq!(app.stack.aws.sqs().depth(OUTBOUND_DEAD), 1, "it waits for somebody who can read it");
}

#[tokio::test]
async fn a_message_whose_time_ran_out_is_not_sent() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app.send("answer", None).await;
    app.advance(24 * 3_600);
    app.customer_writes("hello again");
    app.recover().await;
    assert_eq!(app.only_status().await, "expired");
    assert!(app.meta.sent().is_empty());
    assert_eq!(app.depth(), (0, 0));
}

#[tokio::test]
async fn messages_of_one_conversation_leave_in_order() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app.meta.script(vec![error(400, 131_056)]);
    for index in 0..12 {
        app.send(&format!("{index:02}"), None).await;
    }
    app.recover().await;
    let wire: Vec<String> =
        app.meta.sent().iter().map(|sent| sent.body["text"]["body"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> = (0..12).map(|index| format!("{index:02}")).collect();
    assert_eq!(wire, expected, "a wait of the first one holds the others");
}

#[tokio::test]
async fn a_short_wait_of_one_message_does_not_hide_the_next_for_minutes() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app.meta.script(vec![error(400, 131_056)]);
    for text in ["one", "two", "three"] {
        app.send(text, None).await;
    }
    app.drain().await;
    assert!(app.meta.sent().is_empty());
    app.advance(3);
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 3);
}

#[tokio::test]
async fn throttles_do_not_use_up_the_tries_of_a_connection() {
    let app = accepted(vec![error(400, 130_429); 6]).await;
    let nowhere = app.stack.functions("http://127.0.0.1:9").unwrap();
    for _ in 0..6 {
        app.functions.poll_outbound().await;
        app.advance(300);
    }
    nowhere.poll_outbound().await;
    assert_eq!(app.only_status().await, "queued");
    app.recover().await;
    assert_eq!(app.only_status().await, "read");
}

#[tokio::test]
async fn a_message_without_a_token_waits_and_does_not_multiply() {
    let app = accepted(Vec::new()).await;
    app.stack.faults.take_down("TrentService");
    for _ in 0..60 {
        app.functions.poll_outbound().await;
        app.advance(60);
        app.functions.tick().await.unwrap();
    }
    assert_eq!(app.depth().1, 1, "one message in the queue after an hour");
    app.stack.faults.clear();
    app.recover().await;
    assert_eq!(app.only_status().await, "read");
}

#[tokio::test]
async fn no_time_left_means_no_claim() {
    let app = accepted(Vec::new()).await;
    let conversation = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let id = only_outbound(&app).await["id"].as_str().unwrap().to_owned();
    app.functions.poll_outbound_before(SignedDuration::from_secs(24)).await;
    assert!(app.facts(&conversation, &id).await.unwrap().claim.is_none());
    app.recover().await;
    assert_eq!(app.only_status().await, "read");
}

async fn asked(app: &App, extra: serde_json::Value) -> serde_json::Value {
    let mut order = crate::harness::to_customer("answer");
    order.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let answer = app.api("POST", "/v1/messages", Some(order)).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()
}

async fn open() -> App {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app
}

fn path_of(accepted: &Value) -> String {
    format!(
        "/v1/conversations/{}/messages/{}",
        accepted["conversation_id"].as_str().unwrap(),
        accepted["id"].as_str().unwrap()
    )
}

#[tokio::test]
async fn what_meta_says_to_try_again_is_tried_again_after_two_minutes_twice_at_most() {
    for code in [1, 2, 131_000, 131_016] {
        let app = accepted(vec![error(500, code)]).await;
        app.drain().await;
        assert_eq!(app.only_status().await, "unknown", "{code}: a doubt at first");
        app.advance(110);
        app.functions.tick().await.unwrap();
        app.drain().await;
        assert!(app.meta.sent().is_empty(), "{code}: not before two minutes");
        app.recover().await;
        let message = only_outbound(&app).await;
        assert_eq!((message["status"].as_str(), message["attempts"].as_i64()), (Some("read"), Some(2)), "{code}");
        let app = accepted(vec![error(500, code); 3]).await;
        app.recover().await;
        assert_eq!(only_outbound(&app).await["attempts"], 3, "{code}");
        assert_eq!(app.only_status().await, "unknown");
    }
}

#[tokio::test]
async fn an_answer_that_lies_once_is_not_believed_again() {
    let app = accepted(vec![ScriptedFault::Lie { http: 500, code: 131_000 }]).await;
    app.recover().await;
    assert_eq!((app.only_status().await.as_str(), app.meta.sent().len()), ("read", 1), "its status came in time");
    let alerts = app.api("GET", "/v1/alerts", None).await.json().to_string();
    assert!(alerts.contains("Look for doubles"), "{alerts}");
    app.meta.script([error(500, 131_000)]);
    app.send("another", None).await;
    app.recover().await;
    assert_eq!(app.meta.sent().len(), 1, "held, not tried again");
    assert_eq!(app.messages().await[0]["status"], "unknown");
}

#[tokio::test]
async fn on_unknown_is_the_callers_choice() {
    for (choice, fault, accepted, ends) in [
        ("resend_once", ScriptedFault::DropBefore, 1, "read"),
        ("resend_once", ScriptedFault::DropAfter, 1, "read"),
        ("fail", ScriptedFault::DropBefore, 0, "failed"),
        ("fail", ScriptedFault::DropAfter, 1, "read"),
        ("hold", ScriptedFault::DropBefore, 0, "unknown"),
    ] {
        let app = open().await;
        app.meta.script([fault.clone()]);
        asked(&app, json!({"on_unknown": choice})).await;
        app.recover().await;
        assert_eq!(app.meta.sent().len(), accepted, "{choice}, {fault:?}");
        assert_eq!(app.only_status().await, ends, "{choice}, {fault:?}");
    }
    // After a second unknown outcome there is no third try.
    let app = open().await;
    app.meta.script([ScriptedFault::DropBefore, ScriptedFault::DropBefore]);
    asked(&app, json!({"on_unknown": "resend_once"})).await;
    app.recover().await;
    assert_eq!((app.only_status().await.as_str(), app.meta.sent().len()), ("unknown", 0));
}

#[tokio::test]
async fn a_waiting_message_can_be_taken_back_and_a_sent_one_cannot() {
    let app = open().await;
    let first = asked(&app, json!({})).await;
    let cancel = async |message: &Value| app.api("POST", &format!("{}/cancel", path_of(message)), None).await;
    assert_eq!(cancel(&first).await.json()["status"], "cancelled");
    assert_eq!(cancel(&first).await.status, StatusCode::OK, "again is the same");
    app.recover().await;
    assert!(app.meta.sent().is_empty());
    let second = asked(&app, json!({})).await;
    app.drain().await;
    let late = cancel(&second).await;
    assert_eq!((late.status, late.json()["code"].clone()), (StatusCode::CONFLICT, "not_queued".into()));
    let other = app.stack.operator.create_tenant("other").await.unwrap();
    let key = app.stack.operator.create_key(Some(other), &shared::domain::accounts::tenant::Scope::ALL).await.unwrap();
    assert_eq!(app.get(key.expose(), &path_of(&second)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_person_settles_a_doubt_and_a_late_status_still_wins() {
    for (outcome, shown) in [("sent", "accepted"), ("not_sent", "failed")] {
        let app = open().await;
        app.meta.script([ScriptedFault::DropAfter]);
        app.meta.order_statuses(StatusOrder::Withheld);
        let accepted = asked(&app, json!({})).await;
        app.recover().await;
        app.advance(86_400);
        app.recover().await;
        assert_eq!(app.only_status().await, "review");
        let settle = async |outcome: &str| {
            let path = format!("{}/settle", path_of(&accepted));
            app.api("POST", &path, Some(json!({"outcome": outcome}))).await
        };
        let evidence = async || app.api("GET", &path_of(&accepted), None).await.json()["evidence"].clone();
        assert_eq!(evidence().await, Value::Null);
        assert_eq!(settle("maybe").await.json()["field"], "outcome");
        let settled = settle(outcome).await.json();
        assert_eq!((&settled["status"], &settled["evidence"]), (&json!(shown), &json!("person")));
        assert_eq!(settle(outcome).await.status, StatusCode::CONFLICT, "settled once");
        app.meta.order_statuses(StatusOrder::Normal);
        app.drain().await;
        assert_eq!(app.only_status().await, "read");
        assert_eq!(evidence().await, "status");
    }
}

#[tokio::test]
async fn a_customers_reply_settles_the_one_doubt_it_can_be_about() {
    for doubts in [1, 2] {
        let app = open().await;
        app.meta.script(vec![ScriptedFault::DropAfter; doubts]);
        app.meta.order_statuses(StatusOrder::Withheld);
        for _ in 0..doubts {
            app.send("answer", None).await;
        }
        app.drain().await;
        let sent = app.meta.sent().remove(0);
        let reply = json!({"from": crate::harness::CUSTOMER, "id": "wamid.REPLY", "timestamp": "1795176003", "type": "text",
            "text": {"body": "thanks"}, "context": {"from": "15550001111", "id": sent.wamid}});
        let body = crate::harness::webhook_body(&[crate::harness::change(
            crate::harness::NUMBER,
            json!({"messages": [reply]}),
        )]);
        app.webhook(body).await;
        app.drain().await;
        let all = app.messages().await;
        let settled = all.iter().filter(|message| message["wamid"] == sent.wamid).count();
        assert_eq!(settled, usize::from(doubts == 1), "{all:?}");
        assert_eq!(app.functions.metrics.total("unknown_resolved"), u64::from(doubts == 1));
    }
}

#[tokio::test]
async fn held_for_quality_is_sent_and_said_so() {
    let app = App::start().await;
    app.meta.script([ScriptedFault::Held]);
    let order = json!({"from": crate::harness::NUMBER, "to": "+15550002222", "type": "template",
        "template": {"name": "hello_world", "language": {"code": "en_US"}}});
    let accepted = app.api("POST", "/v1/messages", Some(order)).await.json();
    app.recover().await;
    let shown = app.api("GET", &path_of(&accepted), None).await.json();
    assert_eq!(
        (shown["status"].as_str(), shown["evidence"].as_str(), shown["held_for_quality"].as_bool()),
        (Some("accepted"), Some("wamid"), Some(true)),
        "{shown}"
    );
    app.meta.order_statuses(StatusOrder::Normal);
    app.drain().await;
    assert_eq!(app.api("GET", &path_of(&accepted), None).await.json()["status"], "read");
}

#[tokio::test]
async fn every_code_of_the_table_ends_as_its_class_says() {
    use shared::provider::meta::error::{ErrorClass, RULES};
    for rule in RULES {
        let code = *rule.codes.start();
        let app = accepted(vec![error(400, code)]).await;
        app.drain().await;
        let message = only_outbound(&app).await;
        let expected = match rule.class {
            ErrorClass::RetryableAnswer => "unknown",
            class if class.tries_again() => "queued",
            _ => "failed",
        };
        assert_eq!(message["status"], expected, "{code}: {:?}", rule.class);
        assert_eq!(message["error"]["code"], code);
        assert_eq!(message["error"]["trace"], "ASandboxTrace");
        assert!(message["error"]["remedy"].as_str().unwrap().len() > 5, "{message}");
        assert!(app.meta.sent().is_empty());
    }
    println!("{} rules, each met", RULES.len());
}
