//! Inbox operations of agents (search, filter, read, assign, close, note, export) and settings of a number.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::harness::{App, NUMBER, ask, change, is_theirs, text_message, webhook_body};

const ADA: &str = "15550006001";
const BOB: &str = "15550006002";

async fn named(app: &App, from: &str, name: &str, id: &str) {
    let contacts = json!([{"profile": {"name": name}, "wa_id": from}]);
    let mut message = text_message(from, id, "hello");
    message["timestamp"] = json!(app.clock.now().as_second().to_string());
    app.webhook(webhook_body(&[change(NUMBER, json!({"contacts": contacts, "messages": [message]}))])).await;
    app.drain().await;
}

async fn inbox(app: &App) -> (String, String) {
    named(app, ADA, "Ada Lovelace-King", "wamid.ada").await;
    named(app, BOB, "Bob Ösmond", "wamid.bob").await;
    let id = async |phone: &str| {
        let path = format!("/v1/numbers/{NUMBER}/conversation?phone=%2B{phone}");
        app.api("GET", &path, None).await.json()["id"].as_str().unwrap().to_owned()
    };
    (id(ADA).await, id(BOB).await)
}

async fn listed(app: &App, query: &str) -> BTreeSet<String> {
    let answer = app.api("GET", &format!("/v1/conversations?{query}"), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    answer.json()["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_conversation_is_found_by_name_and_number_and_nothing_else() {
    let app = App::start().await;
    let (ada, bob) = inbox(&app).await;
    for (search, found) in [
        ("ada", vec![&ada]),
        ("ADA%20king", vec![&ada]),
        ("love", vec![&ada]),
        ("%C3%B6s", vec![&bob]),
        ("ada%20%C3%B6smond", vec![]),
        ("ace", vec![]),
        ("%2B1555000600", vec![&ada, &bob]),
        ("1555", vec![&ada, &bob]),
        ("6002", vec![&bob]),
        ("6001", vec![&ada]),
        ("0000", vec![]),
        ("", vec![]),
        ("%23", vec![]),
    ] {
        let expected: BTreeSet<String> = found.into_iter().cloned().collect();
        assert_eq!(listed(&app, &format!("search={search}")).await, expected, "{search}");
    }
    // Pages of one item; each appears once.
    let first = app.api("GET", "/v1/conversations?search=1555&limit=1", None).await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = app.api("GET", &format!("/v1/conversations?search=1555&limit=1&cursor={cursor}"), None).await.json();
    assert_ne!(first["data"][0]["id"], second["data"][0]["id"]);
    let wrong = app.api("GET", "/v1/conversations?search=1555&cursor=zz", None).await;
    assert_eq!(wrong.json()["field"], "cursor");
    // The search no longer finds the old name; it finds the new one.
    app.advance(1);
    named(&app, ADA, "Augusta", "wamid.renamed").await;
    assert_eq!(listed(&app, "search=augusta").await, BTreeSet::from([ada.clone()]));
    assert_eq!(listed(&app, "search=lovelace").await, BTreeSet::new());
    // Another tenant finds nothing.
    let other = app.stack.operator.create_tenant("Other").await.unwrap();
    let key =
        app.stack.operator.create_key(Some(other), &[shared::domain::accounts::tenant::Scope::Read]).await.unwrap();
    let theirs = ask(&app, key.expose(), "GET", "/v1/conversations?search=1555", Value::Null).await;
    assert_eq!(theirs.json()["data"], json!([]));
}

#[tokio::test]
async fn what_is_assigned_closed_labelled_and_read_is_listed_so() {
    let app = App::start().await;
    let (ada, bob) = inbox(&app).await;
    let path = format!("/v1/conversations/{ada}");
    let shown = app.api("GET", &path, None).await;
    let fresh = shown.json();
    assert_eq!((&fresh["status"], &fresh["unread"], &fresh["revision"]), (&json!("open"), &json!(true), &json!(0)));
    assert_eq!(shown.headers["etag"], "\"0\"");
    let body = json!({"status": "closed", "assigned_to": "Grace", "labels": ["vip", "billing"]});
    let changed = app.api("PATCH", &path, Some(body)).await;
    assert_eq!((changed.status, changed.headers["etag"].to_str().unwrap()), (StatusCode::OK, "\"1\""));
    app.api("POST", &format!("{path}/read"), Some(json!({"at_meta": false}))).await;
    let (one, other) = (BTreeSet::from([ada.clone()]), BTreeSet::from([bob.clone()]));
    let number = format!("number_id={NUMBER}");
    for (query, expected) in [
        ("status=closed", &one),
        ("status=open", &other),
        ("unread=false", &one),
        ("unread=true", &other),
        ("assigned_to=Grace", &one),
        ("assigned_to=", &other),
        ("label=vip", &one),
        ("label=vip&status=open", &BTreeSet::new()),
        ("window_open=true&label=billing", &one),
        ("window_open=false", &BTreeSet::new()),
        (number.as_str(), &BTreeSet::from([ada.clone(), bob.clone()])),
        ("number_id=900100200300599", &BTreeSet::new()),
    ] {
        assert_eq!(listed(&app, query).await, *expected, "{query}");
    }
    for wrong in ["status=done", "unread=maybe", "number_id=", "limit=0", "sort=up"] {
        let answer = app.api("GET", &format!("/v1/conversations?{wrong}"), None).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}: {}", answer.text);
    }
    // The customer writes again: open and unread, still assigned to Grace.
    app.advance(60);
    named(&app, ADA, "Ada", "wamid.again").await;
    let again = app.api("GET", &path, None).await.json();
    assert_eq!((&again["status"], &again["unread"]), (&json!("open"), &json!(true)));
    assert_eq!(again["assigned_to"], "Grace");
    let freed = app.api("PATCH", &path, Some(json!({"assigned_to": null, "labels": []}))).await.json();
    assert_eq!((&freed["assigned_to"], &freed["labels"]), (&Value::Null, &json!([])));
    for (body, field) in [
        (json!({"labels": ["a".repeat(51)]}), "labels"),
        (json!({"assigned_to": ""}), "assigned_to"),
        (json!({"status": "gone"}), "status"),
        (json!({"tenant_id": "x"}), "tenant_id"),
    ] {
        let refused = app.api("PATCH", &path, Some(body)).await;
        assert_eq!((refused.status.as_u16(), refused.json()["field"].as_str()), (422, Some(field)));
    }
}

#[tokio::test]
async fn of_two_people_who_change_one_conversation_the_second_is_told() {
    let app = App::start().await;
    let (ada, _) = inbox(&app).await;
    let change = async |revision: &str, who: &str| {
        let body = Some(json!({"assigned_to": who}));
        let mut request = app.api_request("PATCH", &format!("/v1/conversations/{ada}"), body, None);
        request.headers_mut().insert("if-match", revision.parse().unwrap());
        app.request(request).await
    };
    assert_eq!(change("\"0\"", "Grace").await.status, StatusCode::OK);
    let late = change("\"0\"", "Alan").await;
    assert_eq!((late.status.as_u16(), late.json()["code"].as_str()), (412, Some("changed_meanwhile")));
    assert_eq!(change("\"1\"", "Alan").await.json()["assigned_to"], "Alan");
    assert_eq!(change("*", "Ada").await.json()["assigned_to"], "Ada");
    assert_eq!(change("yesterday", "x").await.json()["field"], "If-Match");
    // Of ten concurrent requests with the same revision, one succeeds.
    let all = futures_util::future::join_all((0..10).map(|_| change("\"3\"", "one of ten"))).await;
    assert_eq!(all.iter().filter(|answer| answer.status == StatusCode::OK).count(), 1);
}

#[tokio::test]
async fn notes_are_kept_beside_and_go_when_they_are_removed() {
    let app = App::start().await;
    let (ada, _) = inbox(&app).await;
    let path = format!("/v1/conversations/{ada}/notes");
    let made = app.api("POST", &path, Some(json!({"text": "prefers mornings", "author": "Grace"}))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    app.advance(1);
    app.api("POST", &path, Some(json!({"text": "call back"}))).await;
    let notes = app.api("GET", &path, None).await.json();
    let texts: Vec<&str> =
        notes["data"].as_array().unwrap().iter().map(|note| note["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["call back", "prefers mornings"]);
    let one = format!("{path}/{}", made.json()["id"].as_str().unwrap());
    assert_eq!(app.api("DELETE", &one, None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.api("DELETE", &one, None).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.api("GET", &path, None).await.json()["data"].as_array().unwrap().len(), 1);
    let page = app.api("GET", &format!("/v1/conversations/{ada}/messages"), None).await;
    assert!(!page.text.contains("call back"), "a note is no message");
    for (body, field) in [(json!({"text": " "}), "text"), (json!({"text": "x".repeat(4_001)}), "text")] {
        assert_eq!(app.api("POST", &path, Some(body)).await.json()["field"], field);
    }
}

#[tokio::test]
async fn messages_are_read_in_both_orders_and_exported_as_lines() {
    let app = App::start().await;
    for place in 0..7 {
        app.customer_writes(&format!("q{place}"));
        app.drain().await;
        app.send(&format!("a{place}"), None).await;
        app.drain().await;
        app.advance(1);
    }
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let read = async |order: &str, from: &str, limit: usize| {
        let (mut texts, mut cursors, mut cursor) = (Vec::new(), Vec::new(), from.to_owned());
        loop {
            let path = format!("/v1/conversations/{id}/messages?order={order}&limit={limit}{cursor}");
            let page = app.api("GET", &path, None).await.json();
            texts.extend(page["data"].as_array().unwrap().iter().map(|one| one["text"]["body"].clone()));
            let Some(next) = page["next_cursor"].as_str() else { return (texts, cursors) };
            cursors.push(next.to_owned());
            cursor = format!("&cursor={next}");
        }
    };
    let (newest, cursors) = read("newest", "", 3).await;
    assert_eq!(newest.len(), 14);
    for limit in [1, 3, 5, 100] {
        let (oldest, _) = read("oldest", "", limit).await;
        let reversed: Vec<Value> = oldest.into_iter().rev().collect();
        assert_eq!(reversed, newest, "{limit}");
    }
    // Pages back from the end of a page.
    let (back, _) = read("oldest", &format!("&cursor={}", cursors[1]), 100).await;
    assert_eq!(back, newest[..5].iter().rev().cloned().collect::<Vec<_>>());
    let exported = app.api("GET", &format!("/v1/conversations/{id}/export"), None).await;
    assert_eq!(exported.headers["content-type"], "application/x-ndjson");
    assert!(exported.headers.get("next-cursor").is_none());
    let lines: Vec<Value> = exported.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let texts: Vec<Value> = lines.iter().rev().map(|line| line["text"]["body"].clone()).collect();
    assert_eq!(texts, newest);
}

#[tokio::test]
async fn a_number_that_is_not_active_stores_and_does_not_send() {
    let app = App::start().await;
    let number = format!("/v1/numbers/{NUMBER}");
    app.customer_writes("before");
    app.drain().await;
    assert_eq!(app.send("waits", None).await.status, StatusCode::ACCEPTED);
    let off = app.api("POST", &format!("{number}/deactivate"), Some(json!({"reason": "on holiday"}))).await;
    assert_eq!((off.status, &off.json()["active"]), (StatusCode::OK, &json!(false)));
    let refused = app.send("no", None).await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (409, Some("number_inactive")));
    app.customer_writes("while inactive");
    app.advance(400);
    app.drain().await;
    assert_eq!(app.texts("inbound").await, ["before", "while inactive"]);
    assert_eq!(app.only_status().await, "failed", "what waited");
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let options = app.api("GET", &format!("/v1/conversations/{id}/send-options"), None).await.json();
    assert_eq!(options["free_form"]["reason"], "number_inactive");
    let shown = app.api("GET", &number, None).await.json();
    assert_eq!(shown["settings"]["inactive_reason"], "on holiday");
    assert_eq!(app.api("POST", &format!("{number}/activate"), None).await.status, StatusCode::OK);
    assert_eq!(app.send("again", None).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn settings_of_a_number_are_kept_and_obeyed() {
    let app = App::start().await;
    let number = format!("/v1/numbers/{NUMBER}");
    let body = json!({"label": "Shop", "agent_id": "agent-1", "auto_reply": true, "read_receipts": false, "retention_days": 30});
    let set = app.api("PATCH", &number, Some(body)).await;
    assert_eq!(set.status, StatusCode::OK, "{}", set.text);
    assert_eq!(app.api("GET", "/v1/numbers", None).await.json()["data"][0]["label"], "Shop");
    for (body, field) in [
        (json!({"retention_days": 29}), "retention_days"),
        (json!({"retention_days": 3_651}), "retention_days"),
        (json!({"label": ""}), "label"),
        (json!({"agent_id": null}), "agent_id"),
        (json!({"waba_id": "x"}), "waba_id"),
    ] {
        assert_eq!(app.api("PATCH", &number, Some(body)).await.json()["field"], field);
    }
    app.advance(301);
    let wamid = app.customer_writes("hi");
    app.drain().await;
    app.send("hello", None).await;
    app.drain().await;
    let items = app.table_items().await;
    let messages = items.iter().filter(|item| {
        item["sk"]["S"].as_str().unwrap().contains("wamid.") || item["sk"]["S"].as_str().unwrap().starts_with("OUT#")
    });
    let ends: Vec<i64> = messages.map(|item| item["expires_at"]["N"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(ends.len(), 2);
    let kept = 30 * 86_400;
    assert!(ends.iter().all(|at| (*at - app.clock.now().as_second() - kept).abs() < 400), "{ends:?}");
    // Without an explicit request no read receipt is sent.
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let read = format!("/v1/conversations/{id}/read");
    app.api("POST", &read, Some(json!({"message_id": wamid}))).await;
    assert_eq!(app.depth().1, 0);
    app.api("POST", &read, Some(json!({"message_id": wamid, "at_meta": true}))).await;
    assert_eq!(app.depth().1, 1);
    let unknown = app.api("POST", &read, Some(json!({"at_meta": true}))).await;
    assert_eq!(unknown.json()["field"], "message_id");
}

#[tokio::test]
async fn what_was_to_be_kept_for_ever_is_whatever_is_said_of_it_later() {
    let app = App::start().await;
    let old = app.customer_writes("keep me");
    app.drain().await;
    let set = app.api("PATCH", &format!("/v1/numbers/{NUMBER}"), Some(json!({"retention_days": 30}))).await;
    assert_eq!(set.json()["retention_days"], 30, "{}", set.json());
    app.advance(301);
    let reaction = json!({"from": crate::harness::CUSTOMER, "id": "wamid.r", "timestamp": app.clock.now().as_second().to_string(),
        "type": "reaction", "reaction": {"message_id": old, "emoji": "\u{1f44d}"}});
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": [reaction]}))])).await;
    app.drain().await;
    let ends = async |app: &App| {
        let items = app.table_items().await;
        let kept = items.iter().find(|item| is_theirs(item, &old)).unwrap();
        kept["expires_at"]["N"].as_str().map_or(i64::MAX, |at| at.parse().unwrap())
    };
    assert_eq!(ends(&app).await, i64::MAX);
    // The revocation expires, and the message stays revoked.
    let revocation = json!({"from": crate::harness::CUSTOMER, "id": "wamid.v", "timestamp": app.clock.now().as_second().to_string(),
        "type": "revoke", "revoke": {"original_message_id": old}});
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": [revocation]}))])).await;
    app.drain().await;
    assert!(app.messages().await[0]["revoked_at"].is_string());
    let items = app.table_items().await;
    let said = items.iter().find(|item| item["sk"]["S"] == format!("ANNOTATION#{old}")).unwrap();
    assert!(said["expires_at"]["N"].is_string(), "{said}");
    app.delete_item(said).await;
    assert_eq!(ends(&app).await, i64::MAX);
    assert!(app.messages().await[0]["revoked_at"].is_string());
}

#[tokio::test]
async fn a_conversation_that_only_a_broadcast_wrote_to_stays_reachable() {
    let app = App::start().await;
    let order = json!({"from": NUMBER, "category": "utility", "template": {"name": "order_update", "language": {"code": "en_US"}},
        "recipients": [{"to": "+15550004444", "parameters": ["Ada", "17"]}]});
    let broadcast = app.api("POST", "/v1/broadcasts", Some(order)).await.json();
    app.recover().await;
    let path = format!("/v1/broadcasts/{}/recipients", broadcast["id"].as_str().unwrap());
    let id = app.api("GET", &path, None).await.json()["data"][0]["conversation_id"].as_str().unwrap().to_owned();
    let changed = app.api("PATCH", &format!("/v1/conversations/{id}"), Some(json!({"labels": ["asked"]}))).await;
    assert_eq!(changed.json()["contact"]["phone"], "+15550004444", "{}", changed.text);
}

#[tokio::test]
async fn a_key_asks_as_fast_as_it_may_and_is_told() {
    let app = App::start().await;
    let made = app.api("POST", "/v1/keys", Some(json!({"scopes": ["read"], "requests_per_second": 2}))).await.json();
    let key = made["key"].as_str().unwrap().to_owned();
    let ask = async || {
        let request = Request::get("/v1/numbers").header("authorization", format!("Bearer {key}"));
        app.request(request.body(Body::empty()).unwrap()).await
    };
    for left in (0..20).rev() {
        let answer = ask().await;
        assert_eq!(answer.status, StatusCode::OK, "{left}");
        assert_eq!(answer.headers["ratelimit-policy"], "\"key\";q=20;w=10");
        let told = answer.headers["ratelimit"].to_str().unwrap();
        assert!(told.starts_with(&format!("\"key\";r={left};")), "{left}: {told}");
    }
    let refused = ask().await;
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (429, Some("too_many_requests")));
    let wait: i64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    app.advance(wait);
    assert_eq!(ask().await.status, StatusCode::OK);
    let listed = app.api("GET", "/v1/keys", None).await.json();
    let used = listed["data"].as_array().unwrap().iter().find(|one| one["id"] == made["id"]).unwrap();
    assert!(used["last_used_at"].is_string(), "{used}");
    let greedy = app.api("POST", "/v1/keys", Some(json!({"scopes": ["read"], "requests_per_second": 1_000}))).await;
    assert_eq!(greedy.json()["field"], "requests_per_second");
}
