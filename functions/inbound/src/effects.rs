//! Effects of a batch that are written once at its end instead of once per item: usage counts and inbox activity.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use shared::clock::Timestamp;
use shared::domain::accounts::usage::UsageNote;
use shared::domain::event::StatusUpdate;
use shared::domain::ids::{NumberId, OutboundId};
use shared::storage::{Activity, StorageError};

use crate::Deps;

/// Collected effects of one invocation.
#[derive(Debug, Default)]
pub(crate) struct BatchEffects(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    usage: Vec<UsageNote>,
    /// Earliest time of receipt among the counted statuses.
    since: Option<Timestamp>,
    activity: Vec<Activity>,
}

/// The effects from the view of one record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordEffects<'a> {
    pub(crate) batch: &'a BatchEffects,
    /// Whether the record is a replay, whose effects were counted in an earlier batch.
    pub(crate) counted_before: bool,
}

/// Dependencies of this function, and the effects of the record in work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) deps: &'a Deps,
    pub(crate) effects: RecordEffects<'a>,
}

impl RecordEffects<'_> {
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.batch.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add_usage(
        &self,
        number: &NumberId,
        message: OutboundId,
        update: &StatusUpdate,
        received_at: Timestamp,
    ) {
        let mut notes = self.lock();
        notes.usage.push(usage_of(number, message, update));
        notes.since = Some(notes.since.map_or(received_at, |first| first.min(received_at)));
    }

    pub(crate) fn add_activity(&self, activity: Activity) {
        self.lock().activity.push(activity);
    }
}

impl BatchEffects {
    /// Writes all effects. No record may be acknowledged before.
    pub(crate) async fn write(&self, deps: &Deps) -> Result<(), StorageError> {
        let notes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        deps.table.inbox_put(notes.activity).await?;
        match notes.since {
            Some(since) => deps.table.usage_put(notes.usage, since).await,
            None => Ok(()),
        }
    }
}

/// Returns the usage facts of a status update.
pub(crate) fn usage_of(number: &NumberId, message: OutboundId, update: &StatusUpdate) -> UsageNote {
    let facts: Option<Value> = update.pricing.as_deref().and_then(|json| serde_json::from_str(json).ok());
    let fact = |key: &str| facts.as_ref().and_then(|facts| facts.get(key));
    let word = |key: &str| fact(key).and_then(Value::as_str).map(str::to_owned);
    UsageNote {
        number: number.clone(),
        message,
        status: update.status,
        category: word("category"),
        pricing_type: word("type"),
        billable: fact("billable").and_then(Value::as_bool),
    }
}
