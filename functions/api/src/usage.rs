//! `GET /v1/usage`: sent and billable messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::api::{Caller, QueryParams, Read, Refusals, days};
use shared::domain::accounts::usage::Usage;
use shared::domain::ids::NumberId;
use shared::http::Problem;
use shared::storage::day_of;
use utoipa::{IntoParams, ToSchema};

use crate::Deps;

/// Maximum number of phone numbers in a report without `number_id`.
const NUMBERS: u16 = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// The first day, UTC. Default: a week before `until`.
    #[param(format = Date)]
    from: Option<String>,
    /// The last day, UTC. Default: today.
    #[param(format = Date)]
    until: Option<String>,
    /// Only messages of this number.
    number_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UsageReportJson {
    data: Vec<UsageJson>,
    total: UsageCountsJson,
}

/// Counts of one number, day, category and pricing type. The day is the UTC day on which the message was accepted.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsageJson {
    #[schema(format = Date)]
    day: String,
    number_id: String,
    /// Meta's pricing category, such as `marketing`, `utility`, `service`; null if Meta reported no pricing.
    category: Option<String>,
    /// Meta's pricing type, such as `regular` (charged), `free_customer_service`, `free_entry_point`.
    pricing_type: Option<String>,
    #[serde(flatten)]
    counts: UsageCountsJson,
}

#[derive(Serialize, ToSchema, Default, Clone, Copy)]
pub(crate) struct UsageCountsJson {
    /// Messages with at least one status report from Meta.
    messages: u64,
    sent: u64,
    delivered: u64,
    read: u64,
    failed: u64,
    /// Messages charged by Meta, either to the business or to the credit line shared with it.
    billable: u64,
}

impl UsageCountsJson {
    fn new(usage: &Usage) -> Self {
        Self {
            messages: usage.messages,
            sent: usage.sent,
            delivered: usage.delivered,
            read: usage.read,
            failed: usage.failed,
            billable: usage.billable,
        }
    }

    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.read += other.read;
        self.failed += other.failed;
        self.billable += other.billable;
    }
}

/// Returns counts of sent, delivered, read, failed and billable messages per number, day and category.
///
/// The counts are based on Meta's status reports. Each message counts once, even if reports are repeated. Counts are
/// kept for 400 days.
#[utoipa::path(
    get,
    path = "/v1/usage",
    tag = "Usage",
    operation_id = "getUsage",
    params(UsageQuery),
    responses((status = 200, body = UsageReportJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    QueryParams(query): QueryParams<UsageQuery>,
) -> Result<Json<UsageReportJson>, Problem> {
    let numbers = match &query.number_id {
        Some(id) => {
            let unknown = || Problem::invalid("number_id", "must be the id of one of your numbers");
            let id = NumberId::parse(id).map_err(|_| unknown())?;
            vec![deps.cached_number(tenant, &id).await?.ok_or_else(unknown)?.id]
        }
        None => {
            let page = deps.table.number_list(tenant, NUMBERS, None).await?;
            if page.next.is_some() {
                return Err(too_much());
            }
            page.items.into_iter().map(|number| number.id).collect()
        }
    };
    let (from, until) = days(query.from.as_deref(), query.until.as_deref(), day_of(deps.clock.now()))?;
    let mut report = UsageReportJson { data: Vec::new(), total: UsageCountsJson::default() };
    let counted = deps.table.usage_list(&numbers, from, until).await?;
    for (day, number, usage) in counted.ok_or_else(too_much)? {
        let counts = UsageCountsJson::new(&usage);
        report.total.add(counts);
        report.data.push(UsageJson {
            day: day.to_string(),
            number_id: number.to_string(),
            category: usage.category,
            pricing_type: usage.pricing_type,
            counts,
        });
    }
    Ok(Json(report))
}

fn too_much() -> Problem {
    Problem::invalid("number_id", "is required, or a shorter period: one report cannot cover this much")
}
