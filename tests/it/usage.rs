//! Usage: every sent message is counted once, despite repetitions. Also profiles, short links and blocked customers at
//! Meta.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use sandbox::meta::StatusOrder;
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, WABA, ask};

async fn usage(app: &App, query: &str) -> Value {
    let answer = app.api("GET", &format!("/v1/usage{query}"), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn each_message_is_counted_once_however_often_meta_repeats_itself() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app.send("one", None).await;
    app.drain().await;
    // Backwards, and each twice.
    app.meta.order_statuses(StatusOrder::ReversedTwice);
    app.send("two", None).await;
    app.drain().await;
    app.meta.order_statuses(StatusOrder::Normal);
    app.meta.script([sandbox::meta::ScriptedFault::FailLater { code: 131_026 }]);
    app.send("three", None).await;
    app.drain().await;
    let counted = usage(&app, "").await;
    let total = &counted["total"];
    assert_eq!(
        (&total["messages"], &total["sent"], &total["delivered"], &total["read"], &total["failed"]),
        (&json!(3), &json!(2), &json!(2), &json!(2), &json!(1)),
        "{counted:#}"
    );
    assert_eq!(counted["data"][0]["day"], "2026-11-20");
    // Replays the whole archive.
    let replay = app.api("POST", "/v1/replays", Some(json!({"source": "archive"}))).await;
    assert_eq!(replay.status, StatusCode::ACCEPTED);
    app.drain().await;
    assert_eq!(usage(&app, "").await, counted);
    // The next day is counted separately.
    app.advance(86_400);
    app.customer_writes("again");
    app.drain().await;
    app.send("four", None).await;
    app.drain().await;
    assert_eq!(usage(&app, "?from=2026-11-21&until=2026-11-21").await["total"]["messages"], 1);
    assert_eq!(usage(&app, "?from=2026-11-20&until=2026-11-20").await["total"]["messages"], 3);
    assert_eq!(usage(&app, &format!("?number_id={NUMBER}")).await["total"]["messages"], 4);
    for (query, field) in [
        ("?from=2026-11-22", "from"),
        ("?from=2026-10-01", "from"),
        ("?from=x", "from"),
        ("?number_id=900100200300599", "number_id"),
        ("?month=11", "query"),
    ] {
        let refused = app.api("GET", &format!("/v1/usage{query}"), None).await;
        assert_eq!((refused.status.as_u16(), refused.json()["field"].as_str()), (422, Some(field)), "{query}");
    }
}

#[tokio::test]
async fn what_meta_charges_for_is_what_was_counted() {
    let app = App::start().await;
    let bill = async |query: &str| app.api("GET", &format!("/v1/accounts/{WABA}/billing{query}"), None).await;
    app.customer_writes("hello");
    app.drain().await;
    let template = json!({"from": NUMBER, "to": "+15550003333", "type": "template",
        "template": {"name": "hello_world", "language": {"code": "en_US"}}});
    for day in 0..3 {
        app.send(&format!("answer of day {day}"), None).await;
        for _ in 0..=day {
            assert_eq!(app.api("POST", "/v1/messages", Some(template.clone())).await.status, StatusCode::ACCEPTED);
        }
        // An undelivered message is not charged.
        app.meta.script([sandbox::meta::ScriptedFault::FailLater { code: 131_026 }]);
        app.drain().await;
        app.advance(86_400);
        app.customer_writes("and?");
        app.drain().await;
    }
    let billed = bill("").await.json();
    assert_eq!(billed["currency"], "USD");
    assert_eq!(billed["credit_exposure"], Value::Null);
    let total = &billed["total"];
    assert_eq!(total["difference"], 0, "{billed:#}");
    assert!(total["delivered"].as_u64() > Some(4) && total["delivered"] == total["meta_volume"], "{billed:#}");
    let cost = total["billable"].as_f64().unwrap() * 0.05;
    assert!((total["meta_cost"].as_f64().unwrap() - cost).abs() < 1e-9, "{billed:#}");
    let lines = billed["data"].as_array().unwrap();
    assert!(lines.iter().all(|line| line["difference"] == 0 && line["number_id"] == NUMBER), "{billed:#}");
    assert!(lines.iter().any(|line| line["category"] == "utility" && line["pricing_type"] == "regular"));
    // Messages of another app appear only in Meta's figures.
    let foreign = json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": format!("+{CUSTOMER}"),
        "type": "text", "text": {"body": "by another app"}});
    let graph = format!("{}/v25.0/{NUMBER}/messages", app.graph_url());
    let sent = shared::provider::meta::graph::plain_client()
        .unwrap()
        .post(graph)
        .bearer_auth(&app.seed.access_token)
        .body(foreign.to_string());
    let sent = sent.send().await.unwrap();
    assert_eq!(sent.status(), 200, "{}", sent.text().await.unwrap());
    app.drain().await;
    assert_eq!(bill("").await.json()["total"]["difference"], -1);
    for (query, field) in [("?from=2026-10-01", "from"), ("?until=tomorrow", "until"), ("?day=1", "query")] {
        let refused = bill(query).await;
        assert_eq!((refused.status.as_u16(), refused.json()["field"].as_str()), (422, Some(field)), "{query}");
    }
}

#[tokio::test]
async fn a_profile_is_read_and_changed_with_its_picture() {
    let app = App::start().await;
    let path = format!("/v1/numbers/{NUMBER}/profile");
    let changed = app
        .api(
            "PATCH",
            &path,
            Some(json!({"about": "Open from 9 to 5", "websites": ["https://shop.example"], "vertical": "RETAIL"})),
        )
        .await;
    assert_eq!(
        (changed.status, &changed.json()["about"]),
        (StatusCode::OK, &json!("Open from 9 to 5")),
        "{}",
        changed.text
    );
    let picture =
        Request::put(format!("{path}/picture")).header("authorization", format!("Bearer {}", app.seed.api_key));
    let put = app.request(picture.body(Body::from(crate::kinds::JPEG)).unwrap()).await;
    assert_eq!(put.status, StatusCode::NO_CONTENT, "{}", put.text);
    let shown = app.api("GET", &path, None).await.json();
    assert_eq!(shown["websites"], json!(["https://shop.example"]));
    assert!(shown["profile_picture_url"].is_string());
    // A dead token is reported as such, because a retry would not help.
    app.meta.withdraw_tokens(crate::harness::WABA);
    let refused = app.api("GET", &path, None).await;
    assert_eq!((refused.status, &refused.json()["meta_code"]), (StatusCode::CONFLICT, &json!(190)), "{}", refused.text);
    assert!(refused.json()["remedy"].as_str().unwrap().contains("Reconnect"));
    app.meta.put_token(&app.seed.access_token, sandbox::sandbox::seeded_account());
    for (body, field) in [
        (json!({"about": ""}), "about"),
        (json!({"about": "x".repeat(140)}), "about"),
        (json!({"websites": ["shop.example"]}), "websites"),
        (json!({"websites": ["https://a.example", "https://b.example", "https://c.example"]}), "websites"),
        (json!({"email": "nobody"}), "email"),
        (json!({"vertical": "SPACE"}), "vertical"),
        (json!({}), "about"),
        (json!({"messaging_product": "x"}), "messaging_product"),
    ] {
        let refused = app.api("PATCH", &path, Some(body)).await;
        assert_eq!((refused.status.as_u16(), refused.json()["field"].as_str()), (422, Some(field)), "{}", refused.text);
    }
}

#[tokio::test]
async fn short_links_are_made_changed_and_deleted() {
    let app = App::start().await;
    let path = format!("/v1/numbers/{NUMBER}/links");
    let made = app.api("POST", &path, Some(json!({"message": "I have a question", "qr_image": "SVG"}))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let one = format!("{path}/{}", made.json()["id"].as_str().unwrap());
    assert!(made.json()["qr_image_url"].is_string());
    assert_eq!(app.api("PATCH", &one, Some(json!({"message": "Hello"}))).await.json()["message"], "Hello");
    assert_eq!(app.api("GET", &path, None).await.json()["data"].as_array().unwrap().len(), 1);
    assert_eq!(app.api("DELETE", &one, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.api("GET", &path, None).await.json()["data"], json!([]));
    assert_eq!(app.api("DELETE", &format!("{path}/..%2F..%2F1"), None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.api("POST", &path, Some(json!({"message": ""}))).await.json()["field"], "message");
}

#[tokio::test]
async fn who_is_blocked_gets_nothing_until_that_is_taken_back() {
    let app = App::start().await;
    app.customer_writes("rude words");
    app.drain().await;
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/conversations/{id}/block");
    assert_eq!(app.api("PUT", &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.send("hello", None).await.json()["code"], "contact_blocked");
    assert_eq!(app.api("DELETE", &path, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.send("hello", None).await.status, StatusCode::ACCEPTED);
    // Meta refuses to block a customer who has not written for a day.
    app.advance(86_400 + 60);
    let late = app.api("PUT", &path, None).await;
    assert_eq!((late.status.as_u16(), &late.json()["meta_code"]), (409, &json!(139_101)), "{}", late.text);
}

#[tokio::test]
async fn a_number_is_added_by_hand_only_with_a_token_that_meta_vouches_for() {
    let app = crate::onboarding::business().await;
    let (account, number) = (crate::onboarding::ACCOUNT, crate::onboarding::NEW);
    let code = app.meta.popup(crate::onboarding::grant(&[account]));
    let exchange = format!("{}/v25.0/oauth/access_token", app.graph_url());
    let form = [("client_id", "900100200300101"), ("client_secret", app.seed.app_secret.as_str()), ("code", &code)];
    let client = shared::provider::meta::graph::plain_client().unwrap();
    let given: Value = client.post(exchange).form(&form).send().await.unwrap().json().await.unwrap();
    let token = given["access_token"].as_str().unwrap();
    let body = |account: &str, number: &str, token: &str| json!({"phone_number_id": number, "waba_id": account, "app": "sandbox", "access_token": token});
    for (body, field) in [
        (body(account, number, "EAAnonsense"), "access_token"),
        (body(WABA, NUMBER, token), "access_token"),
        (body(account, "900100200300599", token), "phone_number_id"),
        (json!({"phone_number_id": number, "waba_id": account, "app": "nobody", "access_token": token}), "app"),
    ] {
        let refused = app.api("POST", "/v1/numbers", Some(body)).await;
        assert_eq!((refused.status.as_u16(), refused.json()["field"].as_str()), (422, Some(field)), "{}", refused.text);
        assert!(!refused.text.contains(token));
    }
    let added = app.api("POST", "/v1/numbers", Some(body(account, number, token))).await;
    assert_eq!(added.status, StatusCode::CREATED, "{}", added.text);
    assert!(added.json()["webhook"]["verify_token"].is_string());
    assert_eq!(added.json()["registered"], false, "the caller is told what is still to be done");
    let secret = shared::secret::Secret::new(app.seed.app_secret.clone());
    let proof = shared::provider::meta::oauth::appsecret_proof(&secret, &shared::secret::Secret::new(token.to_owned()));
    let register = client.post(format!("{}/v25.0/{number}/register", app.graph_url())).bearer_auth(token);
    let register = register.query(&[("appsecret_proof", proof.expose())]);
    let registered = register.json(&json!({"messaging_product": "whatsapp", "pin": "123456"})).send().await.unwrap();
    assert!(registered.status().is_success());
    assert_eq!(app.api("GET", "/v1/numbers", None).await.json()["data"].as_array().unwrap().len(), 2);
    // The number works: a customer writes, and is answered.
    crate::offboarding::says(&app, CUSTOMER, number, "hello");
    app.drain().await;
    let order = json!({"from": number, "to": format!("+{CUSTOMER}"), "type": "text", "text": {"body": "welcome"}});
    assert_eq!(app.api("POST", "/v1/messages", Some(order)).await.status, StatusCode::ACCEPTED);
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 1);
    // Another tenant cannot connect it, whatever token it has.
    let other = app.stack.operator.create_tenant("Other").await.unwrap();
    let scopes = [shared::domain::accounts::tenant::Scope::Manage];
    let key = app.stack.operator.create_key(Some(other), &scopes).await.unwrap();
    let taken = ask(&app, key.expose(), "POST", "/v1/numbers", body(account, number, token)).await;
    assert_eq!((taken.status.as_u16(), &taken.json()["code"]), (409, &json!("taken")));
}
