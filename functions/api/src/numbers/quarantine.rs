//! Quarantined items: webhook content that could not be processed, by number, account or reason.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::api::{Caller, Id, List, Moment, PageQuery, QueryParams, Read, Refusals, TenantOrOperator, limit, raw};
use shared::domain::event::QuarantineReason;
use shared::domain::ids::{NumberId, WabaId};
use shared::http::Problem;
use shared::storage::StoredQuarantinedItem;
use utoipa::{IntoParams, ToSchema};

use crate::Deps;

/// Largest raw item returned in a list, in bytes: a hundred of them must fit into a Lambda response of 6 MB.
const SHOWN_RAW_MAX: usize = 32 * 1024;

#[derive(Serialize, ToSchema)]
pub(crate) struct KeptJson {
    id: String,
    reason: &'static str,
    what: String,
    /// The number that the item concerns, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    number_id: Option<String>,
    /// The account that the item concerns, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<String>,
    received_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    raw: Option<Box<RawValue>>,
}

impl KeptJson {
    fn new(kept: StoredQuarantinedItem) -> Self {
        Self {
            id: kept.id,
            reason: kept.reason.as_str(),
            what: kept.what,
            number_id: kept.owner.number.map(|number| number.to_string()),
            account_id: kept.owner.account.map(|account| account.to_string()),
            received_at: Moment(kept.received_at),
            raw: kept
                .raw
                .filter(|raw| raw.len() <= SHOWN_RAW_MAX)
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .and_then(raw),
        }
    }
}

/// Lists the number's quarantined items: webhook content that could not be processed.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}/quarantine",
    tag = "Numbers",
    operation_id = "listKept",
    params(("id" = String, Path), PageQuery),
    responses((status = 200, body = List<KeptJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn kept(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<NumberId>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<KeptJson>>, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let (limit, cursor) = query.read()?;
    let page = deps.table.quarantine_list_of_number(&number.id, limit, cursor.as_deref()).await?;
    Ok(Json(List { data: page.items.into_iter().map(KeptJson::new).collect(), next_cursor: page.next }))
}

/// Selection of quarantined items, and the page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuarantineQuery {
    /// An account, as Meta's id. Required for tenants.
    account_id: Option<String>,
    /// `malformed`, `unsupported`, `unknown_number`, `unknown_account` or `too_old`. For operators.
    reason: Option<String>,
    /// Most items of the page.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the previous page; the first page without it.
    cursor: Option<String>,
}

/// Lists quarantined items that concern no connected number: of an account, or, for operators, of one reason.
///
/// The dashboard's test webhook is listed for operators under `unknown_number` or `unknown_account`.
#[utoipa::path(
    get,
    path = "/v1/quarantine",
    tag = "Numbers",
    operation_id = "listQuarantine",
    params(QuarantineQuery),
    responses((status = 200, body = List<KeptJson>), Refusals),
    security(("key" = ["read"]), ("key" = ["operator"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    TenantOrOperator { tenant, .. }: TenantOrOperator<Read>,
    QueryParams(query): QueryParams<QuarantineQuery>,
) -> Result<Json<List<KeptJson>>, Problem> {
    let (limit, cursor) = (limit(query.limit)?, query.cursor);
    let page = match (tenant, query.account_id, query.reason) {
        (Some(_), None, _) => return Err(Problem::invalid("account_id", "is required")),
        (Some(_), _, Some(_)) => return Err(Problem::invalid("reason", "is for operators only")),
        (None, None, None) => return Err(Problem::invalid("reason", "or `account_id` is required")),
        (None, Some(_), Some(_)) => return Err(Problem::invalid("reason", "cannot be combined with `account_id`")),
        (tenant, Some(account), None) => {
            let account = WabaId::parse(&account).map_err(|_| Problem::not_found())?;
            if let Some(tenant) = tenant {
                deps.access.account_of(tenant, &account).await?;
            }
            deps.table.quarantine_list_of_account(&account, limit, cursor.as_deref()).await?
        }
        (None, None, Some(reason)) => {
            let words = QuarantineReason::ALL.map(QuarantineReason::as_str).join(", ");
            let reason = QuarantineReason::from_word(&reason)
                .ok_or_else(|| Problem::invalid("reason", &format!("must be one of {words}")))?;
            deps.table.quarantine_list(reason, limit, cursor.as_deref()).await?
        }
    };
    Ok(Json(List { data: page.items.into_iter().map(KeptJson::new).collect(), next_cursor: page.next }))
}
