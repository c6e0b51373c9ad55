//! Check of the `Origin` header: our own pages and those allowed by the operator may finish a signup. Clients other
//! than browsers send no `Origin`.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::domain::ids::OnboardingId;
use shared::http::Problem;

use crate::callbacks::base_url;
use crate::{Deps, unavailable};

/// Passes requests from allowed pages, with CORS headers for the browser.
pub(crate) async fn check(
    State(deps): State<std::sync::Arc<Deps>>,
    path: Option<Path<String>>,
    request: Request,
    next: Next,
) -> Response {
    let origin = match foreign(deps.public_url.as_deref(), request.headers()) {
        None => return next.run(request).await,
        Some(origin) => origin,
    };
    match is_named(&deps, path, &origin).await {
        Ok(true) => {}
        Ok(false) => {
            deps.metrics.count("onboarding", "foreign_origin", 1);
            let title = "This page is not allowed to finish signups.";
            let problem = Problem::new(StatusCode::FORBIDDEN, "foreign_origin", title);
            return problem.remedy("Allow its origin with `operator signup --origin`.").into_response();
        }
        Err(problem) => return problem.into_response(),
    }
    let preflight = request.method() == Method::OPTIONS;
    let mut response = if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    if let Ok(origin) = HeaderValue::from_str(&origin) {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("origin"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    }
    response
}

/// Returns the origin of the requesting page, if it is not ours.
fn foreign(public_url: Option<&str>, headers: &HeaderMap) -> Option<String> {
    let origin = headers.get(header::ORIGIN)?;
    // A header that is not text matches no known origin.
    let origin = origin.to_str().unwrap_or("null").to_owned();
    // Behind a proxy, the request's host may differ from the public one.
    (origin != base_url(headers) && Some(origin.as_str()) != public_url).then_some(origin)
}

async fn is_named(deps: &Deps, path: Option<Path<String>>, origin: &str) -> Result<bool, Problem> {
    let id = path.and_then(|Path(id)| OnboardingId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let known = deps.table.onboarding_get(id).await.map_err(|error| unavailable("table", &error))?;
    let (onboarding, _) = known.ok_or_else(Problem::not_found)?;
    let settings =
        deps.table.signup_settings_get(&onboarding.app).await.map_err(|error| unavailable("table", &error))?;
    Ok(settings.is_some_and(|settings| settings.origins.iter().any(|known| known == origin)))
}
