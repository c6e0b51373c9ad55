//! The API: authentication, authorisation, refusals and their wording (`docs/reliability.md#t1`,
//! `docs/reliability.md#k3`, `docs/reliability.md#k4`).

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shared::domain::accounts::number::Number;
use shared::domain::accounts::tenant::Scope;
use shared::domain::ids::{NumberId, WabaId};
use shared::secret::Secret;
use shared::telemetry::Metrics;
use tower::ServiceExt;

use crate::harness::{Answer, App, NUMBER, WABA, ask, to_customer};

async fn with_key(app: &App, method: &str, path: &str, key: Option<&str>, body: Option<Value>) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    app.request(request.body(body.map_or(Body::empty(), |body| Body::from(body.to_string()))).unwrap()).await
}

#[tokio::test]
async fn every_route_refuses_every_key_that_is_not_good() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let good = app.seed.api_key.clone();
    let conversation = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let messages = format!("/v1/conversations/{conversation}/messages");
    let routes = [
        ("GET", "/v1/conversations", None, StatusCode::OK),
        ("GET", messages.as_str(), None, StatusCode::OK),
        ("POST", "/v1/messages", Some(to_customer("hi")), StatusCode::ACCEPTED),
    ];
    let other = app.stack.operator.create_key(None, &[Scope::Operator]).await.unwrap();
    for (method, path, body, ok) in routes {
        let unknown = good.replace("sb_live_0", "sb_live_1");
        let bad = [None, Some(""), Some("sb_live_x"), Some(&good[..good.len() - 1]), Some(unknown.as_str())];
        for key in bad {
            let answer = with_key(&app, method, path, key, body.clone()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} {key:?}");
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!(answer.json()["code"], "unauthorized");
        }
        let operator = with_key(&app, method, path, Some(other.expose()), body.clone()).await;
        assert_eq!((operator.status, operator.json()["code"].as_str()), (StatusCode::FORBIDDEN, Some("scope_missing")));
        assert_eq!(with_key(&app, method, path, Some(&good), body).await.status, ok, "{method} {path}");
    }
}

#[tokio::test]
async fn a_scope_is_needed_for_what_it_names() {
    let app = App::start().await;
    let tenant = shared::domain::ids::TenantId::parse(&app.seed.tenant_id).unwrap();
    let read = app.stack.operator.create_key(Some(tenant), &[Scope::Read]).await.unwrap();
    let send = app.stack.operator.create_key(Some(tenant), &[Scope::Send]).await.unwrap();
    let list = async |key: &Secret| with_key(&app, "GET", "/v1/conversations", Some(key.expose()), None).await.status;
    app.customer_writes("hello");
    app.drain().await;
    let post = async |key: &Secret| {
        with_key(&app, "POST", "/v1/messages", Some(key.expose()), Some(to_customer("hi"))).await.status
    };
    assert_eq!((list(&read).await, post(&read).await), (StatusCode::OK, StatusCode::FORBIDDEN));
    assert_eq!((list(&send).await, post(&send).await), (StatusCode::FORBIDDEN, StatusCode::ACCEPTED));
}

#[tokio::test]
async fn another_tenants_things_are_as_if_they_did_not_exist() {
    let app = App::start().await;
    app.customer_writes("secret of the first tenant");
    app.drain().await;
    let conversation = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let stranger = app.stack.operator.create_tenant("Stranger").await.unwrap();
    let key = app.stack.operator.create_key(Some(stranger), &Scope::ALL[..3]).await.unwrap();
    let key = Some(key.expose());

    let list = with_key(&app, "GET", "/v1/conversations", key, None).await.json();
    assert_eq!(list, json!({"data": [], "next_cursor": null}));
    let foreign = with_key(&app, "GET", &format!("/v1/conversations/{conversation}/messages"), key, None).await;
    let missing = conversation.replace("_01", "_00");
    let missing = with_key(&app, "GET", &format!("/v1/conversations/{missing}/messages"), key, None).await;
    let malformed = with_key(&app, "GET", "/v1/conversations/x/messages", key, None).await;
    let unreadable = with_key(&app, "GET", "/v1/conversations/%FF/messages", key, None).await;
    assert_eq!((unreadable.status, &unreadable.text), (foreign.status, &foreign.text));
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!((missing.status, &missing.text), (foreign.status, &foreign.text));
    assert_eq!((malformed.status, &malformed.text), (foreign.status, &foreign.text));

    let from = with_key(&app, "POST", "/v1/messages", key, Some(to_customer("hi"))).await;
    assert_eq!((from.status, from.json()["field"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("from")));
    let body = json!({"conversation_id": conversation, "type": "text", "text": {"body": "hi"}});
    let into = with_key(&app, "POST", "/v1/messages", key, Some(body)).await;
    assert_eq!(
        (into.status, into.json()["field"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("conversation_id"))
    );

    // The other tenant cannot connect the number either.
    let number = Number {
        id: NumberId::parse(NUMBER).unwrap(),
        tenant: stranger,
        waba: WabaId::parse("1").unwrap(),
        display_phone_number: "1".to_owned(),
        coexistence: false,
        fallback: None,
        settings: shared::domain::accounts::number::Settings::default(),
    };
    assert!(app.stack.operator.put_number(&number, &Secret::new("token".to_owned()), None).await.is_err());
    app.recover().await;
    assert!(app.meta.sent().is_empty());
}

#[tokio::test]
async fn every_reading_route_answers_a_foreign_id_like_a_missing_one_and_needs_its_scope() {
    let app = App::start().await;
    app.customer_writes("secret of the first tenant");
    app.drain().await;
    let conversation = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let contact = conversation.rsplit_once('_').map(|(_, ulid)| format!("con_{ulid}")).unwrap();
    let replay = app.api("POST", "/v1/replays", Some(json!({"source": "archive"}))).await.json();
    let replay = replay["id"].as_str().unwrap().to_owned();
    let stranger = app.stack.operator.create_tenant("Stranger").await.unwrap();
    let all = app.stack.operator.create_key(Some(stranger), &Scope::ALL[..3]).await.unwrap();
    let none = app.stack.operator.create_key(Some(stranger), &[Scope::Send]).await.unwrap();
    let own = [
        ("GET", format!("/v1/conversations/{conversation}")),
        ("GET", format!("/v1/conversations/{conversation}/messages")),
        ("GET", format!("/v1/numbers/{NUMBER}")),
        ("GET", format!("/v1/numbers/{NUMBER}/templates")),
        ("GET", format!("/v1/numbers/{NUMBER}/quarantine")),
        ("GET", format!("/v1/numbers/{NUMBER}/conversation?phone=%2B15550002222")),
        ("GET", format!("/v1/replays/{replay}")),
    ];
    let refused = app.api("GET", "/v1/conversations/x", None).await.text;
    for (method, path) in &own {
        assert_eq!(app.api(method, path, None).await.status, StatusCode::OK, "{path}");
        let foreign = with_key(&app, method, path, Some(all.expose()), None).await;
        assert_eq!((foreign.status, foreign.text), (StatusCode::NOT_FOUND, refused.clone()), "{path}");
        let without = with_key(&app, method, path, Some(none.expose()), None).await;
        assert_eq!(without.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(with_key(&app, method, path, None, None).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let undo = format!("/v1/merges/{contact}/{contact}/undo");
    assert_eq!(with_key(&app, "POST", &undo, Some(all.expose()), None).await.text, refused);
    for path in ["/v1/numbers", "/v1/alerts", "/v1/merges"] {
        let list = with_key(&app, "GET", path, Some(all.expose()), None).await;
        assert_eq!(list.json(), json!({"data": [], "next_cursor": null}), "{path}");
        assert_eq!(with_key(&app, "GET", path, Some(none.expose()), None).await.status, StatusCode::FORBIDDEN);
        for cursor in ["x", "MQp4Cng", &URL_SAFE_NO_PAD.encode(format!("1\nCONV#{NUMBER}#{contact}\nCONV"))] {
            let answer = app.api("GET", &format!("{path}?cursor={cursor}"), None).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{path} {cursor}");
        }
    }
}

#[tokio::test]
async fn a_bad_request_is_told_the_field_and_the_rule() {
    let app = App::start().await;
    let text = json!({"body": "hi"});
    let cases = [
        (json!({"from": NUMBER, "to": "+15550002222", "text": text}), "type"),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "image", "text": text}), "text"),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "text"}), "text"),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": {}}), "text"),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": {"body": 7}}), "text.body"),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": {"body": " "}}), "text.body"),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": {"body": "a\u{0}"}}), "text.body"),
        (
            json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": {"body": "x".repeat(4_097)}}),
            "text.body",
        ),
        (
            json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": {"body": "\u{1F44B}".repeat(2_049)}}),
            "text.body",
        ),
        (json!({"from": NUMBER, "to": "15550002222", "type": "text", "text": text}), "to"),
        (json!({"from": NUMBER, "to": "+1555000222\u{662}", "type": "text", "text": text}), "to"),
        (json!({"from": NUMBER, "type": "text", "text": text}), "to"),
        (json!({"to": "+15550002222", "type": "text", "text": text}), "from"),
        (json!({"from": "900", "to": "+15550002222", "type": "text", "text": text}), "from"),
        (json!({"type": "text", "text": text}), "conversation_id"),
        (json!({"conversation_id": "x", "type": "text", "text": text}), "conversation_id"),
        (json!({"conversation_id": "x", "to": "+15550002222", "type": "text", "text": text}), "conversation_id"),
        (
            json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": text, "context": {"message_id": ""}}),
            "context.message_id",
        ),
        (
            json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": text, "tenant_id": "ten_x"}),
            "tenant_id",
        ),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": text, "status": "read"}), "status"),
        (json!([]), "body"),
        (json!(null), "body"),
        (json!(["conv_x", null, null, "text", ["hi", true], null]), "body"),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": ["hi", true]}), "text"),
        (json!({"from": NUMBER, "to": "+15550002222", "type": "text", "text": text, "context": ["x"]}), "context"),
    ];
    for (body, field) in cases {
        let answer = app.api("POST", "/v1/messages", Some(body.clone())).await;
        let problem = answer.json();
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {problem}");
        assert_eq!(problem["code"], "invalid_request");
        assert_eq!(problem["field"], field, "{body}: {problem}");
        assert!(problem["rule"].as_str().unwrap().len() > 5, "{problem}");
    }
    for text in ["", "{", "{\"type\":}", "{} {}"] {
        let request = app.api_request("POST", "/v1/messages", None, None).map(|_| Body::from(text));
        let answer = app.request(request).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        assert_eq!(
            (answer.json()["field"].as_str(), answer.json()["rule"].as_str()),
            (Some("body"), Some("must be JSON"))
        );
    }
    for query in [
        "limit=0",
        "limit=101",
        "limit=x",
        "cursor=x",
        "cursor=eA",
        "cursor=MQp4Cg",
        "cursor=MQpDT05WIzEjMgpDT05W",
        "page=2",
    ] {
        let answer = app.api("GET", &format!("/v1/conversations?{query}"), None).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
    assert_eq!(app.api("GET", "/v1/nothing", None).await.json()["code"], "not_found");
    assert_eq!(app.api("DELETE", "/v1/messages", None).await.json()["code"], "method_not_allowed");
    app.recover().await;
    assert!(app.meta.sent().is_empty());
}

#[tokio::test]
async fn four_thousand_and_ninety_six_characters_are_taken() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    for text in ["x".repeat(4_096), "\u{1F44B}".repeat(2_048), "e\u{301}".repeat(2_048)] {
        assert_eq!(app.send(&text, None).await.status, StatusCode::ACCEPTED);
    }
    app.drain().await;
    assert_eq!(app.meta.sent().len(), 3);
}

#[tokio::test]
async fn the_table_holds_no_usable_key() {
    let app = App::start().await;
    let secret = app.seed.api_key.split('_').next_back().unwrap().to_owned();
    let table: String = app.table_items().await.iter().map(Value::to_string).collect();
    assert!(!table.contains(&secret[..64]), "neither the key");
    let plain = hex::encode(shared_sha256(&secret[..64]));
    assert!(!table.contains(&plain), "nor a hash that needs no pepper");
}

fn shared_sha256(text: &str) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).to_vec()
}

#[tokio::test]
async fn an_answer_that_blames_us_is_counted() {
    let app = App::start().await;
    let metrics = Metrics::in_memory("api");
    let deployed = metrics.clone().flushed_after(app.functions.gateway());
    let ask = async |path| {
        let answer = deployed.clone().oneshot(app.api_request("GET", path, None, None)).await.unwrap();
        (answer.status(), metrics.total("answered_5xx"))
    };
    assert_eq!(ask("/v1/conversations/none").await, (StatusCode::NOT_FOUND, 0));
    app.stack.faults.take_down("DynamoDB");
    assert_eq!(ask("/v1/conversations").await, (StatusCode::SERVICE_UNAVAILABLE, 1));
}

#[tokio::test]
async fn a_body_is_taken_up_to_its_limits_and_not_beyond() {
    const MAX: usize = 256 * 1024;
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let said = to_customer("Yes.").to_string();
    let sent = async |body: String| {
        app.request(app.api_request("POST", "/v1/messages", None, None).map(|_| Body::from(body))).await.status
    };
    // The body is the same JSON, padded with spaces.
    for (bytes, status) in [
        (said.len(), StatusCode::ACCEPTED),
        (4_096, StatusCode::ACCEPTED),
        (MAX - 1, StatusCode::ACCEPTED),
        (MAX, StatusCode::ACCEPTED),
        (MAX + 1, StatusCode::PAYLOAD_TOO_LARGE),
        (2 * MAX, StatusCode::PAYLOAD_TOO_LARGE),
        (10_000_000, StatusCode::PAYLOAD_TOO_LARGE),
        (20_000_000, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(sent(said.clone() + &" ".repeat(bytes - said.len())).await, status, "{bytes} bytes");
    }
    for (levels, rule) in [(64, "unknown"), (65, "64 levels"), (127, "64 levels"), (200, "must be JSON")] {
        let body = format!("{{\"deep\":{}1{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        let request = app.api_request("POST", "/v1/messages", None, None).map(|_| Body::from(body));
        let refused = app.request(request).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{levels}");
        assert!(rule == "unknown" || refused.text.contains(rule), "{levels}: {}", refused.text);
    }
}

#[tokio::test]
async fn nobody_sets_what_is_ours_to_set() {
    let app = App::start().await;
    let description = sandbox::stack::description();
    let mut bodies = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(body) = operation.pointer("/requestBody/content/application~1json") else { continue };
            if operation["security"] == json!([{}]) {
                continue;
            }
            let name = body["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
            let known = &description["components"]["schemas"][name]["properties"];
            let operator = operation["security"][0]["key"][0] == "operator";
            let key = if operator { &app.seed.operator_key } else { &app.seed.api_key };
            for field in ["tenant_id", "status", "wamid", "role", "id", "revision", "created_at"] {
                if known.get(field).is_some() {
                    continue;
                }
                let mut said = body["example"].clone();
                said[field] = json!("ten_01ARZ3NDEKTSV4RRFFQ69G5FAV");
                // The path is the tenant's own, so that only the field is wrong. The body is checked first.
                let path = path.replace("{id}", if path.contains("/accounts/") { WABA } else { NUMBER });
                let answer = ask(&app, key, &method.to_uppercase(), &path, said).await;
                assert!(!answer.status.is_success(), "{method} {path} {field}: {}", answer.text);
                let named = answer.json()["field"] == field;
                assert!(named || answer.status == StatusCode::NOT_FOUND, "{method} {path} {field}: {}", answer.text);
                bodies += usize::from(named);
            }
        }
    }
    println!("mass assignment: {bodies} bodies, each refused for the field");
    assert!(bodies > 60, "{bodies}");
}
