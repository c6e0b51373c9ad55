//! What was sent, and what Meta charges for.

use super::ids::{OutboundId, PhoneNumberId};
use super::status::Status;

/// What a status says of a message, for the counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageNote {
    /// Who sent it.
    pub number: PhoneNumberId,
    /// The message.
    pub message: OutboundId,
    /// The step.
    pub status: Status,
    /// What Meta charges it as.
    pub category: Option<String>,
    /// Why it costs or not.
    pub pricing_type: Option<String>,
    /// Whether it costs.
    pub billable: Option<bool>,
}

/// Messages of one number, one day and one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// What Meta charges it as, such as `marketing`, `utility`, `service`; `None` where no price was reported.
    pub category: Option<String>,
    /// Meta's word for why it costs or not, such as `regular`, `free_customer_service`.
    pub pricing_type: Option<String>,
    /// All messages of which Meta reported anything.
    pub messages: u64,
    /// Of which each step was reported.
    pub sent: u64,
    /// Delivered, or read, which implies it.
    pub delivered: u64,
    /// Read.
    pub read: u64,
    /// Failed, and never delivered.
    pub failed: u64,
    /// That Meta charges for.
    pub billable: u64,
}
