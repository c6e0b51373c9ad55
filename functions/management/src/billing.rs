//! Comparison of Meta's billing data with local counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::api::{Caller, Id, Moment, QueryParams, Read, days};
use shared::clock::{Date, Timestamp};
use shared::domain::accounts::usage::Usage;
use shared::domain::ids::{NumberId, WabaId};
use shared::http::Problem;
use shared::provider::meta::analytics::BilledPoint;
use shared::storage::{day_of, midnight};
use utoipa::{IntoParams, ToSchema};

use crate::Deps;
use crate::account::refused;
use crate::described::AtMeta;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct BillingQuery {
    /// The first day, UTC. Default: a week before `until`.
    #[param(format = Date)]
    from: Option<String>,
    /// The last day, UTC. Default: today.
    #[param(format = Date)]
    until: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct BillingJson {
    account_id: String,
    /// The account's currency as reported by Meta, such as `USD`.
    currency: Option<String>,
    /// Set if your own credit line pays for this account; otherwise null.
    credit_exposure: Option<ExposureJson>,
    data: Vec<BilledJson>,
    total: ComparedJson,
}

/// Messages charged to your credit line. Meta reports no amounts to a partner, so only messages are counted; prices are
/// in Meta's price list.
#[derive(Serialize, ToSchema)]
struct ExposureJson {
    /// Time since which the credit line is shared with the account.
    since: Moment,
    /// Billable messages by category, from local counts.
    billable: BTreeMap<String, u64>,
}

/// Counts of one number, day (UTC), category and pricing type.
#[derive(Serialize, ToSchema)]
struct BilledJson {
    #[schema(format = Date)]
    day: String,
    /// Null if Meta reports a number that is not connected here.
    number_id: Option<String>,
    category: Option<String>,
    pricing_type: Option<String>,
    #[serde(flatten)]
    compared: ComparedJson,
}

#[derive(Serialize, ToSchema, Default, Clone, Copy)]
struct ComparedJson {
    /// Delivered messages, counted locally from status reports.
    delivered: u64,
    /// Billable messages, counted locally from status reports.
    billable: u64,
    /// Delivered messages as reported by Meta; approximate, with a delay of some hours.
    meta_volume: u64,
    /// Cost in `currency`, as reported by Meta; null if not reported.
    meta_cost: Option<f64>,
    /// `delivered` minus `meta_volume`. Differences come from messages sent by another app, or sent near midnight.
    difference: i64,
}

impl ComparedJson {
    fn count(&mut self, usage: &Usage) {
        self.delivered += usage.delivered;
        self.billable += usage.billable;
        self.settle();
    }

    fn bill(&mut self, point: &BilledPoint) {
        self.meta_volume += point.volume;
        if let Some(cost) = point.cost {
            self.meta_cost = Some(self.meta_cost.unwrap_or(0.0) + cost);
        }
        self.settle();
    }

    fn settle(&mut self) {
        let many = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.difference = many(self.delivered) - many(self.meta_volume);
    }
}

/// Day, number, category and pricing type; the last two in lower case on both sides.
type Kind = (Date, Option<NumberId>, Option<String>, Option<String>);

/// Compares Meta's billing data of an account with local counts.
///
/// Messages sent from the same numbers by another app appear only in Meta's data. Days are UTC. Meta counts a message
/// on the day of delivery; local counts use the day of acceptance.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}/billing",
    tag = "Usage",
    operation_id = "getBilling",
    params(("id" = String, Path), BillingQuery),
    responses((status = 200, body = BillingJson), AtMeta),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<WabaId>,
    QueryParams(query): QueryParams<BillingQuery>,
) -> Result<Json<BillingJson>, Problem> {
    let account = deps.access.account_of(tenant, &id).await?;
    let token = deps.token_of(tenant, &id).await?;
    let (from, until) = days(query.from.as_deref(), query.until.as_deref(), day_of(deps.clock.now()))?;
    let mut numbers = BTreeMap::new();
    for number in deps.table.account_list_numbers(&id).await? {
        let known = deps.table.number_get(&number).await?.filter(|known| known.tenant == tenant && known.waba == id);
        numbers.extend(known.map(|known| (digits(&known.display_phone_number), number)));
    }
    let ids: Vec<NumberId> = numbers.values().cloned().collect();
    let counted = deps.table.usage_list(&ids, from, until).await?;
    let counted =
        counted.ok_or_else(|| Problem::invalid("from", "must be later: one report cannot cover this much"))?;
    let (start, end) = (midnight(from), midnight(until.tomorrow().unwrap_or(until)));
    let billed = deps.graph.billed(&token, &id, start.as_second(), end.as_second()).await.map_err(refused)?;
    let mut kinds: BTreeMap<Kind, ComparedJson> = BTreeMap::new();
    let (mut total, mut billable) = (ComparedJson::default(), BTreeMap::new());
    for (day, number, usage) in &counted {
        let kind = (*day, Some(number.clone()), small(usage.category.as_deref()), small(usage.pricing_type.as_deref()));
        if usage.billable > 0 {
            *billable.entry(kind.2.clone().unwrap_or_default()).or_default() += usage.billable;
        }
        kinds.entry(kind).or_default().count(usage);
        total.count(usage);
    }
    for point in &billed.points {
        let number = point.phone_number.as_deref().and_then(|phone| numbers.get(&digits(phone))).cloned();
        let day = Timestamp::from_second(point.start).map(day_of).unwrap_or(from);
        let kind = (day, number, small(point.pricing_category.as_deref()), small(point.pricing_type.as_deref()));
        kinds.entry(kind).or_default().bill(point);
        total.bill(point);
    }
    let line = |((day, number, category, pricing_type), compared): (Kind, ComparedJson)| BilledJson {
        day: day.to_string(),
        number_id: number.map(|number| number.to_string()),
        category,
        pricing_type,
        compared,
    };
    Ok(Json(BillingJson {
        account_id: id.to_string(),
        currency: billed.currency,
        credit_exposure: account.credit_at.map(|since| ExposureJson { since: Moment(since), billable }),
        data: kinds.into_iter().map(line).collect(),
        total,
    }))
}

fn digits(phone: &str) -> String {
    phone.chars().filter(char::is_ascii_digit).collect()
}

fn small(word: Option<&str>) -> Option<String> {
    word.map(|word| word.to_ascii_lowercase().replace('-', "_"))
}
