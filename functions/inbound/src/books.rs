//! What a batch has to be counted for: written once at its end, not once for each status.

use std::sync::{Mutex, PoisonError};

use shared::clock::Timestamp;
use shared::domain::usage::UsageNote;
use shared::storage::StorageError;

use crate::Deps;

/// Notes of one invocation, and when the first of them was received.
#[derive(Debug, Default)]
pub(crate) struct Books(Mutex<(Vec<UsageNote>, Option<Timestamp>)>);

impl Books {
    pub(crate) fn note(&self, note: UsageNote, received_at: Timestamp) {
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
