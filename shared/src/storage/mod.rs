//! Persistent storage: one DynamoDB table and one S3 bucket.
//!
//! Facts are merged by conditional updates: each is written once, or replaced only by a later one. Repeated and
//! reordered writes therefore end in the same item. The cost is documented with each method, in write units (WRU: 1 KB;
//! an index entry that is added or removed costs one more, one that moves costs two).

mod archive;
mod attempt;
mod broadcast;
mod connect;
mod contact;
mod conversation;
mod desk;
mod due;
mod erase;
mod erasure;
mod facts;
mod health;
mod inbox;
mod intent;
mod item;
mod kept;
mod keys;
mod ledger;
mod media;
mod message;
mod offboarding;
mod onboarding;
mod pace;
mod page;
mod policy;
mod proof;
mod recipients;
mod registry;
mod replay;
mod schema;
mod search;
mod settings;
mod signup_app;
mod state;
mod status;
mod template;
mod tenant;
mod thread;
mod token;
mod update;
mod usage;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

pub use archive::{Archive, ArchiveError, LINK_FOR, content_key};
pub use attempt::{Claimed, Ending, Recorded, SendResult};
pub use connect::Hindrance;
pub use contact::{Merge, Resolved, Vouched};
pub use conversation::Noted;
pub use due::Due;
pub use erase::{Leavers, Walked};
pub use erasure::{Leftover, Person};
pub use health::hour_of;
pub use inbox::Activity;
pub use intent::{Accepted, Idempotency, Waits};
pub use kept::StoredKept;
pub use ledger::{Entry as LedgerEntry, Stranded};
pub use media::{StoredFile, StoredMedia};
pub use message::{Body, Direction, Reaction, StoredMessage};
pub use onboarding::{Begun, Keyed};
pub use pace::{Reserved, SUSPECT_FOR};
pub use proof::Proof;
pub use registry::meta_app_key;
pub use replay::ReplayProgress;
pub use schema::schema;
pub use state::HistoryPhase;
pub use status::Applied;
pub use tenant::RequestsTaken;
pub use thread::Order;
pub use token::{AccountRecord, TokenRecord};
pub use usage::{day_of, midnight};

/// One page of a list, with the cursor of the next page.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items, in the order of the list (newest first unless documented otherwise).
    pub items: Vec<T>,
    /// Cursor of the next page; `None` at the end.
    pub next: Option<String>,
}

/// Whether a fact was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was not known before.
    New,
    /// It was known already; nothing changed.
    Known,
}

/// The DynamoDB table.
#[derive(Debug, Clone)]
pub struct Table {
    client: aws_sdk_dynamodb::Client,
    name: String,
}

impl Table {
    /// Returns the table of this name.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, name: String) -> Self {
        Self { client, name }
    }
}

/// Why a storage operation failed. Contains no stored value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// DynamoDB did not answer, or throttles us: try again.
    #[error("DynamoDB did not answer {operation}: {code}")]
    Unavailable {
        /// The DynamoDB operation.
        operation: &'static str,
        /// DynamoDB's error code.
        code: String,
    },
    /// DynamoDB rejects the values: trying again cannot help.
    #[error("DynamoDB refuses {0}")]
    Refused(&'static str),
    /// A stored item does not have the form that this version writes.
    #[error("a stored item has no usable {0}")]
    Corrupt(&'static str),
    /// The contact was erased after this was reported, or is being erased.
    #[error("the contact was erased")]
    Erased,
    /// The cursor was not issued by this list.
    #[error("the cursor is not one of this list")]
    BadCursor,
    /// No randomness for a new id.
    #[error(transparent)]
    NoRandomness(#[from] crate::random::NoRandomness),
}

fn unavailable<E: ProvideErrorMetadata, R>(operation: &'static str, error: &SdkError<E, R>) -> StorageError {
    match error.code() {
        Some("ValidationException") => StorageError::Refused(operation),
        code => StorageError::Unavailable { operation, code: code.unwrap_or("no answer").to_owned() },
    }
}
