//! The pace of numbers: GCRA schedules as conditional updates, because DynamoDB updates have no maximum function.
//!
//! An update that the SDK repeats takes a slot twice, which only slows us down. Each number and each pair (number and
//! customer) has its own item, so tenants share no key.

use jiff::{SignedDuration, Timestamp};

use crate::clock::at_millis;
use crate::domain::ids::{ConversationId, NumberId};
use crate::domain::sending::pacing::{
    BACK_OFF, BACK_OFF_AFTER, BACK_OFF_SETTLES, BACK_OFF_WITHIN, LATE, PAIR_BURST, PAIR_INTERVAL, Pace,
};
use crate::storage::table::item::{Item, expiry, number, text, time};
use crate::storage::table::keys::Key;
use crate::storage::table::page::LIST;
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys};

/// Attempts, alternating between the two forms of the update, before the number counts as busy.
const TURNS: u32 = 4;
/// How long a pair's schedule is stored: longer than its burst can last.
const PAIR_KEPT_FOR: SignedDuration = SignedDuration::from_mins(10);
/// Outcomes in a row that are unknown before a number is suspect (`docs/reliability.md#section-2-3-5`).
const DOUBTS_IN_A_ROW: i64 = 5;
/// How long a suspect number pauses before one call is tried.
pub const SUSPECT_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Result of reserving slots of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// The slots are reserved; the first is due at this time.
    At(Timestamp),
    /// The schedule is too far ahead of the present, so nothing was reserved; a slot is free at this time.
    Busy(Timestamp),
}

impl Table {
    /// Returns a number's pace.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_get(&self, id: &NumberId) -> Result<Pace, StorageError> {
        Ok(read_pace(&self.read(&keys::pace(id)).await?.unwrap_or_default()))
    }

    /// Reserves `count` slots of `interval` microseconds in a number's schedule, if it is at most `ahead` of the
    /// present. 1 WRU, and 1 per attempt lost to a concurrent update.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_reserve(
        &self,
        id: &NumberId,
        count: i64,
        interval: i64,
        ahead: SignedDuration,
        now: Timestamp,
    ) -> Result<Reserved, StorageError> {
        self.gcra(&keys::pace(id), interval.saturating_mul(count), ahead, LATE, now, None).await
    }

    /// Reserves the slot of one message to one customer; while the pair's burst lasts, the slot is due at once. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pair_reserve(&self, id: &ConversationId, now: Timestamp) -> Result<Reserved, StorageError> {
        let interval = i64::try_from(PAIR_INTERVAL.as_micros()).unwrap_or(i64::MAX);
        let kept_until = crate::clock::after(now, PAIR_KEPT_FOR);
        let burst = PAIR_INTERVAL * (PAIR_BURST - 1);
        self.gcra(&keys::pair(id), interval, burst, SignedDuration::ZERO, now, Some(kept_until)).await
    }

    async fn gcra(
        &self,
        key: &Key,
        cost: i64,
        ahead: SignedDuration,
        late: SignedDuration,
        now: Timestamp,
        kept_until: Option<Timestamp>,
    ) -> Result<Reserved, StorageError> {
        let present = now.as_microsecond();
        let latest = present.saturating_add(i64::try_from(ahead.as_micros()).unwrap_or(i64::MAX));
        let overdue = present.saturating_sub(i64::try_from(late.as_micros()).unwrap_or(0));
        let mut idle = true;
        let mut due = present;
        for _ in 0..TURNS {
            let update = self.update(key.clone()).value("overdue", number(overdue));
            let update = if idle {
                update
                    .set("due", number(present.saturating_add(cost)))
                    .when("attribute_not_exists(#due) OR #due < :overdue")
            } else {
                update.move_by("due", cost).when("#due >= :overdue AND #due <= :latest").value("latest", number(latest))
            };
            let update = match kept_until {
                Some(until) => update.set("expires_at", expiry(until)),
                None => update,
            };
            match update.run().await? {
                Updated::Done(before) => {
                    let start = before.number("due").unwrap_or(present).max(present);
                    return Ok(Reserved::At(at_millis(start / 1_000)));
                }
                Updated::Refused(item) => {
                    due = item.number("due").unwrap_or(present);
                    if due > latest {
                        break;
                    }
                    idle = due < overdue;
                }
            }
        }
        // Rounded up, so that a slot is free when the caller asks again.
        Ok(Reserved::Busy(at_millis((due.saturating_sub(latest - present) + 999) / 1_000)))
    }

    /// Pauses all sending from a number until `until`, unless a longer pause is recorded. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_pause(&self, id: &NumberId, until: Timestamp, why: &str) -> Result<(), StorageError> {
        self.update(keys::pace(id))
            .set("paused_until", time(until))
            .set("pause_reason", text(why))
            .when("attribute_not_exists(#paused_until) OR #paused_until < :paused_until")
            .run()
            .await?;
        Ok(())
    }

    /// Counts a rate-limit refusal. The third within a minute lowers the number's rate, once per burst of refusals. 1
    /// or 2 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_slow_down(&self, id: &NumberId, now: Timestamp) -> Result<(), StorageError> {
        let ago = |wait: SignedDuration| time(now.checked_sub(wait).unwrap_or(Timestamp::MIN));
        let again = self.update(keys::pace(id)).increase("refusals");
        let again = again.when("#refused_since > :recently").value("recently", ago(BACK_OFF_WITHIN)).run().await?;
        let Updated::Done(before) = again else {
            let first = self.update(keys::pace(id)).set("refused_since", time(now)).set("refusals", number(1));
            let first = first.when("attribute_not_exists(#lowered_at) OR #lowered_at < :settled");
            first.value("settled", ago(BACK_OFF_SETTLES)).run().await?;
            return Ok(());
        };
        if before.number("refusals").unwrap_or(0) + 1 >= BACK_OFF_AFTER {
            let part = read_pace(&before).part(now) * (100 - BACK_OFF) / 100;
            let lower = self.update(keys::pace(id)).set("lowered", number(i64::from(part.max(1))));
            let lower = lower.set("lowered_at", time(now)).remove(&["refused_since"]);
            // Only one of several concurrent workers lowers the rate.
            lower.when("attribute_exists(#refused_since)").run().await?;
        }
        Ok(())
    }

    /// Marks a number as suspect, because a call was not answered: nothing new is claimed for 30 seconds. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_suspect(&self, id: &NumberId, now: Timestamp) -> Result<(), StorageError> {
        let until = crate::clock::after(now, SUSPECT_FOR);
        self.update(keys::pace(id)).set("suspect_until", time(until)).run().await?;
        Ok(())
    }

    /// Counts an unknown outcome; five in a row make the number suspect. 1 or 2 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_count_unknown(&self, id: &NumberId, now: Timestamp) -> Result<(), StorageError> {
        let Updated::Done(before) = self.update(keys::pace(id)).increase("doubts").run().await? else { return Ok(()) };
        if before.number("doubts").unwrap_or(0) + 1 >= DOUBTS_IN_A_ROW {
            self.pace_suspect(id, now).await?;
        }
        Ok(())
    }

    /// Takes the single call that tests a suspect number. `false` if another worker has it. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_probe(&self, id: &NumberId, now: Timestamp) -> Result<bool, StorageError> {
        let until = crate::clock::after(now, SUSPECT_FOR);
        let probe = self.update(keys::pace(id)).set("suspect_until", time(until));
        let probe = probe.when("#suspect_until <= :now").value("now", time(now));
        Ok(matches!(probe.run().await?, Updated::Done(_)))
    }

    /// Records that a call was answered, so the number is no longer suspect. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_record_answer(&self, id: &NumberId) -> Result<(), StorageError> {
        self.update(keys::pace(id)).remove(&["suspect_until", "doubts"]).run().await?;
        Ok(())
    }

    /// Records that a message was sent although Meta had answered "try again". Such answers are no longer trusted for
    /// this number. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace_distrust(&self, id: &NumberId, now: Timestamp) -> Result<(), StorageError> {
        self.update(keys::pace(id)).set_once("distrusted_at", time(now)).run().await?;
        Ok(())
    }

    /// Marks the bulk lane of a number as non-empty. `true` if it was not marked before: the caller must then start a
    /// release job. 1 WRU, and 1 or 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn bulk_lane_open(&self, id: &NumberId, now: Timestamp) -> Result<bool, StorageError> {
        let open = self.update(keys::pace(id)).set("list", text(keys::LINES)).set("list_at", time(now));
        let Updated::Done(before) = open.run().await? else { return Ok(false) };
        Ok(before.text("list").is_none())
    }

    /// Marks the bulk lane of a number as empty, unless something was added since `seen`. 1 WRU and 1 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn bulk_lane_close(&self, id: &NumberId, seen: Timestamp) -> Result<(), StorageError> {
        let close = self.update(keys::pace(id)).remove(&["list", "list_at"]);
        close.when("#list_at <= :seen").value("seen", time(seen)).run().await?;
        Ok(())
    }

    /// Returns numbers with a non-empty bulk lane. The number whose lane was added to longest ago comes first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn bulk_lane_list_open(&self, limit: u16) -> Result<Vec<NumberId>, StorageError> {
        let found = self.oldest(LIST, keys::LINES, Timestamp::MAX, limit).await?;
        found.iter().map(|item| keys::parse_pace(item.required("pk")?)).collect()
    }

    /// Takes the lease of a job for `holder` until `until`, unless somebody else holds it at `now`. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn lease_take(
        &self,
        job: &str,
        holder: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let lease = self.update(keys::lease(job)).set("holder", text(holder)).set("until", time(until));
        let lease = lease.when("attribute_not_exists(#until) OR #until <= :now OR #holder = :holder");
        Ok(matches!(lease.value("now", time(now)).run().await?, Updated::Done(_)))
    }

    /// Releases the lease of a job. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer; the lease then ends when its time is over.
    pub async fn pace_give_back(&self, job: &str, holder: &str) -> Result<(), StorageError> {
        let lease = self.update(keys::lease(job)).remove(&["until"]);
        lease.when("#holder = :holder").value("holder", text(holder)).run().await?;
        Ok(())
    }
}

fn read_pace(item: &Item) -> Pace {
    let lowered = item.number("lowered").and_then(|part| u32::try_from(part).ok());
    Pace {
        due_micros: item.number("due").unwrap_or(0),
        paused_until: item.time("paused_until"),
        lowered: lowered.zip(item.time("lowered_at")),
        suspect_until: item.time("suspect_until"),
        doubts: item.count("doubts"),
        distrusted: item.number("distrusted_at").is_some(),
        opened_at: item.time("list_at"),
    }
}
