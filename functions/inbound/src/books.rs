//! What a batch has to be counted for: written once at its end, not once for each status.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use shared::clock::Timestamp;
use shared::domain::event::StatusUpdate;
use shared::domain::ids::{OutboundId, PhoneNumberId};
use shared::domain::usage::UsageNote;
use shared::storage::StorageError;

use crate::Deps;

/// Notes of one invocation, and when the first of them was received.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<(Vec<UsageNote>, Option<Timestamp>)>);

impl Books {
    pub(crate) fn note(
        &self,
        number: &PhoneNumberId,
        message: OutboundId,
        update: &StatusUpdate,
        received_at: Timestamp,
    ) {
        let note = note_of(number, message, update);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.0.push(note);
        open.1 = Some(open.1.map_or(received_at, |first| first.min(received_at)));
    }

    /// Writes everything down. Before that nothing may be acknowledged.
    pub(crate) async fn close(&self, deps: &Deps) -> Result<(), StorageError> {
        let (notes, received_at) = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        match received_at {
            Some(received_at) => deps.table.note_usage(notes, received_at).await,
            None => Ok(()),
        }
    }
}

/// What a status says of a message of this number.
pub(crate) fn note_of(number: &PhoneNumberId, message: OutboundId, update: &StatusUpdate) -> UsageNote {
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
