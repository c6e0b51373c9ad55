//! `/_sim/`: the control API, by which a person or a script acts on the simulated Meta.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::domain::conversations::phone::PhoneNumber;
use shared::http::Problem;

use super::assets::MetaTemplate;
use super::business::{BusinessAccount, PopupOrder};
use super::{Meta, ScriptedFault, StatusOrder};

/// Maximum number of faults of one order.
const REPEAT_MAX: usize = 10_000;

/// Returns the routes of the control API.
pub fn control_routes(meta: Arc<Meta>) -> Router {
    Router::new()
        .route("/_sim/customers/{phone}/messages", post(customer_writes))
        .route("/_sim/webhooks", post(webhooks))
        .route("/_sim/accounts", get(all_accounts).post(accounts))
        .route("/_sim/sdk.js", get(|| async { ([(header::CONTENT_TYPE, "text/javascript")], include_str!("sdk.js")) }))
        .route("/_sim/signup", get(|| async { Html(include_str!("popup.html")) }))
        .route("/_sim/popups", post(popups))
        .route("/_sim/templates", post(templates))
        .route("/_sim/sent", get(sent))
        .route("/_sim/faults", post(faults))
        .route("/_sim/reset", post(reset))
        .with_state(meta)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerMessage {
    to: String,
    message: Map<String, Value>,
}

async fn customer_writes(
    State(meta): State<Arc<Meta>>,
    Path(phone): Path<String>,
    body: Result<Json<CustomerMessage>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(body) = body.map_err(|error| Problem::invalid("body", &error.body_text()))?;
    let phone = PhoneNumber::parse_wa_id(&phone).map_err(|rule| Problem::invalid("phone", &rule.to_string()))?;
    match meta.customer_writes(phone.digits(), &body.to, body.message) {
        Ok(wamid) => Ok(Json(json!({"wamid": wamid})).into_response()),
        Err(Some(rule)) => Err(Problem::invalid("message", &rule)),
        Err(None) => Err(Problem::invalid("to", "must be the phone_number_id of a simulated number")),
    }
}

/// A change of any webhook field, such as a message echo, chat history or an account event.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    account: String,
    field: String,
    value: Map<String, Value>,
}

async fn webhooks(
    State(meta): State<Arc<Meta>>,
    body: Result<Json<Report>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(body) = body.map_err(|error| Problem::invalid("body", &error.body_text()))?;
    if body.account.is_empty() || body.field.is_empty() {
        return Err(Problem::invalid("field", "must not be empty, and neither must `account`"));
    }
    meta.reports(&body.account, &body.field, &body.value);
    Ok(Json(json!({})))
}

/// Adds a business account with numbers that is not connected to any app.
async fn accounts(
    State(meta): State<Arc<Meta>>,
    body: Result<Json<BusinessAccount>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(account) = body.map_err(|error| Problem::invalid("body", &error.body_text()))?;
    meta.put_account(account);
    Ok(Json(json!({})))
}

/// Returns the accounts of all businesses.
async fn all_accounts(State(meta): State<Arc<Meta>>) -> Json<Value> {
    Json(json!({"data": meta.business_accounts()}))
}

/// Completes the signup popup for a business and returns the code that the page gets.
async fn popups(
    State(meta): State<Arc<Meta>>,
    body: Result<Json<PopupOrder>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(order) = body.map_err(|error| Problem::invalid("body", &error.body_text()))?;
    Ok(Json(json!({"code": meta.popup(order)})))
}

async fn templates(
    State(meta): State<Arc<Meta>>,
    body: Result<Json<MetaTemplate>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(template) = body.map_err(|error| Problem::invalid("body", &error.body_text()))?;
    meta.put_template(template);
    Ok(Json(json!({})))
}

async fn sent(State(meta): State<Arc<Meta>>) -> Response {
    Json(json!({"data": meta.sent()})).into_response()
}

/// Faults for the next sends, in order, and the order in which statuses are reported from now on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultOrder {
    #[serde(default)]
    sends: Vec<ScriptedFault>,
    #[serde(default = "once")]
    repeat: usize,
    statuses: Option<StatusOrder>,
    /// Faults for the next calls of a signup, by call name, such as `register`.
    #[serde(default)]
    calls: BTreeMap<String, Vec<ScriptedFault>>,
    /// Releases the held responses of silent faults.
    #[serde(default)]
    speak: bool,
}

fn once() -> usize {
    1
}

async fn faults(
    State(meta): State<Arc<Meta>>,
    body: Result<Json<FaultOrder>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(order) = body.map_err(|error| Problem::invalid("body", &error.body_text()))?;
    if order.repeat == 0 || order.repeat.saturating_mul(order.sends.len()) > REPEAT_MAX {
        return Err(Problem::invalid("repeat", "must be at least 1, and 10000 faults at most in one order"));
    }
    for _ in 0..order.repeat {
        meta.script(order.sends.iter().cloned());
    }
    for (call, faults) in order.calls {
        meta.script_call(&call, faults);
    }
    if let Some(statuses) = order.statuses {
        meta.order_statuses(statuses);
    }
    if order.speak {
        meta.speak();
    }
    Ok(Json(json!({"faults_waiting": meta.faults_waiting()})))
}

async fn reset(State(meta): State<Arc<Meta>>) -> Json<Value> {
    meta.reset();
    Json(json!({}))
}
