//! `PUT` and `DELETE /v1/numbers/{id}/fallback-template`: what is sent instead of a free-form message that comes too late.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use shared::domain::ids::PhoneNumberId;
use shared::domain::number::Number;
use shared::domain::outgoing::Outgoing;
use shared::domain::tenant::Scope;
use shared::http::Problem;

use crate::auth::Caller;
use crate::request::problem;
use crate::send::files;
use crate::{Deps, json, storage_problem};

type Id = Result<Path<String>, PathRejection>;

pub(crate) async fn put(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Id,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let number = find(&deps, &caller, path).await?;
    let body = body.map_err(|_| Problem::too_large())?;
    let mut said = Outgoing::read("template", json::parse(&body)?).map_err(|broken| problem(&broken))?;
    files(&deps, number.tenant, &mut said).await?;
    let Outgoing::Template(template) = said else { return Err(Problem::invalid("template", "must be a template")) };
    deps.table.put_fallback(&number, Some(&template)).await.map_err(|error| storage_problem(&error))?;
    deps.numbers.forget(&number.id);
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn delete(State(deps): State<Arc<Deps>>, caller: Caller, path: Id) -> Result<StatusCode, Problem> {
    let number = find(&deps, &caller, path).await?;
    deps.table.put_fallback(&number, None).await.map_err(|error| storage_problem(&error))?;
    deps.numbers.forget(&number.id);
    Ok(StatusCode::NO_CONTENT)
}

async fn find(deps: &Deps, caller: &Caller, path: Id) -> Result<Number, Problem> {
    let tenant = caller.tenant(Scope::Manage)?;
    let id = path.ok().and_then(|Path(id)| PhoneNumberId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let number = deps.table.number(&id).await.map_err(|error| storage_problem(&error))?;
    number.filter(|number| number.tenant == tenant).ok_or_else(Problem::not_found)
}
