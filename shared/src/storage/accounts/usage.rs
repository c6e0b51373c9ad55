//! Usage counts, from the statuses of sent messages. The statuses of one batch form one entry per number and hour of
//! acceptance, in the number's partition of that day.
//!
//! A repeated status is the same fact, so nothing is counted twice, in whatever order and however often entries are
//! written. 1 WRU per some 35 statuses; reading a day costs 1 read unit per some 150.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use serde::{Deserialize, Serialize};
use ulid::ULID_LEN;

use crate::domain::accounts::usage::{Usage, UsageNote};
use crate::domain::ids::{NumberId, OutboundId};
use crate::domain::sending::status::Status;
use crate::limits::BATCH_CONCURRENCY;
use crate::storage::table::item::{Item, expiry, text};
use crate::storage::{StorageError, Table, table::keys, unavailable};

/// How long usage is stored: Meta too reports the past year.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);

/// Most partitions (a day of one number) in one answer.
const PARTITIONS_MAX: usize = 500;
/// Most megabytes of entries read for one answer; more would exceed the time of a call.
const PAGES_MAX: i64 = 1_000;
/// Most notes per entry: some 30 KB, far below DynamoDB's 400 KB.
const NOTES_MAX: usize = 1_000;

/// Stored form of notes that differ only in their message: step, category, type, billable, and the ids without their
/// prefix, concatenated. The size of an entry is the cost of counting.
#[derive(Serialize, Deserialize)]
struct Alike(String, Option<String>, Option<String>, Option<bool>, String);

/// Facts known of one message.
#[derive(Default)]
struct Counted {
    steps: Vec<Status>,
    category: Option<String>,
    pricing_type: Option<String>,
    billable: Option<bool>,
    /// Price facts of `sent`, which count only until the charge is decided.
    at_first: Option<(Option<String>, Option<String>, Option<bool>)>,
}

impl Table {
    /// Counts statuses of messages that we sent; repeating them changes nothing.
    ///
    /// `received_at` is when the first of them arrived: the same notes with the same time are the same entry. 1 WRU per
    /// KB for each number and hour.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn usage_put(&self, notes: Vec<UsageNote>, received_at: Timestamp) -> Result<(), StorageError> {
        let mut groups: BTreeMap<(NumberId, Timestamp), Vec<UsageNote>> = BTreeMap::new();
        for note in notes {
            let hour = crate::storage::hour_of(note.message.made_at());
            groups.entry((note.number.clone(), hour)).or_default().push(note);
        }
        for ((number, hour), mut notes) in groups {
            notes.sort_by(|one, other| (says(one), one.message).cmp(&(says(other), other.message)));
            for part in notes.chunks(NOTES_MAX) {
                let alike: Vec<Alike> =
                    part.chunk_by(|one, other| says(one) == says(other)).filter_map(written).collect();
                let json =
                    serde_json::to_string(&alike).map_err(|_| StorageError::Refused("notes that are no JSON"))?;
                let key = keys::usage(&number, hour, received_at, &keys::digest(json.as_bytes()));
                let kept_until = crate::clock::after(hour, KEPT_FOR);
                let entry = self.update(key).set_once("notes", text(json));
                entry.set_once("expires_at", expiry(kept_until)).run().await?;
            }
        }
        Ok(())
    }

    /// Returns the usage of numbers on each of these days (UTC, both included), by category and pricing type. `None` if
    /// there is too much to count at once.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an entry is damaged.
    pub async fn usage_list(
        &self,
        numbers: &[NumberId],
        from: Date,
        until: Date,
    ) -> Result<Option<Vec<(Date, NumberId, Usage)>>, StorageError> {
        let days = from.series(Span::new().days(1)).take_while(|day| *day <= until);
        let wanted: Vec<(Date, &NumberId)> =
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

    /// Returns the usage of a number on a day (UTC), by category and pricing type. `None` once `pages` of 1 MB are used
    /// up: there is too much to count at once.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an entry is damaged.
    async fn usage(&self, of: &NumberId, day: Date, pages: &AtomicI64) -> Result<Option<Vec<Usage>>, StorageError> {
        let mut kinds = BTreeMap::new();
        // One hour's messages at a time: all entries about a message are under its hour.
        let (mut hour, mut messages) = (String::new(), HashMap::new());
        let mut start = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(keys::usage_partition(of, day)))
                .set_exclusive_start_key(start);
            let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
            for item in answer.items.unwrap_or_default().into_iter().map(Item) {
                let of_hour = item.required("sk")?.split('#').next().unwrap_or_default();
                if hour != of_hour {
                    hour = of_hour.to_owned();
                    count(&mut kinds, std::mem::take(&mut messages));
                }
                let notes: Vec<Alike> =
                    serde_json::from_str(item.required("notes")?).map_err(|_| StorageError::Corrupt("notes"))?;
                notes.into_iter().try_for_each(|note| learn(&mut messages, note))?;
            }
            start = answer.last_evaluated_key;
            if start.is_none() {
                count(&mut kinds, messages);
                return Ok(Some(kinds.into_values().collect()));
            }
            if pages.fetch_sub(1, Ordering::Relaxed) <= 0 {
                return Ok(None);
            }
        }
    }
}

/// Returns the content of a note without its message.
fn says(note: &UsageNote) -> (Status, Option<&str>, Option<&str>, Option<bool>) {
    (note.status, note.category.as_deref(), note.pricing_type.as_deref(), note.billable)
}

/// Joins notes with the same content; `None` if there are none.
fn written(notes: &[UsageNote]) -> Option<Alike> {
    let (status, category, pricing_type, billable) = says(notes.first()?);
    let ids = notes.iter().map(|note| note.message.to_string().split_off(OutboundId::PREFIX.len())).collect();
    let owned = |word: Option<&str>| word.map(str::to_owned);
    Some(Alike(status.as_str().to_owned(), owned(category), owned(pricing_type), billable, ids))
}

fn learn(messages: &mut HashMap<OutboundId, Counted>, alike: Alike) -> Result<(), StorageError> {
    let Alike(step, category, pricing_type, billable, ids) = alike;
    let Some(step) = Status::from_word(&step) else { return Ok(()) };
    for id in ids.as_bytes().chunks(ULID_LEN) {
        let id = format!("{}{}", OutboundId::PREFIX, String::from_utf8_lossy(id));
        let message = OutboundId::parse(&id).map_err(|_| StorageError::Corrupt("notes"))?;
        let counted = messages.entry(message).or_default();
        if step == Status::Sent {
            counted.at_first.get_or_insert_with(|| (category.clone(), pricing_type.clone(), billable));
        } else {
            counted.category = counted.category.take().or_else(|| category.clone());
            counted.pricing_type = counted.pricing_type.take().or_else(|| pricing_type.clone());
            counted.billable = counted.billable.or(billable);
        }
        if !counted.steps.contains(&step) {
            counted.steps.push(step);
        }
    }
    Ok(())
}

fn count(kinds: &mut BTreeMap<(Option<String>, Option<String>), Usage>, messages: HashMap<OutboundId, Counted>) {
    for message in messages.into_values() {
        let at_first = message.at_first.unwrap_or_default();
        let category = message.category.or(at_first.0);
        let pricing_type = message.pricing_type.or(at_first.1);
        let kind = (category.clone(), pricing_type.clone());
        let usage = kinds.entry(kind).or_insert(Usage { category, pricing_type, ..Usage::default() });
        let has = |status: Status| message.steps.contains(&status);
        let read = has(Status::Read) || has(Status::Played);
        let delivered = read || has(Status::Delivered);
        usage.messages += 1;
        usage.sent += u64::from(delivered || has(Status::Sent));
        usage.delivered += u64::from(delivered);
        usage.read += u64::from(read);
        usage.failed += u64::from(has(Status::Failed) && !delivered);
        usage.billable += u64::from(message.billable.or(at_first.2) == Some(true));
    }
}

/// Returns the day of a time, UTC.
#[must_use]
pub fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Returns the beginning of a day, UTC.
#[must_use]
pub fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |midnight| midnight.timestamp())
}
