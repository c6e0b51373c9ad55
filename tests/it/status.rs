//! Statuses are a set of earliest times: order, repetition and foreign statuses do not matter (`docs/reliability.md#s1`
//! to `docs/reliability.md#s5`).

use axum::http::StatusCode;
use sandbox::meta::{SentMessage, StatusOrder};
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, change, text_message, webhook_body};

/// A customer wrote, Meta accepted `count` answers, and no status was reported.
async fn sent_in_silence(count: usize) -> (App, Vec<SentMessage>) {
    let app = App::start().await;
    app.customer_writes("first");
    app.drain().await;
    app.meta.order_statuses(StatusOrder::Withheld);
    for index in 0..count {
        assert_eq!(app.send(&format!("answer {index}"), None).await.status, StatusCode::ACCEPTED);
        app.drain().await;
        app.advance(7);
    }
    let sent = app.meta.sent();
    assert_eq!(sent.len(), count);
    (app, sent)
}

fn status(sent: &SentMessage, step: &str, more: &Value) -> Value {
    let mut status = json!({"id": sent.wamid, "status": step, "timestamp": "1795176001", "recipient_id": CUSTOMER,
        "biz_opaque_callback_data": sent.biz_opaque_callback_data});
    status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    status
}

async fn receive(app: &App, statuses: &[Value]) {
    for status in statuses {
        app.webhook(webhook_body(&[change(NUMBER, json!({"statuses": [status]}))])).await;
        app.drain().await;
    }
}

async fn only_answer(app: &App) -> Value {
    let all = app.messages().await;
    let mut answers = all.into_iter().filter(|message| message["direction"] == "outbound");
    let only = answers.next().unwrap();
    assert!(answers.next().is_none());
    only
}

#[tokio::test]
async fn the_error_survives_a_failure_without_one() {
    let error =
        json!({"errors": [{"code": 131_026, "title": "Undeliverable", "error_data": {"details": "no WhatsApp"}}]});
    for order in [[0, 1], [1, 0]] {
        let (app, sent) = sent_in_silence(1).await;
        let statuses = [status(&sent[0], "failed", &error), status(&sent[0], "failed", &json!({}))];
        receive(&app, &order.map(|index| statuses[index].clone())).await;
        let answer = only_answer(&app).await;
        assert_eq!(answer["status"], "failed");
        assert_eq!((&answer["error"]["code"], &answer["error"]["details"]), (&json!(131_026), &json!("no WhatsApp")));
    }
}

#[tokio::test]
async fn the_price_of_the_delivery_counts_whichever_comes_first() {
    let price = |category: &str| json!({"pricing": {"pricing_model": "PMP", "type": "regular", "category": category}});
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let (app, sent) = sent_in_silence(1).await;
        let statuses = [
            status(&sent[0], "sent", &price("service")),
            status(&sent[0], "delivered", &price("marketing")),
            status(&sent[0], "read", &json!({})),
        ];
        receive(&app, &order.map(|index| statuses[index].clone())).await;
        assert_eq!(only_answer(&app).await["pricing"]["category"], "marketing", "{order:?}");
    }
}

#[tokio::test]
async fn a_free_entry_point_is_known_until_when() {
    let (app, sent) = sent_in_silence(1).await;
    let block = |kind: &str, until: &str| json!({"conversation": {"id": "c", "origin": {"type": kind}, "expiration_timestamp": until}});
    receive(
        &app,
        &[
            status(&sent[0], "delivered", &block("referral_conversion", "1795400000")),
            status(&sent[0], "sent", &block("referral_conversion", "1795300000")),
            status(&sent[0], "read", &block("service", "1799999999")),
        ],
    )
    .await;
    let conversation = app.conversations().await.remove(0);
    assert_eq!(conversation["free_entry_point"]["open_until"], "2026-11-23T02:13:20.000Z");
}

#[tokio::test]
async fn a_hundred_of_our_statuses_among_ten_thousand_of_other_systems() {
    let (app, sent) = sent_in_silence(100).await;
    let foreign = |index: usize| {
        json!({"id": format!("wamid.F{index}"), "status": "delivered", "timestamp": "1795176001",
               "biz_opaque_callback_data": format!("cmd-{index}")})
    };
    for (index, sent) in sent.iter().enumerate() {
        let mut statuses: Vec<Value> = (0..100).map(|other| foreign(index * 100 + other)).collect();
        statuses.insert(index, status(sent, "read", &json!({})));
        app.webhook(webhook_body(&[change(NUMBER, json!({"statuses": statuses}))])).await;
    }
    app.drain().await;
    let metrics = &app.functions.metrics;
    assert_eq!((metrics.total("status_applied"), metrics.total("status_foreign")), (100, 10_000));
    assert_eq!(app.stack.aws.sqs().depth("inbound-dead-letters"), 0);
    let read = app.messages().await.into_iter().filter(|message| message["status"] == "read").count();
    assert_eq!(read, 100);
}

#[tokio::test]
async fn one_signed_body_over_sixty_days_is_one_message() {
    let app = App::start().await;
    let body = webhook_body(&[change(NUMBER, json!({"messages": [text_message(CUSTOMER, "wamid.A", "hello")]}))]);
    for _ in 0..1_000 {
        assert_eq!(app.webhook(body.clone()).await, StatusCode::OK);
        app.drain().await;
        app.advance(60 * 86_400 / 1_000);
    }
    assert_eq!(app.texts("inbound").await, ["hello"]);
    assert_eq!(app.functions.metrics.total("inbound_stored"), 1);
    let kept = app.api("GET", &format!("/v1/numbers/{NUMBER}/quarantine"), None).await.json();
    let kept: Vec<&str> = kept["data"].as_array().unwrap().iter().map(|one| one["reason"].as_str().unwrap()).collect();
    assert_eq!(kept, ["too_old"], "after eight days it is no repetition of Meta's");
}

#[tokio::test]
async fn a_status_of_anything_but_a_message_never_touches_delivery_and_payments_are_shown() {
    let words = ["captured", "pending", "failed", "sent", "read", "canceled"];
    for kind in ["payment", "call", "order", "Payment"] {
        for word in words {
            for before in [true, false] {
                let (app, sent) = sent_in_silence(1).await;
                let other = json!({"type": kind, "payment": {"reference_id": "ref-1"}});
                let mut bodies = vec![status(&sent[0], "delivered", &json!({})), status(&sent[0], word, &other)];
                if before {
                    bodies.reverse();
                }
                for body in bodies {
                    app.webhook(webhook_body(&[change(NUMBER, json!({"statuses": [body]}))])).await;
                    app.drain().await;
                }
                let message = app.messages().await.into_iter().find(|one| one["direction"] == "outbound").unwrap();
                assert_eq!(message["status"], "delivered", "{kind} {word}: {message:#}");
                assert_eq!((&message["error"], &message["statuses"]["failed_at"]), (&Value::Null, &Value::Null));
                assert_eq!(message["statuses"]["read_at"], Value::Null, "{kind} {word}");
                if kind == "payment" {
                    assert_eq!(message["payment"]["status"], word, "{message:#}");
                    assert_eq!(message["payment"]["detail"]["payment"]["reference_id"], "ref-1");
                } else {
                    assert_eq!(message["payment"], Value::Null);
                    let kept = app.api("GET", &format!("/v1/numbers/{NUMBER}/quarantine"), None).await.json();
                    assert_eq!(kept["data"][0]["what"], "status", "{kind}: {kept:#}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_status_without_our_data_is_about_the_message_whose_wamid_we_recorded() {
    let (app, sent) = sent_in_silence(3).await;
    let steps = [("wamid alone", None), ("data of another system", Some("cmd-42")), ("an empty text", Some(""))];
    for ((name, data), sent) in steps.into_iter().zip(&sent) {
        for step in ["sent", "delivered", "read"] {
            let mut body = status(sent, step, &json!({}));
            match data {
                Some(data) => body["biz_opaque_callback_data"] = json!(data),
                None => drop(body.as_object_mut().unwrap().remove("biz_opaque_callback_data")),
            }
            app.webhook(webhook_body(&[change(NUMBER, json!({"statuses": [body]}))])).await;
            app.drain().await;
        }
        let shown = app.messages().await;
        let shown = shown.iter().find(|one| one["wamid"] == json!(sent.wamid)).unwrap();
        assert_eq!(shown["status"], "read", "{name}");
    }
    assert_eq!(app.functions.metrics.total("status_foreign"), 0);
}
