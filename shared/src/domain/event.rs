//! What a provider's webhook says, in our words.

use jiff::Timestamp;

use super::ids::{PhoneNumberId, Wamid};
use super::message::InboundMessage;
use super::status::Status;

/// One item of a webhook. An item is for us, or it is kept with the reason why it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundEvent {
    /// A customer wrote to a number.
    Message {
        /// The number.
        number: PhoneNumberId,
        /// The message; boxed because it is far larger than the other variants.
        message: Box<InboundMessage>,
        /// A webhook that holds only this, JSON: what is kept when it cannot be placed.
        raw: String,
    },
    /// A message we sent, or another system sent from the same number, took a step.
    Status {
        /// The number.
        number: PhoneNumberId,
        /// The step.
        update: Box<StatusUpdate>,
        /// A webhook that holds only this, JSON: what is kept when nobody has the number.
        raw: String,
    },
    /// Not understood, or not understood yet: kept raw.
    Kept(Kept),
}

/// A step of a sent message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusUpdate {
    /// The provider's id of the message.
    pub wamid: Wamid,
    /// The step.
    pub status: Status,
    /// When, by the provider's clock, in whole seconds.
    pub at: Timestamp,
    /// What we gave the provider with the message, echoed. Unproven until its MAC is checked.
    pub unverified_callback_data: Option<String>,
    /// Why it failed.
    pub error: Option<ProviderError>,
    /// The provider's price facts, JSON, kept verbatim.
    pub pricing: Option<String>,
}

/// A failure in the provider's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// The provider's number for it: the only part decisions are made on.
    pub code: i64,
    /// A short name.
    pub title: String,
    /// The best text for a person, where one was given.
    pub details: Option<String>,
}

impl ProviderError {
    /// Our own trouble, which no provider has a code for: told apart by its title.
    #[must_use]
    pub fn ours(title: &str, details: &str) -> Self {
        Self { code: Self::OURS, title: title.to_owned(), details: Some(details.to_owned()) }
    }

    /// A worker claimed the message and was never heard of again.
    #[must_use]
    pub fn worker_died() -> Self {
        Self::ours("worker_died", "the worker stopped between its claim and its record")
    }

    /// Whether the provider answered at all.
    #[must_use]
    pub fn is_the_providers(&self) -> bool {
        self.code != Self::OURS
    }

    const OURS: i64 = -1;
}

/// An item we cannot use, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Why it is kept instead of used.
    pub reason: KeptReason,
    /// The webhook field, the status word or the name of the level that did not parse.
    pub what: String,
    /// A webhook that holds only the item, so that it can be processed again by itself; or the bytes, where they are
    /// no webhook.
    pub raw: Vec<u8>,
}

/// Why an item is kept raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeptReason {
    /// Authentic, but not the shape the provider promises: a person must look.
    Malformed,
    /// A field or kind that we do not process yet.
    Unsupported,
    /// For a number that no tenant has.
    UnknownNumber,
}

impl KeptReason {
    /// The reason's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::UnknownNumber => "unknown_number",
        }
    }
}
