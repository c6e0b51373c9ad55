//! Reasons why a message may not go now.

use shared::clock::Timestamp;
use shared::domain::event::ProviderError;
use shared::storage::{ArchiveError, StorageError};
use shared::vault::VaultError;

/// A wait.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) until: Timestamp,
    pub(crate) of: Held,
}

/// Messages that a [`Hold`] concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// The message and those behind it in its conversation.
    Conversation,
    /// The message alone; its conversation goes on.
    Message,
}

/// An end without a send.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The message's broadcast was cancelled.
    Cancelled,
    /// The message will never be sent.
    Refused(ProviderError),
}

/// The first reason that a check found.
#[derive(Debug)]
pub(crate) enum NotReady {
    Hold(Hold),
    Stop(Stop),
    Storage(StorageError),
}

impl NotReady {
    /// The conversation waits.
    pub(crate) fn conversation_until(until: Timestamp) -> Self {
        Self::Hold(Hold { until, of: Held::Conversation })
    }

    /// The message waits alone.
    pub(crate) fn message_until(until: Timestamp) -> Self {
        Self::Hold(Hold { until, of: Held::Message })
    }

    pub(crate) fn refused(error: ProviderError) -> Self {
        Self::Stop(Stop::Refused(error))
    }
}

impl From<StorageError> for NotReady {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// A part of the request that is missing: token, key or file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missing {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    File(#[from] ArchiveError),
    #[error("{0}")]
    Waiting(&'static str),
    #[error("Meta cannot take the file now")]
    NotUploaded(ProviderError),
    #[error("Meta refuses the file")]
    Refused(ProviderError),
}
