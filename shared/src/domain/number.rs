//! A business number.

use jiff::Timestamp;

use super::account::StoredState;
use super::ids::{PhoneNumberId, TenantId, WabaId};
use super::outgoing::Template;
use super::pacing::{COEXISTENCE_RATE, HIGH_RATE, NUMBER_RATE};
use super::policy::Standing;

/// A number that a tenant connected. The pair number → tenant is what routes every webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// Meta's id of it, and ours.
    pub id: PhoneNumberId,
    /// The owner.
    pub tenant: TenantId,
    /// The account whose token sends from it.
    pub waba: WabaId,
    /// As people write it; the business's own number, not a customer's.
    pub display_phone_number: String,
    /// It is also used in the WhatsApp Business app: Meta lets it send 20 messages a second, no more.
    pub coexistence: bool,
    /// What is sent instead of a free-form message that comes too late.
    pub fallback: Option<Template>,
    /// What its tenant decided about it.
    pub settings: Settings,
}

/// Longest name that a tenant gives a number, its agent, or a reason, in characters.
pub const LABEL_MAX: usize = 100;
/// Shortest time that messages of a number are kept, in days: one in doubt, or of a broadcast, outlives every repetition.
pub const RETENTION_DAYS_MIN: u32 = 30;
/// Longest time that messages of a number are kept if they are not kept for ever, in days.
pub const RETENTION_DAYS_MAX: u32 = 3_650;

/// What a tenant decides about a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What its people call it.
    pub label: Option<String>,
    /// Whether its agent answers by itself.
    pub auto_reply: bool,
    /// Who answers by itself, by the tenant's own id.
    pub agent: Option<String>,
    /// Whether customers see that their messages were read, unless a call says otherwise.
    pub read_receipts: bool,
    /// For how many days messages stored from now on are kept; none: for ever.
    pub retention_days: Option<u32>,
    /// Since when it sends nothing, and why; it receives and stores as before.
    pub inactive: Option<Inactive>,
    /// Counts the changes.
    pub revision: u64,
}

/// Why a number sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inactive {
    /// Since when.
    pub since: Timestamp,
    /// Why, in the tenant's own words.
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
    /// Until when a message stored now is kept; none: for ever.
    #[must_use]
    pub fn keeps_until(&self, now: Timestamp) -> Option<Timestamp> {
        let days = i64::from(self.settings.retention_days?);
        Some(now.checked_add(jiff::SignedDuration::from_hours(days * 24)).unwrap_or(Timestamp::MAX))
    }

    /// Messages a second that Meta takes from it, by what Meta said about it last.
    #[must_use]
    pub fn rate(&self, standing: &Standing) -> u32 {
        // A webhook reports the change, the daily look the level.
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
