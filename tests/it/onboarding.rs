//! Onboarding: from the popup to a working number, despite failures (`docs/reliability.md#t3`).

use axum::http::StatusCode;
use sandbox::meta::{BusinessAccount, BusinessNumber, PopupOrder, ScriptedFault};
use serde_json::{Map, Value, json};

use crate::harness::{Answer, App};

pub(crate) const ACCOUNT: &str = "900100200300666";
pub(crate) const NEW: &str = "900100200300777";
const DIGITS: &str = "15550007777";

fn account(id: &str, numbers: &[BusinessNumber]) -> BusinessAccount {
    BusinessAccount { id: id.to_owned(), numbers: numbers.to_vec(), ..BusinessAccount::default() }
}

fn number(id: &str, digits: &str) -> BusinessNumber {
    BusinessNumber { id: id.to_owned(), display_phone_number: digits.to_owned(), ..BusinessNumber::default() }
}

/// Returns an installation and a business with one unconnected account and number.
pub(crate) async fn business() -> App {
    let app = App::start().await;
    app.meta.put_account(account(ACCOUNT, &[number(NEW, DIGITS)]));
    app
}

pub(crate) fn grant(accounts: &[&str]) -> PopupOrder {
    PopupOrder { accounts: accounts.iter().map(|id| (*id).to_owned()).collect(), ..PopupOrder::default() }
}

pub(crate) async fn start(app: &App) -> Value {
    let started = app.api("POST", "/v1/onboardings", Some(json!({"app": "sandbox"}))).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.text);
    started.json()
}

pub(crate) fn event(name: &str, data: &Value) -> Value {
    json!({"type": "WA_EMBEDDED_SIGNUP", "event": name, "version": 3, "data": data})
}

pub(crate) fn finished() -> Value {
    event("FINISH", &json!({"waba_id": ACCOUNT, "phone_number_id": NEW, "business_id": "900100200300001"}))
}

/// Posts the signup page's result, without an API key.
pub(crate) async fn post(app: &App, started: &Value, body: Value) -> Answer {
    let mut body = body;
    if body.get("state").is_none() {
        body["state"] = started["state"].clone();
    }
    let request = axum::http::Request::post(started["finish_path"].as_str().unwrap())
        .header("content-type", "application/json")
        .body(axum::body::Body::from(body.to_string()))
        .unwrap();
    app.request(request).await
}

/// Connects a new number; the page repeats unanswered posts. Returns the onboarding and the code.
pub(crate) async fn connect(app: &App) -> (Value, String) {
    app.meta.put_account(account(ACCOUNT, &[number(NEW, DIGITS)]));
    let started = start(app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    for _ in 0..2 {
        post(app, &started, json!({"code": code, "event": finished()})).await;
    }
    settle(app).await;
    assert_eq!(shown(app, &started).await["status"], "connected");
    (started, code)
}

/// Runs the jobs and advances over their waits.
pub(crate) async fn settle(app: &App) {
    for _ in 0..40 {
        while app.functions.poll_onboarding().await > 0 {}
        app.advance(60);
    }
}

pub(crate) async fn shown(app: &App, started: &Value) -> Value {
    let path = format!("/v1/onboardings/{}", started["id"].as_str().unwrap());
    app.api("GET", &path, None).await.json()
}

pub(crate) fn states(onboarding: &Value) -> Vec<String> {
    let state = |step: &Value| format!("{} {}", step["step"].as_str().unwrap(), step["state"].as_str().unwrap());
    onboarding["steps"].as_array().unwrap().iter().map(state).collect()
}

#[tokio::test]
async fn a_number_is_connected_and_a_message_goes_in_and_out() {
    let app = business().await;
    let started = start(&app).await;
    assert_eq!(started["popup"]["app_id"], "900100200300101");
    let code = app.meta.popup(grant(&[ACCOUNT]));
    let answer = post(&app, &started, json!({"code": code, "event": finished()})).await;
    assert_eq!((answer.status, answer.json()["status"].as_str()), (StatusCode::ACCEPTED, Some("running")));
    settle(&app).await;
    let onboarding = shown(&app, &started).await;
    assert_eq!(onboarding["status"], "connected", "{onboarding:#}");
    assert_eq!(
        states(&onboarding),
        [
            "exchange done",
            "prove done",
            "account done",
            "subscribe done",
            "override skipped",
            "credit skipped",
            "register done",
            "contacts skipped",
            "history skipped",
            "probe done"
        ]
    );
    // A repeated post returns the first result.
    let again = post(&app, &started, json!({"code": code, "event": finished()})).await;
    assert_eq!((again.status, again.json()["status"].as_str()), (StatusCode::OK, Some("connected")));
    assert_eq!((app.meta.calls_of("oauth"), app.meta.calls_of("register")), (1, 1));

    let Value::Object(hello) = json!({"type": "text", "text": {"body": "hello"}}) else { unreachable!() };
    let hello: Map<String, Value> = hello;
    app.meta.customer_writes("15550002222", NEW, hello).unwrap();
    app.drain().await;
    let reply = json!({"from": NEW, "to": "+15550002222", "type": "text", "text": {"body": "welcome"}});
    assert_eq!(app.api("POST", "/v1/messages", Some(reply)).await.status, StatusCode::ACCEPTED);
    app.drain().await;
    assert_eq!(app.only_status().await, "read");
}

#[tokio::test]
async fn a_number_of_the_business_app_is_not_registered() {
    let app = App::start().await;
    let phone = BusinessNumber { on_biz_app: true, ..number(NEW, DIGITS) };
    app.meta.put_account(account(ACCOUNT, &[phone, number("900100200300778", "15550007778")]));
    let started = start(&app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    app.meta.script_call("smb_app_data", [ScriptedFault::DropAfter]);
    let end = event("FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING", &json!({"waba_id": ACCOUNT}));
    post(&app, &started, json!({"code": code, "event": end})).await;
    settle(&app).await;
    let onboarding = shown(&app, &started).await;
    assert_eq!((onboarding["status"].as_str(), onboarding["phone_number_id"].as_str()), (Some("connected"), Some(NEW)));
    assert!(states(&onboarding).contains(&"register skipped".to_owned()));
    assert_eq!(app.meta.calls_of("register"), 0);
    // Contacts and history are requested once each, although a response was lost.
    assert!(states(&onboarding).contains(&"history done".to_owned()));
    assert_eq!(app.meta.business_account(ACCOUNT).unwrap().numbers[0].synced, ["smb_app_state_sync", "history"]);
    assert_eq!(app.meta.calls_of("smb_app_data"), 2);
}

#[tokio::test]
async fn a_users_token_is_made_to_last_and_connects_the_number() {
    let app = business().await;
    let started = start(&app).await;
    let token = app.meta.popup_for_token(PopupOrder { unnamed: true, ..grant(&[ACCOUNT]) });
    app.meta.script_call("oauth", [ScriptedFault::DropAfter]);
    let lost = post(&app, &started, json!({"access_token": token, "event": finished()})).await;
    assert_eq!((lost.status.as_u16(), lost.json()["code"].as_str()), (503, Some("meta_not_reached")));
    let both = post(&app, &started, json!({"access_token": token, "code": "x", "event": finished()})).await;
    assert_eq!((both.status.as_u16(), both.json()["field"].as_str()), (422, Some("access_token")));
    post(&app, &started, json!({"access_token": token, "event": finished()})).await;
    settle(&app).await;
    assert_eq!(shown(&app, &started).await["status"], "connected");
}

#[tokio::test]
async fn of_a_hundred_who_want_the_same_account_one_gets_it() {
    for _ in 0..10 {
        let app = business().await;
        let mut rivals = Vec::new();
        for name in 0..10 {
            let tenant = app.stack.operator.create_tenant(&format!("Rival {name}")).await.unwrap();
            let key = app
                .stack
                .operator
                .create_key(Some(tenant), &[shared::domain::accounts::tenant::Scope::Manage])
                .await
                .unwrap();
            let request = axum::http::Request::post("/v1/onboardings")
                .header("authorization", format!("Bearer {}", key.expose()))
                .header("content-type", "application/json")
                .body(axum::body::Body::from(json!({"app": "sandbox"}).to_string()))
                .unwrap();
            let started = app.request(request).await.json();
            let code = app.meta.popup(grant(&[ACCOUNT]));
            post(&app, &started, json!({"code": code, "event": finished()})).await;
            rivals.push((started, code, tenant));
        }
        let (mut owners, mut refused) = (Vec::new(), 0);
        // All jobs of a batch run concurrently.
        settle(&app).await;
        for (started, code, tenant) in &rivals {
            let answer = post(&app, started, json!({"code": code, "event": finished()})).await.json();
            match answer["status"].as_str() {
                Some("connected") => owners.push(*tenant),
                Some("failed") => refused += 1,
                other => panic!("{other:?}: {answer:#}"),
            }
        }
        assert_eq!((owners.len(), refused), (1, 9));
        let number = shared::domain::ids::NumberId::parse(NEW).unwrap();
        assert_eq!(app.stack.operator.table.number_get(&number).await.unwrap().unwrap().tenant, owners[0]);
        // A used code is refused.
        let stranger = start(&app).await;
        let replayed = post(&app, &stranger, json!({"code": rivals[0].1, "event": finished()})).await.json();
        assert_eq!(states(&replayed), ["exchange failed"]);
    }
}

#[tokio::test]
async fn several_accounts_are_shown_and_one_is_chosen() {
    let app = business().await;
    app.meta.put_account(account("900100200300667", &[]));
    let started = start(&app).await;
    let code = app.meta.popup(grant(&["900100200300667", ACCOUNT]));
    let answer = post(&app, &started, json!({"code": code})).await.json();
    assert_eq!(answer["status"], "needs_choice", "{answer}");
    assert_eq!(answer["candidates"], json!([ACCOUNT, "900100200300667"]));
    let path = format!("/v1/onboardings/{}/choose", started["id"].as_str().unwrap());
    let foreign = app.api("POST", &path, Some(json!({"waba_id": "900100200300668"}))).await;
    assert_eq!((foreign.status.as_u16(), foreign.json()["field"].as_str()), (422, Some("waba_id")));
    assert_eq!(app.api("POST", &path, Some(json!({"waba_id": ACCOUNT}))).await.status, StatusCode::ACCEPTED);
    settle(&app).await;
    assert_eq!(shown(&app, &started).await["status"], "connected");
}

#[tokio::test]
async fn a_popup_that_was_left_says_where_and_can_be_opened_again() {
    let app = business().await;
    let started = start(&app).await;
    let left = event("CANCEL", &json!({"current_step": "PHONE_NUMBER_SETUP"}));
    let answer = post(&app, &started, json!({"event": left})).await.json();
    assert_eq!(
        (answer["status"].as_str(), answer["ended"].as_str()),
        (Some("cancelled"), Some("cancelled at PHONE_NUMBER_SETUP"))
    );
    let reported = event("CANCEL", &json!({"error_id": "524126", "error_message": "No business"}));
    let answer = post(&app, &started, json!({"event": reported})).await.json();
    assert_eq!(answer["ended"], "reported error 524126: No business");
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &started, json!({"code": code, "event": finished()})).await;
    settle(&app).await;
    assert_eq!(shown(&app, &started).await["status"], "connected");
}

#[tokio::test]
async fn what_is_forged_late_or_malformed_is_refused() {
    let app = business().await;
    let started = start(&app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    for state in ["", "x", &"0".repeat(64)] {
        let answer = post(&app, &started, json!({"state": state, "code": code})).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
    }
    let missing = post(&app, &started, json!({})).await;
    assert_eq!((missing.status.as_u16(), missing.json()["field"].as_str()), (422, Some("code")));
    let other = post(&app, &started, json!({"code": code, "event": {"type": "other"}})).await;
    assert_eq!((other.status.as_u16(), other.json()["field"].as_str()), (422, Some("event")));
    app.advance(16 * 60);
    let late = post(&app, &started, json!({"code": code, "event": finished()})).await;
    assert_eq!((late.status.as_u16(), late.json()["code"].as_str()), (410, Some("onboarding_expired")));
    assert_eq!(app.meta.calls_of("oauth"), 0);
}

#[tokio::test]
async fn a_code_that_is_too_old_fails_with_what_to_do_and_another_one_works() {
    let app = business().await;
    let started = start(&app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    app.advance(31);
    let answer = post(&app, &started, json!({"code": code, "event": finished()})).await.json();
    assert_eq!(
        (answer["status"].as_str(), answer["steps"][0]["code"].as_i64()),
        (Some("failed"), Some(100)),
        "{answer}"
    );
    assert!(answer["steps"][0]["action"].as_str().unwrap().contains("signup again"));
    let fresh = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &started, json!({"code": fresh, "event": finished()})).await;
    settle(&app).await;
    assert_eq!(shown(&app, &started).await["status"], "connected");
}

#[tokio::test]
async fn a_token_that_lacks_a_permission_or_the_account_is_not_used() {
    let app = business().await;
    let scopes = Some(vec!["whatsapp_business_management".to_owned()]);
    for order in [PopupOrder { scopes, ..grant(&[ACCOUNT]) }, grant(&["900100200300999"])] {
        let started = start(&app).await;
        let code = app.meta.popup(order);
        let answer = post(&app, &started, json!({"code": code, "event": finished()})).await.json();
        assert_eq!(states(&answer), ["exchange done", "prove failed"]);
        settle(&app).await;
        assert_eq!(app.api("GET", &format!("/v1/numbers/{NEW}"), None).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn nobody_takes_over_another_tenants_account() {
    let app = business().await;
    let started = start(&app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &started, json!({"code": code, "event": finished()})).await;
    settle(&app).await;
    let before =
        app.stack.operator.table.number_get(&shared::domain::ids::NumberId::parse(NEW).unwrap()).await.unwrap();
    let rival = app.stack.operator.create_tenant("Rival").await.unwrap();
    let key =
        app.stack.operator.create_key(Some(rival), &[shared::domain::accounts::tenant::Scope::Manage]).await.unwrap();
    let request = axum::http::Request::post("/v1/onboardings")
        .header("authorization", format!("Bearer {}", key.expose()))
        .header("content-type", "application/json")
        .body(axum::body::Body::from(json!({"app": "sandbox"}).to_string()))
        .unwrap();
    let theirs = app.request(request).await.json();
    // The business grants access to the other tenant too: the token is valid, but the number is taken.
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &theirs, json!({"code": code, "event": finished()})).await;
    settle(&app).await;
    let answer = post(&app, &theirs, json!({"code": code, "event": finished()})).await.json();
    assert_eq!(states(&answer), ["exchange done", "prove done", "account failed"], "{answer}");
    assert_eq!(app.stack.operator.table.number_get(&before.clone().unwrap().id).await.unwrap(), before);
    let seen = app.api("GET", &format!("/v1/onboardings/{}", theirs["id"].as_str().unwrap()), None).await;
    assert_eq!(seen.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_failed_step_alone_is_retried() {
    let app = business().await;
    let pin = BusinessNumber { pin: Some("123456".to_owned()), ..number(NEW, DIGITS) };
    app.meta.put_account(account(ACCOUNT, &[pin]));
    let started = start(&app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &started, json!({"code": code, "event": finished()})).await;
    settle(&app).await;
    let onboarding = shown(&app, &started).await;
    let step = onboarding["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (step["step"].as_str(), step["state"].as_str(), step["code"].as_i64()),
        (Some("register"), Some("failed"), Some(133_005))
    );
    assert!(step["action"].as_str().unwrap().contains("PIN"));
    // The business disables two-step verification.
    app.meta.put_account(BusinessAccount {
        subscribed: vec!["900100200300101".to_owned()],
        ..account(ACCOUNT, &[number(NEW, DIGITS)])
    });
    let subscribed = app.meta.calls_of("subscribe");
    let path = format!("/v1/onboardings/{}/retry", started["id"].as_str().unwrap());
    assert_eq!(app.api("POST", &path, None).await.status, StatusCode::ACCEPTED);
    settle(&app).await;
    assert_eq!(shown(&app, &started).await["status"], "connected");
    assert_eq!(app.meta.calls_of("subscribe"), subscribed, "what was done is not done again");
    assert_eq!(app.api("POST", &path, None).await.json()["code"], "not_retryable");
}

#[tokio::test]
async fn metas_budget_of_registrations_is_guarded() {
    let app = business().await;
    let started = start(&app).await;
    app.meta.script_call("register", (0..50).map(|_| ScriptedFault::DropAfter));
    // Meta loses the registration each time, so every try seems necessary.
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &started, json!({"code": code, "event": finished()})).await;
    for _ in 0..40 {
        app.functions.poll_onboarding().await;
        let mut known = app.meta.business_account(ACCOUNT).unwrap();
        known.numbers[0].registered = false;
        app.meta.put_account(known);
        app.advance(300);
    }
    let registers = app.meta.business_account(ACCOUNT).unwrap().numbers[0].registers.len();
    assert_eq!(registers, 5, "half of Meta's ten");
    let onboarding = shown(&app, &started).await;
    assert!(onboarding["steps"].as_array().unwrap().last().unwrap()["cause"].as_str().unwrap().contains("five times"));
}
