//! Erasure of a contact during other activity: other contacts are untouched, later messages are not lost, and nothing
//! is sent twice.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::erasure::{ADA, SECOND, contact_of, erase, erasure, half_an_hour, id_of, lively, of, receives, written};
use crate::harness::{App, NUMBER, WABA, change, webhook_body};

async fn messages(app: &App, conversation: &Value) -> Vec<Value> {
    let path = format!("/v1/conversations/{}/messages", id_of(conversation));
    app.api("GET", &path, None).await.json()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn who_first_writes_to_another_number_while_erased_loses_nothing() {
    let app = App::start().await;
    app.connect_number(SECOND, false).await;
    receives(&app, &written(&app, NUMBER, ADA, "wamid.a", "hello")).await;
    let contact = contact_of(&of(&app, NUMBER, ADA).await.unwrap());
    app.advance(2);
    let begun = erase(&app, &contact).await;
    app.advance(2);
    // The function has the contact in its cache; she never wrote to this number.
    receives(&app, &written(&app, SECOND, ADA, "wamid.b", "hello you too")).await;
    app.advance(400);
    Box::pin(app.drain()).await;
    Box::pin(half_an_hour(&app)).await;
    assert_eq!(erasure(&app, &begun).await["status"], "done");
    let anew = of(&app, SECOND, ADA).await.unwrap();
    assert_ne!(contact_of(&anew), contact);
    assert_eq!(messages(&app, &anew).await.len(), 1);
}

#[tokio::test]
async fn what_is_said_of_a_message_or_wanted_after_the_erasure_counts() {
    let (app, _) = Box::pin(lively()).await;
    let contact = contact_of(&of(&app, NUMBER, ADA).await.unwrap());
    receives(&app, &written(&app, NUMBER, ADA, "wamid.c", "just before")).await;
    app.advance(2);
    erase(&app, &contact).await;
    app.advance(2);
    receives(&app, &written(&app, NUMBER, ADA, "wamid.d", "a mistake")).await;
    app.advance(400);
    Box::pin(app.drain()).await;
    let now = app.clock.now().as_second().to_string();
    let revoke = json!({"from": ADA, "id": "wamid.e", "timestamp": now, "type": "revoke",
        "revoke": {"original_message_id": "wamid.d"}});
    receives(&app, &webhook_body(&[change(NUMBER, json!({"messages": [revoke]}))])).await;
    let wish = json!({"messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550001111", "phone_number_id": NUMBER},
        "user_preferences": [{"wa_id": ADA, "category": "marketing_messages", "value": "stop", "timestamp": app.clock.now().as_second()}]});
    receives(&app, &webhook_body(&[json!({"field": "user_preferences", "value": wish})])).await;
    Box::pin(half_an_hour(&app)).await;
    let anew = of(&app, NUMBER, ADA).await.unwrap();
    let messages = messages(&app, &anew).await;
    assert!(messages.len() == 1 && messages[0]["revoked_at"].is_string(), "{messages:#?}");
    assert_eq!(anew["preferences"][0]["value"], "stop", "{anew:#}");
}

#[tokio::test]
async fn a_broadcast_still_shows_its_other_recipients() {
    let app = App::start().await;
    receives(&app, &written(&app, NUMBER, ADA, "wamid.a", "hello")).await;
    let order = json!({"from": NUMBER, "template": {"name": "hello_world", "language": {"code": "en_US"}},
        "category": "utility", "recipients": [format!("+{ADA}"), "+15550007777"]});
    let broadcast = app.api("POST", "/v1/broadcasts", Some(order)).await;
    assert_eq!(broadcast.status, StatusCode::ACCEPTED, "{}", broadcast.text);
    Box::pin(app.drain()).await;
    erase(&app, &contact_of(&of(&app, NUMBER, ADA).await.unwrap())).await;
    for _ in 0..2 {
        let path = format!("/v1/broadcasts/{}/recipients", broadcast.json()["id"].as_str().unwrap());
        let shown = app.api("GET", &path, None).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", shown.text);
        assert_eq!(shown.json()["data"][1]["status"], "read", "{}", shown.text);
        Box::pin(half_an_hour(&app)).await;
    }
}

#[tokio::test]
async fn what_waits_for_who_is_erased_is_not_sent() {
    let (app, _) = Box::pin(lively()).await;
    let sent = app.meta.sent_count();
    let order = json!({"from": NUMBER, "to": format!("+{ADA}"), "type": "text", "text": {"body": "too late"}});
    assert_eq!(app.api("POST", "/v1/messages", Some(order)).await.status, StatusCode::ACCEPTED);
    let order = json!({"from": NUMBER, "template": {"name": "hello_world", "language": {"code": "en_US"}},
        "category": "utility", "recipients": [format!("+{ADA}")]});
    assert_eq!(app.api("POST", "/v1/broadcasts", Some(order)).await.status, StatusCode::ACCEPTED);
    app.advance(1);
    let begun = erase(&app, &contact_of(&of(&app, NUMBER, ADA).await.unwrap())).await;
    Box::pin(app.drain()).await;
    Box::pin(half_an_hour(&app)).await;
    assert_eq!((app.meta.sent_count(), &erasure(&app, &begun).await["status"]), (sent, &json!("done")));
    assert!(of(&app, NUMBER, ADA).await.is_none());
}

#[tokio::test]
async fn a_key_that_sent_to_who_is_erased_sends_nothing_again() {
    let (app, _) = Box::pin(lively()).await;
    let order = json!({"from": NUMBER, "to": format!("+{ADA}"), "type": "text", "text": {"body": "once"}});
    let send = async || app.request(app.api_request("POST", "/v1/messages", Some(order.clone()), Some("k-1"))).await;
    let first = send().await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text);
    Box::pin(app.drain()).await;
    let sent = app.meta.sent_count();
    erase(&app, &contact_of(&of(&app, NUMBER, ADA).await.unwrap())).await;
    for _ in 0..2 {
        let again = send().await;
        assert_eq!((again.status, again.json()["id"].clone()), (first.status, first.json()["id"].clone()));
        Box::pin(app.drain()).await;
        Box::pin(half_an_hour(&app)).await;
    }
    assert_eq!(app.meta.sent_count(), sent);
}

#[tokio::test]
async fn a_file_of_who_is_erased_is_not_copied_again() {
    let app = App::start().await;
    let file = app.meta.put_sent_file(NUMBER, "image/jpeg", b"hers");
    let mut body: Value = serde_json::from_str(&written(&app, NUMBER, ADA, "wamid.image", "")).unwrap();
    let message = &mut body["entry"][0]["changes"][0]["value"]["messages"][0];
    message["type"] = json!("image");
    message["image"] = json!({"id": file, "mime_type": "image/jpeg"});
    receives(&app, &body.to_string()).await;
    erase(&app, &contact_of(&of(&app, NUMBER, ADA).await.unwrap())).await;
    Box::pin(half_an_hour(&app)).await;
    let path = format!("/v1/numbers/{NUMBER}/files/{file}");
    assert_eq!(app.api("GET", &path, None).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_run_that_believes_an_old_list_waits_all_the_same() {
    let (app, _) = Box::pin(lively()).await;
    let begun = erase(&app, &contact_of(&of(&app, NUMBER, ADA).await.unwrap())).await;
    // Simulates a list entry that is due already, although the erasure must still wait.
    let id = shared::domain::ids::ErasureId::parse(begun["id"].as_str().unwrap()).unwrap();
    let tenant = shared::domain::ids::TenantId::parse(&app.seed.tenant_id).unwrap();
    let known = app.stack.operator.table.contact_erasure_get(tenant, id).await.unwrap().unwrap();
    app.stack.operator.table.contact_erasure_record(&known, app.clock.now()).await.unwrap();
    Box::pin(app.functions.offboard()).await.unwrap();
    assert_eq!(erasure(&app, &begun).await["erased"], 0);
    app.advance(16 * 60);
    Box::pin(half_an_hour(&app)).await;
    assert_eq!(erasure(&app, &begun).await["status"], "done");
    assert!(!app.table_items().await.iter().any(|item| item["account"]["S"] == WABA && item.to_string().contains(ADA)));
}
