//! Erasure of a contact: it is hidden from the API at once, deleted from the table soon after, and not restored by
//! repeated webhooks or replays.

use axum::http::StatusCode;
use sandbox::aws::faults::Fault;
use serde_json::{Value, json};

use crate::harness::{App, NUMBER, ask, change, effort, text_message, webhook_body};

pub(crate) const ADA: &str = "15550006001";
const ADA_USER: &str = "US.77009988776655";
pub(crate) const BOB: &str = "15550006002";
pub(crate) const SECOND: &str = "900100200300502";

#[tokio::test]
async fn the_copies_of_files_go_with_who_sent_them() {
    let app = App::start().await;
    let mut links = Vec::new();
    for (from, id) in [(ADA, "wamid.image.ada"), (BOB, "wamid.image.bob")] {
        let file = app.meta.put_sent_file(NUMBER, "image/jpeg", from.as_bytes());
        let mut body: Value = serde_json::from_str(&written(&app, NUMBER, from, id, "")).unwrap();
        let message = &mut body["entry"][0]["changes"][0]["value"]["messages"][0];
        message["type"] = json!("image");
        message["image"] = json!({"id": file, "mime_type": "image/jpeg"});
        receives(&app, &body.to_string()).await;
        let path = format!("/v1/numbers/{NUMBER}/files/{file}");
        assert_eq!(app.api("GET", &path, None).await.status, StatusCode::OK);
        links.push(path);
    }
    let objects = async || app.stack.operator_archive().list("media", None, 100).await.unwrap();
    assert_eq!(objects().await.len(), 2);
    erase(&app, &contact_of(&of(&app, NUMBER, ADA).await.unwrap())).await;
    Box::pin(half_an_hour(&app)).await;
    let left = objects().await;
    assert!(left.len() == 1 && links[1].ends_with(left[0].rsplit('/').next().unwrap()), "{left:?}");
    assert_eq!(app.api("GET", &links[1], None).await.status, StatusCode::OK);
}

/// Returns a whole webhook with a message from a customer with a name and a user id.
pub(crate) fn written(app: &App, number: &str, from: &str, id: &str, text: &str) -> String {
    let name = if from == ADA { "Ada Lovelace" } else { "Bob Osmond" };
    let user = if from == ADA { ADA_USER } else { "US.11002233445566" };
    let contacts = json!([{"profile": {"name": name}, "wa_id": from, "user_id": user}]);
    let mut message = text_message(from, id, text);
    message["from_user_id"] = json!(user);
    message["timestamp"] = json!(app.clock.now().as_second().to_string());
    webhook_body(&[change(number, json!({"contacts": contacts, "messages": [message]}))])
}

pub(crate) async fn receives(app: &App, body: &str) {
    assert_eq!(app.webhook(body).await, StatusCode::OK);
    Box::pin(app.functions.poll_inbound()).await;
}

pub(crate) async fn of(app: &App, number: &str, phone: &str) -> Option<Value> {
    let path = format!("/v1/numbers/{number}/conversation?phone=%2B{phone}");
    let answer = app.api("GET", &path, None).await;
    (answer.status == StatusCode::OK).then(|| answer.json())
}

pub(crate) fn id_of(conversation: &Value) -> String {
    conversation["id"].as_str().unwrap().to_owned()
}

pub(crate) fn contact_of(conversation: &Value) -> String {
    conversation["contact"]["id"].as_str().unwrap().to_owned()
}

/// Two customers write to two numbers, and get answers, notes, an assignment, and quarantined webhooks; a broadcast
/// goes to a third.
pub(crate) async fn lively() -> (App, Vec<String>) {
    let app = App::start().await;
    app.connect_number(SECOND, false).await;
    let mut bodies = Vec::new();
    for (from, who) in [(ADA, "ada"), (BOB, "bob")] {
        for number in [NUMBER, SECOND] {
            for text in ["hello", "are you open"] {
                let id = format!("wamid.{who}.{number}.{}", text.len());
                bodies.push(written(&app, number, from, &id, &format!("{text}, it is {who}")));
            }
        }
        let strange = json!({"user": from, "what": format!("{who} did something")});
        bodies.push(webhook_body(&[json!({"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550001111", "phone_number_id": NUMBER}, "strange": [strange]}})]));
    }
    for body in &bodies {
        receives(&app, body).await;
    }
    app.advance(5);
    for who in [ADA, BOB] {
        let to =
            json!({"from": NUMBER, "to": format!("+{who}"), "type": "text", "text": {"body": format!("yes, {who}")}});
        assert_eq!(app.api("POST", "/v1/messages", Some(to)).await.status, StatusCode::ACCEPTED);
        let id = id_of(&of(&app, NUMBER, who).await.unwrap());
        let note = json!({"text": format!("note of {who}")});
        app.api("POST", &format!("/v1/conversations/{id}/notes"), Some(note)).await;
        app.api("PATCH", &format!("/v1/conversations/{id}"), Some(json!({"labels": ["vip"]}))).await;
    }
    Box::pin(app.drain()).await;
    app.advance(60);
    (app, bodies)
}

pub(crate) async fn erase(app: &App, contact: &str) -> Value {
    let answer = app.api("DELETE", &format!("/v1/contacts/{contact}"), None).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()
}

pub(crate) async fn erasure(app: &App, begun: &Value) -> Value {
    app.api("GET", &format!("/v1/erasures/{}", begun["id"].as_str().unwrap()), None).await.json()
}

/// Advances 35 minutes, and runs the offboarding function every five.
pub(crate) async fn half_an_hour(app: &App) {
    for _ in 0..7 {
        Box::pin(app.functions.offboard()).await.unwrap();
        Box::pin(app.drain()).await;
        app.advance(300);
    }
}

/// Returns the items that contain one of the marks, except tombstones and audit entries (whose ids refer to nothing).
async fn left_of(app: &App, marks: &[&str]) -> Vec<Value> {
    // Tombstones also hold the ids of the contact and of its files. All have an expiry.
    let ended =
        |item: &Value| !item["expires_at"].is_null() && (!item["erased_at"].is_null() || !item["gone_at"].is_null());
    let stone = |item: &Value| {
        if item["sk"]["S"] == "CONTACT" || item["sk"]["S"].as_str().unwrap().starts_with("FILE#") {
            return ended(item) && item.as_object().unwrap().len() == 4;
        }
        item["sk"]["S"] == "ALIAS"
            && !item["erased_at"].is_null()
            && item["contact"].is_null()
            && !item["expires_at"].is_null()
    };
    let names = |item: &Value| marks.iter().any(|mark| item.to_string().contains(mark));
    app.table_items()
        .await
        .into_iter()
        .filter(|item| names(item) && !stone(item) && item["sk"]["S"] != "AUDIT")
        .collect()
}

#[tokio::test]
async fn a_contact_has_a_card_across_all_numbers() {
    let (app, _) = Box::pin(lively()).await;
    let contact = contact_of(&of(&app, NUMBER, ADA).await.unwrap());
    let card = app.api("GET", &format!("/v1/contacts/{contact}"), None).await.json();
    assert_eq!(card["id"], contact.as_str());
    assert_eq!(card["phone"], format!("+{ADA}"));
    assert_eq!((&card["profile_name"], &card["user_id"]), (&json!("Ada Lovelace"), &json!(ADA_USER)));
    let numbers: Vec<&str> =
        card["conversations"].as_array().unwrap().iter().map(|one| one["number_id"].as_str().unwrap()).collect();
    assert_eq!(numbers, [NUMBER, SECOND], "the latest activity first");
    let other = app.stack.operator.create_tenant("Other").await.unwrap();
    let all = [shared::domain::accounts::tenant::Scope::Read, shared::domain::accounts::tenant::Scope::Manage];
    let key = app.stack.operator.create_key(Some(other), &all).await.unwrap().expose().to_owned();
    for method in ["GET", "DELETE"] {
        let answer = ask(&app, &key, method, &format!("/v1/contacts/{contact}"), Value::Null).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    assert!(of(&app, NUMBER, ADA).await.is_some());
}

#[tokio::test]
async fn an_erased_contact_leaves_nothing_and_nothing_brings_it_back() {
    let (app, bodies) = Box::pin(lively()).await;
    let (ada, bob) = (of(&app, NUMBER, ADA).await.unwrap(), of(&app, NUMBER, BOB).await.unwrap());
    let second = id_of(&of(&app, SECOND, ADA).await.unwrap());
    let contact = contact_of(&ada);
    // None of these may occur in a hash by chance.
    let hers = ["it is ada", "ada did", "wamid.ada", "Ada", contact.trim_start_matches("con_"), "yes, 15550006001"];
    let marks = [[ADA, ADA_USER].as_slice(), &hers].concat();
    assert!(left_of(&app, &marks).await.len() > 15);
    let bobs = |items: Vec<Value>| -> Vec<Value> {
        let mark = contact_of(&bob).trim_start_matches("con_").to_owned();
        items.into_iter().filter(|item| item["pk"]["S"].as_str().unwrap().contains(&mark)).collect()
    };
    let before = bobs(app.table_items().await);

    let begun = erase(&app, &contact).await;
    assert_eq!(begun["status"], "running");
    // Hidden from the API at once.
    for path in [
        format!("/v1/contacts/{contact}"),
        format!("/v1/conversations/{}", id_of(&ada)),
        format!("/v1/conversations/{second}/messages"),
        format!("/v1/conversations/{}/notes", id_of(&ada)),
        format!("/v1/conversations/{}/export", id_of(&ada)),
        format!("/v1/conversations/{}/send-options", id_of(&ada)),
    ] {
        assert_eq!(app.api("GET", &path, None).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(app.api("DELETE", &format!("/v1/contacts/{contact}"), None).await.status, StatusCode::NOT_FOUND);
    assert!(of(&app, NUMBER, ADA).await.is_none());
    for query in ["", "?search=ada", "?search=6001"] {
        let listed = app.api("GET", &format!("/v1/conversations{query}"), None).await.text;
        assert!(!listed.contains(ADA) && !listed.contains("Ada"), "{query}: {listed}");
    }

    Box::pin(half_an_hour(&app)).await;
    let done = erasure(&app, &begun).await;
    assert_eq!(done["status"], "done", "{done}");
    assert!(done["erased"].as_u64().unwrap() >= 10, "{done}");
    let left: Vec<Value> = left_of(&app, &marks).await;
    let record = |item: &Value| item["sk"]["S"] == "ERASURE";
    assert!(left.iter().all(record), "{left:#?}");
    assert_eq!(bobs(app.table_items().await), before, "nobody else changed");

    // Repeated webhooks and a full replay restore nothing.
    for body in &bodies {
        receives(&app, body).await;
    }
    app.api("POST", "/v1/replays", Some(json!({"source": "archive"}))).await;
    Box::pin(app.drain()).await;
    let kept = |item: &Value| item["sk"]["S"] == "QUARANTINE";
    let left: Vec<Value> = left_of(&app, &marks).await;
    assert!(left.iter().all(|item| record(item) || kept(item)), "{left:#?}");
    assert!(of(&app, NUMBER, ADA).await.is_none());

    // A later message from the same number creates a new contact without the old data.
    receives(&app, &written(&app, NUMBER, ADA, "wamid.ada.new", "hello again")).await;
    for body in &bodies {
        receives(&app, body).await;
    }
    let anew = of(&app, NUMBER, ADA).await.unwrap();
    assert_ne!(contact_of(&anew), contact);
    let messages = app.api("GET", &format!("/v1/conversations/{}/messages", id_of(&anew)), None).await.json();
    let texts: Vec<&str> =
        messages["data"].as_array().unwrap().iter().map(|one| one["text"]["body"].as_str().unwrap()).collect();
    assert_eq!(texts, ["hello again"]);
    assert!(of(&app, SECOND, ADA).await.is_none_or(|it| it["last_activity_at"].is_null()));
}

#[tokio::test]
async fn who_writes_while_its_contact_is_erased_is_somebody_new_and_nothing_is_lost() {
    let (app, _) = Box::pin(lively()).await;
    let contact = contact_of(&of(&app, NUMBER, ADA).await.unwrap());
    // Now the function has the contact in its cache.
    receives(&app, &written(&app, NUMBER, ADA, "wamid.before", "just before")).await;
    app.advance(2);
    let begun = erase(&app, &contact).await;
    app.advance(2);
    for (id, text) in [("wamid.after.1", "and after"), ("wamid.after.2", "and more")] {
        receives(&app, &written(&app, NUMBER, ADA, id, text)).await;
    }
    // Records that failed because of the stale cache are received again.
    app.advance(400);
    Box::pin(app.drain()).await;
    Box::pin(half_an_hour(&app)).await;
    assert_eq!(erasure(&app, &begun).await["status"], "done");
    let anew = of(&app, NUMBER, ADA).await.unwrap();
    assert_ne!(contact_of(&anew), contact);
    let messages = app.api("GET", &format!("/v1/conversations/{}/messages", id_of(&anew)), None).await.json();
    let mut texts: Vec<&str> =
        messages["data"].as_array().unwrap().iter().map(|one| one["text"]["body"].as_str().unwrap()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["and after", "and more"]);
    assert!(
        left_of(&app, &["just before", contact.trim_start_matches("con_")])
            .await
            .iter()
            .all(|item| item["sk"]["S"] == "ERASURE")
    );
}

#[tokio::test]
async fn wherever_it_breaks_a_contact_is_whole_or_gone() {
    let (app, _) = Box::pin(lively()).await;
    let contact = contact_of(&of(&app, NUMBER, ADA).await.unwrap());
    app.stack.faults.order(usize::MAX, Fault::CrashBefore);
    erase(&app, &contact).await;
    Box::pin(half_an_hour(&app)).await;
    let calls = app.stack.faults.calls();
    let (mut whole, mut gone) = (0, 0);
    for call in (0..calls.len()).step_by(effort::count(9, 3)) {
        let at = format!("call {call} ({})", calls[call]);
        let (mut app, _) = Box::pin(lively()).await;
        let contact = contact_of(&of(&app, NUMBER, ADA).await.unwrap());
        app.stack.faults.order(call, if call % 2 == 0 { Fault::CrashBefore } else { Fault::CrashAfter });
        let path = format!("/v1/contacts/{contact}");
        app.until_crash(async |app: &App| app.api("DELETE", &path, None).await).await;
        app.until_crash(async |app: &App| Box::pin(half_an_hour(app)).await).await;
        app.stack.faults.clear();
        // Wait until the crashed run's lease expires.
        app.advance(17 * 60);
        Box::pin(half_an_hour(&app)).await;
        let marks = [ADA, ADA_USER, "Ada", contact.trim_start_matches("con_")];
        let left = left_of(&app, &marks).await;
        if app.api("GET", &path, None).await.status == StatusCode::OK {
            assert!(left.len() > 15, "{at}");
            whole += 1;
        } else {
            assert!(left.iter().all(|item| item["sk"]["S"] == "ERASURE"), "{at}: {left:#?}");
            gone += 1;
        }
    }
    println!(
        "erasure: {} calls, {} crashes: {whole} times nothing was begun, {gone} times nothing was left",
        calls.len(),
        whole + gone
    );
    assert!(gone > effort::count(6, 20) && whole < 6, "{whole} {gone}");
}
