//! The main case: a customer writes, the business answers, the customer reads the answer.

use axum::http::StatusCode;
use serde_json::Value;

use crate::harness::{App, CUSTOMER, NUMBER};

#[tokio::test]
async fn a_customer_writes_and_reads_the_answer() {
    let app = App::start().await;
    let wamid = app.customer_writes("Are you open on Sunday? \u{1F44B} äß/\"");
    app.drain().await;

    let conversations = app.conversations().await;
    assert_eq!(conversations.len(), 1);
    let conversation = &conversations[0];
    assert_eq!(conversation["number_id"], NUMBER);
    assert_eq!(conversation["contact"]["phone"], format!("+{CUSTOMER}"));
    assert_eq!(conversation["contact"]["profile_name"], "Customer 2222");
    assert_eq!(conversation["customer_service_window"]["open"], true);

    app.advance(5);
    let body = serde_json::json!({
        "conversation_id": conversation["id"], "type": "text", "text": {"body": "Yes."},
        "context": {"message_id": wamid},
    });
    let accepted = app.api("POST", "/v1/messages", Some(body)).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    assert_eq!(accepted.json()["status"], "queued");
    assert!(accepted.headers.contains_key("switchboard-warning"), "no Idempotency-Key was given");
    assert_eq!(app.only_status().await, "queued");
    app.drain().await;

    let messages = app.messages().await;
    assert_eq!(messages.len(), 2);
    let (answer, question) = (&messages[0], &messages[1]);
    assert_eq!(question["id"], wamid);
    assert_eq!(question["text"]["body"], "Are you open on Sunday? \u{1F44B} äß/\"");
    assert_eq!(answer["id"], accepted.json()["id"]);
    assert_eq!(answer["status"], "read");
    let one = async |message: &Value| {
        let path = format!("/v1/conversations/{}/messages/", conversation["id"].as_str().unwrap());
        app.api("GET", &(path + message["id"].as_str().unwrap()), None).await.json()
    };
    assert_eq!(&one(question).await, question, "what the customer wrote, by itself");
    let mut alone = one(answer).await;
    assert_eq!((&alone["evidence"], &alone["attempts"]), (&"status".into(), &1.into()));
    assert!(alone["last_attempt_at"].is_string());
    let asked = alone.as_object_mut().unwrap();
    assert_eq!(asked.remove("on_unknown"), Some("hold".into()));
    assert!(asked.remove("send_before").is_some());
    assert_eq!(&alone, answer);
    assert_eq!(answer["context"]["message_id"], wamid);
    assert_eq!(answer["attempts"], 1);
    assert_eq!(answer["pricing"]["category"], "service");
    for step in ["sent_at", "delivered_at", "read_at"] {
        assert_eq!(answer["statuses"][step], "2026-11-20T12:00:05.000Z", "{step}");
    }
    let sent = app.meta.sent();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].body["context"]["message_id"], wamid);
    assert_eq!(app.depth(), (0, 0), "nothing is left in a queue");
}

#[tokio::test]
async fn the_window_closes_a_day_after_the_customers_last_message() {
    let app = App::start().await;
    app.customer_writes("Hello");
    app.drain().await;
    app.advance(86_399);
    assert_eq!(app.conversations().await[0]["customer_service_window"]["open"], true);
    app.advance(1);
    assert_eq!(app.conversations().await[0]["customer_service_window"]["open"], false);

    let refused = app.send("Too late", None).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].clone()), (409, "window_closed".into()));
    assert!(refused.json()["remedy"].as_str().unwrap().contains("template"), "{}", refused.text);
    assert_eq!(app.messages().await.len(), 1, "nothing was stored");
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat() {
    let app = App::start().await;
    // Of messages with the same time, inbound ones are listed first.
    for index in 0..25 {
        match index % 5 {
            0 | 3 => {
                app.customer_writes(&format!("message {index:02}"));
                app.drain().await;
            }
            _ => assert_eq!(app.send(&format!("message {index:02}"), None).await.status, StatusCode::ACCEPTED),
        }
        app.advance(i64::from(index % 5 != 2));
    }
    app.drain().await;
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let body = |message: &Value| message["text"]["body"].as_str().unwrap().to_owned();
    let whole = app.api("GET", &format!("/v1/conversations/{id}/messages?limit=100"), None).await.json();
    let expected: Vec<String> = whole["data"].as_array().unwrap().iter().map(body).collect();
    assert_eq!(expected.len(), 25);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.api("GET", &format!("/v1/conversations/{id}/messages?limit=7{cursor}"), None).await.json();
        for message in page["data"].as_array().unwrap() {
            seen.push(body(message));
        }
        // New messages are written while the client pages.
        app.advance(1);
        app.customer_writes("newer");
        app.drain().await;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_page_of_more_than_a_megabyte_is_whole() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let long = "\u{20ac}".repeat(4_096);
    for _ in 0..95 {
        app.advance(1);
        assert_eq!(app.send(&long, None).await.status, StatusCode::ACCEPTED);
    }
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let page = app.api("GET", &format!("/v1/conversations/{id}/messages?limit=100"), None).await.json();
    assert_eq!((page["data"].as_array().unwrap().len(), page["next_cursor"].is_null()), (96, true));
}
