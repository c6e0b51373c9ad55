//! Onboarding with errors of Meta and crashes: each error has its cause and action, and each crash is survived.

use axum::http::StatusCode;
use sandbox::aws::faults::Fault;
use sandbox::meta::ScriptedFault;
use serde_json::{Value, json};
use shared::domain::lifecycle::onboarding::Step;
use shared::provider::meta::signup_errors::{self, Again};

use crate::harness::{App, effort};
use crate::onboarding::{ACCOUNT, business, finished, grant, post, settle, shown, start, states};
use crate::partner::{settings, with_credit};

/// Returns the first call to Meta of a step.
fn call_of(step: Step) -> &'static str {
    match step {
        Step::Exchange => "oauth",
        Step::Prove => "debug_token",
        Step::Account => "phone_numbers",
        Step::Subscribe => "subscribe",
        Step::Override => "override",
        Step::Credit => "assigned_users",
        Step::Register => "register",
        Step::Contacts | Step::History => "smb_app_data",
        Step::Probe => "subscriptions",
    }
}

#[tokio::test]
async fn every_error_is_recorded_with_its_cause_and_action() {
    let mut met = 0;
    for rule in signup_errors::RULES {
        // A rule for one step is tested there. General rules are tested in three steps, unless a rule of the step has
        // priority.
        let steps = rule.step.map_or(vec![Step::Account, Step::Subscribe, Step::Probe], |step| vec![step]);
        for step in steps {
            let code = rule.codes.0;
            let app = business().await;
            match step {
                Step::Credit => with_credit(&app).await,
                Step::Override => {
                    settings(&app, |settings| settings.override_url = Some("http://127.0.0.1:1".to_owned())).await;
                }
                _ => {}
            }
            let http = if code == 190 { 401 } else { 400 };
            app.meta.script_call(call_of(step), [ScriptedFault::Error { http, code, message: "scripted".to_owned() }]);
            let started = start(&app).await;
            let popup = app.meta.popup(grant(&[ACCOUNT]));
            post(&app, &started, json!({"code": popup, "event": finished()})).await;
            while app.functions.poll_onboarding().await > 0 {}
            let onboarding = shown(&app, &started).await;
            let last = onboarding["steps"].as_array().unwrap().last().unwrap();
            assert_eq!(
                (last["step"].as_str(), last["code"].as_i64()),
                (Some(step.as_str()), Some(code)),
                "{onboarding:#}"
            );
            assert_eq!(last["cause"], rule.cause, "{code} in {step:?}");
            let again = matches!(rule.again, Again::After(_));
            assert_eq!(last["state"], if again { "running" } else { "failed" }, "{code} in {step:?}");
            if again {
                settle(&app).await;
                assert_eq!(shown(&app, &started).await["status"], "connected", "{code} in {step:?}");
            } else {
                assert_eq!(last["action"], rule.action, "{code} in {step:?}");
            }
            met += 1;
        }
    }
    println!("onboarding: {} rules met in {met} onboardings", signup_errors::RULES.len());
}

/// The kind of signup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    TechProvider,
    Coexistence,
    SolutionPartner,
}

async fn brought(kind: Kind) -> App {
    let app = business().await;
    match kind {
        Kind::TechProvider => {}
        Kind::Coexistence => {
            let mut account = app.meta.business_account(ACCOUNT).unwrap();
            account.numbers[0].on_biz_app = true;
            app.meta.put_account(account);
        }
        Kind::SolutionPartner => with_credit(&app).await,
    }
    app.stack.faults.clear();
    app
}

const FAULTS: [Fault; 4] = [Fault::CrashBefore, Fault::CrashAfter, Fault::Unavailable, Fault::LostReply];

#[tokio::test]
async fn wherever_it_breaks_the_number_is_connected_in_the_end() {
    for kind in [Kind::TechProvider, Kind::Coexistence, Kind::SolutionPartner] {
        let mut app = brought(kind).await;
        app.stack.faults.order(usize::MAX, Fault::CrashBefore);
        onboard(&mut app).await;
        let calls = app.stack.faults.calls();
        let (mut runs, mut spent) = (0, Vec::new());
        // Until this call all kinds are alike.
        let alike = calls.iter().position(|name| name == "Graph.subscribe").unwrap();
        let from = if kind == Kind::TechProvider { 0 } else { alike };
        for (call, name) in calls.iter().enumerate().skip(from) {
            for fault in effort::faults(call, &FAULTS) {
                let at = format!("{kind:?}, call {call} ({name}), {fault:?}");
                let mut app = brought(kind).await;
                app.stack.faults.order(call, fault);
                let started = onboard(&mut app).await;
                app.stack.faults.clear();
                settle(&app).await;
                assert!(app.meta.calls_of("oauth") <= 1, "{at}: the code is exchanged once");
                let Some(started) = started else { continue };
                let mut onboarding = shown(&app, &started).await;
                if onboarding["status"] != "connected" {
                    // A new signup is needed only when the outcome of the code exchange is unknown.
                    assert_eq!(states(&onboarding)[0], "exchange failed", "{at}: {onboarding:#}");
                    spent.push(format!("{fault:?} at {name}"));
                    let code = app.meta.popup(grant(&[ACCOUNT]));
                    post(&app, &started, json!({"code": code, "event": finished()})).await;
                    settle(&app).await;
                    onboarding = shown(&app, &started).await;
                }
                assert_eq!(onboarding["status"], "connected", "{at}");
                keeps_budgets(&app, kind, &at);
                runs += 1;
            }
        }
        println!(
            "onboarding, {kind:?}: {} calls, {runs} faults, all connected; a new signup after: {spent:?}",
            calls.len()
        );
        assert!(runs > effort::count(15, 60));
    }
}

/// Checks that no step called Meta more often than allowed.
fn keeps_budgets(app: &App, kind: Kind, at: &str) {
    let registers = app.meta.calls_of("register");
    assert!(if kind == Kind::Coexistence { registers == 0 } else { (1..=2).contains(&registers) }, "{at}");
    let account = app.meta.business_account(ACCOUNT).unwrap();
    let synced: &[&str] = if kind == Kind::Coexistence { &["smb_app_state_sync", "history"] } else { &[] };
    assert_eq!(account.numbers[0].synced, synced, "{at}");
    let shares = usize::from(kind == Kind::SolutionPartner);
    assert_eq!((app.meta.calls_of("credit_share"), app.meta.credit_shares()), (shares, shares), "{at}");
    assert_eq!(account.funding.is_some(), kind == Kind::SolutionPartner, "{at}");
}

/// Runs a whole onboarding by a page that repeats unanswered posts, and polls the queue until all jobs are done.
async fn onboard(app: &mut App) -> Option<Value> {
    let mut started = app
        .until_crash(async |app: &App| app.api("POST", "/v1/onboardings", Some(json!({"app": "sandbox"}))).await)
        .await;
    if started.as_ref().is_none_or(|answer| answer.status != StatusCode::CREATED) {
        app.stack.faults.clear();
        started = Some(app.api("POST", "/v1/onboardings", Some(json!({"app": "sandbox"}))).await);
    }
    let started = started?.json();
    let code = app.meta.popup(grant(&[ACCOUNT]));
    for wait in [1, 61, 1] {
        let body = json!({"code": code, "event": finished()});
        let answer = app.until_crash(async |app: &App| post(app, &started, body.clone()).await).await;
        if answer.is_some_and(|answer| answer.status.is_success()) {
            break;
        }
        // A code is valid for 30 seconds; running calls end within a minute.
        app.advance(wait);
    }
    for _ in 0..12 {
        app.until_crash(async |app: &App| app.functions.poll_onboarding().await).await;
        app.advance(400);
    }
    Some(started)
}
