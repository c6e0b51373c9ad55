//! What was sent, and what Meta charges for.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use axum::Json;
use axum::extract::State;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use shared::api::{Asked, Caller, Read, Refusals};
use shared::clock::Date;
use shared::domain::ids::PhoneNumberId;
use shared::domain::usage::Usage;
use shared::http::Problem;
use shared::limits::BATCH_CONCURRENCY;
use shared::storage::day_of;
use utoipa::{IntoParams, ToSchema};

use crate::Deps;

/// Longest time that one answer covers, in days: each day of each number is read on its own.
const DAYS_MAX: i32 = 31;
/// Most days of all numbers together in one answer.
const PARTITIONS_MAX: usize = 500;
/// Most megabytes of entries that are read for one answer: more would take longer than a call may.
const PAGES_MAX: i64 = 1_000;
/// Numbers of a tenant that are looked at without being named.
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
    /// Of this number only.
    number_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UsageReportJson {
    data: Vec<UsageJson>,
    total: UsageCountsJson,
}

/// One number, one day, one kind of message. A day is that on which the message was accepted, UTC.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsageJson {
    #[schema(format = Date)]
    day: String,
    number_id: String,
    /// What Meta charges it as, such as `marketing`, `utility`, `service`; null where Meta named no price.
    category: Option<String>,
    /// Meta's word, such as `regular` (charged), `free_customer_service`, `free_entry_point`.
    pricing_type: Option<String>,
    #[serde(flatten)]
    counts: UsageCountsJson,
}

#[derive(Serialize, ToSchema, Default, Clone, Copy)]
pub(crate) struct UsageCountsJson {
    /// Messages of which Meta reported anything.
    messages: u64,
    sent: u64,
    delivered: u64,
    read: u64,
    failed: u64,
    /// That Meta charges for: to the business, or to the credit line that is shared with it.
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

/// What was sent and what became of it, by number, day and category, with what Meta charges for.
///
/// Counted from what Meta reports of each message, each message once, however often that is repeated. Kept for 400 days.
#[utoipa::path(get, path = "/v1/usage", tag = "Usage", operation_id = "getUsage", params(UsageQuery), responses((status = 200, body = UsageReportJson), Refusals), security(("key" = ["read"])))]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Asked(query): Asked<UsageQuery>,
) -> Result<Json<UsageReportJson>, Problem> {
    let numbers = match &query.number_id {
        Some(id) => {
            let unknown = || Problem::invalid("number_id", "must be the id of one of your numbers");
            let id = PhoneNumberId::parse(id).map_err(|_| unknown())?;
            vec![deps.cached_number(tenant, &id).await?.ok_or_else(unknown)?.id]
        }
        None => {
            let page = deps.table.numbers(tenant, NUMBERS, None).await?;
            if page.next.is_some() {
                return Err(too_much());
            }
            page.items.into_iter().map(|number| number.id).collect()
        }
    };
    let until = day("until", query.until.as_deref())?.unwrap_or_else(|| day_of(deps.clock.now()));
    let from = day("from", query.from.as_deref())?.or_else(|| until.checked_sub(whole_days(6)).ok()).unwrap_or(until);
    let days = until.since(from).map_or(-1, |span| span.get_days());
    if !(0..DAYS_MAX).contains(&days) {
        return Err(Problem::invalid(
            "from",
            &format!("must be at most {DAYS_MAX} days before `until`, and not after it"),
        ));
    }
    let mut report = UsageReportJson { data: Vec::new(), total: UsageCountsJson::default() };
    let all: Vec<Date> = from.series(whole_days(1)).take_while(|day| *day <= until).collect();
    if all.len() * numbers.len() > PARTITIONS_MAX {
        return Err(too_much());
    }
    let pages = AtomicI64::new(PAGES_MAX);
    let wanted: Vec<(Date, PhoneNumberId)> =
        all.into_iter().flat_map(|day| numbers.iter().map(move |number| (day, number.clone()))).collect();
    let read = |(day, number): (Date, PhoneNumberId)| {
        let (deps, pages) = (&deps, &pages);
        async move { deps.table.usage(&number, day, pages).await.map(|usage| (day, number, usage)) }
    };
    let days: Vec<_> = stream::iter(wanted).map(read).buffered(BATCH_CONCURRENCY).try_collect().await?;
    for (day, number, usage) in days {
        for usage in usage.ok_or_else(too_much)? {
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
    }
    Ok(Json(report))
}

fn too_much() -> Problem {
    Problem::invalid("number_id", "is required, or fewer days: there is too much to count at once")
}

fn whole_days(days: i64) -> shared::clock::Span {
    shared::clock::Span::new().days(days)
}

fn day(field: &str, text: Option<&str>) -> Result<Option<Date>, Problem> {
    let parse = |text: &str| text.parse().map_err(|_| Problem::invalid(field, "must be a day such as 2026-11-20"));
    text.map(parse).transpose()
}
