//! The shareable signup link: a page for a tenant's customer, who has no account here. The link's secret follows `#`,
//! so no server logs it. Opening the page changes nothing, so a link preview does no harm.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use shared::domain::ids::OnboardingId;
use shared::domain::lifecycle::onboarding::STATE_FOR;
use shared::http::Problem;
use shared::provider::meta::signup;
use shared::vault::random_secret;
use subtle::ConstantTimeEq;

use crate::finish::answer;
use crate::{Deps, unavailable};

/// The page's HTML, with placeholders.
const PAGE: &str = include_str!("page.html");
/// Meta's JavaScript SDK (`docs/meta/onboarding.md#section-1-2`).
const SDK: &str = "https://connect.facebook.net/en_US/sdk.js";
/// Security headers of the page.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Prevents clickjacking through frames.
    (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action 'none'"),
    // Lets the page communicate with Meta's popup.
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin-allow-popups"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenRequest {
    link: String,
}

/// Returns the signup page, which is the same for every onboarding.
pub(crate) async fn page(State(deps): State<Arc<Deps>>) -> Response {
    // A configured SDK is the simulated one; its origin is then trusted like Meta's.
    let (sdk, trusted) = match &deps.sdk_url {
        Some(url) => (url.as_str(), origin_of(url)),
        None => (SDK, ""),
    };
    let mut response = Html(PAGE.replace("{{sdk}}", sdk).replace("{{trusted}}", trusted)).into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns scheme and host of a URL.
fn origin_of(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    url.get(..path).unwrap_or(url)
}

/// Returns the popup's parameters with a state valid for 15 minutes. After the code exchange, returns the onboarding's
/// progress.
pub(crate) async fn open(
    State(deps): State<Arc<Deps>>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let id = path.ok().and_then(|Path(id)| OnboardingId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let body = body.map_err(|_| Problem::invalid("body", "must be at most 64 KiB"))?;
    let request: OpenRequest =
        serde_json::from_slice(&body).map_err(|error| Problem::invalid("body", &error.to_string()))?;
    let known = deps.table.onboarding_get(id).await.map_err(|error| unavailable("table", &error))?;
    let (onboarding, keyed) = known.ok_or_else(Problem::not_found)?;
    let hash = hex::encode(Sha256::digest(request.link.as_bytes()));
    let ours = keyed.link_hash.is_some_and(|link| bool::from(hash.as_bytes().ct_eq(link.as_bytes())));
    if !ours {
        deps.metrics.count("onboarding", "wrong_link", 1);
        return Err(Problem::not_found());
    }
    let now = deps.clock.now();
    if keyed.token.is_some() {
        return answer(&deps, id, now).await;
    }
    if onboarding.link_until.is_none_or(|until| now >= until) {
        let title = "This link has expired.";
        return Err(Problem::new(StatusCode::GONE, "onboarding_expired", title).remedy("Ask for a new link."));
    }
    let settings =
        deps.table.signup_settings_get(&onboarding.app).await.map_err(|error| unavailable("table", &error))?;
    let settings = settings.ok_or_else(Problem::not_found)?;
    let state = random_secret().map_err(|error| unavailable("randomness", &error))?;
    let hash = hex::encode(Sha256::digest(state.expose().as_bytes()));
    let valid_until = shared::clock::after(now, STATE_FOR);
    let renewed = deps.table.onboarding_renew_state(id, &hash, valid_until).await;
    renewed.map_err(|error| unavailable("table", &error))?;
    let popup = json!({"app_id": settings.client_id, "config_id": settings.config_id,
        "graph_version": deps.graph_version, "extras": signup::extras(&settings)});
    Ok(Json(json!({"id": id.to_string(), "state": state.expose(), "popup": popup})).into_response())
}
