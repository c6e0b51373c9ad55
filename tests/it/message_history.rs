//! Evidence from Meta's message history about messages whose outcome is unknown (`docs/reliability.md#section-2-3-5`,
//! `docs/reliability.md#e2`), where the parameter enables it.

use axum::http::StatusCode;
use sandbox::meta::{ScriptedFault, StatusOrder};
use serde_json::{Value, json};
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::NumberId;
use shared::domain::sending::outcome::SendOutcome;
use shared::provider::meta::graph::{GraphClient, GraphEndpoint};
use shared::secret::Secret;

use crate::harness::{App, CUSTOMER, NUMBER, WABA, to_customer};

/// Returns an installation with an open window, withheld statuses, and a sweep that reads the message history.
async fn asking() -> App {
    let mut app = App::start().await;
    app.stack.message_history = true;
    app.restart();
    app.customer_writes("hello");
    app.drain().await;
    app.meta.order_statuses(StatusOrder::Withheld);
    app
}

async fn sent_with(app: &App, fault: ScriptedFault, text: &str, on_unknown: &str) {
    app.meta.script([fault]);
    let mut body = to_customer(text);
    body["on_unknown"] = json!(on_unknown);
    assert_eq!(app.api("POST", "/v1/messages", Some(body)).await.status, StatusCode::ACCEPTED);
    app.drain().await;
}

async fn outbound(app: &App) -> Vec<Value> {
    app.messages().await.into_iter().filter(|message| message["direction"] == "outbound").collect()
}

async fn statuses(app: &App) -> Vec<String> {
    outbound(app).await.iter().map(|message| message["status"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_message_that_meta_lists_was_sent() {
    for on_unknown in ["hold", "resend_once", "fail"] {
        let app = asking().await;
        // Messages to the same customer whose wamids are known are no candidates.
        app.send("known", None).await;
        app.drain().await;
        app.advance(1);
        sent_with(&app, ScriptedFault::DropAfter, "doubtful", on_unknown).await;
        assert_eq!(statuses(&app).await, ["unknown", "accepted"]);
        app.recover().await;
        assert_eq!(statuses(&app).await, ["accepted", "accepted"], "{on_unknown}");
        assert_eq!(outbound(&app).await[0]["wamid"], app.meta.sent()[1].wamid);
        assert_eq!(app.functions.metrics.total("unknown_resolved"), 1);
        assert_eq!(app.meta.sent().len(), 2, "{on_unknown}: sent once");
    }
}

#[tokio::test]
async fn without_the_setting_nobody_asks() {
    let mut app = asking().await;
    app.stack.message_history = false;
    app.restart();
    sent_with(&app, ScriptedFault::DropAfter, "doubtful", "hold").await;
    app.recover().await;
    assert_eq!(statuses(&app).await, ["unknown"]);
}

#[tokio::test]
async fn what_meta_does_not_list_stays_in_doubt() {
    let app = asking().await;
    sent_with(&app, ScriptedFault::DropBefore, "doubtful", "hold").await;
    // Long afterwards another program sends to the same customer.
    app.advance(3_600);
    let graph = GraphClient::new(&GraphEndpoint::at(app.graph_url())).unwrap();
    let (token, number) = (Secret::new(app.seed.access_token.clone()), NumberId::parse(NUMBER).unwrap());
    let token = AccessToken::unproved(token);
    let body = json!({"messaging_product": "whatsapp", "to": format!("+{CUSTOMER}"), "type": "text",
        "text": {"body": "foreign"}});
    let foreign = graph.send_message(&token, &number, body.to_string().into_bytes()).await;
    assert!(matches!(foreign, SendOutcome::Accepted { .. }), "{foreign:?}");
    app.recover().await;
    assert_eq!(statuses(&app).await, ["unknown"]);
}

#[tokio::test]
async fn two_doubts_that_one_listed_message_can_be_about_stay_in_doubt() {
    let app = asking().await;
    sent_with(&app, ScriptedFault::DropAfter, "one", "hold").await;
    sent_with(&app, ScriptedFault::DropBefore, "other", "hold").await;
    app.recover().await;
    assert_eq!(statuses(&app).await, ["unknown", "unknown"]);
}

#[tokio::test]
async fn nothing_is_sent_again_before_meta_has_answered() {
    let app = asking().await;
    sent_with(&app, ScriptedFault::DropAfter, "a one-time code", "resend_once").await;
    app.meta.withdraw_tokens(WABA);
    app.recover().await;
    assert_eq!((statuses(&app).await, app.meta.sent().len()), (vec!["unknown".to_owned()], 1));
    app.meta.put_token(&app.seed.access_token, sandbox::sandbox::seeded_account());
    app.recover().await;
    assert_eq!((statuses(&app).await, app.meta.sent().len()), (vec!["accepted".to_owned()], 1));
}

#[tokio::test]
async fn a_doubt_that_was_given_up_can_still_be_the_one_that_was_sent() {
    let app = asking().await;
    sent_with(&app, ScriptedFault::DropBefore, "lost", "hold").await;
    app.advance(60);
    sent_with(&app, ScriptedFault::DropAfter, "too late for this", "fail").await;
    for _ in 0..5 {
        app.recover().await;
    }
    assert_eq!(statuses(&app).await, ["failed", "unknown"]);
    // A reply to it does not prove which of the two messages the customer has.
    let Value::Object(answer) = json!({"type": "text", "text": {"body": "thanks"},
        "context": {"from": "15550001111", "id": app.meta.sent()[0].wamid}})
    else {
        unreachable!()
    };
    app.meta.customer_writes(CUSTOMER, NUMBER, answer).unwrap();
    app.recover().await;
    assert_eq!(statuses(&app).await, ["failed", "unknown"]);
}

#[tokio::test]
async fn the_time_of_the_unknown_message_counts_and_not_that_of_a_known_one() {
    let app = asking().await;
    sent_with(&app, ScriptedFault::DropBefore, "lost", "hold").await;
    app.advance(5);
    app.send("known", None).await;
    app.drain().await;
    app.advance(110);
    sent_with(&app, ScriptedFault::DropAfter, "taken", "hold").await;
    for _ in 0..3 {
        app.recover().await;
    }
    assert_eq!(statuses(&app).await, ["unknown", "accepted", "unknown"]);
}
