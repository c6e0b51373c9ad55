//! Offboarding through the API, at Meta, or by a data deletion request. All data of the tenant or account is erased
//! despite crashes, and no other data changes.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sandbox::aws::faults::Fault;
use sandbox::meta::ScriptedFault;
use sandbox::stack::{INBOUND, OUTBOUND};
use serde_json::{Map, Value, json};
use shared::domain::accounts::tenant::Scope;
use shared::domain::ids::TenantId;
use shared::provider::meta::signed_request;
use shared::queue::InboundWork;
use shared::secret::Secret;

use crate::harness::{Answer, App, CUSTOMER, NUMBER, ask, change, effort, text_message};
use crate::onboarding::{ACCOUNT, NEW, business, finished, grant, post, settle};
use crate::partner::with_credit;

/// A customer who wrote only to the tenant that leaves.
pub(crate) const LEAVER: &str = "15550008888";

/// The tenant that leaves.
pub(crate) struct Other {
    pub(crate) tenant: TenantId,
    pub(crate) key: String,
}

/// Creates a tenant that connects the unconnected account.
pub(crate) async fn joins(app: &App) -> Other {
    let tenant = app.stack.operator.create_tenant("Leaving").await.unwrap();
    let scopes = [Scope::Read, Scope::Send, Scope::Manage];
    let key = app.stack.operator.create_key(Some(tenant), &scopes).await.unwrap().expose().to_owned();
    Box::pin(connect(app, &key)).await;
    Other { tenant, key }
}

pub(crate) async fn connect(app: &App, key: &str) -> Value {
    let started = ask(app, key, "POST", "/v1/onboardings", json!({"app": "sandbox"})).await.json();
    let code = app.meta.popup(grant(&[ACCOUNT]));
    post(app, &started, json!({"code": code, "event": finished()})).await;
    settle(app).await;
    let path = format!("/v1/onboardings/{}", started["id"].as_str().unwrap());
    let shown = ask(app, key, "GET", &path, Value::Null).await.json();
    assert_eq!(shown["status"], "connected", "{shown:#}");
    shown
}

pub(crate) fn says(app: &App, customer: &str, number: &str, text: &str) {
    let Value::Object(message) = json!({"type": "text", "text": {"body": text}}) else { unreachable!() };
    let message: Map<String, Value> = message;
    app.meta.customer_writes(customer, number, message).unwrap();
}

/// Activity of both tenants: the same customer writes to both, also within one webhook; answers, a file, a broadcast,
/// quarantined webhooks.
async fn lives(app: &App, other: &Other) {
    for number in [NUMBER, NEW] {
        says(app, CUSTOMER, number, "hello");
    }
    says(app, LEAVER, NEW, "only here");
    app.drain().await;
    app.send("welcome", Some("key-1")).await;
    let to =
        |customer: &str| json!({"from": NEW, "to": format!("+{customer}"), "type": "text", "text": {"body": "bye"}});
    for customer in [CUSTOMER, LEAVER] {
        ask(app, &other.key, "POST", "/v1/messages", to(customer)).await;
    }
    let both = json!({"object": "whatsapp_business_account", "entry": [
        {"id": crate::harness::WABA, "changes": [change(NUMBER, json!({"messages": [text_message(CUSTOMER, "wamid.one", "for one")]}))]},
        {"id": ACCOUNT, "changes": [change(NEW, json!({"messages": [text_message(CUSTOMER, "wamid.other", "for the other")]}))]}]});
    app.webhook(both.to_string()).await;
    let odd = json!({"object": "whatsapp_business_account", "entry": [{"id": ACCOUNT, "changes": [
        change(NEW, json!({"messages": [{"id": 7, "from": LEAVER}]})), {"field": "of tomorrow", "value": {"x": 1}}]}]});
    app.webhook(odd.to_string()).await;
    let broadcast = json!({"from": NEW, "template": {"name": "order_update", "language": {"code": "en_US"}},
        "category": "utility", "recipients": [{"to": "+16660000001", "parameters": ["x", "1"]}]});
    assert_eq!(ask(app, &other.key, "POST", "/v1/broadcasts", broadcast).await.status, StatusCode::ACCEPTED);
    let image = Request::post("/v1/media").header("authorization", format!("Bearer {}", other.key));
    let image = image.header("content-type", "image/jpeg").body(Body::from(crate::kinds::JPEG)).unwrap();
    assert_eq!(app.request(image).await.status, StatusCode::CREATED);
    app.drain().await;
}

/// Advances by hours; webhooks are delivered and the schedule runs.
pub(crate) async fn hours(app: &App, hours: i64) {
    for _ in 0..hours * 4 {
        // Boxed, because a test's stack is small.
        Box::pin(app.functions.offboard()).await.ok();
        Box::pin(app.drain()).await;
        app.advance(15 * 60);
    }
}

/// Returns the texts that identify the leaving tenant, its account, its numbers and its customers.
fn marks(other: &Other) -> Vec<String> {
    let names =
        [other.tenant.to_string(), ACCOUNT.to_owned(), NEW.to_owned(), LEAVER.to_owned(), "only here".to_owned()];
    let mut marks = names.to_vec();
    marks.extend(["for the other".to_owned(), "16660000001".to_owned()]);
    marks
}

/// Returns the items of the table as texts, except those of the offboarding itself.
pub(crate) async fn items(app: &App) -> Vec<String> {
    let machinery = ["LEASE#", "OFFBOARDING#", "DELETION#"];
    let ours = |item: &Value| !machinery.iter().any(|one| item["pk"]["S"].as_str().unwrap().starts_with(one));
    let readable = |mut item: Value| {
        if let Some(raw) = item["raw"]["B"].as_str() {
            item["raw"] = String::from_utf8_lossy(&STANDARD.decode(raw).unwrap()).into_owned().into();
        }
        if item["sk"]["S"] == "KEY" {
            // Ignore the time of a key's last use.
            let key = item.as_object_mut().unwrap();
            key.retain(|name, _| name != "used_at" && name != "due");
        }
        item.to_string()
    };
    let mut texts: Vec<String> = app.table_items().await.into_iter().filter(ours).map(readable).collect();
    texts.sort();
    texts
}

/// Returns all objects of the bucket, unpacked.
async fn objects(app: &App) -> Vec<(String, String)> {
    let bucket = app.stack.operator_archive();
    let mut all = Vec::new();
    for folder in ["raw", "large", "quarantine", "media", "broadcasts"] {
        for key in bucket.list(folder, None, 1_000).await.unwrap() {
            let bytes = bucket.get(&key).await.unwrap();
            let mut text = String::from_utf8_lossy(&bytes).into_owned();
            for line in text.clone().lines() {
                if let Ok(InboundWork::Webhook(job)) = InboundWork::decode(line)
                    && let Some(body) = job.payload.body().unwrap()
                {
                    text.push_str(&String::from_utf8_lossy(&body));
                }
            }
            all.push((key, text));
        }
    }
    all
}

/// Checks that no data of the leaving tenant remains. Tombstones contain only the ids of the number and the account.
pub(crate) async fn nothing_is_left(app: &App, other: &Other, at: &str) {
    for text in items(app).await {
        let item: Value = serde_json::from_str(&text).unwrap();
        let stone = item.get("gone_at").is_some() && item.as_object().unwrap().len() <= 4;
        assert!(stone || !marks(other).iter().any(|mark| text.contains(mark)), "{at}: {text}");
    }
    for (key, text) in objects(app).await {
        let found = marks(other).into_iter().find(|mark| key.contains(mark) || text.contains(mark));
        assert_eq!(found, None, "{at}: {key}: {text}");
    }
    for queue in [INBOUND, OUTBOUND] {
        assert_eq!(app.stack.aws.sqs().bodies(queue), Vec::<String>::new(), "{at}");
    }
}

pub(crate) async fn both_live() -> (App, Other) {
    let app = business().await;
    with_credit(&app).await;
    let other = Box::pin(joins(&app)).await;
    Box::pin(lives(&app, &other)).await;
    app.stack.faults.clear();
    (app, other)
}

/// Returns the items of the other tenant.
pub(crate) async fn of_the_stayer(app: &App, other: &Other) -> Vec<String> {
    let all = items(app).await;
    // Shared items lose the leaving tenant's part. Its contacts are identified by its aliases.
    let leaver = all.iter().filter(|text| text.contains(&format!("ALIAS#{}", other.tenant)));
    let contacts: Vec<String> = leaver
        .map(|text| serde_json::from_str::<Value>(text).unwrap()["contact"]["S"].as_str().unwrap().to_owned())
        .collect();
    let theirs = |text: &String| {
        let machinery = text.contains("gone_at") || text.contains("AUDITS#operator");
        machinery || marks(other).iter().chain(&contacts).any(|mark| text.contains(mark))
    };
    all.into_iter().filter(|text| !theirs(text)).collect()
}

pub(crate) async fn leave(app: &App, other: &Other) -> Value {
    let body = json!({"tenant_id": other.tenant.to_string()});
    let answer = ask(app, &app.seed.operator_key, "POST", "/v1/offboardings", body).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()
}

pub(crate) async fn state(app: &App, id: &Value) -> Value {
    ask(app, &app.seed.operator_key, "GET", &format!("/v1/offboardings/{}", id.as_str().unwrap()), Value::Null)
        .await
        .json()
}

#[tokio::test]
async fn a_tenant_that_leaves_leaves_nothing_and_nobody_else_changes() {
    let (app, other) = Box::pin(both_live()).await;
    let (before, world) = (of_the_stayer(&app, &other).await, app.world().await);
    assert!(before.len() > 10);
    assert!(items(&app).await.iter().any(|text| text.contains(LEAVER)), "there is something to erase");
    assert!(objects(&app).await.iter().any(|(_, text)| text.contains("for the other")));
    let id = leave(&app, &other).await["id"].clone();
    Box::pin(hours(&app, 2)).await;
    let done = state(&app, &id).await;
    assert_eq!(done["status"], "done", "{done:#}");
    assert!(done["erased"].as_u64().unwrap() > 20);
    nothing_is_left(&app, &other, "at the end").await;
    assert!(of_the_stayer(&app, &other).await == before);
    assert_eq!(app.world().await, world);
    // At Meta the subscription, the token and the credit share are gone.
    let account = app.meta.business_account(ACCOUNT).unwrap();
    assert_eq!((account.subscribed, account.funding, app.meta.credit_shares()), (vec![], None, 0));
    assert_eq!(app.meta.calls_of("revoke"), 1);
    assert_eq!(ask(&app, &other.key, "GET", "/v1/conversations", Value::Null).await.status, StatusCode::UNAUTHORIZED);
    // Later webhooks of the number are not stored, and a new signup starts empty.
    says(&app, LEAVER, NEW, "anybody there?");
    app.drain().await;
    nothing_is_left_but_the_archive(&app).await;
    let next = Box::pin(joins(&app)).await;
    says(&app, LEAVER, NEW, "hello again");
    app.drain().await;
    let listed = ask(&app, &next.key, "GET", "/v1/conversations", Value::Null).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed:#}");
}

async fn nothing_is_left_but_the_archive(app: &App) {
    assert!(!items(app).await.iter().any(|text| text.contains(LEAVER)));
}

#[tokio::test]
async fn wherever_it_breaks_nothing_is_left_in_the_end() {
    let (calls, at, runs) = Box::pin(crashes(3)).await;
    println!("offboarding: {calls} calls, {runs} crashes at {at} of them, nothing left, nobody else changed");
    assert!(runs > effort::count(25, 50));
}

#[tokio::test]
#[ignore = "a minute: run by .ci/run"]
async fn at_every_single_call_it_may_break_and_nothing_is_left() {
    let (calls, at, runs) = Box::pin(crashes(usize::MAX)).await;
    println!("offboarding: {calls} calls, {runs} crashes at {at} of them, nothing left, nobody else changed");
    assert!(runs > 200);
}

/// Crashes before and after calls, at most `of_a_kind` per kind of call: further calls of the same kind give little new
/// information.
async fn crashes(of_a_kind: usize) -> (usize, usize, usize) {
    let (app, other) = Box::pin(both_live()).await;
    leave(&app, &other).await;
    app.stack.faults.order(usize::MAX, Fault::CrashBefore);
    Box::pin(hours(&app, 2)).await;
    let calls = app.stack.faults.calls();
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    let mut chosen = Vec::new();
    for (call, name) in calls.iter().enumerate() {
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        if *times <= of_a_kind {
            chosen.push((call, name.clone()));
        }
    }
    let mut runs = 0;
    for (call, name) in &chosen {
        let both = [Fault::CrashBefore, Fault::CrashAfter];
        for fault in if of_a_kind == usize::MAX { both.to_vec() } else { effort::faults(*call, &both) } {
            let at = format!("call {call} ({name}), {fault:?}");
            let (mut app, other) = Box::pin(both_live()).await;
            let before = of_the_stayer(&app, &other).await;
            let id = leave(&app, &other).await["id"].clone();
            app.stack.faults.clear();
            app.stack.faults.order(*call, fault);
            app.until_crash(async |app: &App| Box::pin(hours(app, 2)).await).await;
            app.stack.faults.clear();
            // Wait until the crashed run's lease expires.
            app.advance(17 * 60);
            Box::pin(hours(&app, 2)).await;
            let done = state(&app, &id).await;
            assert_eq!(done["status"], "done", "{at}: {done:#}");
            nothing_is_left(&app, &other, &at).await;
            assert!(of_the_stayer(&app, &other).await == before, "{at}");
            assert_eq!(
                (app.meta.credit_shares(), app.meta.business_account(ACCOUNT).unwrap().subscribed.len()),
                (0, 0),
                "{at}"
            );
            runs += 1;
        }
    }
    (calls.len(), chosen.len(), runs)
}

#[tokio::test]
async fn what_meta_refuses_or_does_not_answer_does_not_keep_anything_from_being_erased() {
    let (app, other) = Box::pin(both_live()).await;
    app.meta.script_call("unsubscribe", [ScriptedFault::Html502, ScriptedFault::DropAfter]);
    app.meta.script_call("revoke", [ScriptedFault::Error { http: 400, code: 1_234, message: "no".to_owned() }]);
    app.meta.script_call("credit_revoke", (0..5_000).map(|_| ScriptedFault::Html502));
    let id = leave(&app, &other).await["id"].clone();
    for _ in 0..300 {
        Box::pin(app.functions.offboard()).await.unwrap();
        app.advance(300);
    }
    Box::pin(hours(&app, 2)).await;
    let done = state(&app, &id).await;
    assert_eq!(done["status"], "done_with_failures", "{done:#}");
    let failed: Vec<&str> = done["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["state"] == "failed")
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["credit", "revoke"]);
    nothing_is_left(&app, &other, "at the end").await;
    let alerts = ask(&app, &app.seed.operator_key, "GET", "/v1/alerts", Value::Null).await.json();
    assert!(alerts.to_string().contains("A step of an offboarding failed at Meta."), "{alerts:#}");
}

#[tokio::test]
async fn one_account_leaves_and_the_tenants_other_number_keeps_its_contacts() {
    let app = business().await;
    let key = app.seed.api_key.clone();
    Box::pin(connect(&app, &key)).await;
    for (customer, number) in [(CUSTOMER, NUMBER), (CUSTOMER, NEW), (LEAVER, NEW)] {
        says(&app, customer, number, "hello");
    }
    app.drain().await;
    let world = app.world().await;
    let foreign = app.api("POST", "/v1/offboardings", Some(json!({"waba_id": "900100200300999"}))).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let days = app.api("POST", "/v1/offboardings", Some(json!({"waba_id": ACCOUNT, "erase_after_days": 91}))).await;
    assert_eq!(days.json()["field"], "erase_after_days");
    let id = app.api("POST", "/v1/offboardings", Some(json!({"waba_id": ACCOUNT}))).await.json()["id"].clone();
    // Sending stops at once.
    let order = json!({"from": NEW, "to": format!("+{CUSTOMER}"), "type": "text", "text": {"body": "no"}});
    app.advance(20);
    assert_eq!(app.api("POST", "/v1/messages", Some(order)).await.json()["code"], "disconnected");
    Box::pin(hours(&app, 2)).await;
    assert_eq!(state(&app, &id).await["status"], "done");
    let texts = items(&app).await;
    assert!(!texts.iter().any(|text| text.contains(LEAVER)), "who wrote to the account only is gone");
    assert!(
        texts.iter().any(|text| text.contains(&format!("PHONE#{CUSTOMER}"))),
        "who wrote to the other number stays"
    );
    let after = app.world().await;
    let of_number = |world: &Value| {
        let all = world["conversations"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["id"].as_str().unwrap().contains(NUMBER)).unwrap()["messages"].clone()
    };
    assert_eq!(of_number(&after), of_number(&world));
    let listed = app.api("GET", "/v1/offboardings", None).await.json();
    assert_eq!(listed["data"][0]["waba_ids"], json!([ACCOUNT]));
}

pub(crate) fn partner_removed(app: &App) {
    let value =
        json!({"event": "PARTNER_REMOVED", "waba_info": {"waba_id": ACCOUNT, "owner_business_id": "900100200300001"}});
    let Value::Object(value) = value else { unreachable!() };
    app.meta.reports(ACCOUNT, "account_update", &value);
}

#[tokio::test]
async fn a_business_that_disconnects_at_meta_may_come_back_within_a_month() {
    for returns in [true, false] {
        let (app, other) = Box::pin(both_live()).await;
        partner_removed(&app);
        app.drain().await;
        Box::pin(hours(&app, 1)).await;
        let listed = ask(&app, &other.key, "GET", "/v1/offboardings", Value::Null).await.json();
        assert_eq!(
            (listed["data"][0]["status"].as_str(), listed["data"][0]["why"].as_str()),
            (Some("waiting"), Some("disconnected")),
            "{listed:#}"
        );
        assert_eq!(app.meta.credit_shares(), 0, "the credit is taken back at once");
        assert_eq!(app.meta.calls_of("unsubscribe") + app.meta.calls_of("revoke"), 0, "Meta did that");
        app.advance(10 * 86_400);
        if returns {
            Box::pin(connect(&app, &other.key)).await;
            // A late repetition of the report refers to an earlier time.
        }
        app.advance(25 * 86_400);
        Box::pin(hours(&app, 2)).await;
        let listed = ask(&app, &other.key, "GET", "/v1/offboardings", Value::Null).await.json();
        assert_eq!(listed["data"][0]["status"], if returns { "cancelled" } else { "done" }, "{listed:#}");
        let conversations = ask(&app, &other.key, "GET", "/v1/conversations", Value::Null).await.json();
        assert_eq!(conversations["data"].as_array().unwrap().len(), if returns { 2 } else { 0 }, "{conversations:#}");
        if returns {
            let again = json!({"from": NEW, "to": format!("+{CUSTOMER}"), "type": "template", "category": "utility",
                "template": {"name": "hello_world", "language": {"code": "en_US"}}});
            assert_eq!(ask(&app, &other.key, "POST", "/v1/messages", again).await.status, StatusCode::ACCEPTED);
        }
    }
}

pub(crate) async fn callback(app: &App, name: &str, secret: &str, issued_at: i64) -> Answer {
    let payload = json!({"algorithm": "HMAC-SHA256", "issued_at": issued_at, "user_id": "900100200300002"});
    let signed = signed_request::sign(&payload, &Secret::new(secret.to_owned()));
    let request = Request::post(format!("/webhooks/meta/sandbox/{name}"))
        .header("host", "switchboard.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(format!("signed_request={signed}")))
        .unwrap();
    app.request(request).await
}

#[tokio::test]
async fn a_request_to_delete_data_is_carried_out_and_its_page_says_so() {
    let (app, other) = Box::pin(both_live()).await;
    let now = app.clock.now().as_second();
    for name in ["deauthorize", "deletion"] {
        assert_eq!(callback(&app, name, "another secret", now).await.status, StatusCode::UNAUTHORIZED);
    }
    // An old request has no effect on a later connection.
    let old = callback(&app, "deletion", &app.seed.app_secret, now - 9_999_999).await.json();
    let page = async |answer: &Value| {
        let path = answer["url"].as_str().unwrap().strip_prefix("https://switchboard.example").unwrap();
        app.request(Request::get(path).body(Body::empty()).unwrap()).await.text
    };
    assert!(page(&old).await.contains("No data of yours"));
    let asked = callback(&app, "deletion", &app.seed.app_secret, now).await;
    assert_eq!(asked.status, StatusCode::OK);
    let asked = asked.json();
    assert!(page(&asked).await.contains("being deleted"), "{asked}");
    Box::pin(hours(&app, 2)).await;
    assert!(page(&asked).await.contains("All your data has been deleted"));
    let listed = ask(&app, &other.key, "GET", "/v1/offboardings", Value::Null).await.json();
    assert_eq!(
        (listed["data"][0]["status"].as_str(), listed["data"][0]["why"].as_str()),
        (Some("done"), Some("deletion_requested"))
    );
    assert!(!items(&app).await.iter().any(|text| text.contains(LEAVER)));
    let unknown = Request::get("/deletions/off_00000000000000000000000000").body(Body::empty()).unwrap();
    assert_eq!(app.request(unknown).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_user_who_removes_the_app_stops_sending_only_if_the_token_is_dead() {
    for dead in [false, true] {
        let (app, other) = Box::pin(both_live()).await;
        app.functions.visit_tokens().await.unwrap();
        if dead {
            app.meta.withdraw_tokens(ACCOUNT);
        }
        let now = app.clock.now().as_second();
        assert_eq!(callback(&app, "deauthorize", &app.seed.app_secret, now).await.status, StatusCode::OK);
        app.advance(60);
        app.functions.visit_tokens().await.unwrap();
        app.advance(60);
        let order = json!({"from": NEW, "to": format!("+{CUSTOMER}"), "type": "text", "text": {"body": "still here"}});
        let sent = app.meta.sent_count();
        ask(&app, &other.key, "POST", "/v1/messages", order).await;
        Box::pin(app.drain()).await;
        assert_eq!(app.meta.sent_count() == sent, dead);
        let alerts = ask(&app, &other.key, "GET", "/v1/alerts", Value::Null).await.text;
        assert_eq!(alerts.contains("no longer valid"), dead, "{alerts}");
    }
}
