//! Outcome of one call that sends a message.

use crate::domain::event::ProviderError;
use crate::domain::ids::ProviderMessageId;

/// Outcome of a call that sends a message (`docs/reliability.md#section-2-3-4`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// The provider accepted the message and returned its id.
    Accepted {
        /// The provider's id of the message.
        wamid: ProviderMessageId,
        /// Whether Meta holds the message back while it assesses the template. No status is expected meanwhile.
        held: bool,
    },
    /// Not sent; it may be retried.
    NotSent(ProviderError),
    /// Not sent, and a retry would not help.
    Refused(ProviderError),
    /// The message may have been sent.
    Unknown {
        /// The reason why the outcome is unknown.
        error: ProviderError,
        /// Whether the provider itself reported a temporary error, after which it normally sends nothing.
        retryable_answer: bool,
    },
}
