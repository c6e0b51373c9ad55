//! Interfaces of the simulated Meta: the control API for scripts, and the contract that its Graph API enforces.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use sandbox::meta;
use serde_json::{Value, json};

use crate::harness::{Answer, App, CUSTOMER, NUMBER, call};

async fn ask(app: &App, method: &str, path: &str, token: Option<&str>, body: Value) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    call(meta::routes(Arc::clone(&app.meta)), request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn a_script_writes_as_a_customer_and_reads_what_was_sent() {
    let app = App::start().await;
    let path = format!("/_sim/customers/{CUSTOMER}/messages");
    let text = json!({"type": "text", "text": {"body": "hi"}});
    let answer = ask(&app, "POST", &path, None, json!({"to": NUMBER, "message": text})).await;
    assert_eq!(answer.status, StatusCode::OK);
    let wamid = answer.json()["wamid"].as_str().unwrap().to_owned();
    app.drain().await;
    assert_eq!(app.messages().await[0]["id"], wamid);

    let order = json!({"sends": [{"kind": "error", "code": 131_056}], "statuses": "withheld"});
    assert_eq!(ask(&app, "POST", "/_sim/faults", None, order).await.json(), json!({"faults_waiting": 1}));
    app.send("answer", None).await;
    app.recover().await;
    assert_eq!(app.only_status().await, "accepted", "after one refusal, with statuses withheld");
    let sent = ask(&app, "GET", "/_sim/sent", None, json!({})).await.json();
    let sent = sent["data"].as_array().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0]["to"].as_str(), sent[0]["statuses"].as_array().map(Vec::len)), (Some(CUSTOMER), Some(0)));
    assert_eq!(sent[0]["body"]["text"]["body"], "answer");
    assert_eq!(sent[0]["biz_opaque_callback_data"], sent[0]["body"]["biz_opaque_callback_data"]);

    assert_eq!(ask(&app, "POST", "/_sim/faults", None, json!({"statuses": "normal"})).await.status, StatusCode::OK);
    app.drain().await;
    assert_eq!(app.only_status().await, "read");
    assert_eq!(ask(&app, "POST", "/_sim/reset", None, json!({})).await.status, StatusCode::OK);
    assert_eq!(ask(&app, "GET", "/_sim/sent", None, json!({})).await.json(), json!({"data": []}));
}

#[tokio::test]
async fn a_script_lets_meta_report_any_field() {
    let app = App::start().await;
    let value = json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "ADULT"}});
    let order = json!({"account": crate::harness::WABA, "field": "account_update", "value": value});
    assert_eq!(ask(&app, "POST", "/_sim/webhooks", None, order).await.status, StatusCode::OK);
    app.drain().await;
    assert_eq!(app.api("GET", "/v1/alerts", None).await.json()["data"][0]["severity"], "critical");
    let wrong = ask(&app, "POST", "/_sim/webhooks", None, json!({"account": "1", "field": "", "value": {}})).await;
    assert_eq!(wrong.json()["field"], "field");
}

#[tokio::test]
async fn a_wrong_order_is_told_what_is_wrong() {
    let app = App::start().await;
    let customer = format!("/_sim/customers/{CUSTOMER}/messages");
    let text = json!({"type": "text", "text": {"body": "hi"}});
    let cases = [
        (customer.as_str(), json!({"to": "1", "message": text}), "to"),
        (&customer, json!({"to": NUMBER, "message": {"text": {}}}), "message"),
        (&customer, json!({"to": NUMBER}), "body"),
        ("/_sim/customers/abc/messages", json!({"to": NUMBER, "message": text}), "phone"),
        ("/_sim/faults", json!({"sends": [{"kind": "earthquake"}]}), "body"),
        ("/_sim/faults", json!({"sends": [{"kind": "drop_after"}], "repeat": 0}), "repeat"),
    ];
    for (path, body, field) in cases {
        let answer = ask(&app, "POST", path, None, body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {body}");
        assert_eq!(answer.json()["field"], field, "{path} {body}");
    }
}

#[tokio::test]
async fn the_simulated_graph_takes_only_what_the_contract_allows() {
    let app = App::start().await;
    app.customer_writes("hello");
    let good =
        json!({"messaging_product": "whatsapp", "to": format!("+{CUSTOMER}"), "type": "text", "text": {"body": "hi"}});
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    let token = app.seed.access_token.clone();
    let path = format!("/v25.0/{NUMBER}/messages");
    let cases = [
        (path.as_str(), None, good.clone(), 190),
        (&path, Some("wrong"), good.clone(), 190),
        ("/v25.0/1/messages", Some(token.as_str()), good.clone(), 100),
        (&path, Some(&token), with("messaging_product", json!("telegram")), 100),
        (&path, Some(&token), with("surprise", json!(1)), 100),
        (&path, Some(&token), with("to", json!(CUSTOMER)), 100),
        (&path, Some(&token), with("to", json!("+15550001111")), 131_021),
        (&path, Some(&token), with("to", json!("+15550007777")), 131_047),
        (&path, Some(&token), with("text", json!({"body": ""})), 100),
        (&path, Some(&token), with("text", json!({"body": "x".repeat(4_097)})), 100),
        (&path, Some(&token), with("type", json!("hologram")), 131_051),
        (&path, Some(&token), with("biz_opaque_callback_data", json!("x".repeat(513))), 100),
    ];
    for (path, token, body, code) in cases {
        let answer = ask(&app, "POST", path, token, body.clone()).await;
        assert!(answer.status.is_client_error());
        assert_eq!(answer.json()["error"]["code"], code, "{body:.200}");
    }
    assert!(app.meta.sent().is_empty());
    let accepted = ask(&app, "POST", &path, Some(&token), good).await;
    assert_eq!(accepted.status, StatusCode::OK);
    assert_eq!(accepted.json()["contacts"][0]["wa_id"], CUSTOMER);
    assert_eq!(accepted.json()["messages"][0]["id"], app.meta.sent()[0].wamid);
}
