//! Meta's callbacks for users who remove the app or request deletion of their data, and the status page of a deletion.
//!
//! A removal only triggers a check of the user's tokens. A deletion is carried out.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, extract::rejection::FormRejection};
use serde::Deserialize;
use serde_json::json;
use shared::clock::SignedDuration;
use shared::domain::ids::{MetaAppId, OffboardingId};
use shared::domain::lifecycle::offboarding::{Departure, Offboarding, Why};
use shared::http::Problem;
use shared::provider::meta::signed_request::{self, SignedRequest};
use shared::storage::StorageError;

use crate::exchange::app;
use crate::{Deps, unavailable};

#[derive(Deserialize)]
pub(crate) struct SignedForm {
    signed_request: String,
}

type Name = Result<Path<String>, PathRejection>;
type Body = Result<Form<SignedForm>, FormRejection>;

/// Handles the removal of the app by a user: schedules an immediate check of the tokens that the user granted.
pub(crate) async fn deauthorize(State(deps): State<Arc<Deps>>, name: Name, body: Body) -> Result<Response, Problem> {
    let (app, request) = proved(&deps, name, body).await?;
    let accounts = deps.table.signer_list_accounts(&app, &request.user).await;
    for account in accounts.map_err(|error| unavailable("table", &error))? {
        let due = deps.table.token_check_later(&account, deps.clock.now()).await;
        due.map_err(|error| unavailable("table", &error))?;
    }
    deps.metrics.count("signup_callback", "deauthorized", 1);
    Ok(StatusCode::OK.into_response())
}

/// Handles a deletion request of a user: offboards the accounts that the user connected and erases their data.
pub(crate) async fn deletion(
    State(deps): State<Arc<Deps>>,
    name: Name,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (app, request) = proved(&deps, name, body).await?;
    let storage = |error: StorageError| unavailable("table", &error);
    let now = deps.clock.now();
    let code = OffboardingId::generate(now).map_err(|error| storage(error.into()))?;
    let mut offboardings = Vec::new();
    for account in deps.table.signer_list_accounts(&app, &request.user).await.map_err(storage)? {
        // Includes a business that removed the app earlier; its data is still stored in case it returns.
        let Some(known) = deps.table.account_get(&account).await.map_err(storage)? else { continue };
        // Skips an account that another user connected since, or the same user after the request was issued.
        if known.signer.as_deref() != Some(&request.user) || known.connected_at > request.issued_at {
            continue;
        }
        deps.table.account_stop(&account, now).await.map_err(storage)?;
        let id = OffboardingId::of_deletion(&account, request.issued_at);
        let why = Why::DeletionRequested;
        let offboarding = Offboarding::of_account(id, known.tenant, account, why, now, SignedDuration::ZERO);
        deps.table.offboarding_put(&offboarding).await.map_err(storage)?;
        offboardings.push(id);
    }
    deps.table.deletion_put(code, &offboardings, now).await.map_err(storage)?;
    deps.metrics.count("signup_callback", "deletion_asked", 1);
    let base = deps.public_url.clone().unwrap_or_else(|| base_url(&headers));
    let url = format!("{base}/deletions/{code}");
    Ok(Json(json!({"url": url, "confirmation_code": code.to_string()})).into_response())
}

/// Returns the status page of a deletion request.
pub(crate) async fn deletion_status(State(deps): State<Arc<Deps>>, code: Name) -> Result<Response, Problem> {
    let code = code.ok().and_then(|Path(code)| OffboardingId::parse(&code).ok()).ok_or_else(Problem::not_found)?;
    let storage = |error: StorageError| unavailable("table", &error);
    let known = deps.table.deletion_get(code).await.map_err(storage)?;
    let (asked_at, offboardings) = known.ok_or_else(Problem::not_found)?;
    let now = deps.clock.now();
    let (mut left, mut back) = (0, 0);
    for id in &offboardings {
        match deps.table.offboarding_get(*id).await.map_err(storage)?.map(|one| one.departure(now)) {
            Some(Departure::Done | Departure::DoneWithFailures) | None => {}
            Some(Departure::Cancelled) => back += 1,
            Some(Departure::Running | Departure::Waiting) => left += 1,
        }
    }
    let state = match (offboardings.len(), left) {
        (0, _) => "No data of yours is stored here.",
        (_, 0) if back > 0 => {
            "Your business was connected again before its data was deleted. Request the deletion again."
        }
        (_, 0) => "All your data has been deleted.",
        _ => "Your data is being deleted. This takes less than an hour. This page will show when it is done.",
    };
    let asked = asked_at.strftime("%Y-%m-%d %H:%M UTC");
    Ok(Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Deletion of your data</title><style>body{{font:1rem/1.5 system-ui;max-width:36rem;margin:3rem auto;\
         padding:0 1rem}}</style><h1>Deletion of your data</h1><p>{state}</p>\
         <p>Requested on {asked}, confirmation code \
         <code>{code}</code>.</p></html>"
    ))
    .into_response())
}

/// Returns the called app and Meta's request. Refuses a request that is not signed with the app's secret.
async fn proved(deps: &Deps, name: Name, body: Body) -> Result<(MetaAppId, SignedRequest), Problem> {
    let id = name.ok().and_then(|Path(name)| MetaAppId::parse(&name).ok()).ok_or_else(Problem::not_found)?;
    let (known, _) = app(deps, &id).await?;
    let Form(form) = body.map_err(|_| Problem::invalid("signed_request", "is required, as a form field"))?;
    let Some(request) = signed_request::read(&form.signed_request, &known.app_secrets) else {
        deps.metrics.count("signup_callback", "not_signed", 1);
        let title = "The request is not signed by this app.";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "not_signed", title));
    };
    Ok((id, request))
}

/// Returns scheme and host of the request. API Gateway and the sandbox both forward the `Host` header.
pub(crate) fn base_url(headers: &HeaderMap) -> String {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let local = ["localhost", "127.0.0.1"].iter().any(|name| host.split(':').next() == Some(name));
    format!("{}://{host}", if local { "http" } else { "https" })
}
