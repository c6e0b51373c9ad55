//! `PUT` and `DELETE /v1/numbers/{id}/fallback-template`: the template to send when a free-form message is too late.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::Value;
use shared::api::{Caller, Id, JsonBody, Manage, Refusals};
use shared::domain::accounts::number::Number;
use shared::domain::ids::NumberId;
use shared::domain::outgoing::{Outgoing, Template};
use shared::http::Problem;

use crate::Deps;
use crate::messages::send::files;
use crate::messages::template_check::look_up;

/// Sets the template to send in place of a free-form message once the customer service window has closed.
#[utoipa::path(
    put,
    path = "/v1/numbers/{id}/fallback-template",
    tag = "Numbers",
    operation_id = "putFallbackTemplate",
    params(("id" = String, Path)),
    request_body = Template,
    responses((status = 204), Refusals),
    security(("key" = ["manage"])),
)]
pub(crate) async fn put(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
    JsonBody(request): JsonBody<Value>,
) -> Result<StatusCode, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    // The whole body is the template, so field names have no `template.` prefix.
    let template = template(&deps, &number, request).await.map_err(|problem| problem.without_parent("template"))?;
    deps.table.number_put_fallback(&number, Some(&template)).await?;
    deps.numbers.forget(&number.id);
    deps.access.note(Some(tenant), &key, "number.fallback_set", &id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn template(deps: &Deps, number: &Number, request: Value) -> Result<Template, Problem> {
    let mut said = Outgoing::read("template", request)?;
    files(deps, number.tenant, &mut said).await?;
    let Outgoing::Template(template) = said else { return Err(Problem::invalid("template", "must be a template")) };
    look_up(deps, number, &template).await?.check(&template)?;
    Ok(template)
}

/// Removes the fallback template.
#[utoipa::path(
    delete,
    path = "/v1/numbers/{id}/fallback-template",
    tag = "Numbers",
    operation_id = "deleteFallbackTemplate",
    params(("id" = String, Path)),
    responses((status = 204), Refusals),
    security(("key" = ["manage"])),
)]
pub(crate) async fn delete(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
) -> Result<StatusCode, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    deps.table.number_put_fallback(&number, None).await?;
    deps.numbers.forget(&number.id);
    deps.access.note(Some(tenant), &key, "number.fallback_removed", &id.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}
