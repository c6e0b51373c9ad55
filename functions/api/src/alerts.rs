//! `GET /v1/alerts`, and acknowledging an alert.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use shared::api::{Id, List, Manage, Moment, PageQuery, QueryParams, Read, Refusals, TenantOrOperator, raw};
use shared::domain::accounts::account::StoredAlert;
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;

#[derive(Serialize, ToSchema)]
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
    at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    detail: Option<Box<RawValue>>,
    /// Time of acknowledgement; null: not acknowledged.
    acknowledged_at: Option<Moment>,
}

#[derive(Serialize, ToSchema)]
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
            at: Moment(alert.at),
            detail: raw(alert.detail),
            acknowledged_at: alert.acknowledged_at.map(Moment),
        }
    }
}

/// Lists the alerts, latest first.
#[utoipa::path(
    get,
    path = "/v1/alerts",
    tag = "Alerts",
    operation_id = "listAlerts",
    params(PageQuery),
    responses((status = 200, body = List<AlertJson>), Refusals),
    security(("key" = ["read"]), ("key" = ["operator"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, .. }: TenantOrOperator<Read>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<AlertJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.alert_list(tenant, limit, cursor.as_deref()).await?;
    Ok(Json(List { data: page.items.into_iter().map(AlertJson::new).collect(), next_cursor: page.next }))
}

/// Acknowledges an alert. It stays in the list.
#[utoipa::path(
    post,
    path = "/v1/alerts/{id}/acknowledge",
    tag = "Alerts",
    operation_id = "acknowledgeAlert",
    params(("id" = String, Path)),
    responses((status = 200, body = AlertJson), Refusals),
    security(("key" = ["manage"]), ("key" = ["operator"])),
)]
pub(crate) async fn acknowledge(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, key, .. }: TenantOrOperator<Manage>,
    Id(id): Id<String>,
) -> Result<Json<AlertJson>, Problem> {
    let hash = id.strip_prefix("alr_").filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let hash = hash.ok_or_else(Problem::not_found)?;
    let seen = deps.table.alert_acknowledge(tenant, hash, deps.clock.now()).await?.ok_or_else(Problem::not_found)?;
    deps.access.note(tenant, &key, "alert.acknowledged", &id).await?;
    Ok(Json(AlertJson::new(seen)))
}
