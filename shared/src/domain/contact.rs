//! Who wrote: the names one person goes by.

use super::phone::PhoneNumber;

/// A name of a person within one tenant. Two aliases of one contact lead to one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Alias {
    /// The phone number, or a `wa_id`, which is a phone number in Meta's spelling.
    Phone(PhoneNumber),
    /// A business-scoped user id, verbatim.
    UserId(String),
}

/// What a webhook or a caller tells about a person. Each part may be missing since 2026 (`facts/webhooks.md` §9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactCard {
    /// The phone number.
    pub phone: Option<PhoneNumber>,
    /// The same number in Meta's own spelling, where that differs (Brazil, Argentina, Mexico).
    pub wa_id: Option<PhoneNumber>,
    /// The business-scoped user id.
    pub user_id: Option<String>,
    /// The name the person chose in WhatsApp.
    pub profile_name: Option<String>,
}

impl ContactCard {
    /// The aliases known, the strongest first: a phone number outlives a business-scoped id.
    #[must_use]
    pub fn aliases(&self) -> Vec<Alias> {
        let wa_id = self.wa_id.clone().filter(|wa_id| self.phone.as_ref() != Some(wa_id));
        let numbers = self.phone.clone().into_iter().chain(wa_id).map(Alias::Phone);
        numbers.chain(self.user_id.clone().map(Alias::UserId)).collect()
    }
}
