//! Persistent storage: one DynamoDB table and one S3 bucket.
//!
//! Facts are merged by conditional updates: each is written once, or replaced only by a later one. Repeated and
//! reordered writes therefore end in the same item. The cost is documented with each method, in write units (WRU: 1 KB;
//! an index entry that is added or removed costs one more, one that moves costs two).
//!
//! **Names.** A method of [`Table`] is named resource first, then verb: `broadcast_get`, `broadcast_list`,
//! `broadcast_put`, so that all methods of a resource stand together in every list.
//!
//! * `get` reads one, `list` reads several (`list_due`, `list_of_…`), `is_…` and `exists` answer yes or no.
//! * `put` merges facts, `put_once` stores the first only, `delete` removes.
//! * `mark_…`, `claim`, `settle_…`, `end`, `postpone` are steps of the resource's own life, by condition.

mod accounts;
mod archive;
mod conversations;
mod lifecycle;
mod receiving;
mod sending;
mod table;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

pub use accounts::connect::{ConnectError, ConnectFailure};
pub use accounts::health::hour_of;
pub use accounts::registry::meta_app_key;
pub use accounts::state::HistoryPhase;
pub use accounts::tenant::RequestsTaken;
pub use accounts::token::{AccountRecord, TokenRecord};
pub use accounts::usage::{day_of, midnight};
pub use archive::{Archive, ArchiveError, LINK_FOR, content_key};
pub use conversations::alias::{Naming, PhoneHolder, Resolved, Vouched};
pub use conversations::contact::Merge;
pub use conversations::conversation::ConversationUpdate;
pub use conversations::inbox::Activity;
pub use conversations::message::{Body, Direction, Reaction, StoredMessage};
pub use conversations::timeline::Order;
pub use lifecycle::account_erasure::{ErasureScope, Walked};
pub use lifecycle::contact_erasure::{Leftover, Person};
pub use lifecycle::onboarding::{Begun, Keyed};
pub use receiving::quarantine::{QuarantineOwner, StoredQuarantinedItem};
pub use receiving::replay::ReplayProgress;
pub use sending::attempt::{Claimed, Ending, Recorded, SendResult};
pub use sending::due::Due;
pub use sending::evidence::{DeliveryEvidence, MessageName};
pub use sending::intent::{Accepted, Handoff, Idempotency};
pub use sending::ledger::{Entry as LedgerEntry, Stranded};
pub use sending::media::{StoredFile, StoredMedia};
pub use sending::pace::{Reserved, SUSPECT_FOR};
pub use sending::status::Applied;
pub use table::kind::ItemKind;
pub use table::schema::schema;

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
