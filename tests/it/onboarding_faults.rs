//! Onboarding when Meta refuses or everything breaks (C3): each error with its cause and action, each crash survived.

use axum::http::StatusCode;
use sandbox::aws::faults::Fault;
use sandbox::meta::ScriptedFault;
use serde_json::{Value, json};
use shared::domain::onboarding::Step;
use shared::provider::meta::signup_errors::{self, Again};

use crate::harness::App;
use crate::onboarding::{ACCOUNT, business, finished, grant, post, settle, shown, start, states};

/// Which call of Meta's a step makes first.
fn call_of(step: Step) -> &'static str {
    match step {
        Step::Exchange => "oauth",
        Step::Prove => "debug_token",
        Step::Account => "phone_numbers",
        Step::Subscribe => "subscribe",
        Step::Register => "register",
        Step::Contacts | Step::History => "smb_app_data",
        Step::Probe => "subscriptions",
    }
}

#[tokio::test]
async fn every_error_is_recorded_with_its_cause_and_action() {
    let mut met = 0;
    for rule in signup_errors::RULES {
        // What is a rule for one step is met there; the others in three, unless a rule of the step comes first.
        let steps = rule.step.map_or(vec![Step::Account, Step::Subscribe, Step::Probe], |step| vec![step]);
        for step in steps {
            let code = rule.codes.0;
            let app = business().await;
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

#[tokio::test]
async fn wherever_it_breaks_the_number_is_connected_in_the_end() {
    let mut app = business().await;
    app.stack.faults.order(usize::MAX, Fault::CrashBefore);
    onboard(&mut app).await;
    let calls = app.stack.faults.calls();
    let (mut runs, mut spent) = (0, Vec::new());
    for (call, name) in calls.iter().enumerate() {
        for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::Unavailable, Fault::LostReply] {
            let mut app = business().await;
            app.stack.faults.order(call, fault);
            let started = onboard(&mut app).await;
            app.stack.faults.clear();
            settle(&app).await;
            assert!(app.meta.calls_of("oauth") <= 1, "call {call} ({name}), {fault:?}: the code is exchanged once");
            let Some(started) = started else { continue };
            let mut onboarding = shown(&app, &started).await;
            if onboarding["status"] != "connected" {
                // Only where nobody knows what became of the code a new signup is needed.
                assert_eq!(
                    states(&onboarding)[0],
                    "exchange failed",
                    "call {call} ({name}), {fault:?}: {onboarding:#}"
                );
                spent.push(format!("{fault:?} at {name}"));
                let code = app.meta.popup(grant(&[ACCOUNT]));
                post(&app, &started, json!({"code": code, "event": finished()})).await;
                settle(&app).await;
                onboarding = shown(&app, &started).await;
            }
            assert_eq!(onboarding["status"], "connected", "call {call} ({name}), {fault:?}");
            assert!(app.meta.calls_of("register") <= 2, "call {call} ({name}), {fault:?}");
            runs += 1;
        }
    }
    println!("onboarding: {} calls, {runs} faults, all connected; a new signup after: {spent:?}", calls.len());
    assert!(runs > 60);
}

/// A whole onboarding by a page that posts again what was not answered; jobs once each.
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
        // The code is good for 30 seconds; what is under way is over after a minute.
        app.advance(wait);
    }
    for _ in 0..12 {
        app.until_crash(async |app: &App| app.functions.poll_onboarding().await).await;
        app.advance(400);
    }
    Some(started)
}
