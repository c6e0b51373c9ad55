//! Solution Partners, callback URLs of accounts, Meta's hosted signup, and grants that name no account.

use axum::http::StatusCode;
use sandbox::meta::{BusinessAccount, Partner, PopupOrder, ScriptedFault};
use serde_json::{Map, Value, json};
use shared::domain::accounts::app::{CreditLine, SignupSettings};
use shared::domain::ids::{MetaAppId, TenantId};
use shared::secret::Secret;

use crate::harness::App;
use crate::onboarding::{ACCOUNT, NEW, business, finished, grant, post, settle, shown, start, states};

const LINE: &str = "900100200300801";
const SYSTEM_USER: &str = "900100200300802";

/// Changes the signup settings of the seeded app.
pub(crate) async fn settings(app: &App, change: impl FnOnce(&mut SignupSettings)) {
    let id = MetaAppId::parse("sandbox").unwrap();
    let mut settings = app.stack.operator.table.signup_settings_get(&id).await.unwrap().unwrap();
    change(&mut settings);
    let token = Secret::new("EAAsystemusertoken".to_owned());
    app.stack.operator.put_signup(&id, &settings, Some(&token)).await.unwrap();
}

pub(crate) fn partner() -> Partner {
    Partner {
        tokens: vec!["EAAsystemusertoken".to_owned()],
        user: SYSTEM_USER.to_owned(),
        line: LINE.to_owned(),
        ..Partner::default()
    }
}

/// Makes the installation a Solution Partner with a credit line.
pub(crate) async fn with_credit(app: &App) {
    app.meta.put_partner(partner());
    settings(app, |settings| {
        settings.credit =
            Some(CreditLine { id: LINE.to_owned(), currency: "USD".to_owned(), system_user: SYSTEM_USER.to_owned() });
    })
    .await;
}

/// Serves the functions on a port and returns the base URL.
pub(crate) async fn served(app: &App) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = app.functions.gateway();
    tokio::spawn(async move { axum::serve(listener, gateway).await.unwrap() });
    url
}

async fn onboard(app: &App) -> Value {
    let started = start(app).await;
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(app, &started, json!({"code": code, "event": finished()})).await;
    settle(app).await;
    shown(app, &started).await
}

async fn list(app: &App) -> Vec<Value> {
    app.api("GET", "/v1/onboardings", None).await.json()["data"].as_array().unwrap().clone()
}

pub(crate) fn partner_added(app: &App) {
    let value =
        json!({"event": "PARTNER_ADDED", "waba_info": {"waba_id": ACCOUNT, "owner_business_id": "900100200300001"}});
    let Value::Object(value) = value else { unreachable!() };
    let value: Map<String, Value> = value;
    // The entry's id is the partner's own business, not the account.
    app.meta.reports("900100200300900", "account_update", &value);
}

#[tokio::test]
async fn a_solution_partners_credit_line_pays_and_is_shared_once() {
    // Immediate; with a lost answer; and with a share that becomes visible at Meta only after some reads.
    for (slow, faults) in
        [(0, vec![]), (0, vec![ScriptedFault::DropAfter]), (3, vec![]), (6, vec![ScriptedFault::DropAfter])]
    {
        let app = business().await;
        with_credit(&app).await;
        app.meta.put_partner(Partner { slow, ..partner() });
        app.meta.script_call("credit_share", faults);
        let onboarding = onboard(&app).await;
        assert_eq!(onboarding["status"], "connected", "{onboarding:#}");
        assert!(states(&onboarding).contains(&"credit done".to_owned()));
        assert_eq!(app.meta.calls_of("credit_share"), 1, "slow {slow}");
        let account = app.meta.business_account(ACCOUNT).unwrap();
        assert!(account.funding.is_some());
        assert_eq!(account.managed_by.first().map(String::as_str), Some(SYSTEM_USER));
        // The exposure of the credit line is reported. Meta reports no cost to a partner.
        let billed = app.api("GET", &format!("/v1/accounts/{ACCOUNT}/billing"), None).await.json();
        assert!(billed["credit_exposure"]["since"].is_string() && billed["total"]["meta_cost"].is_null(), "{billed:#}");
    }
    // A Tech Provider has no credit line.
    let app = business().await;
    assert!(states(&onboard(&app).await).contains(&"credit skipped".to_owned()));
}

#[tokio::test]
async fn a_credit_line_without_rights_says_who_must_act_and_is_retried_alone() {
    let app = business().await;
    with_credit(&app).await;
    app.meta.put_partner(Partner { user: "900100200300899".to_owned(), ..partner() });
    let onboarding = onboard(&app).await;
    let step = onboarding["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((step["step"].as_str(), step["state"].as_str()), (Some("credit"), Some("failed")));
    assert!(step["action"].as_str().unwrap().contains("Financial Editor"));
    app.meta.put_partner(partner());
    let path = format!("/v1/onboardings/{}/retry", onboarding["id"].as_str().unwrap());
    assert_eq!(app.api("POST", &path, None).await.status, StatusCode::ACCEPTED);
    settle(&app).await;
    assert_eq!(shown(&app, &onboarding).await["status"], "connected");
}

#[tokio::test]
async fn an_account_gets_a_callback_url_of_its_own_that_proves_itself() {
    let app = business().await;
    let url = served(&app).await;
    settings(&app, |settings| settings.override_url = Some(format!("{url}/webhooks/meta/sandbox"))).await;
    let onboarding = onboard(&app).await;
    assert_eq!(onboarding["status"], "connected", "{onboarding:#}");
    assert_eq!(
        app.meta.business_account(ACCOUNT).unwrap().override_url.unwrap(),
        format!("{url}/webhooks/meta/sandbox")
    );
    // A URL that fails the verification request.
    let app = business().await;
    settings(&app, |settings| settings.override_url = Some(format!("{url}/elsewhere"))).await;
    let onboarding = onboard(&app).await;
    let step = onboarding["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((step["step"].as_str(), step["code"].as_i64()), (Some("override"), Some(100)));
}

#[tokio::test]
async fn a_popup_that_was_not_the_one_asked_for_is_noticed() {
    let app = business().await;
    settings(&app, |settings| settings.feature_type = Some("whatsapp_business_app_onboarding".to_owned())).await;
    let started = start(&app).await;
    assert_eq!(started["popup"]["extras"]["featureType"], "whatsapp_business_app_onboarding");
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(&app, &started, json!({"code": code, "event": finished()})).await;
    settle(&app).await;
    let onboarding = shown(&app, &started).await;
    assert_eq!(onboarding["status"], "connected");
    let contacts = onboarding["steps"].as_array().unwrap().iter().find(|step| step["step"] == "contacts").unwrap();
    assert!(contacts["cause"].as_str().unwrap().contains("although"), "{contacts}");
}

#[tokio::test]
async fn accounts_that_no_grant_and_no_page_names_are_found_by_their_business() {
    let app = business().await;
    let unnamed = |accounts: &[&str]| PopupOrder { unnamed: true, ..grant(accounts) };
    let started = start(&app).await;
    let code = app.meta.popup(unnamed(&[ACCOUNT]));
    post(&app, &started, json!({"code": code})).await;
    settle(&app).await;
    assert_eq!(shown(&app, &started).await["status"], "connected");
    // With several accounts a person must choose.
    app.meta.put_account(BusinessAccount {
        id: "900100200300667".to_owned(),
        business: Some("900100200300009".to_owned()),
        ..BusinessAccount::default()
    });
    let started = start(&app).await;
    let code = app.meta.popup(unnamed(&[ACCOUNT, "900100200300667"]));
    let answer = post(&app, &started, json!({"code": code})).await.json();
    assert_eq!(answer["candidates"], json!([ACCOUNT, "900100200300667"]), "{answer:#}");
    // Without accounts there is nothing to connect.
    let started = start(&app).await;
    let code = app.meta.popup(unnamed(&[]));
    let answer = post(&app, &started, json!({"code": code})).await.json();
    assert_eq!(states(&answer), ["exchange done", "prove failed"]);
}

#[tokio::test]
async fn a_hosted_signup_is_connected_without_a_page_once_however_often_it_is_reported() {
    let app = business().await;
    app.meta.put_partner(Partner { hosted: Some(PopupOrder::default()), ..partner() });
    let tenant = TenantId::parse(&app.seed.tenant_id).unwrap();
    settings(&app, |settings| settings.hosted_for = Some(tenant)).await;
    app.meta.script_call("business_token", [ScriptedFault::Html502, ScriptedFault::DropAfter]);
    for _ in 0..3 {
        partner_added(&app);
        app.drain().await;
        app.functions.poll_onboarding().await;
    }
    settle(&app).await;
    let all = list(&app).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((all[0]["status"].as_str(), all[0]["phone_number_id"].as_str()), (Some("connected"), Some(NEW)));
    assert_eq!(app.api("GET", &format!("/v1/numbers/{NEW}"), None).await.status, StatusCode::OK);
    // A later repetition finds it connected.
    app.advance(3_600);
    partner_added(&app);
    app.drain().await;
    settle(&app).await;
    assert_eq!(list(&app).await.len(), 1);
}

#[tokio::test]
async fn the_report_of_a_shared_account_merges_with_the_popup_in_any_order() {
    for before in [true, false] {
        for hosted in [true, false] {
            let app = business().await;
            app.meta.put_partner(Partner { hosted: Some(PopupOrder::default()), ..partner() });
            let tenant = TenantId::parse(&app.seed.tenant_id).unwrap();
            settings(&app, |settings| settings.hosted_for = hosted.then_some(tenant)).await;
            let started = start(&app).await;
            if before {
                partner_added(&app);
                app.drain().await;
                app.functions.poll_onboarding().await;
            }
            let code = app.meta.popup(grant(&[ACCOUNT]));
            post(&app, &started, json!({"code": code, "event": finished()})).await;
            if !before {
                partner_added(&app);
                app.drain().await;
            }
            settle(&app).await;
            assert_eq!(shown(&app, &started).await["status"], "connected");
            assert_eq!(
                (app.meta.calls_of("register"), app.meta.calls_of("business_token")),
                (1, 0),
                "{before} {hosted}"
            );
            let others: Vec<Value> = list(&app).await.into_iter().filter(|one| one["id"] != started["id"]).collect();
            assert!(others.iter().all(|one| one["status"] == "cancelled"), "{others:#?}");
            let token = app.api("GET", &format!("/v1/numbers/{NEW}"), None).await.json();
            assert!(!token["account_states"].to_string().contains("withdrawn"), "{token:#}");
        }
    }
}
