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
    /// The business-scoped user id.
    pub user_id: Option<String>,
    /// The name the person chose in WhatsApp.
    pub profile_name: Option<String>,
}

impl ContactCard {
    /// The aliases known, the strongest first: a phone number outlives a business-scoped id.
    #[must_use]
    pub fn aliases(&self) -> Vec<Alias> {
        let phone = self.phone.clone().map(Alias::Phone);
        let user_id = self.user_id.clone().map(Alias::UserId);
        phone.into_iter().chain(user_id).collect()
    }
}
