//! The health of a number: each check, the broken one with its remedy, and the results of the daily check at Meta.

use axum::http::StatusCode;
use sandbox::meta::{BusinessAccount, MetaApp, ScriptedFault};
use serde_json::{Map, Value, json};
use shared::domain::accounts::health::HealthCheck;
use shared::domain::ids::WabaId;

use crate::harness::App;
use crate::onboarding::{ACCOUNT, NEW, business, finished, grant, post, settle, start};
use crate::partner::served;

/// Returns an installation with a connected number, reachable for the simulated Meta.
async fn connected(coexistence: bool) -> App {
    let mut app = business().await;
    let url = served(&app).await;
    app.stack.public_url = Some(url.clone());
    app.meta.put_app(MetaApp {
        client_id: "900100200300101".to_owned(),
        secret: app.seed.app_secret.clone(),
        callback_url: format!("{url}/webhooks/meta/sandbox"),
    });
    app.restart();
    let mut account = app.meta.business_account(ACCOUNT).unwrap();
    account.numbers[0].on_biz_app = coexistence;
    app.meta.put_account(BusinessAccount { funding: Some("a card".to_owned()), ..account });
    let started = start(&app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &started, json!({"code": code, "event": finished()})).await;
    settle(&app).await;
    app
}

async fn look(app: &App) -> Value {
    Box::pin(app.functions.visit_account(&WabaId::parse(ACCOUNT).unwrap())).await.unwrap();
    health(app).await
}

async fn health(app: &App) -> Value {
    let answer = app.api("GET", &format!("/v1/numbers/{NEW}/health"), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

fn state(health: &Value, hop: &str) -> String {
    let hops = health["hops"].as_array().unwrap();
    hops.iter().find(|one| one["hop"] == hop).unwrap()["state"].as_str().unwrap().to_owned()
}

fn change(app: &App, change: impl FnOnce(&mut BusinessAccount)) {
    let mut account = app.meta.business_account(ACCOUNT).unwrap();
    change(&mut account);
    app.meta.put_account(account);
}

fn writes(app: &App) {
    let Value::Object(hello) = json!({"type": "text", "text": {"body": "hello"}}) else { unreachable!() };
    let hello: Map<String, Value> = hello;
    app.meta.customer_writes("15550002222", NEW, hello).unwrap();
}

#[tokio::test]
async fn a_number_that_works_says_so_hop_by_hop() {
    let app = connected(false).await;
    let before = health(&app).await;
    assert_eq!((before["health"].as_str(), before["looked_at"].is_null()), (Some("unknown"), true));
    writes(&app);
    app.drain().await;
    let healthy = look(&app).await;
    assert_eq!((healthy["health"].as_str(), healthy["broken"].as_str()), (Some("ok"), None), "{healthy:#}");
    assert_eq!(healthy["hops"].as_array().unwrap().len(), HealthCheck::ALL.len());
    let webhooks = healthy["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == "webhooks").unwrap().clone();
    assert!(webhooks["seen"].as_str().unwrap().contains("messages 2026-11-20T12Z"), "{webhooks}");
    // Results older than three days do not count.
    app.advance(3 * 86_400);
    assert_eq!(state(&health(&app).await, "token"), "unknown");
    // A health check requested through the API runs with the next scheduled run.
    assert_eq!(app.api("POST", &format!("/v1/numbers/{NEW}/health"), None).await.status, StatusCode::ACCEPTED);
    Box::pin(app.functions.visit_tokens()).await.unwrap();
    assert_eq!(state(&health(&app).await, "token"), "ok");
    let foreign = app.api("GET", "/v1/numbers/900100200300999/health", None).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_door_of_the_webhooks_own_is_ours_and_is_the_one_to_copy() {
    let mut app = connected(false).await;
    let door = app.stack.public_url.replace("https://api.example.com".to_owned()).unwrap();
    app.restart();
    assert_eq!(state(&look(&app).await, "callback"), "broken", "what Meta calls is not the API's name");
    // A function URL ends with a slash.
    app.stack.webhook_url = Some(format!("{door}/"));
    app.restart();
    let seen = look(&app).await;
    assert_eq!((state(&seen, "callback"), state(&seen, "signature")), ("ok".to_owned(), "ok".to_owned()), "{seen}");
    let copied = app.api("GET", &format!("/v1/numbers/{NEW}/webhook"), None).await.json();
    assert_eq!(copied["callback_url"], format!("{door}/webhooks/meta/sandbox"));
}

#[tokio::test]
async fn each_broken_hop_is_the_one_that_is_named() {
    type Break = fn(&App);
    let cases: [(&str, Break); 9] = [
        ("app_fields", |app| app.meta.subscribe_fields(&["messages"])),
        ("callback", |app| {
            change(app, |account| account.override_url = Some("https://elsewhere.example/hook".to_owned()));
        }),
        ("callback", |app| {
            change(app, |account| account.numbers[0].override_url = Some("https://elsewhere.example/hook".to_owned()));
        }),
        ("account_subscription", |app| change(app, |account| account.subscribed.clear())),
        ("token", |app| app.meta.withdraw_tokens(ACCOUNT)),
        ("registration", |app| change(app, |account| account.numbers[0].registered = false)),
        ("limits", |app| change(app, |account| account.numbers[0].quality = Some("RED".to_owned()))),
        ("registration", |app| change(app, |account| account.numbers.clear())),
        ("sending", |app| {
            let Value::Object(value) = json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}})
            else {
                unreachable!()
            };
            app.meta.reports(ACCOUNT, "account_update", &value);
        }),
    ];
    for (hop, breaks) in cases {
        let app = connected(false).await;
        breaks(&app);
        Box::pin(app.drain()).await;
        let health = look(&app).await;
        assert_eq!(health["broken"], hop, "{health:#}");
        let found = health["hops"].as_array().unwrap().iter().find(|one| one["hop"] == hop).unwrap();
        assert!(!found["remedy"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn doors_that_do_not_answer_as_they_must_are_broken() {
    // The stored secrets differ from those cached by the gateway.
    let app = connected(false).await;
    let other = shared::domain::accounts::app::MetaApp {
        id: shared::domain::ids::MetaAppId::parse("sandbox").unwrap(),
        app_secrets: vec![shared::secret::Secret::new(app.seed.app_secret.clone())],
        verify_tokens: vec![shared::secret::Secret::new("another".to_owned())],
    };
    // Puts the old secrets into the functions' caches.
    look(&app).await;
    app.stack.operator.put_app(&other).await.unwrap();
    assert_eq!(look(&app).await["broken"], "handshake");
}

#[tokio::test]
async fn meta_that_does_not_tell_leaves_hops_unknown_and_never_broken() {
    let app = connected(true).await;
    for call in ["app_subscriptions", "subscriptions", "account", "phone_numbers"] {
        app.meta.script_call(call, [ScriptedFault::Html502]);
    }
    let health = look(&app).await;
    assert_eq!((health["health"].as_str(), health["broken"].is_null()), (Some("unknown"), true), "{health:#}");
    // A coexistence number needs more webhook fields, and more kinds of webhooks must have been received.
    app.meta.subscribe_fields(&["messages", "account_update"]);
    let health = look(&app).await;
    assert_eq!(
        (health["broken"].as_str(), state(&health, "coexistence").as_str()),
        (Some("app_fields"), "unknown"),
        "{health:#}"
    );
}

#[tokio::test]
async fn the_throughput_that_meta_names_is_the_pace_of_the_number() {
    let app = connected(false).await;
    let number = shared::domain::ids::NumberId::parse(NEW).unwrap();
    for (level, rate) in [("HIGH", 1_000), ("STANDARD", 80)] {
        app.advance(60);
        change(&app, |account| account.numbers[0].throughput = Some(level.to_owned()));
        look(&app).await;
        let known = app.stack.operator.table.number_get(&number).await.unwrap().unwrap();
        let standing = app.stack.operator.table.number_status_get(&known).await.unwrap();
        assert_eq!(known.rate(&standing), rate);
    }
    let shown = app.api("GET", &format!("/v1/numbers/{NEW}"), None).await.json();
    let states = shown["states"].as_array().unwrap();
    for aspect in ["throughput", "quality_rating", "messaging_limit", "name_status"] {
        assert!(
            states.iter().any(|state| state["aspect"] == aspect && state["state"].is_string()),
            "{aspect}: {shown:#}"
        );
    }
}
