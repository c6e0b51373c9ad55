//! States of numbers and accounts: each concerns the number or account that it names, and ends with later good news.

use serde_json::{Value, json};

use crate::harness::{App, NUMBER, WABA, to_customer};

/// Another number of the seeded account, connected for the same tenant.
const SECOND: &str = "900100200300599";
const SECOND_DIGITS: &str = "1900100200300599";
const OUR_DIGITS: &str = "15550001111";
const FOREIGN_DIGITS: &str = "15550009999";

async fn two_numbers() -> App {
    let app = App::start().await;
    app.connect_number(SECOND, false).await;
    app.customer_writes("hello");
    app.drain().await;
    app
}

async fn report(app: &App, value: Value) {
    let Value::Object(value) = value else { unreachable!() };
    app.meta.reports(WABA, "account_update", &value);
    app.drain().await;
    // Longer than a number's status is cached.
    app.advance(16);
}

/// Returns whether a send from the number is refused for its status, with the reason.
async fn refusal(app: &App, number: &str) -> Option<String> {
    let mut order = to_customer("hi");
    order["from"] = json!(number);
    // Too short to wait for the end of a restriction.
    order["send_before"] =
        json!(shared::clock::after(app.clock.now(), shared::clock::SignedDuration::from_secs(60)).to_string());
    let answer = app.api("POST", "/v1/messages", Some(order)).await.json();
    let reason = answer["code"].as_str().unwrap_or("accepted");
    // The second number has no open window, which is the last thing that is checked.
    (!["accepted", "window_never_opened"].contains(&reason)).then(|| reason.to_owned())
}

/// Events that stop sending, with the reason, and the good news that ends each.
fn bad_news() -> Vec<(Value, &'static str, Vec<Value>)> {
    let plain = |event: &str| json!({"event": event});
    let info = json!({"waba_id": WABA, "owner_business_id": "500100200300002"});
    let of_partner = |event: &str| json!({"event": event, "waba_info": info});
    let ban = |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}});
    let connected = [of_partner("PARTNER_ADDED"), plain("ACCOUNT_RECONNECTED")];
    vec![
        (of_partner("PARTNER_REMOVED"), "disconnected", connected.to_vec()),
        (
            of_partner("PARTNER_APP_UNINSTALLED"),
            "disconnected",
            vec![of_partner("PARTNER_APP_INSTALLED"), of_partner("PARTNER_ADDED")],
        ),
        (plain("ACCOUNT_OFFBOARDED"), "disconnected", connected.to_vec()),
        (ban("DISABLE"), "banned", vec![ban("REINSTATE")]),
        (plain("ACCOUNT_DELETED"), "account_deleted", vec![of_partner("PARTNER_ADDED")]),
        (
            json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": [
                {"restriction_type": "RESTRICTED_CUSTOMER_INITIATED_MESSAGING", "expiration": 1_795_200_000}]}),
            "restricted",
            Vec::new(),
        ),
    ]
}

fn naming(mut event: Value, digits: Option<&str>) -> Value {
    if let Some(digits) = digits {
        event["phone_number"] = json!(digits);
    }
    event
}

#[tokio::test]
async fn a_report_stops_the_number_that_it_names_and_good_news_ends_it() {
    for (event, reason, good_news) in bad_news() {
        // The number named, and whether ours and the second one are stopped.
        for (digits, ours, second) in [
            (None, true, true),
            (Some(OUR_DIGITS), true, false),
            (Some(SECOND_DIGITS), false, true),
            (Some(FOREIGN_DIGITS), false, false),
        ] {
            let name = format!("{} of {digits:?}", event["event"]);
            let app = two_numbers().await;
            report(&app, naming(event.clone(), digits)).await;
            let stopped = |is: bool| is.then(|| reason.to_owned());
            assert_eq!(refusal(&app, NUMBER).await, stopped(ours), "{name}");
            assert_eq!(refusal(&app, SECOND).await, stopped(second), "{name}");
            for good in good_news.iter().filter(|_| digits != Some(FOREIGN_DIGITS)) {
                let app = two_numbers().await;
                report(&app, naming(event.clone(), digits)).await;
                report(&app, naming(good.clone(), digits)).await;
                assert_eq!(refusal(&app, NUMBER).await, None, "{name}, then {}", good["event"]);
                assert_eq!(refusal(&app, SECOND).await, None, "{name}, then {}", good["event"]);
                // News about the whole account also ends what was reported of one number.
                let app = two_numbers().await;
                report(&app, naming(event.clone(), digits)).await;
                report(&app, good.clone()).await;
                assert_eq!(refusal(&app, NUMBER).await, None, "{name}, then {} of all", good["event"]);
            }
        }
    }
}

#[tokio::test]
async fn a_report_about_a_number_that_is_not_here_is_quarantined_with_its_reason() {
    let app = two_numbers().await;
    report(&app, json!({"event": "ACCOUNT_OFFBOARDED", "phone_number": FOREIGN_DIGITS})).await;
    let shown = app.api("GET", &format!("/v1/quarantine?account_id={WABA}"), None).await.json();
    assert_eq!(shown["data"][0]["reason"], "unknown_number", "{shown:#}");
    assert_eq!(shown["data"][0]["what"], "coexistence");
    let raw = shown["data"][0]["raw"].to_string();
    assert!(raw.contains(FOREIGN_DIGITS), "{raw}");
}

#[tokio::test]
async fn a_state_that_is_over_is_shown_as_over() {
    let app = two_numbers().await;
    let (restriction, ..) = bad_news().pop().unwrap();
    report(&app, restriction).await;
    report(&app, json!({"event": "ACCOUNT_OFFBOARDED"})).await;
    let over = async |aspect: &str| {
        let shown = app.api("GET", &format!("/v1/numbers/{NUMBER}"), None).await.json();
        let states = shown["account_states"].as_array().unwrap().clone();
        states
            .iter()
            .find(|state| state["aspect"] == aspect && state["state"] != "reconnected")
            .map(|state| state["over"].clone())
    };
    assert_eq!((over("restriction").await, over("coexistence").await), (Some(json!(false)), Some(json!(false))));
    assert_eq!(refusal(&app, NUMBER).await.as_deref(), Some("disconnected"));
    report(&app, json!({"event": "PARTNER_ADDED", "waba_info": {"waba_id": WABA, "owner_business_id": "5"}})).await;
    assert_eq!(over("coexistence").await, Some(json!(true)));
    assert_eq!(refusal(&app, NUMBER).await.as_deref(), Some("restricted"));
    app.advance(7 * 3_600);
    app.customer_writes("still there?");
    app.drain().await;
    assert_eq!(over("restriction").await, Some(json!(true)));
    assert_eq!(refusal(&app, NUMBER).await, None);
}
