//! A business number.

use super::ids::{PhoneNumberId, TenantId, WabaId};

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
}
