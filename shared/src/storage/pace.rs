//! The pace of numbers: GCRA schedules as conditional updates, because DynamoDB has no maximum. An update that the SDK
//! repeats takes a slot twice, which only slows us. One item a number and one a pair: no key is shared by tenants.

use jiff::{SignedDuration, Timestamp};

use super::item::{Item, expiry, number, text, time};
use super::keys::Key;
use super::page::LIST;
use super::update::Updated;
use super::{StorageError, Table, keys};
use crate::clock::at_millis;
use crate::domain::ids::{ConversationId, PhoneNumberId};
use crate::domain::pacing::{
    BACK_OFF, BACK_OFF_AFTER, BACK_OFF_SETTLES, BACK_OFF_WITHIN, LATE, PAIR_BURST, PAIR_INTERVAL, Pace,
};

/// Turns of the two forms of an update before the number counts as too busy.
const TURNS: u32 = 4;
/// How long a pair's pace is kept: longer than its burst can last.
const PAIR_KEPT_FOR: SignedDuration = SignedDuration::from_mins(10);
/// Doubtful outcomes in a row that make a number suspect (`reliability.md` §2.3.5).
const DOUBTS_IN_A_ROW: i64 = 5;
/// How long a suspect number rests before one call is tried.
pub const SUSPECT_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Slots taken from a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// They are ours; the first is due then.
    At(Timestamp),
    /// The schedule is too far ahead of the present: nothing was taken, and it is free enough then.
    Busy(Timestamp),
}

impl Table {
    /// A number's pace.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pace(&self, id: &PhoneNumberId) -> Result<Pace, StorageError> {
        Ok(read_pace(&self.read(&keys::pace(id)).await?.unwrap_or_default()))
    }

    /// Takes `count` slots of `interval` microseconds from a number's schedule, if it is at most `ahead` of the
    /// present. 1 WRU; another for each turn lost to somebody else.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn reserve(
        &self,
        id: &PhoneNumberId,
        count: i64,
        interval: i64,
        ahead: SignedDuration,
        now: Timestamp,
    ) -> Result<Reserved, StorageError> {
        self.gcra(&keys::pace(id), interval.saturating_mul(count), (ahead, LATE), now, None).await
    }

    /// Takes the slot of one message to one customer: at once while the pair's burst lasts. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn reserve_pair(&self, id: &ConversationId, now: Timestamp) -> Result<Reserved, StorageError> {
        let interval = i64::try_from(PAIR_INTERVAL.as_micros()).unwrap_or(i64::MAX);
        let kept_until = now.checked_add(PAIR_KEPT_FOR).unwrap_or(Timestamp::MAX);
        let burst = PAIR_INTERVAL * (PAIR_BURST - 1);
        self.gcra(&keys::pair(id), interval, (burst, SignedDuration::ZERO), now, Some(kept_until)).await
    }

    async fn gcra(
        &self,
        key: &Key,
        cost: i64,
        (ahead, late): (SignedDuration, SignedDuration),
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
        // Rounded up: asked again then, it is free.
        Ok(Reserved::Busy(at_millis((due.saturating_sub(latest - present) + 999) / 1_000)))
    }

    /// Lets nothing leave a number before `until`, unless it is stopped for longer already. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pause(&self, id: &PhoneNumberId, until: Timestamp, why: &str) -> Result<(), StorageError> {
        self.update(keys::pace(id))
            .set("paused_until", time(until))
            .set("pause_reason", text(why))
            .when("attribute_not_exists(#paused_until) OR #paused_until < :paused_until")
            .run()
            .await?;
        Ok(())
    }

    /// Counts a refusal for speed; after three within a minute the number's rate is lowered, once for a burst of them. 1 to 3 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn slow_down(&self, id: &PhoneNumberId, now: Timestamp) -> Result<(), StorageError> {
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
            // Of those that come at once just one.
            lower.when("attribute_exists(#refused_since)").run().await?;
        }
        Ok(())
    }

    /// A call was not answered: nothing new is claimed for a while. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn suspect(&self, id: &PhoneNumberId, now: Timestamp) -> Result<(), StorageError> {
        let until = now.checked_add(SUSPECT_FOR).unwrap_or(Timestamp::MAX);
        self.update(keys::pace(id)).set("suspect_until", time(until)).run().await?;
        Ok(())
    }

    /// Counts a doubtful outcome; five in a row make the number suspect. 1 or 2 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn count_doubt(&self, id: &PhoneNumberId, now: Timestamp) -> Result<(), StorageError> {
        let Updated::Done(before) = self.update(keys::pace(id)).increase("doubts").run().await? else { return Ok(()) };
        if before.number("doubts").unwrap_or(0) + 1 >= DOUBTS_IN_A_ROW {
            self.suspect(id, now).await?;
        }
        Ok(())
    }

    /// Takes the one call by which a suspect number is tried. `false`: somebody else has it. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn probe(&self, id: &PhoneNumberId, now: Timestamp) -> Result<bool, StorageError> {
        let until = now.checked_add(SUSPECT_FOR).unwrap_or(Timestamp::MAX);
        let probe = self.update(keys::pace(id)).set("suspect_until", time(until));
        let probe = probe.when("#suspect_until <= :now").value("now", time(now));
        Ok(matches!(probe.run().await?, Updated::Done(_)))
    }

    /// A call was answered: the number is not suspect. 1 WRU, where it was.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn answered(&self, id: &PhoneNumberId) -> Result<(), StorageError> {
        self.update(keys::pace(id)).remove(&["suspect_until", "doubts"]).run().await?;
        Ok(())
    }

    /// Answers that said "try again" are no longer believed for this number: one of them was sent. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn distrust(&self, id: &PhoneNumberId, now: Timestamp) -> Result<(), StorageError> {
        self.update(keys::pace(id)).set_once("distrusted_at", time(now)).run().await?;
        Ok(())
    }

    /// Says that the bulk lane of a number has something. `true` if nobody had said so: somebody must be told. 1 WRU; 1
    /// or 2 more for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn open_line(&self, id: &PhoneNumberId, now: Timestamp) -> Result<bool, StorageError> {
        let open = self.update(keys::pace(id)).set("list", text(keys::LINES)).set("list_at", time(now));
        let Updated::Done(before) = open.run().await? else { return Ok(false) };
        Ok(before.text("list").is_none())
    }

    /// Says that the bulk lane of a number is empty, unless something was added since `seen`.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn close_line(&self, id: &PhoneNumberId, seen: Timestamp) -> Result<(), StorageError> {
        let close = self.update(keys::pace(id)).remove(&["list", "list_at"]);
        close.when("#list_at <= :seen").value("seen", time(seen)).run().await?;
        Ok(())
    }

    /// Numbers whose bulk lane has something, those first to which nothing was added for longest.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn open_lines(&self, limit: u16) -> Result<Vec<PhoneNumberId>, StorageError> {
        let found = self.oldest(LIST, keys::LINES, Timestamp::MAX, limit).await?;
        found.iter().map(|item| keys::parse_pace(item.required("pk")?)).collect()
    }

    /// Takes a job for one holder until `until`, if nobody else has it at `now`. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn take_lease(
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

    /// Gives a job back.
    ///
    /// # Errors
    /// When DynamoDB does not answer: it is free when its time is over.
    pub async fn give_back(&self, job: &str, holder: &str) -> Result<(), StorageError> {
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
