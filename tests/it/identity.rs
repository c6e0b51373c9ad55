//! Aliases of a contact: several identifiers lead to one contact, merges are recorded and can be undone, and contacts
//! that the provider distinguishes stay separate.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, change, webhook_body};

const USER: &str = "US.77001122334455667788";

fn message(id: &str, phone: Option<&str>, user: Option<&str>) -> Value {
    let mut message = json!({"id": id, "timestamp": "1795175990", "type": "text", "text": {"body": id}});
    if let Some(phone) = phone {
        message["from"] = json!(phone);
    }
    if let Some(user) = user {
        message["from_user_id"] = json!(user);
    }
    message
}

async fn receive(app: &App, message: Value) {
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": [message]}))])).await;
    app.drain().await;
}

/// Returns the texts of each conversation, sorted.
async fn histories(app: &App) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for conversation in app.conversations().await {
        let path = format!("/v1/conversations/{}/messages", conversation["id"].as_str().unwrap());
        let page = app.api("GET", &path, None).await.json();
        let bodies =
            page["data"].as_array().unwrap().iter().map(|one| one["text"]["body"].as_str().unwrap().to_owned());
        let mut bodies: Vec<String> = bodies.collect();
        bodies.sort();
        all.push(bodies);
    }
    all.sort();
    all
}

#[tokio::test]
async fn two_contacts_that_turn_out_to_be_one_are_shown_as_one_and_told_apart_again() {
    let app = App::start().await;
    receive(&app, message("wamid.phone", Some(CUSTOMER), None)).await;
    receive(&app, message("wamid.user", None, Some(USER))).await;
    assert_eq!(histories(&app).await, [["wamid.phone"], ["wamid.user"]]);
    receive(&app, message("wamid.both", Some(CUSTOMER), Some(USER))).await;
    assert_eq!(histories(&app).await, [["wamid.both", "wamid.phone", "wamid.user"]]);
    let merges = app.api("GET", "/v1/merges", None).await.json();
    let merge = &merges["data"][0];
    assert_eq!((merge["because"].as_str(), merge["undone_at"].as_str()), (Some("phone+user_id"), None), "{merges}");
    let ids: Vec<&str> = merge["contact_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();

    // Both conversation ids return the merged conversation.
    for id in &ids {
        let path = format!("/v1/conversations/conv_{NUMBER}_{}", id.trim_start_matches("con_"));
        let one = app.api("GET", &path, None).await.json();
        assert_eq!(one["contact"]["merged_contact_ids"].as_array().unwrap().len(), 1, "{one}");
        assert_eq!(app.api("GET", &format!("{path}/messages"), None).await.json()["data"].as_array().unwrap().len(), 3);
    }

    let undo = format!("/v1/merges/{}/{}/undo", ids[1], ids[0]);
    assert_eq!(app.api("POST", &undo, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(histories(&app).await, [vec!["wamid.both", "wamid.phone"], vec!["wamid.user"]]);
    // The undone merge is not made again.
    receive(&app, message("wamid.again", Some(CUSTOMER), Some(USER))).await;
    assert_eq!(histories(&app).await.len(), 2);
    assert!(app.api("GET", "/v1/merges", None).await.json()["data"][0]["undone_at"].is_string());
    for wrong in ["/v1/merges/con_x/con_y/undo".to_owned(), format!("/v1/merges/{}/{}/undo", ids[0], ids[0])] {
        assert_eq!(app.api("POST", &wrong, None).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_merged_persons_pages_are_in_order_and_complete() {
    let app = App::start().await;
    let mut expected = Vec::new();
    for index in 0..30 {
        let (phone, user) = if index % 3 == 0 { (None, Some(USER)) } else { (Some(CUSTOMER), None) };
        let mut message = message(&format!("wamid.{index:02}"), phone, user);
        // Three messages per second.
        message["timestamp"] = json!((1_795_175_000 + index / 3).to_string());
        expected.push(format!("wamid.{index:02}"));
        receive(&app, message).await;
    }
    receive(&app, message("wamid.30", Some(CUSTOMER), Some(USER))).await;
    expected.push("wamid.30".to_owned());
    let id = app.conversations().await.remove(0)["id"].as_str().unwrap().to_owned();
    for limit in [1, 2, 4, 7, 100] {
        let (mut seen, mut times, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let path = format!("/v1/conversations/{id}/messages?limit={limit}{cursor}");
            let page = app.api("GET", &path, None).await.json();
            for message in page["data"].as_array().unwrap() {
                seen.push(message["id"].as_str().unwrap().to_owned());
                times.push(message["timestamp"].as_str().unwrap().to_owned());
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert!(times.windows(2).all(|pair| pair[0] >= pair[1]), "limit {limit}: {times:?}");
        seen.sort();
        assert_eq!(seen, expected, "limit {limit}");
    }
}

#[tokio::test]
async fn a_reaction_after_a_merge_finds_its_message_under_the_other_contact() {
    let app = App::start().await;
    let echo = json!({"from": "15550001111", "to_user_id": USER, "id": "wamid.ECHO", "timestamp": "1795175000",
        "type": "text", "text": {"body": "hello"}});
    let mut echo = change(NUMBER, json!({"message_echoes": [echo]}));
    echo["field"] = json!("smb_message_echoes");
    app.webhook(webhook_body(&[echo])).await;
    receive(&app, message("wamid.phone", Some(CUSTOMER), None)).await;
    receive(&app, message("wamid.both", Some(CUSTOMER), Some(USER))).await;
    let reaction = json!({"from": CUSTOMER, "from_user_id": USER, "id": "wamid.R", "timestamp": "1795175995",
        "type": "reaction", "reaction": {"message_id": "wamid.ECHO", "emoji": "+"}});
    receive(&app, reaction).await;
    let messages = app.messages().await;
    let echo = messages.iter().find(|message| message["id"] == "wamid.ECHO").unwrap();
    assert_eq!(echo["reactions"][0]["emoji"], "+", "{messages:#?}");
    assert_eq!(messages.len(), 3);
}

#[tokio::test]
async fn a_change_of_number_keeps_the_conversation_and_reaches_the_new_number() {
    let app = App::start().await;
    receive(&app, message("wamid.old", Some(CUSTOMER), Some(USER))).await;
    let changed = json!({"from": CUSTOMER, "id": "wamid.S", "timestamp": "1795175991", "type": "system",
        "system": {"type": "user_changed_number", "wa_id": "15550003333", "user_id": "US.new", "previous_user_id": USER,
                   "body": "changed"}});
    receive(&app, changed).await;
    receive(&app, message("wamid.new", Some("15550003333"), Some("US.new"))).await;
    let Value::Object(text) = json!({"type": "text", "text": {"body": "hello"}}) else { unreachable!() };
    app.meta.customer_writes("15550003333", NUMBER, text).unwrap();
    app.drain().await;
    let conversations = app.conversations().await;
    assert_eq!(conversations.len(), 1, "{conversations:#?}");
    assert_eq!(conversations[0]["contact"]["phone"], "+15550003333");
    assert_eq!(conversations[0]["contact"]["user_id"], "US.new");
    let answer = app.api(
        "POST",
        "/v1/messages",
        Some(json!({"conversation_id": conversations[0]["id"], "type": "text",
        "text": {"body": "hello again"}})),
    );
    assert_eq!(answer.await.status, StatusCode::ACCEPTED);
    app.drain().await;
    assert_eq!(app.meta.sent()[0].to, "15550003333");
}

#[tokio::test]
async fn a_person_without_a_number_works_everywhere() {
    let app = App::start().await;
    receive(&app, message("wamid.a", None, Some(USER))).await;
    let conversation = app.conversations().await.remove(0);
    assert_eq!((&conversation["contact"]["phone"], &conversation["contact"]["user_id"]), (&Value::Null, &json!(USER)));
    let order = json!({"conversation_id": conversation["id"], "type": "text", "text": {"body": "hello"}});
    assert_eq!(app.api("POST", "/v1/messages", Some(order)).await.status, StatusCode::ACCEPTED);
    app.drain().await;
    // The simulated Meta accepts the recipient, but has no window for a customer without a number.
    let answer = app.messages().await.into_iter().find(|message| message["direction"] == "outbound").unwrap();
    assert_eq!(answer["error"]["code"], 131_047, "{answer:#}");
    let found = app.api("GET", &format!("/v1/numbers/{NUMBER}/conversation?user_id={USER}"), None).await;
    assert_eq!(found.json()["id"], conversation["id"]);
    // When the customer shares a phone number, it becomes another alias of the same contact.
    let card = json!({"from_user_id": USER, "id": "wamid.c", "timestamp": "1795175995", "type": "contacts",
        "contacts": [{"origin": "contact_request", "phones": [{"phone": "+15550002222", "wa_id": CUSTOMER}]}]});
    receive(&app, card).await;
    receive(&app, message("wamid.b", Some(CUSTOMER), None)).await;
    assert_eq!(app.conversations().await.len(), 1);
}

/// Whether the number as WhatsApp spells it and another spelling of it lead to the same contact.
async fn same(first: &str, second: &str) -> bool {
    let app = App::start().await;
    receive(&app, message("wamid.1", Some(first), None)).await;
    receive(&app, message("wamid.2", Some(second), None)).await;
    app.conversations().await.len() == 1
}

#[tokio::test]
async fn national_spellings_do_not_split_a_person_and_never_merge_two() {
    assert!(same("551187654321", "5511987654321").await, "Brazil's ninth digit");
    assert!(!same("551132654321", "5511932654321").await, "a landline and a mobile number");
    assert!(same("5215512345678", "525512345678").await, "Mexico's 1");
    assert!(!same("541144445555", "5491144445555").await, "Argentina: WhatsApp tells the two apart");
    assert!(!same("5511987654321", "5521987654321").await, "another area");
}

#[tokio::test]
async fn a_typed_argentine_number_finds_its_owner_in_either_spelling() {
    for (typed, theirs) in [("+541144445555", "5491144445555"), ("+5491144445555", "541144445555")] {
        // The business writes first, to the number as typed; the customer answers with WhatsApp's spelling.
        let app = App::start().await;
        let hello = json!({"name": "hello_world", "language": {"code": "en_US"}});
        let order = json!({"from": NUMBER, "to": typed, "type": "template", "template": hello});
        assert_eq!(app.api("POST", "/v1/messages", Some(order.clone())).await.status, StatusCode::ACCEPTED);
        receive(&app, message("wamid.1", Some(theirs), None)).await;
        assert_eq!(app.conversations().await.len(), 1, "{typed} then {theirs}");
        // The customer writes first.
        let app = App::start().await;
        receive(&app, message("wamid.1", Some(theirs), None)).await;
        app.api("POST", "/v1/messages", Some(order)).await;
        app.drain().await;
        assert_eq!(app.conversations().await.len(), 1, "{theirs} then {typed}");
    }
}

#[tokio::test]
async fn a_typed_spelling_never_joins_two_whom_whatsapp_tells_apart() {
    let (landline, mobile) = ("541144445555", "5491144445555");
    let app = App::start().await;
    // The owner has a landline in the address book. The mobile number writes, then the landline.
    let entry = json!({"type": "contact", "contact": {"full_name": "Shop", "phone_number": landline}, "action": "add",
        "metadata": {"timestamp": "1795175000"}});
    let mut sync = change(NUMBER, json!({"state_sync": [entry]}));
    sync["field"] = json!("smb_app_state_sync");
    app.webhook(webhook_body(&[sync])).await;
    app.drain().await;
    receive(&app, message("wamid.mobile", Some(mobile), None)).await;
    assert_eq!(app.conversations().await.len(), 1, "it may be the same person, as far as anybody knows");
    receive(&app, message("wamid.landline", Some(landline), None)).await;
    assert_eq!(histories(&app).await, [["wamid.landline"], ["wamid.mobile"]]);
}

#[tokio::test]
async fn a_members_own_names_are_not_the_groups() {
    let app = App::start().await;
    let card = json!({"from_user_id": USER, "group_id": "g1", "id": "wamid.c", "timestamp": "1795175995", "type": "contacts",
        "contacts": [{"origin": "contact_request", "phones": [{"phone": "+15550002222", "wa_id": CUSTOMER}]}]});
    receive(&app, card).await;
    receive(&app, message("wamid.b", Some(CUSTOMER), None)).await;
    assert_eq!(app.conversations().await.len(), 2, "the group and the person");
}

#[tokio::test]
async fn a_tapped_call_opens_the_window_and_an_advertisement_is_remembered() {
    let app = App::start().await;
    let call = json!({"id": "wacid.1", "from": CUSTOMER, "to": "15550001111", "event": "connect",
        "direction": "USER_INITIATED", "timestamp": "1795175990"});
    let mut call = change(NUMBER, json!({"calls": [call]}));
    call["field"] = json!("calls");
    app.webhook(webhook_body(&[call])).await;
    app.drain().await;
    let path = format!("/v1/numbers/{NUMBER}/conversation?phone=%2B{CUSTOMER}");
    let silent = app.api("GET", &path, None).await.json();
    assert_eq!(silent["customer_service_window"]["open"], true, "{silent}");
    assert_eq!(silent["last_call_at"], "2026-11-20T11:59:50.000Z");
    let mut referred = message("wamid.ad", Some(CUSTOMER), None);
    referred["referral"] = json!({"source_type": "ad", "source_id": "1"});
    receive(&app, referred).await;
    let conversation = app.conversations().await.remove(0);
    assert_eq!(conversation["free_entry_point"]["last_referral_at"], "2026-11-20T11:59:50.000Z");
    for wrong in ["", "?phone=1", "?phone=%2B15550002222&user_id=x", "?name=x", "?user_id="] {
        let answer = app.api("GET", &format!("/v1/numbers/{NUMBER}/conversation{wrong}"), None).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}: {}", answer.text);
    }
}
