//! The Graph API for accounts, numbers and tokens.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Form, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::Meta;
use super::answer::{call, shown};
use super::business::{BusinessAccount, BusinessNumber};
use super::partner;
use super::request::{Words, bearer, reach, word};

pub(super) fn account_routes(meta: Arc<Meta>) -> Router {
    Router::new()
        .route("/{version}/oauth/access_token", post(exchange))
        .route("/{version}/oauth/revoke", get(revoke))
        .route("/{version}/debug_token", get(debug))
        .route("/{version}/{number}", get(node).post(super::kept::edit_template).delete(delete_node))
        .route("/{version}/{number}/phone_numbers", get(numbers))
        .route("/{version}/{number}/subscribed_apps", get(subscriptions).post(subscribe).delete(unsubscribe))
        .route("/{version}/{number}/subscriptions", get(app_subscriptions))
        .route("/{version}/{number}/register", post(register))
        .route("/{version}/{number}/smb_app_data", post(sync))
        .with_state(meta)
}

async fn exchange(State(meta): State<Arc<Meta>>, Form(form): Form<Words>) -> Response {
    let effect = || {
        let (client, secret) = (word(&form, "client_id"), word(&form, "client_secret"));
        shown(match word(&form, "grant_type") {
            "fb_exchange_token" => meta.extend(client, secret, word(&form, "fb_exchange_token")),
            _ => meta.exchange(client, secret, word(&form, "code")),
        })
    };
    call(&meta, "oauth", effect).await
}

async fn debug(State(meta): State<Arc<Meta>>, Query(query): Query<Words>) -> Response {
    let effect = || shown(meta.debug(word(&query, "access_token"), word(&query, "input_token")));
    call(&meta, "debug_token", effect).await
}

/// Answers `GET /{id}` for an account, a number, a file or a credit share.
async fn node(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    if meta.has_sent_file(&id) {
        return super::files::node(&meta, &id, &headers, query.get("phone_number_id"));
    }
    if meta.share(&id).is_some() {
        return partner::one_share(&meta, &id, &headers, &query, false).await;
    }
    let of = meta.account_of(&id);
    let name = if of.is_some() { "number" } else { "account" };
    let effect = || {
        meta.looked_at(&id);
        let reached = reach(&meta, &headers, &query, of.as_ref().unwrap_or(&id));
        shown(reached.map(|account| match account.numbers.iter().find(|one| one.id == id) {
            Some(number) => number.shown(),
            None => {
                let owner = json!({"id": account.owner(), "name": "A business"});
                let mut shown = json!({"id": account.id, "name": "A business", "owner_business_info": owner});
                let fields = word(&query, "fields");
                if fields.contains("pricing_analytics") {
                    shown["currency"] = json!("USD");
                    shown["pricing_analytics"] = meta.billed(&account.id, fields, meta.partner_pays(&account.id));
                }
                if let Some(funding) = &account.funding {
                    shown["primary_funding_id"] = json!(funding);
                }
                shown
            }
        }))
    };
    call(&meta, name, effect).await
}

/// Answers `DELETE /{id}`. Only credit shares can be deleted.
async fn delete_node(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    partner::one_share(&meta, &id, &headers, &query, true).await
}

async fn app_subscriptions(State(meta): State<Arc<Meta>>, headers: HeaderMap) -> Response {
    call(&meta, "app_subscriptions", || shown(meta.app_subscriptions(&bearer(&headers)))).await
}

async fn revoke(State(meta): State<Arc<Meta>>, Query(query): Query<Words>) -> Response {
    let effect = || shown(meta.revoke(word(&query, "client_secret"), word(&query, "revoke_token")));
    call(&meta, "revoke", effect).await
}

async fn numbers(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let effect = || {
        let reached = reach(&meta, &headers, &query, &id);
        let callback = meta.app_callback_url();
        let all = |account: BusinessAccount| {
            let shown = |number: &BusinessNumber| {
                let mut shown = number.shown();
                shown["webhook_configuration"] = json!({"phone_number": number.override_url,
                    "whatsapp_business_account": account.override_url, "application": callback});
                shown
            };
            account.numbers.iter().map(shown).collect::<Vec<_>>()
        };
        shown(reached.map(|account| json!({"data": all(account), "paging": {"cursors": {"after": "end"}}})))
    };
    call(&meta, "phone_numbers", effect).await
}

async fn subscriptions(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let effect = || {
        let reached = reach(&meta, &headers, &query, &id);
        shown(reached.map(|account| {
            let app = |id: &String| {
                let mut app = json!({"whatsapp_business_api_data": {"id": id, "name": "An app"}});
                if let Some(url) = &account.override_url {
                    app["override_callback_uri"] = json!(url);
                }
                app
            };
            json!({"data": account.subscribed.iter().map(app).collect::<Vec<_>>()})
        }))
    };
    call(&meta, "subscriptions", effect).await
}

/// Subscribes the token's app. With a body it sets the account's own callback URL, which must pass the verification
/// request first.
async fn subscribe(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let own = text("override_callback_uri").zip(text("verify_token"));
    let proved = match &own {
        Some((url, verify_token)) => shakes_hands(url, verify_token).await,
        None => true,
    };
    let name = if own.is_some() { "override" } else { "subscribe" };
    let effect = || {
        let reached = reach(&meta, &headers, &query, &id);
        let proved = if proved { Ok(()) } else { Err((100, "The callback URL could not be validated")) };
        shown(reached.and_then(|account| proved.map(|()| account)).and_then(|account| {
            let token = bearer(&headers);
            match own {
                Some(_) if account.subscribed.is_empty() => Err((100, "The app is not subscribed to the account")),
                Some((url, _)) => {
                    meta.override_account(&account.id, Some(url));
                    Ok(json!({"success": true}))
                }
                None => {
                    meta.subscribe_app(&account.id, &token);
                    meta.override_account(&account.id, None);
                    Ok(json!({"success": true}))
                }
            }
        }))
    };
    call(&meta, name, effect).await
}

async fn unsubscribe(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let effect = || {
        shown(reach(&meta, &headers, &query, &id).map(|account| {
            meta.unsubscribe_app(&account.id, &bearer(&headers));
            json!({"success": true})
        }))
    };
    call(&meta, "unsubscribe", effect).await
}

/// Sends Meta's verification request to a callback URL and checks that it returns the challenge.
async fn shakes_hands(url: &str, verify_token: &str) -> bool {
    let challenge = "1158201444";
    let query = [("hub.mode", "subscribe"), ("hub.challenge", challenge), ("hub.verify_token", verify_token)];
    let Ok(client) = shared::provider::meta::graph::plain_client() else { return false };
    match client.get(url).query(&query).send().await {
        Ok(answer) if answer.status().is_success() => answer.text().await.is_ok_and(|text| text == challenge),
        _ => false,
    }
}

async fn register(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let effect = || {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let pin = body.get("pin").and_then(Value::as_str).unwrap_or_default();
        let whatsapp = body.get("messaging_product").and_then(Value::as_str) == Some("whatsapp");
        let registered = reach(&meta, &headers, &query, &meta.account_of(&id).unwrap_or_default())
            .and(if whatsapp { Ok(()) } else { Err((100, "messaging_product is required")) })
            .and_then(|()| meta.register_number(&id, pin));
        shown(registered.map(|()| json!({"success": true})))
    };
    call(&meta, "register", effect).await
}

async fn sync(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let effect = || {
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let what = body.get("sync_type").and_then(Value::as_str).unwrap_or_default();
        let synced = reach(&meta, &headers, &query, &meta.account_of(&id).unwrap_or_default())
            .and_then(|_| meta.sync_number(&id, what));
        shown(synced.map(|()| json!({"messaging_product": "whatsapp", "request_id": "A request"})))
    };
    call(&meta, "smb_app_data", effect).await
}
