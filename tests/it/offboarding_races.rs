//! Offboarding while other tenants stay, return or connect: other data is untouched, and guarantees hold.

use axum::http::StatusCode;
use sandbox::meta::ScriptedFault;
use serde_json::{Value, json};
use shared::domain::ids::WabaId;

use crate::harness::{App, NUMBER, ask};
use crate::kinds::JPEG;
use crate::offboarding::{
    LEAVER, both_live, callback, connect, hours, items, joins, leave, nothing_is_left, of_the_stayer, partner_removed,
    says, state,
};
use crate::onboarding::{ACCOUNT, NEW, business, finished, grant, post, settle};
use crate::partner::with_credit;

async fn leaves(app: &App, key: &str, account: &str) -> Value {
    let answer = ask(app, key, "POST", "/v1/offboardings", json!({"waba_id": account})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()["id"].clone()
}

fn waba(id: &str) -> WabaId {
    WabaId::parse(id).unwrap()
}

#[tokio::test]
async fn the_files_of_a_tenant_that_stays_stay() {
    let app = business().await;
    let key = app.seed.api_key.clone();
    Box::pin(connect(&app, &key)).await;
    let (_, file) = crate::kinds::upload(&app, JPEG, "image/jpeg").await;
    let id = leaves(&app, &key, ACCOUNT).await;
    Box::pin(hours(&app, 2)).await;
    assert_eq!(state(&app, &id).await["status"], "done");
    says(&app, "15550002222", NUMBER, "hello");
    Box::pin(app.drain()).await;
    let order = json!({"from": NUMBER, "to": "+15550002222", "type": "image", "image": {"id": file["id"]}});
    assert_eq!(app.api("POST", "/v1/messages", Some(order)).await.status, StatusCode::ACCEPTED);
    Box::pin(app.drain()).await;
    assert_eq!(app.meta.sent_count(), 1);
}

#[tokio::test]
async fn a_rival_that_was_refused_takes_nothing_with_it() {
    let (app, owner) = Box::pin(both_live()).await;
    let rival = app.stack.operator.create_tenant("Rival").await.unwrap();
    let number = shared::domain::accounts::number::Number {
        id: shared::domain::ids::NumberId::parse("900100200300999").unwrap(),
        tenant: rival,
        waba: waba(ACCOUNT),
        display_phone_number: "15550009999".to_owned(),
        coexistence: false,
        fallback: None,
        settings: shared::domain::accounts::number::Settings::default(),
    };
    let token = shared::secret::Secret::new("EAAtheirs".to_owned());
    assert!(app.stack.operator.put_number(&number, &token, None).await.is_err());
    // Running work ends first.
    Box::pin(hours(&app, 1)).await;
    let before = items(&app).await;
    let answer = json!({"tenant_id": rival.to_string()});
    let id = ask(&app, &app.seed.operator_key, "POST", "/v1/offboardings", answer).await.json()["id"].clone();
    Box::pin(hours(&app, 2)).await;
    assert_eq!(state(&app, &id).await["status"], "done");
    let after = items(&app).await;
    let rivals = |text: &&String| !text.contains(&rival.to_string());
    let changed: Vec<&String> = before.iter().filter(rivals).filter(|item| !after.contains(item)).collect();
    assert_eq!(changed, Vec::<&String>::new(), "nobody else's item changed");
    let conversations = ask(&app, &owner.key, "GET", "/v1/conversations", Value::Null).await.json();
    assert_eq!(conversations["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_business_that_returns_before_the_next_run_is_as_if_it_had_never_left() {
    let (app, other) = Box::pin(both_live()).await;
    partner_removed(&app);
    Box::pin(app.drain()).await;
    app.advance(120);
    Box::pin(connect(&app, &other.key)).await;
    Box::pin(hours(&app, 1)).await;
    let listed = ask(&app, &other.key, "GET", "/v1/offboardings", Value::Null).await.json();
    assert_eq!(listed["data"][0]["status"], "cancelled", "{listed:#}");
    assert_eq!(app.meta.credit_shares(), 1);
    assert_eq!(app.meta.business_account(ACCOUNT).unwrap().subscribed.len(), 1);
    let order = json!({"from": NEW, "to": "+15550002222", "type": "template", "category": "utility",
        "template": {"name": "hello_world", "language": {"code": "en_US"}}});
    assert_eq!(ask(&app, &other.key, "POST", "/v1/messages", order).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn each_departure_has_a_month_of_its_own() {
    let (app, other) = Box::pin(both_live()).await;
    let kept = async |app: &App| {
        ask(app, &other.key, "GET", "/v1/conversations", Value::Null).await.json()["data"].as_array().unwrap().len()
    };
    partner_removed(&app);
    Box::pin(app.drain()).await;
    Box::pin(hours(&app, 1)).await;
    app.advance(5 * 86_400);
    Box::pin(connect(&app, &other.key)).await;
    app.advance(20 * 86_400);
    partner_removed(&app);
    Box::pin(app.drain()).await;
    // The first retention period is over.
    app.advance(10 * 86_400);
    Box::pin(hours(&app, 2)).await;
    assert_eq!(kept(&app).await, 2);
    app.advance(21 * 86_400);
    Box::pin(hours(&app, 2)).await;
    assert_eq!(kept(&app).await, 0);
}

#[tokio::test]
async fn who_signs_up_while_the_account_is_erased_is_connected_afterwards_and_stays() {
    let (app, other) = Box::pin(both_live()).await;
    let id = leaves(&app, &other.key, ACCOUNT).await;
    Box::pin(app.functions.offboard()).await.unwrap();
    app.advance(300);
    let next = app.stack.operator.create_tenant("Next").await.unwrap();
    let scopes = [shared::domain::accounts::tenant::Scope::Manage, shared::domain::accounts::tenant::Scope::Read];
    let key = app.stack.operator.create_key(Some(next), &scopes).await.unwrap().expose().to_owned();
    let started = ask(&app, &key, "POST", "/v1/onboardings", json!({"app": "sandbox"})).await.json();
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &started, json!({"code": code, "event": finished()})).await;
    while app.functions.poll_onboarding().await > 0 {}
    let path = format!("/v1/onboardings/{}", started["id"].as_str().unwrap());
    assert_eq!(ask(&app, &key, "GET", &path, Value::Null).await.json()["status"], "running");
    for _ in 0..12 {
        Box::pin(app.functions.offboard()).await.unwrap();
        app.functions.poll_onboarding().await;
        app.advance(600);
    }
    settle(&app).await;
    assert_eq!(state(&app, &id).await["status"], "done");
    let shown = ask(&app, &key, "GET", &path, Value::Null).await.json();
    assert_eq!(shown["status"], "connected", "{shown:#}");
    says(&app, LEAVER, NEW, "hello to the next");
    Box::pin(app.drain()).await;
    Box::pin(hours(&app, 2)).await;
    let known = app.stack.operator.table.account_get(&waba(ACCOUNT)).await.unwrap().unwrap();
    assert_eq!(known.tenant, next);
    assert!(items(&app).await.iter().any(|text| text.contains("hello to the next")));
}

#[tokio::test]
async fn two_offboardings_of_one_account_take_turns() {
    let (app, other) = Box::pin(both_live()).await;
    let before = of_the_stayer(&app, &other).await;
    let first = leaves(&app, &other.key, ACCOUNT).await;
    let second = leaves(&app, &other.key, ACCOUNT).await;
    let whole = leave(&app, &other).await["id"].clone();
    Box::pin(hours(&app, 4)).await;
    let mut ends = Vec::new();
    for id in [&first, &second, &whole] {
        // The end of a tenant also deletes its other offboardings.
        ends.push(state(&app, id).await["status"].as_str().unwrap_or("gone").to_owned());
    }
    assert!(ends[2] == "done" && !ends.iter().any(|end| end == "running"), "{ends:?}");
    nothing_is_left(&app, &other, "at the end").await;
    assert!(of_the_stayer(&app, &other).await == before);
    Box::pin(joins(&app)).await;
    Box::pin(hours(&app, 2)).await;
    assert!(app.stack.operator.table.account_get(&waba(ACCOUNT)).await.unwrap().is_some());
}

#[tokio::test]
async fn meta_that_says_nothing_for_a_day_keeps_no_token_and_no_data() {
    let (app, other) = Box::pin(both_live()).await;
    app.meta.script_call("revoke", (0..2_000).map(|_| ScriptedFault::Html502));
    let id = leaves(&app, &other.key, ACCOUNT).await;
    for _ in 0..300 {
        Box::pin(app.functions.offboard()).await.unwrap();
        app.advance(300);
    }
    Box::pin(hours(&app, 2)).await;
    assert_eq!(state(&app, &id).await["status"], "done_with_failures");
    assert!(!items(&app).await.iter().any(|text| text.contains(LEAVER)));
}

#[tokio::test]
async fn whoever_asks_for_deletion_after_removing_the_app_is_heard_and_who_signed_before_another_is_not() {
    let (app, other) = Box::pin(both_live()).await;
    partner_removed(&app);
    Box::pin(app.drain()).await;
    Box::pin(hours(&app, 1)).await;
    assert!(items(&app).await.iter().any(|text| text.contains(LEAVER)), "it waits for its return");
    let asked = callback(&app, "deletion", &app.seed.app_secret, app.clock.now().as_second()).await;
    assert_eq!(asked.status, StatusCode::OK);
    Box::pin(hours(&app, 2)).await;
    assert!(!items(&app).await.iter().any(|text| text.contains(LEAVER)));

    // Another user signs the account up again, so the first user's request refers to the past.
    let order = sandbox::meta::PopupOrder { user: Some("900100200300003".to_owned()), ..grant(&[ACCOUNT]) };
    let started = ask(&app, &other.key, "POST", "/v1/onboardings", json!({"app": "sandbox"})).await.json();
    let code = app.meta.popup(order);
    post(&app, &started, json!({"code": code, "event": finished()})).await;
    settle(&app).await;
    app.advance(60);
    callback(&app, "deletion", &app.seed.app_secret, app.clock.now().as_second()).await;
    Box::pin(hours(&app, 2)).await;
    assert!(app.stack.operator.table.account_get(&waba(ACCOUNT)).await.unwrap().is_some());
}

#[tokio::test]
async fn two_numbers_of_one_account_share_the_credit_once() {
    let app = business().await;
    with_credit(&app).await;
    let mut account = app.meta.business_account(ACCOUNT).unwrap();
    account.numbers.push(sandbox::meta::BusinessNumber {
        id: "900100200300778".to_owned(),
        display_phone_number: "15550007778".to_owned(),
        ..sandbox::meta::BusinessNumber::default()
    });
    app.meta.put_account(account);
    let partner = crate::partner::partner();
    app.meta.put_partner(sandbox::meta::Partner { slow: 4, ..partner });
    let mut started = Vec::new();
    for number in [NEW, "900100200300778"] {
        let one = ask(&app, &app.seed.api_key, "POST", "/v1/onboardings", json!({"app": "sandbox"})).await.json();
        let code = app.meta.popup(grant(&[ACCOUNT]));
        let end = json!({"type": "WA_EMBEDDED_SIGNUP", "event": "FINISH", "data": {"waba_id": ACCOUNT, "phone_number_id": number}});
        post(&app, &one, json!({"code": code, "event": end})).await;
        started.push(one);
    }
    settle(&app).await;
    for one in &started {
        assert_eq!(crate::onboarding::shown(&app, one).await["status"], "connected");
    }
    assert_eq!(app.meta.calls_of("credit_share"), 1);
}

#[tokio::test]
async fn a_token_that_only_seemed_dead_sends_again() {
    let (app, other) = Box::pin(both_live()).await;
    let account = app.meta.business_account(ACCOUNT).unwrap();
    let token = app.meta.tokens_of(ACCOUNT).pop().unwrap();
    app.meta.withdraw_tokens(ACCOUNT);
    Box::pin(app.functions.visit_tokens()).await.unwrap();
    let states = async |app: &App| {
        ask(app, &other.key, "GET", &format!("/v1/numbers/{NEW}"), Value::Null).await.json()["account_states"]
            .to_string()
    };
    assert!(states(&app).await.contains("withdrawn"));
    app.meta.put_token(&token, account);
    app.advance(26 * 3_600);
    Box::pin(app.functions.visit_tokens()).await.unwrap();
    assert!(states(&app).await.contains("proved"));
}

#[tokio::test]
async fn a_business_that_returns_through_the_hosted_signup_keeps_everything() {
    let (app, other) = Box::pin(both_live()).await;
    let hosted =
        sandbox::meta::Partner { hosted: Some(sandbox::meta::PopupOrder::default()), ..crate::partner::partner() };
    app.meta.put_partner(hosted);
    crate::partner::settings(&app, |settings| settings.hosted_for = Some(other.tenant)).await;
    partner_removed(&app);
    app.meta.withdraw_tokens(ACCOUNT);
    Box::pin(app.drain()).await;
    Box::pin(hours(&app, 1)).await;
    app.advance(3 * 86_400);
    crate::partner::partner_added(&app);
    Box::pin(app.drain()).await;
    settle(&app).await;
    let shown = ask(&app, &other.key, "GET", "/v1/onboardings", Value::Null).await.json();
    assert_eq!(shown["data"][0]["status"], "connected", "{shown:#}");
    app.advance(31 * 86_400);
    Box::pin(hours(&app, 2)).await;
    let listed = ask(&app, &other.key, "GET", "/v1/offboardings", Value::Null).await.json();
    assert_eq!(listed["data"][0]["status"], "cancelled", "{listed:#}");
    assert!(items(&app).await.iter().any(|text| text.contains(LEAVER)));
}

#[tokio::test]
async fn of_a_tenant_with_several_accounts_one_that_meta_refuses_keeps_no_other_one() {
    let (app, other) = Box::pin(both_live()).await;
    let second = "900100200300668";
    app.meta.put_account(sandbox::meta::BusinessAccount {
        id: second.to_owned(),
        business: Some("900100200300008".to_owned()),
        numbers: vec![sandbox::meta::BusinessNumber {
            id: "900100200300779".to_owned(),
            display_phone_number: "15550007779".to_owned(),
            ..sandbox::meta::BusinessNumber::default()
        }],
        ..sandbox::meta::BusinessAccount::default()
    });
    let started = ask(&app, &other.key, "POST", "/v1/onboardings", json!({"app": "sandbox"})).await.json();
    let code = app.meta.popup(grant(&[second]));
    post(&app, &started, json!({"code": code})).await;
    settle(&app).await;
    assert_eq!(app.meta.credit_shares(), 2);
    let refused = || ScriptedFault::Error { http: 400, code: 1_234, message: "no".to_owned() };
    for call in ["unsubscribe", "credit_revoke", "revoke"] {
        app.meta.script_call(call, [refused()]);
    }
    let id = leave(&app, &other).await["id"].clone();
    Box::pin(hours(&app, 2)).await;
    assert_eq!(state(&app, &id).await["status"], "done_with_failures");
    // Each call was refused for one account and executed for the other.
    assert_eq!(app.meta.credit_shares(), 1);
    let subscribed = [ACCOUNT, second].map(|id| app.meta.business_account(id).unwrap().subscribed.len());
    assert_eq!(subscribed.iter().sum::<usize>(), 1, "{subscribed:?}");
    nothing_is_left(&app, &other, "at the end").await;
    assert!(!items(&app).await.iter().any(|text| text.contains(second) && !text.contains("gone_at")));
}

#[tokio::test]
async fn one_number_of_an_account_leaves_and_the_account_stays() {
    let app = App::start().await;
    let second = "900100200300502";
    app.connect_number(second, false).await;
    for (customer, number) in [("15550002222", NUMBER), ("15550002222", second), (LEAVER, second)] {
        says(&app, customer, number, "hello");
    }
    Box::pin(app.drain()).await;
    let removed = app.api("DELETE", &format!("/v1/numbers/{second}"), None).await;
    assert_eq!(removed.status, StatusCode::ACCEPTED, "{}", removed.text);
    assert_eq!((&removed.json()["number_id"], &removed.json()["waba_ids"]), (&json!(second), &json!([])));
    // The number cannot send any more.
    let order =
        |from: &str| json!({"from": from, "to": "+15550002222", "type": "text", "text": {"body": "still there?"}});
    let refused = app.api("POST", "/v1/messages", Some(order(second))).await;
    assert_eq!(refused.json()["code"], "number_inactive", "{}", refused.text);
    Box::pin(hours(&app, 2)).await;
    let done = state(&app, &removed.json()["id"]).await;
    assert_eq!(done["status"], "done", "{done:#}");
    assert_eq!(app.api("GET", &format!("/v1/numbers/{second}"), None).await.status, StatusCode::NOT_FOUND);
    // Only the tombstone of its id (90 days), the offboarding and the audit entries remain.
    let left: Vec<String> = items(&app).await.into_iter().filter(|item| item.contains(second)).collect();
    let allowed =
        |item: &String| ["erased_by", "gone_at", "OFFBOARDING#", "AUDIT#"].iter().any(|word| item.contains(word));
    assert!(left.iter().all(allowed), "{left:#?}");
    assert!(!items(&app).await.iter().any(|item| item.contains(LEAVER)), "who wrote to it only is gone");
    // Later webhooks of the number are not stored; the other number is unaffected.
    for number in [second, NUMBER] {
        says(&app, LEAVER, number, "anybody?");
    }
    says(&app, "15550002222", NUMBER, "and me");
    Box::pin(app.drain()).await;
    assert_eq!(app.conversations().await.len(), 2);
    assert_eq!(app.api("POST", "/v1/messages", Some(order(NUMBER))).await.status, StatusCode::ACCEPTED);
    Box::pin(app.drain()).await;
    assert_eq!(app.meta.sent_count(), 1);
    // The number can be connected again, and starts empty.
    app.connect_number(second, false).await;
    says(&app, LEAVER, second, "back again");
    Box::pin(app.drain()).await;
    assert_eq!(app.conversations().await.len(), 3);
}

#[tokio::test]
async fn the_last_number_of_an_account_takes_the_account_with_it() {
    let app = business().await;
    let key = app.seed.api_key.clone();
    Box::pin(connect(&app, &key)).await;
    let removed = app.api("DELETE", &format!("/v1/numbers/{NEW}"), None).await;
    assert_eq!((removed.status, &removed.json()["waba_ids"]), (StatusCode::ACCEPTED, &json!([ACCOUNT])));
    Box::pin(hours(&app, 2)).await;
    assert_eq!(state(&app, &removed.json()["id"]).await["status"], "done");
    assert!(app.meta.business_account(ACCOUNT).unwrap().subscribed.is_empty());
    assert_eq!(app.api("GET", &format!("/v1/numbers/{NEW}"), None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.api("GET", &format!("/v1/numbers/{NUMBER}"), None).await.status, StatusCode::OK);
}

#[tokio::test]
async fn whom_a_staying_number_only_wrote_to_stays() {
    let app = App::start().await;
    let second = "900100200300502";
    app.connect_number(second, false).await;
    says(&app, "15550002222", second, "hello");
    Box::pin(app.drain()).await;
    let recipients = ["+15550007777", "+15550002222"];
    let order = json!({"from": NUMBER, "template": {"name": "hello_world", "language": {"code": "en_US"}},
        "category": "utility", "recipients": recipients});
    let broadcast = app.api("POST", "/v1/broadcasts", Some(order)).await.json()["id"].clone();
    Box::pin(app.drain()).await;
    app.api("DELETE", &format!("/v1/numbers/{second}"), None).await;
    Box::pin(hours(&app, 2)).await;
    let path = format!("/v1/broadcasts/{}/recipients", broadcast.as_str().unwrap());
    let shown = app.api("GET", &path, None).await.json();
    for place in 0..recipients.len() {
        assert_eq!(shown["data"][place]["status"], "read", "{shown:#}");
    }
}

#[tokio::test]
async fn two_numbers_removed_one_after_the_other_take_the_account_with_them() {
    let app = App::start().await;
    let second = "900100200300502";
    app.connect_number(second, false).await;
    for number in [second, NUMBER] {
        let removed = app.api("DELETE", &format!("/v1/numbers/{number}"), None).await;
        assert_eq!((removed.status, &removed.json()["number_id"]), (StatusCode::ACCEPTED, &json!(number)));
    }
    Box::pin(hours(&app, 4)).await;
    let listed = app.api("GET", "/v1/offboardings", None).await.json();
    let all = listed["data"].as_array().unwrap();
    assert!(all.len() == 3 && all.iter().all(|one| one["status"] == "done"), "{listed:#}");
    assert!(all.iter().any(|one| one["waba_ids"] == json!([crate::harness::WABA])));
    assert!(!items(&app).await.iter().any(|item| item.contains("TOKEN#")), "no token is kept for nothing");
}

#[tokio::test]
async fn a_number_that_is_connected_again_in_time_stays() {
    let app = App::start().await;
    let second = "900100200300502";
    app.connect_number(second, false).await;
    says(&app, "15550002222", second, "hello");
    Box::pin(app.drain()).await;
    let removed = app.api("DELETE", &format!("/v1/numbers/{second}"), None).await.json()["id"].clone();
    app.advance(60);
    app.connect_number(second, false).await;
    Box::pin(hours(&app, 2)).await;
    assert_eq!(state(&app, &removed).await["status"], "cancelled");
    assert_eq!(app.conversations().await.len(), 1);
    let order = json!({"from": second, "to": "+15550002222", "type": "text", "text": {"body": "welcome back"}});
    assert_eq!(app.api("POST", "/v1/messages", Some(order)).await.status, StatusCode::ACCEPTED);
}
