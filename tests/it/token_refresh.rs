//! Access tokens over months: renewed before they expire, replaced only by a checked token, and reported in time. A
//! dead token stops sending, never receiving.

use axum::http::StatusCode;
use sandbox::meta::{PopupOrder, ScriptedFault};
use serde_json::{Map, Value, json};

use crate::harness::{App, effort};
use crate::onboarding::{ACCOUNT, NEW, business, finished, grant, post, settle, shown, start};
use crate::partner::with_credit;

const HOUR: i64 = 3_600;

/// Returns an installation with a number whose tokens last this many days.
async fn connected(days: Option<i64>) -> App {
    let app = business().await;
    connect(&app, days).await;
    app
}

async fn connect(app: &App, days: Option<i64>) {
    let started = start(app).await;
    let code = app.meta.popup(PopupOrder { days, ..grant(&[ACCOUNT]) });
    post(app, &started, json!({"code": code, "event": finished()})).await;
    settle(app).await;
    assert_eq!(shown(app, &started).await["status"], "connected");
}

/// Connects by a popup configuration that returns a short-lived user token.
async fn connect_user(app: &App, days: Option<i64>) {
    let started = start(app).await;
    let token = app.meta.popup_for_token(PopupOrder { days, ..grant(&[ACCOUNT]) });
    post(app, &started, json!({"access_token": token, "event": finished()})).await;
    settle(app).await;
    assert_eq!(shown(app, &started).await["status"], "connected");
}

async fn send(app: &App) -> StatusCode {
    let order = json!({"from": NEW, "to": "+15550002222", "type": "template", "category": "utility",
        "template": {"name": "hello_world", "language": {"code": "en_US"}}});
    app.api("POST", "/v1/messages", Some(order)).await.status
}

fn refused(http: u16, code: i64) -> ScriptedFault {
    ScriptedFault::Error { http, code, message: "scripted".to_owned() }
}

async fn alerts(app: &App) -> Vec<String> {
    let answer = app.api("GET", "/v1/alerts?limit=100", None).await.json();
    let word = |alert: &Value| alert["state"].as_str().or(alert["word"].as_str()).unwrap_or_default().to_owned();
    answer["data"].as_array().unwrap().iter().filter(|alert| alert["aspect"] == "token").map(word).collect()
}

#[tokio::test]
async fn over_two_hundred_days_no_send_fails_for_its_token() {
    for (days, user) in [(None, false), (Some(60), false), (Some(60), true)] {
        let app = business().await;
        if user {
            connect_user(&app, days).await;
        } else {
            connect(&app, days).await;
        }
        // The everyday run has two renewals of each token.
        let all = effort::count(100, 200_i64);
        for day in 0..all {
            for visit in 0..4 {
                // Meta fails at times.
                if (day * 7 + visit * 3) % 5 == 0 {
                    app.meta.script_call("debug_token", [ScriptedFault::Html502]);
                }
                if day % 45 == 0 && visit == 0 {
                    let fault = if day % 2 == 0 { ScriptedFault::DropAfter } else { refused(400, 2) };
                    app.meta.script_call("oauth", [fault]);
                }
                let (one, other) = tokio::join!(app.functions.visit_tokens(), app.functions.visit_tokens());
                assert!(one.is_ok() && other.is_ok());
                app.advance(6 * HOUR);
            }
            assert_eq!(send(&app).await, StatusCode::ACCEPTED, "day {day}");
            while app.functions.poll_outbound().await > 0 {}
            assert_eq!(app.meta.sent_count(), usize::try_from(day).unwrap() + 1, "day {day}, {days:?}");
        }
        let renewed = app.functions.metrics.total("token_refresh");
        println!(
            "{all} days, tokens of {days:?} days (of a user: {user}): {} sends, {renewed} counts of token_refresh",
            app.meta.sent_count()
        );
        assert_eq!(renewed > 0, days.is_some());
        // If Meta fails twice on the day of the first renewal, an alert is raised; the next try succeeds.
        let told = alerts(&app).await;
        assert!(told.iter().all(|word| word == "ends_in_14_days"), "{told:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_renewed_is_told_in_time_and_stops_sending_only() {
    let app = connected(Some(60)).await;
    app.meta.script_call("oauth", (0..10_000).map(|_| refused(400, 100)));
    for _ in 0..62 * 4 {
        app.functions.visit_tokens().await.unwrap();
        app.advance(6 * HOUR);
    }
    let told = alerts(&app).await;
    for expected in ["ends_in_14_days", "ends_in_7_days", "ends_in_3_days", "withdrawn"] {
        assert!(told.iter().any(|word| word == expected), "{expected}: {told:?}");
    }
    // Customers can write; outbound messages wait for a new token.
    let Value::Object(hello) = json!({"type": "text", "text": {"body": "are you there?"}}) else { unreachable!() };
    let hello: Map<String, Value> = hello;
    app.meta.customer_writes("15550002222", NEW, hello).unwrap();
    app.drain().await;
    assert_eq!(app.texts("inbound").await, ["are you there?"]);
    let before = app.meta.sent_count();
    send(&app).await;
    app.drain().await;
    assert_eq!(app.meta.sent_count(), before);
}

#[tokio::test]
async fn a_withdrawn_token_holds_what_is_to_be_sent_until_the_number_is_connected_again() {
    let app = connected(None).await;
    assert_eq!(send(&app).await, StatusCode::ACCEPTED);
    app.meta.withdraw_tokens(ACCOUNT);
    app.drain().await;
    assert_eq!(app.meta.sent_count(), 0);
    connect(&app, None).await;
    app.recover().await;
    assert_eq!(app.meta.sent_count(), 1, "what waited is sent");
}

#[tokio::test]
async fn where_a_token_cannot_be_extended_our_own_system_user_asks_for_another() {
    let app = business().await;
    with_credit(&app).await;
    connect(&app, Some(60)).await;
    app.meta.script_call("oauth", (0..10_000).map(|_| refused(400, 100)));
    for _ in 0..62 * 4 {
        app.functions.visit_tokens().await.unwrap();
        app.advance(6 * HOUR);
    }
    assert!(app.meta.calls_of("business_token") >= 1);
    assert_eq!(alerts(&app).await, Vec::<String>::new());
    assert_eq!(send(&app).await, StatusCode::ACCEPTED);
    while app.functions.poll_outbound().await > 0 {}
    assert_eq!(app.meta.sent_count(), 1);
}
