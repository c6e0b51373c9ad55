//! The Graph API of accounts, numbers and tokens.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Form, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::graph::error;
use super::serve::DropConnection;
use super::signup::{BusinessAccount, BusinessNumber, Refusal};
use super::state::{Meta, ScriptedFault};
use crate::aws::faults::Verdict;

type Words = BTreeMap<String, String>;

pub(super) fn account_routes(meta: Arc<Meta>) -> Router {
    Router::new()
        .route("/{version}/oauth/access_token", post(exchange))
        .route("/{version}/debug_token", get(debug))
        .route("/{version}/{number}", get(node))
        .route("/{version}/{number}/phone_numbers", get(numbers))
        .route("/{version}/{number}/subscribed_apps", get(subscriptions).post(subscribe))
        .route("/{version}/{number}/register", post(register))
        .route("/{version}/{number}/smb_app_data", post(sync))
        .with_state(meta)
}

/// A call, with the faults that were ordered for it.
async fn call(meta: &Meta, name: &str, effect: impl FnOnce() -> Response) -> Response {
    let verdict = meta.faults.enter(&format!("Graph.{name}"));
    let done = || {
        let answer = effect();
        if answer.status().is_success() {
            meta.took_effect(name);
        }
        answer
    };
    match verdict {
        Verdict::Proceed => {}
        Verdict::Unavailable => return (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        Verdict::LostReply => {
            done();
            return DropConnection::response();
        }
        Verdict::CrashBefore => meta.faults.crash().await,
        Verdict::CrashAfter => {
            done();
            meta.faults.crash().await;
        }
    }
    match meta.next_call_fault(name) {
        None => done(),
        Some(ScriptedFault::Error { http, code, message }) => {
            error(StatusCode::from_u16(http).unwrap_or(StatusCode::BAD_REQUEST), code, &message, "ordered by a fault")
        }
        Some(ScriptedFault::DropBefore) => DropConnection::response(),
        Some(ScriptedFault::Html502) => (StatusCode::BAD_GATEWAY, "<html>bad gateway</html>").into_response(),
        Some(_) => {
            done();
            DropConnection::response()
        }
    }
}

fn shown(answer: Result<Value, Refusal>) -> Response {
    match answer {
        Ok(answer) => axum::Json(answer).into_response(),
        Err((code, text)) => {
            let status = if code == 190 { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
            error(status, code, text, text)
        }
    }
}

fn word<'a>(words: &'a Words, name: &str) -> &'a str {
    words.get(name).map(String::as_str).unwrap_or_default()
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

fn bearer(headers: &HeaderMap) -> String {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
}

fn reach(meta: &Meta, headers: &HeaderMap, query: &Words, account: &str) -> Result<BusinessAccount, Refusal> {
    meta.reach(&bearer(headers), query.get("appsecret_proof").map(String::as_str), account)
}

/// An account or a number.
async fn node(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let of = meta.account_of(&id);
    let name = if of.is_some() { "number" } else { "account" };
    let effect = || {
        let reached = reach(&meta, &headers, &query, of.as_ref().unwrap_or(&id));
        shown(reached.map(|account| match account.numbers.iter().find(|one| one.id == id) {
            Some(number) => number.shown(),
            None => json!({"id": account.id, "name": "A business", "owner_business_info": {"id": "900100200300001"}}),
        }))
    };
    call(&meta, name, effect).await
}

async fn numbers(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let effect = || {
        let reached = reach(&meta, &headers, &query, &id);
        let all = |account: BusinessAccount| account.numbers.iter().map(BusinessNumber::shown).collect::<Vec<_>>();
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
        let app = |id: &String| json!({"whatsapp_business_api_data": {"id": id, "name": "An app"}});
        let reached = reach(&meta, &headers, &query, &id);
        shown(reached.map(|account| json!({"data": account.subscribed.iter().map(app).collect::<Vec<_>>()})))
    };
    call(&meta, "subscriptions", effect).await
}

async fn subscribe(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let effect = || {
        shown(reach(&meta, &headers, &query, &id).map(|account| {
            meta.subscribe_app(&account.id, &bearer(&headers));
            json!({"success": true})
        }))
    };
    call(&meta, "subscribe", effect).await
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
