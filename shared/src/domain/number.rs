//! A business number.

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
}

impl Number {
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
