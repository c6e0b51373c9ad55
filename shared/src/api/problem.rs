//! Our own errors as problem documents: a mistake that the caller can correct is explained; any other error is logged
//! and answered 503.

use crate::domain::outgoing::Violation;
use crate::http::Problem;
use crate::queue::QueueError;
use crate::random::NoRandomness;
use crate::storage::{ArchiveError, StorageError};
use crate::vault::VaultError;

impl From<Violation> for Problem {
    fn from(broken: Violation) -> Self {
        Self::violates(&broken.field, &broken.rule, broken.code)
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        if error == StorageError::BadCursor {
            return Self::invalid("cursor", "must be a next_cursor of this list");
        }
        if error == StorageError::Erased {
            return Self::not_found();
        }
        unavailable(&error)
    }
}

impl From<NoRandomness> for Problem {
    fn from(error: NoRandomness) -> Self {
        StorageError::from(error).into()
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        unavailable(&error)
    }
}

impl From<QueueError> for Problem {
    fn from(error: QueueError) -> Self {
        unavailable(&error)
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        unavailable(&error)
    }
}

fn unavailable(error: &dyn std::error::Error) -> Problem {
    tracing::error!(event = "api.unavailable", %error);
    Problem::unavailable()
}
