//! Each way to connect a number ends in a conversation: a message arrives, and the answer is sent and read.

use axum::http::StatusCode;
use sandbox::meta::{Partner, PopupOrder};
use serde_json::{Map, Value, json};
use shared::domain::ids::TenantId;

use crate::harness::App;
use crate::onboarding::{ACCOUNT, NEW, business, grant, post, settle, shown, start};
use crate::partner::{partner, partner_added, settings, with_credit};

/// A way to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Code,
    UserToken,
    Hosted,
}

const SHAPES: [(&str, bool); 5] = [
    ("FINISH", false),
    ("FINISH_ONLY_WABA", false),
    ("FINISH_GRANT_ONLY_API_ACCESS", false),
    ("FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING", true),
    // Coexistence without the event of its own.
    ("FINISH", true),
];

fn event(shape: &str, coexistence: bool) -> Value {
    let data = match (shape, coexistence) {
        ("FINISH", true) => json!({"waba_id": ACCOUNT, "is_wa_login_user": true}),
        ("FINISH", false) => json!({"waba_id": ACCOUNT, "phone_number_id": NEW}),
        ("FINISH_GRANT_ONLY_API_ACCESS", _) => json!({}),
        _ => json!({"waba_id": ACCOUNT}),
    };
    json!({"type": "WA_EMBEDDED_SIGNUP", "event": shape, "version": 3, "data": data})
}

async fn connect(app: &App, way: Way, event: Value) {
    if way == Way::Hosted {
        let tenant = TenantId::parse(&app.seed.tenant_id).unwrap();
        settings(app, |settings| settings.hosted_for = Some(tenant)).await;
        app.meta.put_partner(Partner { hosted: Some(PopupOrder::default()), ..partner() });
        partner_added(app);
        app.drain().await;
        return settle(app).await;
    }
    let started = start(app).await;
    let given = match way {
        Way::UserToken => ("access_token", app.meta.popup_for_token(grant(&[ACCOUNT]))),
        Way::Code | Way::Hosted => ("code", app.meta.popup(grant(&[ACCOUNT]))),
    };
    let mut body = json!({"event": event});
    body[given.0] = given.1.into();
    post(app, &started, body).await;
    settle(app).await;
    let onboarding = shown(app, &started).await;
    assert_eq!(onboarding["status"], "connected", "{onboarding:#}");
}

#[tokio::test]
async fn each_way_to_connect_a_number_ends_in_a_conversation() {
    let mut ways = 0;
    for way in [Way::Code, Way::UserToken, Way::Hosted] {
        for credit in [false, true] {
            for (shape, coexistence) in SHAPES {
                if way == Way::Hosted && shape != "FINISH" {
                    continue;
                }
                let app = business().await;
                let mut account = app.meta.business_account(ACCOUNT).unwrap();
                account.numbers[0].on_biz_app = coexistence;
                app.meta.put_account(account);
                if credit {
                    with_credit(&app).await;
                }
                connect(&app, way, event(shape, coexistence)).await;
                let Value::Object(hello) = json!({"type": "text", "text": {"body": "hello"}}) else { unreachable!() };
                let hello: Map<String, Value> = hello;
                app.meta.customer_writes("15550002222", NEW, hello).unwrap();
                app.drain().await;
                let reply = json!({"from": NEW, "to": "+15550002222", "type": "text", "text": {"body": "welcome"}});
                let at = format!("{way:?}, credit line {credit}, {shape}, coexistence {coexistence}");
                assert_eq!(app.api("POST", "/v1/messages", Some(reply)).await.status, StatusCode::ACCEPTED, "{at}");
                app.drain().await;
                assert_eq!(
                    (app.texts("inbound").await, app.only_status().await),
                    (vec!["hello".to_owned()], "read".to_owned()),
                    "{at}"
                );
                assert_eq!(app.meta.credit_shares(), usize::from(credit), "{at}");
                ways += 1;
            }
        }
    }
    println!("signup: {ways} ways, each ended in a conversation");
}
