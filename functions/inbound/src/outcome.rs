//! Results of one item.

use shared::domain::event::QuarantineReason;
use shared::queue::QueueError;
use shared::storage::{ArchiveError, StorageError};
use shared::vault::VaultError;

/// Reason why an item is not stored yet; the record must be redelivered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStored {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error("the job could not be encoded as JSON")]
    BadJob,
    #[error("the contact is being erased; the redelivered record creates a new contact")]
    ContactErased,
    #[error("the callback MAC key does not exist: run `operator init`")]
    NoCallbackMac,
}

/// Disposition of an item.
pub(crate) enum Disposition {
    /// The item is in the table.
    Stored,
    /// The item has no known recipient or cannot be used, so it is quarantined.
    Quarantine(QuarantineReason, String),
}
