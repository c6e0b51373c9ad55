//! The shareable signup link and its page: opening it has no effect, and only permitted pages can finish a signup.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, App};
use crate::onboarding::{ACCOUNT, business, finished, grant, post, settle, shown};
use crate::partner::settings;

async fn linked(app: &App) -> Value {
    let started = app.api("POST", "/v1/onboardings", Some(json!({"app": "sandbox", "link_days": 7}))).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.text);
    started.json()
}

async fn open(app: &App, started: &Value, link: &str) -> Answer {
    let request = Request::post(format!("/v1/onboardings/{}/open", started["id"].as_str().unwrap()))
        .body(Body::from(json!({"link": link}).to_string()))
        .unwrap();
    app.request(request).await
}

#[tokio::test]
async fn a_link_works_for_days_and_each_opening_has_a_state_of_its_own() {
    let app = business().await;
    let started = linked(&app).await;
    let (path, secret) = started["link"]["path"].as_str().unwrap().split_once('#').unwrap();
    // A messenger fetches the page for a preview.
    let page = app.request(Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("Connect your WhatsApp number") && !page.text.contains("{{"), "{}", page.text);
    assert!(!page.text.contains(secret));
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    app.advance(3 * 86_400);
    for wrong in ["", "x", started["state"].as_str().unwrap()] {
        assert_eq!(open(&app, &started, wrong).await.status, StatusCode::NOT_FOUND);
    }
    let first = open(&app, &started, secret).await.json();
    let second = open(&app, &started, secret).await.json();
    assert_eq!(second["popup"]["app_id"], "900100200300101");
    let code = app.meta.popup(grant(&[ACCOUNT]));
    for old in [&started["state"], &first["state"]] {
        let late = post(&app, &started, json!({"state": old, "code": code, "event": finished()})).await;
        assert_eq!(late.status, StatusCode::NOT_FOUND, "a state that another opening replaced");
    }
    let done = post(&app, &started, json!({"state": second["state"], "code": code, "event": finished()})).await;
    assert_eq!(done.status, StatusCode::ACCEPTED, "{}", done.text);
    settle(&app).await;
    assert_eq!(shown(&app, &started).await["status"], "connected");
    // A later opening shows the result.
    assert_eq!(open(&app, &started, secret).await.json()["status"], "connected");
}

#[tokio::test]
async fn a_link_ends_and_a_signup_without_one_has_none() {
    let app = business().await;
    let started = linked(&app).await;
    let secret = started["link"]["path"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    app.advance(8 * 86_400);
    let late = open(&app, &started, &secret).await;
    assert_eq!((late.status.as_u16(), late.json()["code"].as_str()), (410, Some("onboarding_expired")));
    assert_eq!(shown(&app, &started).await["status"], "expired");
    let days = app.api("POST", "/v1/onboardings", Some(json!({"app": "sandbox", "link_days": 31}))).await;
    assert_eq!(days.json()["field"], "link_days");
    let without = crate::onboarding::start(&app).await;
    assert!(without.get("link").is_none());
    assert_eq!(open(&app, &without, without["state"].as_str().unwrap()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_page_of_a_foreign_origin_can_finish_nothing() {
    let app = business().await;
    settings(&app, |settings| settings.origins = vec!["https://app.example.com".to_owned()]).await;
    let started = crate::onboarding::start(&app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    let from = async |origin: &str, method: &str| {
        let body = json!({"state": started["state"], "code": code, "event": finished()}).to_string();
        let request = Request::builder().method(method).uri(started["finish_path"].as_str().unwrap());
        let request = request.header("host", "switchboard.example").header("origin", origin);
        app.request(request.body(Body::from(body)).unwrap()).await
    };
    let foreign = [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://app.example.com:444",
        "http://switchboard.example",
        "null",
        "",
    ];
    for origin in foreign {
        for method in ["POST", "OPTIONS"] {
            let answer = from(origin, method).await;
            assert_eq!(
                (answer.status, answer.json()["code"].as_str()),
                (StatusCode::FORBIDDEN, Some("foreign_origin")),
                "{origin}"
            );
            assert!(!answer.headers.contains_key("access-control-allow-origin"));
        }
    }
    assert_eq!(app.meta.calls_of("oauth"), 0);
    let asked = from("https://app.example.com", "OPTIONS").await;
    assert_eq!(
        (asked.status, &asked.headers["access-control-allow-origin"]),
        (StatusCode::NO_CONTENT, &"https://app.example.com".parse().unwrap())
    );
    let named = from("https://app.example.com", "POST").await;
    assert_eq!(named.status, StatusCode::ACCEPTED);
    assert_eq!(named.headers["access-control-allow-origin"], "https://app.example.com");
    // The installation's own page.
    assert_eq!(from("https://switchboard.example", "POST").await.status, StatusCode::ACCEPTED);
}
