//! What was sent, and what Meta charges for.

use serde_json::Value;

use super::event::StatusUpdate;
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

impl UsageNote {
    /// What `update` says of a message of this number.
    #[must_use]
    pub fn of(number: &PhoneNumberId, message: OutboundId, update: &StatusUpdate) -> Self {
        let facts: Option<Value> = update.pricing.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let fact = |key: &str| facts.as_ref().and_then(|facts| facts.get(key));
        let word = |key: &str| fact(key).and_then(Value::as_str).map(str::to_owned);
        Self {
            number: number.clone(),
            message,
            status: update.status,
            category: word("category"),
            pricing_type: word("type"),
            billable: fact("billable").and_then(Value::as_bool),
        }
    }
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
