//! Who wrote: the names one person goes by.

use super::phone::PhoneNumber;

/// A name of a person within one tenant. Two aliases of one contact lead to one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alias {
    /// The phone number, or a `wa_id`, which is a phone number in Meta's spelling; in canonical form.
    Phone(PhoneNumber),
    /// A business-scoped user id, verbatim.
    UserId(String),
    /// A parent business-scoped user id, verbatim.
    ParentUserId(String),
    /// A group of several people.
    Group(String),
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
    /// The same across a business with several portfolios, where Meta enabled it.
    pub parent_user_id: Option<String>,
    /// The group, if the other side is one.
    pub group_id: Option<String>,
    /// The name the person chose in WhatsApp.
    pub profile_name: Option<String>,
    /// The user name the person chose, without `@`.
    pub username: Option<String>,
}

impl ContactCard {
    /// The aliases known, the strongest first: a phone number outlives a business-scoped id.
    #[must_use]
    pub fn aliases(&self) -> Vec<Alias> {
        let phones = [&self.phone, &self.wa_id];
        let phones = phones.into_iter().flatten().map(|phone| Alias::Phone(phone.canonical()));
        let aliases = phones
            .chain(self.user_id.clone().map(Alias::UserId))
            .chain(self.parent_user_id.clone().map(Alias::ParentUserId))
            .chain(self.group_id.clone().map(Alias::Group));
        let mut known = Vec::new();
        for alias in aliases {
            if !known.contains(&alias) {
                known.push(alias);
            }
        }
        known
    }
}

/// What the address book of the business's phone says about a contact. The latest word counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressBookEntry {
    /// The full name; `None` once the entry was removed.
    pub full_name: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
}

/// What a person wants to get. Latest word per account and category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// `marketing_messages`, or what comes next.
    pub category: String,
    /// `stop`, `resume` or `signup`.
    pub value: String,
    /// For people.
    pub detail: Option<String>,
}
