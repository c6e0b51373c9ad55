//! What was sent, counted: an entry for each message, under the number and the day it was accepted. What is said of a message
//! again changes nothing, so nothing is counted twice, in whatever order statuses come. 1 WRU a status; a day costs half a read unit
//! for each 25 messages or so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde_json::Value;

use super::item::{Item, expiry, number, text};
use super::{StorageError, Table, keys, unavailable};
use crate::domain::event::StatusUpdate;
use crate::domain::ids::{OutboundId, PhoneNumberId};
use crate::domain::status::Status;
use crate::domain::usage::Usage;
use crate::limits::BATCH_CONCURRENCY;

/// How long it is known what was sent: Meta looks a year back too.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Most days of all numbers together in one answer.
const PARTITIONS_MAX: usize = 500;
/// Most megabytes of entries that are read for one answer: more would take longer than a call may.
const PAGES_MAX: i64 = 1_000;

impl Table {
    /// Counts what a status says of a message of ours; the same again changes nothing. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_usage(
        &self,
        of: &PhoneNumberId,
        message: OutboundId,
        update: &StatusUpdate,
    ) -> Result<(), StorageError> {
        let kept_until = message.made_at().checked_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
        let entry = self.update(keys::usage(of, day_of(message.made_at()), message));
        let entry = entry.set_once(update.status.as_str(), number(1)).set_once("expires_at", expiry(kept_until));
        let facts: Option<Value> = update.pricing.as_deref().and_then(|json| serde_json::from_str(json).ok());
        // What comes with `sent` counts only until the charge is decided.
        let name = |name: &str| if update.status == Status::Sent { format!("{name}_sent") } else { name.to_owned() };
        let word = |key: &str| facts.as_ref().and_then(|facts| facts.get(key)).and_then(Value::as_str).map(text);
        let billable = facts.as_ref().and_then(|facts| facts.get("billable")).and_then(Value::as_bool);
        entry
            .set_once_if(&name("category"), word("category"))
            .set_once_if(&name("pricing_type"), word("type"))
            .set_once_if(&name("billable"), billable.map(|billable| number(i64::from(billable))))
            .run()
            .await?;
        Ok(())
    }

    /// What numbers sent on each of these days (UTC, both included), by category and pricing type. `None`: there is too much to count at
    /// once.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn usage_of_days(
        &self,
        numbers: &[PhoneNumberId],
        from: Date,
        until: Date,
    ) -> Result<Option<Vec<(Date, PhoneNumberId, Usage)>>, StorageError> {
        let days = from.series(Span::new().days(1)).take_while(|day| *day <= until);
        let wanted: Vec<(Date, &PhoneNumberId)> =
            days.flat_map(|day| numbers.iter().map(move |number| (day, number))).collect();
        if wanted.len() > PARTITIONS_MAX {
            return Ok(None);
        }
        let pages = AtomicI64::new(PAGES_MAX);
        // Collected first: a stream over a closure that borrows is not `Send`.
        let reads: Vec<_> = wanted.iter().map(|(day, number)| self.usage(number, *day, &pages)).collect();
        let read: Vec<_> = stream::iter(reads).buffered(BATCH_CONCURRENCY).try_collect().await?;
        let mut counted = Vec::new();
        for ((day, number), usage) in wanted.into_iter().zip(read) {
            let Some(usage) = usage else { return Ok(None) };
            counted.extend(usage.into_iter().map(|usage| (day, number.clone(), usage)));
        }
        Ok(Some(counted))
    }

    /// What a number sent on a day (UTC), by category and pricing type. `None` once `pages` of 1 MB are used up: there is too much to
    /// count at once.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    async fn usage(
        &self,
        of: &PhoneNumberId,
        day: Date,
        pages: &AtomicI64,
    ) -> Result<Option<Vec<Usage>>, StorageError> {
        let mut kinds: BTreeMap<(Option<String>, Option<String>), Usage> = BTreeMap::new();
        for shard in 0..keys::USAGE_SHARDS {
            let mut start = None;
            loop {
                let query = self
                    .client
                    .query()
                    .table_name(&self.name)
                    .key_condition_expression("pk = :pk")
                    .expression_attribute_values(":pk", text(keys::usage_partition(of, day, shard)))
                    .set_exclusive_start_key(start);
                let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
                for item in answer.items.unwrap_or_default().into_iter().map(Item) {
                    let fact = |name: &str| item.owned(name).or_else(|| item.owned(&format!("{name}_sent")));
                    let (category, pricing_type) = (fact("category"), fact("pricing_type"));
                    let kind = (category.clone(), pricing_type.clone());
                    count(kinds.entry(kind).or_insert(Usage { category, pricing_type, ..Usage::default() }), &item);
                }
                start = answer.last_evaluated_key;
                if start.is_none() {
                    break;
                }
                if pages.fetch_sub(1, Ordering::Relaxed) <= 0 {
                    return Ok(None);
                }
            }
        }
        Ok(Some(kinds.into_values().collect()))
    }
}

fn count(usage: &mut Usage, item: &Item) {
    let has = |status: Status| item.number(status.as_str()).is_some();
    let read = has(Status::Read) || has(Status::Played);
    let delivered = read || has(Status::Delivered);
    let billable = item.number("billable").or_else(|| item.number("billable_sent")) == Some(1);
    usage.messages += 1;
    usage.sent += u64::from(delivered || has(Status::Sent));
    usage.delivered += u64::from(delivered);
    usage.read += u64::from(read);
    usage.failed += u64::from(has(Status::Failed) && !delivered);
    usage.billable += u64::from(billable);
}

/// The day of a moment, UTC.
#[must_use]
pub fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// When a day begins, UTC.
#[must_use]
pub fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |midnight| midnight.timestamp())
}
