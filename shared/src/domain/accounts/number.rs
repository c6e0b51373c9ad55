//! A business number.

use jiff::Timestamp;

use crate::domain::accounts::account::StoredState;
use crate::domain::ids::{NumberId, TenantId, WabaId};
use crate::domain::outgoing::Template;
use crate::domain::sending::pacing::{COEXISTENCE_RATE, HIGH_RATE, NUMBER_RATE};
use crate::domain::sending::policy::NumberStatus;

/// A number that a tenant connected. Every webhook is routed by the pair of number and tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// Meta's phone number id, which is also the number's id in our API.
    pub id: NumberId,
    /// Tenant that owns the number.
    pub tenant: TenantId,
    /// WhatsApp Business account of the number; its token sends the messages.
    pub waba: WabaId,
    /// The number in a readable spelling. It is the business's own number, not a customer's.
    pub display_phone_number: String,
    /// Whether the number is also used in the WhatsApp Business app. Meta limits such a number to 20 messages per
    /// second.
    pub coexistence: bool,
    /// Template that replaces a free-form message when the customer service window has closed before sending.
    pub fallback: Option<Template>,
    /// The tenant's settings of the number.
    pub settings: Settings,
}

/// Longest label of a number, longest name of its agent and longest reason, in characters.
pub const LABEL_MAX: usize = 100;
/// Shortest retention of messages, in days. A message with outcome unknown, or of a broadcast, must outlive every
/// repetition.
pub const RETENTION_DAYS_MIN: u32 = 30;
/// Longest retention of messages that expire, in days.
pub const RETENTION_DAYS_MAX: u32 = 3_650;

/// A tenant's settings of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Name of the number for the tenant's users.
    pub label: Option<String>,
    /// Whether the agent answers without a person.
    pub auto_reply: bool,
    /// Agent that answers, by the tenant's own id.
    pub agent: Option<String>,
    /// Whether customers get read receipts by default; a call can override this.
    pub read_receipts: bool,
    /// Retention in days of messages stored from now on; `None`: unlimited.
    pub retention_days: Option<u32>,
    /// Present while the number must not send. Receiving and storing continue.
    pub inactive: Option<Inactive>,
    /// Number of changes so far.
    pub revision: u64,
}

/// Deactivation of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inactive {
    /// Time of the deactivation.
    pub since: Timestamp,
    /// Reason in the tenant's own words.
    pub reason: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            label: None,
            auto_reply: false,
            agent: None,
            read_receipts: true,
            retention_days: None,
            inactive: None,
            revision: 0,
        }
    }
}

impl Number {
    /// Returns when a message stored now expires; `None`: never.
    #[must_use]
    pub fn keeps_until(&self, now: Timestamp) -> Option<Timestamp> {
        let days = i64::from(self.settings.retention_days?);
        Some(crate::clock::after(now, jiff::SignedDuration::from_hours(days * 24)))
    }

    /// Returns how many messages per second Meta accepts from the number, according to the latest reported states.
    #[must_use]
    pub fn rate(&self, standing: &NumberStatus) -> u32 {
        // A webhook reports the change (`THROUGHPUT_UPGRADE`), the daily health check the level (`HIGH`).
        let upgraded = |state: &StoredState| {
            state.aspect == "throughput" && ["THROUGHPUT_UPGRADE", "HIGH"].contains(&state.word.as_str())
        };
        if self.coexistence {
            COEXISTENCE_RATE
        } else if standing.number.iter().any(upgraded) {
            HIGH_RATE
        } else {
            NUMBER_RATE
        }
    }
}
