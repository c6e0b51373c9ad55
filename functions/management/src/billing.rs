//! What Meta charged for, beside what was counted here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::api::{Asked, Caller, Id, Moment, Read, days};
use shared::clock::{Date, Timestamp};
use shared::domain::ids::{PhoneNumberId, WabaId};
use shared::domain::usage::Usage;
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
    /// The account's, such as `USD`, as Meta says.
    currency: Option<String>,
    /// Where your own credit line pays for this account; else null.
    credit_exposure: Option<ExposureJson>,
    data: Vec<BilledJson>,
    total: ComparedJson,
}

/// What your credit line answers for. Meta tells a partner no amounts, so it is messages; their price is in Meta's price list.
#[derive(Serialize, ToSchema)]
struct ExposureJson {
    /// Since when the line is shared with the account.
    since: Moment,
    /// Messages that Meta charges for, by category, as counted here.
    billable: BTreeMap<String, u64>,
}

/// One number, one day (UTC), one kind of message.
#[derive(Serialize, ToSchema)]
struct BilledJson {
    #[schema(format = Date)]
    day: String,
    /// Null where Meta names a number that is not connected here.
    number_id: Option<String>,
    category: Option<String>,
    pricing_type: Option<String>,
    #[serde(flatten)]
    compared: ComparedJson,
}

#[derive(Serialize, ToSchema, Default, Clone, Copy)]
struct ComparedJson {
    /// Delivered, as counted here from statuses.
    delivered: u64,
    /// Of which Meta charges for.
    billable: u64,
    /// Delivered, as Meta says; approximate, and late by some hours.
    meta_volume: u64,
    /// What they cost, as Meta says, in `currency`; null where Meta does not tell.
    meta_cost: Option<f64>,
    /// Counted here and not by Meta, or, negative, the other way round: sent by another app, or near midnight.
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

/// Day, number, category, pricing type: in small letters on both sides.
type Kind = (Date, Option<PhoneNumberId>, Option<String>, Option<String>);

/// What Meta says that it charged for, beside what was counted here.
///
/// Messages that another app sent from the same numbers are Meta's only. Days are UTC; Meta counts a message on the day it was delivered, we on
/// the day it was accepted.
#[utoipa::path(get, path = "/v1/accounts/{id}/billing", tag = "Usage", operation_id = "getBilling", params(("id" = String, Path), BillingQuery), responses((status = 200, body = BillingJson), AtMeta), security(("key" = ["read"])))]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<WabaId>,
    Asked(query): Asked<BillingQuery>,
) -> Result<Json<BillingJson>, Problem> {
    let account = deps.access.account_of(tenant, &id).await?;
    let token = deps.token_of(tenant, &id).await?;
    let (from, until) = days(query.from.as_deref(), query.until.as_deref(), day_of(deps.clock.now()))?;
    let mut numbers = BTreeMap::new();
    for number in deps.table.numbers_of(&id).await? {
        let known = deps.table.number(&number).await?.filter(|known| known.tenant == tenant && known.waba == id);
        numbers.extend(known.map(|known| (digits(&known.display_phone_number), number)));
    }
    let ids: Vec<PhoneNumberId> = numbers.values().cloned().collect();
    let counted = deps.table.usage_of_days(&ids, from, until).await?;
    let counted =
        counted.ok_or_else(|| Problem::invalid("from", "must be later: there is too much to count at once"))?;
    let span = (midnight(from).as_second(), midnight(until.tomorrow().unwrap_or(until)).as_second());
    let billed = deps.graph.billed(&token, &id, span).await.map_err(refused)?;
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
