//! The send policy: the same function decides at the API, at `send-options` and in the worker.

use axum::http::StatusCode;
use sandbox::meta::{MetaTemplate, ScriptedFault, StatusOrder};
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, WABA, effort};

async fn open_window() -> App {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app
}

fn template(name: &str, category: Option<&str>) -> Value {
    let mut order = json!({"from": NUMBER, "to": format!("+{CUSTOMER}"), "type": "template",
        "template": {"name": name, "language": {"code": "en_US"}}});
    if let Some(category) = category {
        order["category"] = json!(category);
    }
    order
}

async fn send(app: &App, order: &Value) -> (u16, String) {
    let answer = app.api("POST", "/v1/messages", Some(order.clone())).await;
    (answer.status.as_u16(), answer.json()["code"].as_str().unwrap_or("accepted").to_owned())
}

async fn report(app: &App, field: &str, value: Value) {
    let Value::Object(value) = value else { unreachable!() };
    app.meta.reports(WABA, field, &value);
    app.drain().await;
    // Longer than the number's status is cached.
    app.advance(16);
}

async fn options(app: &App) -> Value {
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    app.api("GET", &format!("/v1/conversations/{id}/send-options"), None).await.json()
}

#[tokio::test]
async fn send_options_say_what_may_be_sent_and_why_not() {
    let app = open_window().await;
    let now = options(&app).await;
    assert_eq!(
        now["free_form"],
        json!({"allowed": true, "until": "2026-11-21T11:55:00.000Z", "reason": null, "remedy": null})
    );
    assert_eq!(now["templates"]["marketing"]["allowed"], true);
    app.advance(24 * 3_600 - 300);
    let late = options(&app).await;
    assert_eq!(late["free_form"]["reason"], "window_closed");
    assert!(late["free_form"]["remedy"].as_str().unwrap().contains("template"));
    assert_eq!(send(&app, &crate::harness::to_customer("late")).await, (409, "window_closed".to_owned()));
    assert_eq!(send(&app, &template("hello_world", None)).await.0, 202);
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 1);
    let foreign = app.api("GET", "/v1/conversations/900100200300501-con_01ARZ3NDEKTSV4RRFFQ69G5FAV/send-options", None);
    assert_eq!(foreign.await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_message_that_waited_until_the_window_closed_is_not_sent_or_a_template_is_sent_instead() {
    for fallback in [false, true] {
        let app = open_window().await;
        if fallback {
            let path = format!("/v1/numbers/{NUMBER}/fallback-template");
            let set = json!({"name": "we_answered", "language": {"code": "en_US"}});
            let wrong = json!({"name": "We answered", "language": {"code": "en_US"}});
            assert_eq!(app.api("PUT", &path, Some(wrong)).await.json()["field"], "name");
            assert_eq!(app.api("PUT", &path, Some(set)).await.status, StatusCode::NO_CONTENT);
            let shown = app.api("GET", &format!("/v1/numbers/{NUMBER}"), None).await.json();
            assert_eq!(shown["fallback_template"]["name"], "we_answered", "{shown}");
        }
        app.advance(23 * 3_600);
        assert_eq!(app.send("in time", None).await.status, StatusCode::ACCEPTED);
        app.advance(3_600);
        app.recover().await;
        let message = app.messages().await.remove(0);
        if fallback {
            assert_eq!(
                (message["status"].as_str(), message["sent_instead"].as_str()),
                (Some("read"), Some("we_answered"))
            );
            assert_eq!(app.meta.sent()[0].body["template"]["name"], "we_answered");
            // With a fallback template a message outside the window is accepted.
            assert_eq!(app.send("late", None).await.status, StatusCode::ACCEPTED);
        } else {
            assert_eq!(
                (message["status"].as_str(), message["error"]["title"].as_str()),
                (Some("failed"), Some("window_closed"))
            );
            assert!(message["error"]["remedy"].as_str().unwrap().contains("template"));
            assert!(app.meta.sent().is_empty());
        }
    }
}

#[tokio::test]
async fn a_customer_who_stopped_marketing_gets_none_and_everything_else() {
    let app = open_window().await;
    let wants = |value: &str, at: i64| {
        json!({"messaging_product": "whatsapp", "metadata": {"display_phone_number": "15550001111", "phone_number_id": NUMBER},
            "user_preferences": [{"wa_id": CUSTOMER, "detail": "stop", "category": "marketing_messages", "value": value, "timestamp": at}]})
    };
    report(&app, "user_preferences", wants("stop", 1_795_176_000)).await;
    assert_eq!(send(&app, &template("hello_world", Some("marketing"))).await, (409, "opted_out".to_owned()));
    assert_eq!(
        send(&app, &template("hello_world", None)).await,
        (409, "opted_out".to_owned()),
        "an unknown category is the strictest"
    );
    assert_eq!(send(&app, &template("hello_world", Some("utility"))).await.0, 202);
    assert_eq!(send(&app, &crate::harness::to_customer("an answer")).await.0, 202);
    report(&app, "user_preferences", wants("resume", 1_795_176_010)).await;
    assert_eq!(send(&app, &template("hello_world", Some("marketing"))).await.0, 202);
}

#[tokio::test]
async fn what_meta_answers_later_counts_for_the_messages_to_come() {
    // 131050: opted out. 131049: a growing pause. 130403: blocked. 131026: no effect on later messages.
    let cases =
        [(131_050, "opted_out", 40 * 86_400), (131_049, "cool_down", 86_400), (130_403, "contact_blocked", 3_600)];
    for (code, reason, until) in cases {
        let app = App::start().await;
        app.meta.script([ScriptedFault::FailLater { code }]);
        let first = app.api("POST", "/v1/messages", Some(template("hello_world", Some("marketing")))).await.json();
        app.drain().await;
        let id = first["conversation_id"].as_str().unwrap().to_owned();
        let options = app.api("GET", &format!("/v1/conversations/{id}/send-options"), None).await.json();
        assert_eq!(options["templates"]["marketing"]["reason"], reason, "{options}");
        app.advance(until - 60);
        let options = app.api("GET", &format!("/v1/conversations/{id}/send-options"), None).await.json();
        assert_eq!(options["templates"]["marketing"]["reason"], reason, "{options}");
        app.advance(120);
        let options = app.api("GET", &format!("/v1/conversations/{id}/send-options"), None).await.json();
        assert_eq!(options["templates"]["marketing"]["allowed"], reason != "opted_out", "{options}");
    }
}

#[tokio::test]
async fn a_banned_account_a_stopped_template_and_a_lost_token_stop_what_they_concern() {
    let app = open_window().await;
    let paused = |event: &str| {
        json!({"event": event, "message_template_id": 1_234, "message_template_name": "hello_world",
        "message_template_language": "en-US", "reason": null, "message_template_category": "MARKETING"})
    };
    for (word, code) in [("DISABLED", 132_016), ("PAUSED", 132_015)] {
        app.advance(1);
        report(&app, "message_template_status_update", paused(word)).await;
        let refused = app.api("POST", "/v1/messages", Some(template("hello_world", None))).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        assert_eq!((&refused.json()["code"], &refused.json()["meta_code"]), (&json!("template_stopped"), &json!(code)));
    }
    app.advance(1);
    assert_eq!(send(&app, &template("we_answered", None)).await.0, 202);
    report(&app, "message_template_status_update", paused("APPROVED")).await;
    assert_eq!(send(&app, &template("hello_world", None)).await.0, 202);
    let ban = |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state, "waba_ban_date": "2026-11-20"}});
    report(&app, "account_update", ban("DISABLE")).await;
    assert_eq!(send(&app, &crate::harness::to_customer("hi")).await, (409, "banned".to_owned()));
    report(&app, "account_update", ban("REINSTATE")).await;
    assert_eq!(send(&app, &crate::harness::to_customer("hi")).await.0, 202);
    let restriction = json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1_795_200_000}]});
    report(&app, "account_update", restriction).await;
    assert_eq!(options(&app).await["templates"]["utility"]["reason"], "restricted");
    assert_eq!(options(&app).await["free_form"]["allowed"], true);
}

#[tokio::test]
async fn a_template_that_meta_refuses_is_stopped_and_somebody_is_told() {
    let app = App::start().await;
    app.meta.put_template(MetaTemplate {
        name: "order_update".to_owned(),
        language: "en_US".to_owned(),
        status: "DISABLED".to_owned(),
        ..MetaTemplate::default()
    });
    assert_eq!(send(&app, &template("order_update", None)).await.0, 202);
    app.drain().await;
    assert_eq!(send(&app, &template("order_update", None)).await, (409, "template_stopped".to_owned()));
    let alerts = app.api("GET", "/v1/alerts", None).await.json();
    assert_eq!(alerts["data"][0]["remedy"], "Create a new template.", "{alerts}");
}

#[tokio::test]
async fn payment_trouble_stops_the_number_for_an_hour_and_an_unknown_code_is_final_and_told() {
    let app = open_window().await;
    app.meta.script([ScriptedFault::Error { http: 400, code: 131_042, message: "payment".to_owned() }]);
    app.send("one", None).await;
    app.drain().await;
    assert_eq!(last_answer(&app).await["status"], "failed");
    app.advance(20);
    assert_eq!(options(&app).await["free_form"]["reason"], "stopped");
    app.send("two", None).await;
    app.drain().await;
    assert_eq!(last_answer(&app).await["status"], "queued", "it waits instead of failing");
    for _ in 0..3 {
        app.recover().await;
    }
    assert_eq!(last_answer(&app).await["status"], "read", "an hour later");
    app.meta.script([ScriptedFault::Error { http: 400, code: 999_999, message: "new".to_owned() }]);
    app.send("three", None).await;
    app.drain().await;
    let message = last_answer(&app).await;
    assert_eq!((message["status"].as_str(), message["error"]["code"].as_i64()), (Some("failed"), Some(999_999)));
    let alerts = app.api("GET", "/v1/alerts", None).await.json().to_string();
    assert!(alerts.contains("999999") && alerts.contains("131042"), "{alerts}");
}

async fn last_answer(app: &App) -> Value {
    app.messages().await.into_iter().find(|message| message["direction"] == "outbound").unwrap()
}

/// A small random number generator. The run prints its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test]
async fn whatever_happens_meta_never_has_to_say_that_the_window_is_closed() {
    let (mut sent, seeds) = (0, effort::count(6, 12));
    for seed in 0..seeds {
        let (app, mut dice) = (App::start().await, Dice(seed));
        app.meta.order_statuses(StatusOrder::Normal);
        for _ in 0..120 {
            match dice.roll(5) {
                0 => drop(app.customer_writes("hello")),
                1 => app.advance(i64::try_from(dice.roll(9 * 3_600)).unwrap()),
                2 => app.advance(i64::try_from(dice.roll(600)).unwrap()),
                3 => {
                    app.deliver().await;
                    app.functions.poll_inbound().await;
                    app.functions.poll_outbound().await;
                }
                _ => {
                    let answer = app.send("an answer", None).await;
                    assert!([202, 409].contains(&answer.status.as_u16()), "{}", answer.text);
                }
            }
        }
        app.recover().await;
        sent += app.meta.sent().len();
        for message in app.messages().await {
            assert_ne!(message["error"]["code"], 131_047, "seed {seed}: {message}");
        }
    }
    assert!(sent > effort::count(50, 100), "{sent}");
    println!("{sent} sends in {seeds} random runs of days: 0 x 131047");
}

#[tokio::test]
async fn a_message_that_waits_for_its_customers_peace_does_not_hold_back_an_answer() {
    let app = App::start().await;
    app.meta.script([ScriptedFault::FailLater { code: 131_049 }]);
    send(&app, &template("hello_world", Some("marketing"))).await;
    app.drain().await;
    app.advance(3_600);
    let late = json!({"send_before": "2026-11-23T12:00:00Z"});
    let mut offer = template("hello_world", Some("marketing"));
    offer.as_object_mut().unwrap().extend(late.as_object().unwrap().clone());
    assert_eq!(send(&app, &offer).await.0, 202, "it waits");
    assert_eq!(send(&app, &template("we_answered", Some("utility"))).await.0, 202);
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 2, "the other one is out");
    for _ in 0..48 {
        app.recover().await;
    }
    assert_eq!(app.meta.sent().len(), 3, "and the offer, a day later");
}
