//! What we remember: one DynamoDB table and one S3 bucket.
//!
//! Every write is an upsert that merges: it adds a fact under its own identity and never overwrites one. What a write
//! costs is said with each method, in write units (WRU: 1 KB; an index entry that is added, moved or removed costs
//! one more each).

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

/// A page of a list and where the next one begins.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Give this back to read on; `None` at the end.
    pub next: Option<String>,
}

/// Whether a fact was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was not known before.
    New,
    /// It was known: nothing changed.
    Known,
}

/// The table.
#[derive(Debug, Clone)]
pub struct Table {
    client: aws_sdk_dynamodb::Client,
    name: String,
}

impl Table {
    /// The table of this name.
    #[must_use]
    pub fn new(client: aws_sdk_dynamodb::Client, name: String) -> Self {
        Self { client, name }
    }
}

/// Why the table did not do what was asked. Holds no stored value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// DynamoDB did not answer, or refuses us for now: try again.
    #[error("DynamoDB did not answer {operation}: {code}")]
    Unavailable {
        /// What was asked of it.
        operation: &'static str,
        /// Its word for the trouble.
        code: String,
    },
    /// DynamoDB refuses the values: trying again cannot help.
    #[error("DynamoDB refuses {0}")]
    Refused(&'static str),
    /// An item is not as this version writes it.
    #[error("a stored item has no usable {0}")]
    Corrupt(&'static str),
    /// It is about a contact that was erased since it was said, or is being erased.
    #[error("the contact was erased")]
    Erased,
    /// A cursor that this list did not give out.
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
