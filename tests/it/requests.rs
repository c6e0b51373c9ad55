//! Requests as generated clients and Meta's own examples write them.

use axum::http::StatusCode;
use serde_json::json;

use crate::harness::{App, CUSTOMER, NUMBER};

#[tokio::test]
async fn what_generated_clients_and_metas_own_examples_write_is_read() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let to = format!("+{CUSTOMER}");
    let body = |component: &str| {
        json!({"name": "order_update", "language": {"code": "en_US"}, "components": [
            {"type": component, "sub_type": null, "parameters": [{"type": "text", "text": "17", "parameter_name": null}, {"type": "text", "text": "18"}]}]})
    };
    let date = json!({"type": "date_time", "date_time": {"fallback_value": "20 November", "calendar": "GREGORIAN",
        "day_of_week": 5, "day_of_month": 20, "year": 2026, "month": 11, "hour": 12, "minute": 0}});
    let dated = json!({"name": "order_update", "language": {"code": "en_US"},
        "components": [{"type": "body", "parameters": [date, {"type": "text", "text": "18"}]}]});
    for order in [
        json!({"from": NUMBER, "to": to, "type": "text", "text": {"body": "hi", "preview_url": null}, "audio": null,
            "context": null, "category": null, "conversation_id": null, "template": null}),
        json!({"from": NUMBER, "to": to, "type": "template", "template": body("BODY"), "text": null}),
        json!({"from": NUMBER, "to": to, "type": "template", "template": body("body")}),
        json!({"from": NUMBER, "to": to, "type": "template", "template": dated}),
        json!({"from": NUMBER, "to": to, "type": "image", "image": {"link": "HTTPS://shop.example/a.jpg", "id": null}}),
    ] {
        app.advance(10);
        let answer = app.api("POST", "/v1/messages", Some(order.clone())).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{order}: {}", answer.text);
    }
    app.drain().await;
    assert_eq!(app.meta.sent_count(), 5, "{:?}", app.messages().await);
    for wrong in ["Text", "TEXT", "texts", ""] {
        let order = json!({"from": NUMBER, "to": to, "type": wrong, "text": {"body": "hi"}});
        assert_eq!(app.api("POST", "/v1/messages", Some(order)).await.json()["field"], "type", "{wrong}");
    }
}
