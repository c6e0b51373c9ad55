//! Usage: counts of sent messages, and which of them Meta charges for.

use crate::domain::ids::{NumberId, OutboundId};
use crate::domain::sending::status::Status;

/// One reported status, as an input for the usage counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageNote {
    /// The sending number.
    pub number: NumberId,
    /// The message.
    pub message: OutboundId,
    /// The reported status.
    pub status: Status,
    /// Category that Meta charges the message as.
    pub category: Option<String>,
    /// Meta's word for why the message is charged or free.
    pub pricing_type: Option<String>,
    /// Whether Meta charges for the message.
    pub billable: Option<bool>,
}

/// Counts of messages of one number, day, category and pricing type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// Category that Meta charges the messages as, such as `marketing`, `utility`, `service`; `None` without a reported
    /// price.
    pub category: Option<String>,
    /// Meta's word for why the messages are charged or free, such as `regular`, `free_customer_service`.
    pub pricing_type: Option<String>,
    /// Messages for which Meta reported any status.
    pub messages: u64,
    /// Messages reported as sent.
    pub sent: u64,
    /// Messages reported as delivered, or as read, which implies it.
    pub delivered: u64,
    /// Messages reported as read.
    pub read: u64,
    /// Messages reported as failed, and never as delivered.
    pub failed: u64,
    /// Messages that Meta charges for.
    pub billable: u64,
}
