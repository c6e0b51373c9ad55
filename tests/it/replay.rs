//! Replays of received webhooks: one message, one number, a time range, the quarantine, the dead-letter queue. A replay
//! changes nothing that was already processed.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use jiff::SignedDuration;
use serde_json::{Value, json};
use shared::domain::accounts::number::Number;
use shared::domain::accounts::tenant::Scope;
use shared::domain::ids::{NumberId, TenantId, WabaId};
use shared::secret::Secret;

use crate::harness::{Answer, App, CUSTOMER, NUMBER, WABA, change, fixtures, is_theirs, text_message, webhook_body};

async fn replay(app: &App, order: Value) -> Answer {
    app.api("POST", "/v1/replays", Some(order)).await
}

pub(crate) async fn replay_as_operator(app: &App, order: &Value) -> Answer {
    let key = app.stack.operator.create_key(None, &[Scope::Operator]).await.unwrap();
    let request = Request::post("/v1/replays").header("authorization", format!("Bearer {}", key.expose()));
    app.request(request.body(Body::from(order.to_string())).unwrap()).await
}

/// Returns all items of the table, except replays, audit entries and keys.
async fn facts(app: &App) -> Vec<Value> {
    let other = |item: &Value| ["REPLAY", "KEY", "AUDIT"].iter().any(|sk| item["sk"]["S"] == *sk);
    app.table_items().await.into_iter().filter(|item| !other(item)).collect()
}

fn assert_same_table(after: &[Value], before: &[Value]) {
    let key = |item: &Value| (item["pk"]["S"].to_string(), item["sk"]["S"].to_string());
    for item in before {
        let same = after.iter().find(|other| key(other) == key(item));
        assert_eq!(same, Some(item));
    }
    for item in after {
        assert!(before.contains(item), "new: {item}");
    }
}

/// Waits for the end of a replay and returns the number of webhooks it queued.
async fn queued(app: &App, answer: &Answer) -> i64 {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    app.drain().await;
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    let progress = app.api("GET", &format!("/v1/replays/{id}"), None).await.json();
    assert_eq!(progress["status"], "done", "{progress}");
    progress["queued"].as_i64().unwrap()
}

fn text_from(id: &str, from: &str) -> String {
    webhook_body(&[change(NUMBER, json!({"messages": [text_message(from, id, id)]}))])
}

#[tokio::test]
async fn the_whole_archive_over_the_final_table_is_byte_for_byte_the_same_table() {
    let app = App::start().await;
    // Before the fixtures, because they ban the account.
    app.customer_writes("hello");
    app.drain().await;
    for text in ["one", "two", "three"] {
        app.send(text, None).await;
    }
    app.drain().await;
    for (index, fixture) in fixtures::all().into_iter().enumerate() {
        app.webhook(fixture.body.to_string()).await;
        if index % 5 == 0 {
            app.drain().await;
            app.advance(7);
        }
    }
    app.advance(90);
    app.functions.tick().await.unwrap();
    app.drain().await;
    let (before, stored) = (facts(&app).await, app.functions.metrics.total("inbound_stored"));
    let received = fixtures::all().len() + 1 + 9;
    app.advance(3_600);
    let answer = replay_as_operator(&app, &json!({"source": "archive"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    app.drain().await;
    let replays: Vec<Value> = app.table_items().await.into_iter().filter(|item| item["sk"]["S"] == "REPLAY").collect();
    assert_eq!(replays[0]["queued"]["N"], received.to_string());
    assert!(replays[0]["done_at"].is_object(), "{replays:?}");
    let after = facts(&app).await;
    assert_same_table(&after, &before);
    assert_eq!(app.functions.metrics.total("inbound_stored"), stored, "nothing is new");
    println!("replayed {received} webhooks over {} items: byte-identical", before.len());
}

#[tokio::test]
async fn one_message_one_number_and_a_time_range() {
    let app = App::start().await;
    for (index, id) in ["wamid.a", "wamid.b", "wamid.c"].into_iter().enumerate() {
        app.webhook(text_from(id, CUSTOMER)).await;
        app.drain().await;
        app.advance(if index == 1 { 7_200 } else { 60 });
    }
    let before = facts(&app).await;
    assert_eq!(queued(&app, &replay(&app, json!({"source": "archive", "message_id": "wamid.b"})).await).await, 1);
    assert_eq!(queued(&app, &replay(&app, json!({"source": "archive", "number_id": NUMBER})).await).await, 3);
    let range = json!({"source": "archive", "from": "2026-11-20T12:00:30Z", "until": "2026-11-20T13:00:00Z"});
    assert_eq!(queued(&app, &replay(&app, range).await).await, 1);
    assert_eq!(queued(&app, &replay(&app, json!({"source": "archive", "message_id": "wamid.x"})).await).await, 0);
    assert_same_table(&facts(&app).await, &before);
}

#[tokio::test]
async fn a_replay_tells_which_time_it_reads_and_that_is_no_more_than_what_is_kept() {
    let app = App::start().await;
    let asked = json!({"source": "archive", "from": "2026-01-01T00:00:00Z", "until": "2026-11-20T12:30:00Z"});
    let answer = replay(&app, asked).await;
    let now: jiff::Timestamp = app.clock.now();
    let kept = format!("{:.3}", now - SignedDuration::from_hours(8 * 24));
    for _ in 0..2 {
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        let shown = app.api("GET", &format!("/v1/replays/{id}"), None).await.json();
        assert_eq!(shown["from"], kept, "{shown}");
        assert!(shown["until"].as_str().unwrap() <= "2026-11-20T12:30:00.000Z", "{shown}");
        assert_eq!((&answer.json()["from"], &answer.json()["until"]), (&shown["from"], &shown["until"]));
        app.drain().await;
    }
    let whole = replay_as_operator(&app, &json!({"source": "dead_letters"})).await.json();
    assert_eq!((&whole["from"], &whole["until"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn what_is_lost_from_the_table_comes_back_from_the_archive() {
    let app = App::start().await;
    app.webhook(text_from("wamid.a", CUSTOMER)).await;
    app.drain().await;
    let before = facts(&app).await;
    let key = before.iter().find(|item| is_theirs(item, "wamid.a")).unwrap();
    app.delete_item(key).await;
    assert!(app.messages().await.is_empty());
    app.advance(600);
    queued(&app, &replay(&app, json!({"source": "archive", "message_id": "wamid.a"})).await).await;
    assert_same_table(&facts(&app).await, &before);
}

#[tokio::test]
async fn a_number_that_is_connected_late_gets_what_was_kept_for_it() {
    let app = App::start().await;
    let id = "900100200309999";
    let body = |wamid: &str| webhook_body(&[change(id, json!({"messages": [text_message(CUSTOMER, wamid, wamid)]}))]);
    for wamid in ["wamid.a", "wamid.b"] {
        app.webhook(body(wamid)).await;
    }
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": [{"id": 7}]}))])).await;
    app.drain().await;
    let number = Number {
        id: NumberId::parse(id).unwrap(),
        tenant: TenantId::parse(&app.seed.tenant_id).unwrap(),
        waba: WabaId::parse(WABA).unwrap(),
        display_phone_number: "15550009999".to_owned(),
        coexistence: false,
        fallback: None,
        settings: shared::domain::accounts::number::Settings::default(),
    };
    app.stack.operator.put_number(&number, &Secret::new("t".to_owned()), None).await.unwrap();
    app.advance(86_400);
    assert_eq!(queued(&app, &replay(&app, json!({"source": "quarantine", "number_id": id})).await).await, 2);
    assert_eq!(app.texts("inbound").await, ["wamid.a", "wamid.b"]);
    let kept = app.api("GET", &format!("/v1/numbers/{id}/quarantine"), None).await.json();
    assert_eq!(kept["data"], json!([]), "what is stored is kept no more");
    let kept = app.api("GET", &format!("/v1/numbers/{NUMBER}/quarantine"), None).await.json();
    assert_eq!(kept["data"][0]["what"], "message", "what is still broken is still kept");
}

#[tokio::test]
async fn the_quarantine_may_be_replayed_at_any_time_and_stays_the_same() {
    let app = App::start().await;
    for fixture in fixtures::all() {
        app.webhook(fixture.body.to_string()).await;
    }
    for nonsense in ["", "{", "[[[["] {
        app.webhook(nonsense).await;
    }
    app.drain().await;
    let before = facts(&app).await;
    let kept = before.iter().filter(|item| item["sk"]["S"] == "QUARANTINE").count();
    app.advance(600);
    let answer = replay_as_operator(&app, &json!({"source": "quarantine"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    app.drain().await;
    assert!(kept > 15, "{kept}");
    assert_same_table(&facts(&app).await, &before);
}

#[tokio::test]
async fn dead_letters_are_queued_again_once_what_was_wrong_is_over() {
    let app = App::start().await;
    app.webhook(text_from("wamid.a", CUSTOMER)).await;
    app.stack.faults.take_down("DynamoDB");
    for _ in 0..6 {
        app.functions.poll_inbound().await;
        app.advance(361);
    }
    app.stack.faults.clear();
    assert_eq!(app.stack.aws.sqs().depth("inbound-dead-letters"), 1);
    let refused = replay(&app, json!({"source": "dead_letters"})).await;
    assert_eq!((refused.status, refused.json()["field"].clone()), (StatusCode::UNPROCESSABLE_ENTITY, json!("source")));
    let answer = replay_as_operator(&app, &json!({"source": "dead_letters"})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    app.drain().await;
    assert_eq!(app.stack.aws.sqs().depth("inbound-dead-letters"), 0);
    assert_eq!(app.texts("inbound").await, ["wamid.a"]);
}

#[tokio::test]
async fn a_replay_that_one_invocation_cannot_end_goes_on_in_the_next() {
    let app = App::start().await;
    for index in 0..40 {
        app.webhook(text_from(&format!("wamid.{index}"), CUSTOMER)).await;
        app.drain().await;
        app.advance(300);
    }
    let before = facts(&app).await;
    let answer = replay(&app, json!({"source": "archive"})).await;
    // The first invocations have only time to pass the replay on.
    for _ in 0..3 {
        app.functions.poll_inbound_before(SignedDuration::from_secs(15)).await;
    }
    assert_eq!(queued(&app, &answer).await, 40);
    assert_same_table(&facts(&app).await, &before);
}

#[tokio::test]
async fn a_tenant_replays_its_own_and_sees_no_other_replay() {
    let app = App::start().await;
    let other = app.stack.operator.create_tenant("Other").await.unwrap();
    let key = app.stack.operator.create_key(Some(other), &[Scope::Manage]).await.unwrap();
    app.webhook(text_from("wamid.a", CUSTOMER)).await;
    app.drain().await;
    let mine = replay(&app, json!({"source": "archive"})).await;
    assert_eq!(queued(&app, &mine).await, 1);
    let as_other = |method: &str, path: String, body: Option<Value>| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("authorization", format!("Bearer {}", key.expose()));
        app.request(request.body(body.map_or(Body::empty(), |body| Body::from(body.to_string()))).unwrap())
    };
    let id = mine.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(as_other("GET", format!("/v1/replays/{id}"), None).await.status, StatusCode::NOT_FOUND);
    let foreign = json!({"source": "archive", "number_id": NUMBER});
    let foreign = as_other("POST", "/v1/replays".to_owned(), Some(foreign)).await;
    assert_eq!(foreign.json()["field"], "number_id");
    let theirs = as_other("POST", "/v1/replays".to_owned(), Some(json!({"source": "archive"}))).await;
    app.drain().await;
    let id = theirs.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(as_other("GET", format!("/v1/replays/{id}"), None).await.json()["queued"], 0);
}

#[tokio::test]
async fn a_wrong_order_names_its_field_and_rule() {
    let app = App::start().await;
    for (order, field) in [
        (json!({}), "body"),
        (json!([]), "body"),
        (json!({"source": "attic"}), "source"),
        (json!({"source": "archive", "number_id": "9"}), "number_id"),
        (json!({"source": "archive", "message_id": ""}), "message_id"),
        (json!({"source": "archive", "from": "yesterday"}), "from"),
        (json!({"source": "archive", "until": "2020-01-01T00:00:00Z"}), "until"),
        (json!({"source": "archive", "everything": true}), "everything"),
    ] {
        let answer = replay(&app, order.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{order}: {}", answer.text);
        assert_eq!(answer.json()["field"], field, "{order}: {}", answer.text);
        assert!(answer.json()["rule"].is_string());
    }
    assert_eq!(app.depth(), (0, 0));
}
