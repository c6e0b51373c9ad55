//! Tenants, API keys and the audit log: creation, single display, expiry, revocation.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{App, ask};

#[tokio::test]
async fn an_operator_makes_a_tenant_and_its_keys_which_make_others() {
    let app = App::start().await;
    let operator = app.seed.operator_key.clone();
    let made = ask(&app, &operator, "POST", "/v1/tenants", json!({"name": "Example shop"})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let tenant = made.json();
    assert_eq!(
        ask(&app, &operator, "GET", &format!("/v1/tenants/{}", tenant["id"].as_str().unwrap()), Value::Null)
            .await
            .json(),
        tenant
    );
    let listed = ask(&app, &operator, "GET", "/v1/tenants", Value::Null).await.json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    let request = json!({"tenant_id": tenant["id"], "name": "first", "scopes": ["read", "manage"]});
    let first = ask(&app, &operator, "POST", "/v1/keys", request).await.json();
    let first_key = first["key"].as_str().unwrap().to_owned();
    assert!(first_key.starts_with("sb_live_"));
    let second = ask(&app, &first_key, "POST", "/v1/keys", json!({"scopes": ["send"], "expires_in_days": 30})).await;
    assert_eq!(second.status, StatusCode::CREATED, "{}", second.text);
    let listed = ask(&app, &first_key, "GET", "/v1/keys", Value::Null).await;
    assert_eq!(listed.json()["data"].as_array().unwrap().len(), 2);
    assert!(!listed.text.contains("sb_live_"), "a key is shown once");
    // No key can create what its scope does not allow.
    for (key, path, body, status) in [
        (&first_key, "/v1/tenants", json!({"name": "x"}), 403),
        (&app.seed.api_key, "/v1/keys", json!({"scopes": ["operator"]}), 422),
        (&app.seed.api_key, "/v1/keys", json!({"scopes": ["read"], "tenant_id": tenant["id"]}), 422),
        (&app.seed.api_key, "/v1/keys", json!({"scopes": []}), 422),
        (&app.seed.api_key, "/v1/keys", json!({"scopes": ["read", "read"]}), 422),
        (&app.seed.api_key, "/v1/keys", json!({"scopes": ["read"], "expires_in_days": 0}), 422),
        (&app.seed.api_key, "/v1/keys", json!({"scopes": ["read"], "name": "\n"}), 422),
        (&operator, "/v1/keys", json!({"scopes": ["read"]}), 422),
        (&operator, "/v1/keys", json!({"scopes": ["read"], "tenant_id": "ten_01ARZ3NDEKTSV4RRFFQ69G5FAV"}), 422),
        (&operator, "/v1/tenants", json!({"name": ""}), 422),
    ] {
        let answer = ask(&app, key, "POST", path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
    }
    // The audit log.
    let audit = ask(&app, &first_key, "GET", "/v1/audit", Value::Null).await.json();
    let actions: Vec<&str> =
        audit["data"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "key.created").count(), 2);
    assert!(actions.contains(&"tenant.created"));
    assert!(!audit.to_string().contains("sb_live_"));
}

#[tokio::test]
async fn a_key_that_ended_or_was_taken_back_is_refused_within_a_minute() {
    let app = App::start().await;
    let made = app.api("POST", "/v1/keys", Some(json!({"scopes": ["read"], "expires_in_days": 1}))).await.json();
    let key = made["key"].as_str().unwrap().to_owned();
    let works =
        async |key: &str| ask(&app, key, "GET", "/v1/conversations", Value::Null).await.status == StatusCode::OK;
    assert!(works(&key).await);
    app.advance(86_400 - 1);
    assert!(works(&key).await);
    app.advance(1);
    assert!(!works(&key).await, "ended");

    let made = app.api("POST", "/v1/keys", Some(json!({"scopes": ["read"]}))).await.json();
    let (id, key) = (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned());
    assert!(works(&key).await);
    // Another function instance caches the key for at most a minute.
    app.stack.operator.table.api_key_revoke(&id, app.clock.now()).await.unwrap();
    app.advance(60);
    assert!(!works(&key).await, "taken back");
    let made = app.api("POST", "/v1/keys", Some(json!({"scopes": ["read"]}))).await.json();
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    assert!(works(made["key"].as_str().unwrap()).await);
    assert_eq!(app.api("DELETE", &path, None).await.status, StatusCode::NO_CONTENT);
    assert!(!works(made["key"].as_str().unwrap()).await, "here at once");
    // Another tenant's key cannot be revoked.
    let stranger = app.stack.operator.create_tenant("Stranger").await.unwrap();
    let scopes = [shared::domain::accounts::tenant::Scope::Manage];
    let theirs = app.stack.operator.create_key(Some(stranger), &scopes).await.unwrap();
    let id = theirs.expose().split('_').nth(2).unwrap().to_owned();
    let foreign = app.api("DELETE", &format!("/v1/keys/{id}"), None).await;
    let missing = app.api("DELETE", "/v1/keys/nothing", None).await;
    assert_eq!((foreign.status, &foreign.text), (StatusCode::NOT_FOUND, &missing.text));
}

#[tokio::test]
async fn one_command_makes_what_a_new_installation_needs() {
    let app = App::start().await;
    let secret = |text: &str| vec![shared::secret::Secret::new(text.to_owned())];
    let meta = shared::domain::accounts::app::MetaApp {
        id: shared::domain::ids::MetaAppId::parse("main").unwrap(),
        app_secrets: secret("app-secret"),
        verify_tokens: secret("verify-token"),
    };
    let made = app.stack.operator.setup(&meta, "Example shop").await.unwrap();
    let path = "/webhooks/meta/main?hub.mode=subscribe&hub.verify_token=verify-token&hub.challenge=1158";
    let shaken = app.request(axum::http::Request::get(path).body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!((shaken.status, shaken.text.as_str()), (StatusCode::OK, "1158"));
    let tenants = ask(&app, made.operator_key.expose(), "GET", "/v1/tenants", Value::Null).await.json();
    assert!(tenants["data"].as_array().unwrap().iter().any(|tenant| tenant["id"] == made.tenant.to_string()));
    let numbers = ask(&app, made.tenant_key.expose(), "GET", "/v1/numbers", Value::Null).await;
    assert_eq!((numbers.status, numbers.json()["data"].clone()), (StatusCode::OK, json!([])));
    // A second run replaces nothing, so the first key stays valid.
    app.stack.operator.setup(&meta, "Another shop").await.unwrap();
    assert_eq!(ask(&app, made.tenant_key.expose(), "GET", "/v1/numbers", Value::Null).await.status, StatusCode::OK);
}
