//! Quotes and reactions: a message is named by either id, and only within its conversation.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, change, text_message, webhook_body};

async fn answered() -> (App, String, String) {
    let app = App::start().await;
    app.meta.open_window(NUMBER, CUSTOMER);
    receive(&app, text_message(CUSTOMER, "wamid.theirs", "hello")).await;
    app.send("answer", None).await;
    app.drain().await;
    let ours = app.messages().await.into_iter().find(|message| message["direction"] == "outbound").unwrap();
    (app, ours["id"].as_str().unwrap().to_owned(), ours["wamid"].as_str().unwrap().to_owned())
}

async fn receive(app: &App, message: Value) {
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": [message]}))])).await;
    app.drain().await;
}

fn quoting(id: &str) -> Value {
    json!({"from": NUMBER, "to": format!("+{CUSTOMER}"), "type": "text", "text": {"body": "as I said"},
        "context": {"message_id": id}})
}

fn reacting(id: &str) -> Value {
    json!({"from": NUMBER, "to": format!("+{CUSTOMER}"), "type": "reaction",
        "reaction": {"message_id": id, "emoji": "👍"}})
}

#[tokio::test]
async fn either_id_of_a_message_of_the_conversation_names_it_and_nothing_else_does() {
    let (app, ours, wamid) = answered().await;
    for (id, expected) in [(ours.as_str(), wamid.as_str()), (&wamid, &wamid), ("wamid.theirs", "wamid.theirs")] {
        for order in [quoting(id), reacting(id)] {
            app.advance(10);
            let answer = app.api("POST", "/v1/messages", Some(order.clone())).await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{order}: {}", answer.text);
            app.drain().await;
            let body = serde_json::to_value(&app.meta.sent().last().unwrap().body).unwrap();
            let named = body.pointer("/context/message_id").or_else(|| body.pointer("/reaction/message_id"));
            assert_eq!(named, Some(&json!(expected)), "{body}");
        }
    }
    // A message of another customer, of nobody, and one that was never accepted.
    receive(&app, text_message("15550007777", "wamid.another", "hello")).await;
    let waiting = json!({"from": NUMBER, "to": format!("+{CUSTOMER}"), "type": "text", "text": {"body": "later"},
        "lane": "bulk"});
    let waiting = app.api("POST", "/v1/messages", Some(waiting)).await.json()["id"].as_str().unwrap().to_owned();
    for id in ["wamid.another", "wamid.nobodys", "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV", waiting.as_str(), "?"] {
        for (order, field) in [(quoting(id), "context.message_id"), (reacting(id), "reaction.message_id")] {
            let answer = app.api("POST", "/v1/messages", Some(order)).await;
            assert_eq!(
                (answer.status.as_u16() / 100, &answer.json()["field"]),
                (4, &json!(field)),
                "{id}: {}",
                answer.text
            );
        }
    }
}

#[tokio::test]
async fn what_a_customer_quotes_or_taps_shows_both_ids_and_each_id_finds_the_message() {
    let (app, ours, wamid) = answered().await;
    let mut reply = text_message(CUSTOMER, "wamid.reply", "yes");
    reply["context"] = json!({"from": "15550001111", "id": wamid});
    receive(&app, reply).await;
    receive(
        &app,
        json!({"from": CUSTOMER, "id": "wamid.tap", "timestamp": "1795176100", "type": "button",
        "button": {"payload": "p", "text": "Yes"}, "context": {"from": "15550001111", "id": wamid}}),
    )
    .await;
    let mut foreign = text_message(CUSTOMER, "wamid.foreign", "and that");
    foreign["context"] = json!({"from": "15550001111", "id": "wamid.of-another-app"});
    receive(&app, foreign).await;
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let get =
        async |message: &str| app.api("GET", &format!("/v1/conversations/{id}/messages/{message}"), None).await.json();
    let listed = app.messages().await;
    for (message, expected) in [("wamid.reply", Some(&ours)), ("wamid.tap", Some(&ours)), ("wamid.foreign", None)] {
        let of_list = listed.iter().find(|one| one["id"] == message).unwrap();
        for shown in [of_list, &get(message).await] {
            assert_eq!(shown["context"]["api_message_id"].as_str(), expected.map(String::as_str), "{shown}");
            assert!(shown["context"]["message_id"].is_string(), "{shown}");
        }
    }
    assert_eq!((&get(&wamid).await["id"], &get(&ours).await["id"]), (&json!(ours), &json!(ours)));
    assert_eq!(get("wamid.nobodys").await["status"], 404);
}

#[tokio::test]
async fn send_options_and_send_give_one_answer_for_groups_and_people_without_a_number() {
    let app = App::start().await;
    let mut of_group = text_message(CUSTOMER, "wamid.group", "hello all");
    of_group["group_id"] = json!("group-1");
    receive(&app, of_group).await;
    let mut nameless = text_message(CUSTOMER, "wamid.user", "hello");
    nameless.as_object_mut().unwrap().remove("from");
    nameless["from_user_id"] = json!("US.77001122334455667788");
    receive(&app, nameless).await;
    for conversation in app.conversations().await {
        let id = conversation["id"].as_str().unwrap();
        let options = app.api("GET", &format!("/v1/conversations/{id}/send-options"), None).await.json();
        let template = |category: &str| {
            json!({"conversation_id": id, "type": "template", "category": category,
                "template": {"name": "hello_world", "language": {"code": "en_US"}, "components": []}})
        };
        let text = json!({"conversation_id": id, "type": "text", "text": {"body": "hi"}});
        let kinds = [
            (&options["free_form"], text),
            (&options["templates"]["utility"], template("utility")),
            (&options["templates"]["authentication"], template("authentication")),
        ];
        for (option, order) in kinds {
            let answer = app.api("POST", "/v1/messages", Some(order.clone())).await;
            let reason = if option["allowed"] == true { Value::Null } else { option["reason"].clone() };
            assert_eq!(answer.json()["code"], reason, "{order}: {} {option}", answer.text);
        }
        let is_group = conversation["contact"]["group_id"].is_string();
        let expected = if is_group { ("group", "group") } else { ("", "phone_required") };
        let shown = |option: &Value| option["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            (shown(&options["free_form"]), shown(&options["templates"]["authentication"])),
            (expected.0.to_owned(), expected.1.to_owned())
        );
    }
}
