//! Contacts, and the aliases by which a person is known.

use crate::domain::conversations::phone::PhoneNumber;

/// One identifier of a person within a tenant. Different aliases of one contact lead to the same conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Alias {
    /// Phone number in canonical form. A `wa_id` is a phone number in Meta's spelling.
    Phone(PhoneNumber),
    /// A business-scoped user id, verbatim.
    UserId(String),
    /// A parent business-scoped user id, verbatim.
    ParentUserId(String),
    /// A group of several people.
    Group(String),
}

/// Identity of a person as a webhook or a caller gives it. Any part may be missing since 2026
/// (`docs/meta/webhooks.md#section-9`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactIdentity {
    /// The phone number.
    pub phone: Option<PhoneNumber>,
    /// The same number in Meta's own spelling, where that differs (Brazil, Argentina, Mexico).
    pub wa_id: Option<PhoneNumber>,
    /// The business-scoped user id.
    pub user_id: Option<String>,
    /// Business-scoped user id shared by several portfolios of a business, if Meta enabled that.
    pub parent_user_id: Option<String>,
    /// The group, if the other party is a group.
    pub group_id: Option<String>,
    /// The name the person chose in WhatsApp.
    pub profile_name: Option<String>,
    /// The user name the person chose, without `@`.
    pub username: Option<String>,
}

impl ContactIdentity {
    /// Returns the known aliases, the most durable first: a phone number outlives a business-scoped id.
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

/// Entry of a contact in the address book of the business's phone. The latest report wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressBookEntry {
    /// The full name; `None` once the entry was removed.
    pub full_name: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
}

/// A person's choice about a category of messages. The latest one per account and category wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// `marketing_messages`, or a category that Meta adds later.
    pub category: String,
    /// `stop`, `resume` or `signup`.
    pub value: String,
    /// Explanation for people.
    pub detail: Option<String>,
}
