//! `GET /v1/alerts`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use shared::domain::account::StoredAlert;
use shared::domain::tenant::Scope;
use shared::http::Problem;

use crate::auth::Caller;
use crate::conversations::{PageParameters, PageQuery};
use crate::json::{List, raw, time};
use crate::{Deps, storage_problem};

#[derive(Serialize)]
pub(crate) struct AlertJson {
    id: String,
    severity: String,
    title: String,
    remedy: String,
    subject: SubjectJson,
    aspect: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    state: String,
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct SubjectJson {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

impl AlertJson {
    fn new(alert: StoredAlert) -> Self {
        let (kind, id) = alert.subject;
        Self {
            id: format!("alr_{}", alert.id),
            severity: alert.severity,
            title: alert.title,
            remedy: alert.remedy,
            subject: SubjectJson { kind, id },
            aspect: alert.aspect,
            key: alert.key,
            state: alert.word,
            at: time(alert.at),
            detail: raw(alert.detail),
        }
    }
}

pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    query: PageParameters,
) -> Result<Json<List<AlertJson>>, Problem> {
    let tenant = caller.tenant_or_operator(Scope::Read)?;
    let (limit, cursor) = PageQuery::read(query)?;
    let page = deps.table.alerts(tenant, limit, cursor.as_deref()).await.map_err(|error| storage_problem(&error))?;
    Ok(Json(List { data: page.items.into_iter().map(AlertJson::new).collect(), next_cursor: page.next }))
}
