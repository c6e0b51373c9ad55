//! `POST /v1/broadcasts`: one call sends a template to many recipients.

use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use sandbox::aws::sqs::Sqs;
use sandbox::stack::OUTBOUND;
use serde_json::{Value, json};

use crate::harness::{Answer, App, NUMBER, effort};

fn broadcast(recipients: &[Value]) -> Value {
    json!({"from": NUMBER, "template": {"name": "order_update", "language": {"code": "en_US"}}, "category": "utility",
        "recipients": recipients})
}

fn to(n: usize) -> Value {
    json!({"to": format!("+1666{n:07}"), "parameters": [format!("customer {n}"), "17"]})
}

async fn post(app: &App, body: Value, key: Option<&str>) -> Answer {
    app.request(app.api_request("POST", "/v1/broadcasts", Some(body), key)).await
}

async fn until_done(app: &App, id: &str) -> Value {
    for _ in 0..400 {
        app.drain().await;
        app.advance(1);
        let state = app.api("GET", &format!("/v1/broadcasts/{id}"), None).await.json();
        if state["state"] != "running" {
            app.drain().await;
            return state;
        }
    }
    panic!("it never ends");
}

async fn results(app: &App, id: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.api("GET", &format!("/v1/broadcasts/{id}/recipients?limit=40{cursor}"), None).await.json();
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn each_recipient_gets_it_once_and_its_result_is_shown() {
    let app = App::start().await;
    let mut recipients: Vec<Value> = (0..90).map(to).collect();
    recipients.extend([to(3), to(4)]);
    let accepted = post(&app, broadcast(&recipients), Some("k")).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    let first = accepted.json();
    assert_eq!((first["recipients"].as_i64(), first["duplicates"].as_i64()), (Some(90), Some(2)));
    let again = post(&app, broadcast(&recipients), Some("k")).await;
    assert_eq!(
        (again.json()["id"].clone(), again.headers["idempotent-replayed"].to_str().unwrap()),
        (first["id"].clone(), "true")
    );
    recipients.pop();
    assert_eq!(post(&app, broadcast(&recipients), Some("k")).await.json()["code"], "idempotency_key_reused");
    let id = first["id"].as_str().unwrap();
    let done = until_done(&app, id).await;
    assert_eq!((done["state"].as_str(), done["released"].as_i64()), (Some("done"), Some(90)));
    let sent = app.meta.sent();
    assert_eq!(sent.len(), 90, "each once");
    let seven = sent.iter().find(|sent| sent.to == "16660000007").unwrap();
    assert_eq!(seven.body["template"]["components"][0]["parameters"][0]["text"], "customer 7");
    let results = results(&app, id).await;
    assert_eq!(results.len(), 90);
    assert!(results.iter().all(|result| result["status"] == "read"), "{:?}", results[0]);
    assert_eq!(results[7]["to"], "+16660000007");
    let conversation = results[7]["conversation_id"].as_str().unwrap();
    let message = results[7]["message_id"].as_str().unwrap();
    let path = format!("/v1/conversations/{conversation}/messages/{message}");
    assert_eq!(app.api("GET", &path, None).await.json()["template"]["name"], "order_update");
    assert_eq!(app.conversations().await.len(), 0, "a campaign does not flood the inbox");
    let silent = app.api("GET", &format!("/v1/conversations/{conversation}"), None).await.json();
    assert_eq!(silent["contact"]["phone"], "+16660000007", "{silent}");
    let messages = app.api("GET", &format!("/v1/conversations/{conversation}/messages"), None).await.json();
    assert_eq!(messages["data"].as_array().unwrap().len(), 1);
    let options = app.api("GET", &format!("/v1/conversations/{conversation}/send-options"), None).await.json();
    assert_eq!(options["free_form"]["reason"], "window_never_opened");
    let other = app.stack.operator.create_tenant("other").await.unwrap();
    let key = app.stack.operator.create_key(Some(other), &shared::domain::accounts::tenant::Scope::ALL).await.unwrap();
    let foreign = app.get(key.expose(), &format!("/v1/conversations/{conversation}")).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let listed = app.api("GET", "/v1/broadcasts", None).await.json();
    assert_eq!(listed["data"][0]["id"], first["id"]);
}

#[tokio::test]
async fn csv_makes_the_same_broadcast_with_named_variables() {
    let app = App::start().await;
    let csv = "to,first_name,order\n+16660000001,Ada,17\n+16660000002 ,\"Grace, Admiral\",18\n";
    let path = format!("/v1/broadcasts?from={NUMBER}&template=order_ready&language=en_US&category=utility");
    let post = async |path: &str, csv: &str| {
        let (mut parts, _) = app.api_request("POST", path, None, None).into_parts();
        parts.headers.insert("content-type", "text/csv".parse().unwrap());
        app.request(axum::http::Request::from_parts(parts, axum::body::Body::from(csv.to_owned()))).await
    };
    let accepted = post(&path, csv).await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{}", accepted.text);
    until_done(&app, accepted.json()["id"].as_str().unwrap()).await;
    let sent = app.meta.sent();
    assert_eq!(sent.len(), 2);
    let parameters = &sent[1].body["template"]["components"][0]["parameters"];
    assert_eq!(parameters[0], json!({"type": "text", "parameter_name": "first_name", "text": "Grace, Admiral"}));
    for (csv, field) in [
        ("phone\n+16660000001\n", "body"),
        ("to,order\n+16660000001\n", "body"),
        ("to\n12345\n", "line 2.to"),
        ("to\n", "recipients"),
        ("to,1,3\n+16660000001,a,b\n", "body"),
        ("to,first_name,order\n+16660000001,,17\n", "line 2: template.components[0].parameters[0].text"),
    ] {
        let refused = post(&path, csv).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["field"].clone()),
            (422, field.into()),
            "{csv}: {}",
            refused.text
        );
    }
    assert_eq!(post(&format!("{path}&on_unkown=fail"), csv).await.json()["field"], "query");
    let numbered = path.replace("order_ready", "order_update");
    let accepted = post(&numbered, "to,2,1\n+16660000009,second,first\n").await;
    until_done(&app, accepted.json()["id"].as_str().unwrap()).await;
    let sent = app.meta.sent().pop().unwrap();
    assert_eq!(sent.body["template"]["components"][0]["parameters"][0]["text"], "first");
    let refused = post("/v1/broadcasts?template=order_ready&language=en_US", "to\n+16660000001\n").await;
    assert_eq!(refused.json()["field"], "from");
}

#[tokio::test]
async fn paused_it_waits_resumed_it_goes_on_cancelled_it_stops() {
    let app = App::start().await;
    let accepted = post(&app, broadcast(&(0..60).map(to).collect::<Vec<_>>()), None).await.json();
    let id = accepted["id"].as_str().unwrap();
    let steer = async |to: &str| app.api("POST", &format!("/v1/broadcasts/{id}/{to}"), None).await;
    app.drain().await;
    assert_eq!(steer("pause").await.json()["state"], "paused");
    app.advance(20);
    app.drain().await;
    let so_far = app.meta.sent().len();
    assert!((1..60).contains(&so_far), "{so_far}");
    app.recover().await;
    assert_eq!(app.meta.sent().len(), so_far);
    assert_eq!(steer("resume").await.json()["state"], "running");
    app.advance(20);
    app.drain().await;
    assert!(app.meta.sent().len() > so_far);
    assert_eq!(steer("cancel").await.json()["state"], "cancelled");
    app.recover().await;
    let results = results(&app, id).await;
    let cancelled = results.iter().filter(|result| result["status"] == "cancelled").count();
    let read = results.iter().filter(|result| result["status"] == "read").count();
    assert_eq!((read, read + cancelled), (app.meta.sent().len(), 60));
    assert_eq!(steer("resume").await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_recipient_who_is_released_anew_gets_it_once() {
    let app = App::start().await;
    let jobs = Arc::new(Mutex::new(Vec::<Value>::new()));
    let seen = jobs.clone();
    app.stack.aws.set_tap(Some(Arc::new(move |name, body| {
        if name == "AmazonSQS.SendMessageBatch" {
            let batch: Value = serde_json::from_slice(&body).unwrap();
            seen.lock().unwrap().extend(batch["Entries"].as_array().unwrap().iter().cloned());
        }
        body
    })));
    let accepted = post(&app, broadcast(&(0..3).map(to).collect::<Vec<_>>()), None).await.json();
    let id = accepted["id"].as_str().unwrap();
    until_done(&app, id).await;
    app.stack.aws.set_tap(None);
    let jobs: Vec<Value> = jobs.lock().unwrap().drain(..).collect();
    assert_eq!(jobs.len(), 3);
    let sqs = app.stack.aws.config().sqs();
    let release_anew = async |of: &str| {
        for (index, job) in jobs.iter().enumerate() {
            let again =
                sqs.send_message().queue_url(Sqs::url(OUTBOUND)).message_body(job["MessageBody"].as_str().unwrap());
            let again = again.message_group_id(job["MessageGroupId"].as_str().unwrap());
            again.message_deduplication_id(format!("{of}{index}")).send().await.unwrap();
        }
        app.recover().await;
        assert_eq!(app.depth(), (0, 0));
        assert_eq!(app.meta.sent().len(), 3, "each once");
        assert!(results(&app, id).await.iter().all(|result| result["status"] == "read"));
    };
    release_anew("soon").await;
    assert_eq!(app.functions.metrics.total("claim_lost"), 3, "each was tried");
    app.advance(8 * 24 * 3_600);
    release_anew("late").await;
    assert_eq!(app.functions.metrics.total("expired"), 0, "what was sent has not expired");
}

#[tokio::test]
async fn a_crash_anywhere_in_the_release_sends_nobody_twice_and_forgets_nobody() {
    use sandbox::aws::faults::Fault;
    let recipients: Vec<Value> = (0..12).map(to).collect();
    let app = App::start().await;
    app.stack.faults.order(usize::MAX, Fault::CrashBefore);
    let id = post(&app, broadcast(&recipients), None).await.json()["id"].as_str().unwrap().to_owned();
    until_done(&app, &id).await;
    let calls = app.stack.faults.calls().len();
    // Every seventh call keeps the run short; calls of the release function are among them.
    for call in (0..calls.min(160)).step_by(7) {
        let all = [Fault::CrashBefore, Fault::CrashAfter, Fault::Unavailable, Fault::LostReply];
        for fault in effort::faults(call, &all) {
            let mut app = App::start().await;
            app.stack.faults.order(call, fault);
            let answer = app.until_crash(async |app: &App| post(app, broadcast(&recipients), None).await).await;
            let Some(accepted) = answer.filter(|answer| answer.status == StatusCode::ACCEPTED) else { continue };
            let id = accepted.json()["id"].as_str().unwrap().to_owned();
            for _ in 0..3 {
                if app.until_crash(async |app: &App| app.drain().await).await.is_some() {
                    app.advance(1);
                }
            }
            app.stack.faults.clear();
            app.recover().await;
            let results = results(&app, &id).await;
            let settled = |status: &str| ["read", "unknown", "review"].contains(&status);
            assert!(
                results.iter().all(|one| settled(one["status"].as_str().unwrap())),
                "call {call}, {fault:?}: {results:?}"
            );
            let mut to: Vec<String> = app.meta.sent().into_iter().map(|sent| sent.to).collect();
            to.sort();
            let sends = to.len();
            to.dedup();
            assert_eq!(sends, to.len(), "call {call}, {fault:?}: nobody twice");
            // Only messages that were between claim and record at the crash have an unknown outcome.
            let doubtful = results.iter().filter(|one| one["status"] != "read").count();
            assert!(doubtful <= 10, "call {call}, {fault:?}: {doubtful} of one batch");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_a_broadcast_is_told_the_field_and_the_rule() {
    let app = App::start().await;
    let good = broadcast(&[to(1)]);
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    let cases = [
        (with("recipients", json!([])), "recipients"),
        (with("recipients", json!(["+12"])), "recipients[0].to"),
        (with("recipients", json!([to(1), {"to": "+16660000002", "parameters": ["one"]}])), "recipients[1]"),
        (with("recipients", json!([{"to": "+16660000002", "fax": 1}])), "recipients[0]"),
        (with("from", json!("123")), "from"),
        (with("template", json!({"name": "x"})), "template"),
        (with("category", json!("gossip")), "category"),
        (with("lane", json!("live")), "lane"),
        (with("surprise", json!(1)), "surprise"),
        (with("send_before", json!("yesterday")), "send_before"),
    ];
    for (body, field) in cases {
        let answer = post(&app, body, None).await;
        assert_eq!((answer.status.as_u16(), answer.json()["field"].clone()), (422, field.into()), "{}", answer.text);
    }
    let many: Vec<Value> = (0..100_001).map(|n| json!(format!("+1666{n:07}"))).collect();
    assert_eq!(post(&app, with("recipients", json!(many)), None).await.json()["field"], "recipients");
    assert!(app.meta.sent().is_empty() && app.meta.faults_waiting() == 0);
}

#[tokio::test]
async fn recipients_who_wait_long_are_on_the_due_list_and_not_in_the_queue() {
    let app = App::start().await;
    let id = post(&app, broadcast(&(0..5).map(to).collect::<Vec<_>>()), None).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    // The broadcast is released, and paused before any message is sent.
    while app.depth().1 < 5 {
        app.functions.poll_release().await;
        app.advance(1);
    }
    assert_eq!(
        app.api("POST", &format!("/v1/broadcasts/{id}/pause"), None).await.status,
        StatusCode::CONFLICT,
        "all had their turn"
    );
    app.stack.faults.take_down("TrentService");
    app.drain().await;
    assert_eq!(app.depth().1, 0, "nobody is received again and again");
    let waiting = results(&app, &id).await;
    assert!(waiting.iter().all(|one| one["status"] == "queued" && one["message_id"].is_string()), "{waiting:?}");
    app.stack.faults.clear();
    app.recover().await;
    assert_eq!(app.meta.sent().len(), 5);
    assert!(results(&app, &id).await.iter().all(|one| one["status"] == "read"));
}
