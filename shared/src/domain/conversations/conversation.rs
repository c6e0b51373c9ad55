//! A conversation and its customer service window.

use jiff::{SignedDuration, Timestamp};

use crate::domain::conversations::assignment::Assignment;
use crate::domain::conversations::contact::AddressBookEntry;
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{ContactId, ConversationId, TenantId};

/// Length of the customer service window after each message or call of the customer (Meta: 24 hours).
pub const CUSTOMER_SERVICE_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// A conversation, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Id: the number and the contact.
    pub id: ConversationId,
    /// Tenant that owns the number.
    pub tenant: TenantId,
    /// The contact's phone number, if it is known.
    pub phone: Option<PhoneNumber>,
    /// The contact's business-scoped user id, if it is known.
    pub user_id: Option<String>,
    /// The group, if the other party is a group.
    pub group_id: Option<String>,
    /// The name the contact chose in WhatsApp.
    pub profile_name: Option<String>,
    /// The user name the contact chose, without `@`.
    pub username: Option<String>,
    /// The contact's entry in the address book of the business's phone.
    pub address_book: Option<AddressBookEntry>,
    /// Time of the latest message in either direction; the Unix epoch if there is none.
    pub last_activity_at: Timestamp,
    /// Time of the customer's latest message or call, which opens the customer service window.
    pub last_inbound_at: Option<Timestamp>,
    /// Time when the customer last came from an advertisement or a post.
    pub last_referral_at: Option<Timestamp>,
    /// Time of the customer's last call.
    pub last_call_at: Option<Timestamp>,
    /// End of a free entry point, if the provider reported one.
    pub entry_point_until: Option<Timestamp>,
    /// Time up to which the conversation has been read.
    pub read_until: Option<Timestamp>,
    /// Assignment, labels and whether the conversation is closed.
    pub desk: Assignment,
    /// Other contacts that turned out to be the same person.
    pub also: Vec<ContactId>,
}

impl Conversation {
    /// Returns a conversation of which only number, contact and tenant are known.
    #[must_use]
    pub fn silent(id: ConversationId, tenant: TenantId) -> Self {
        Self {
            id,
            tenant,
            phone: None,
            user_id: None,
            group_id: None,
            profile_name: None,
            username: None,
            address_book: None,
            last_activity_at: Timestamp::UNIX_EPOCH,
            last_inbound_at: None,
            last_referral_at: None,
            last_call_at: None,
            entry_point_until: None,
            read_until: None,
            desk: Assignment::default(),
            also: Vec::new(),
        }
    }

    /// Returns whether the other party is identified: by phone number, user id or group id.
    #[must_use]
    pub fn has_name(&self) -> bool {
        self.phone.is_some() || self.user_id.is_some() || self.group_id.is_some()
    }

    /// Returns whether the customer wrote or called after the conversation was last read.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.last_inbound_at > self.read_until
    }

    /// Returns whether the conversation is open: never closed, or the customer wrote or called after it was closed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.desk.closed_at.is_none_or(|closed| self.last_inbound_at > Some(closed))
    }

    /// Returns when the customer service window closes or closed; `None` if the customer never wrote or called.
    #[must_use]
    pub fn window_closes_at(&self) -> Option<Timestamp> {
        self.last_inbound_at.and_then(|at| at.checked_add(CUSTOMER_SERVICE_WINDOW).ok())
    }

    /// Returns whether the customer service window is open. Sending stops earlier, by
    /// [`crate::domain::sending::policy::WINDOW_MARGIN`].
    #[must_use]
    pub fn window_is_open(&self, now: Timestamp) -> bool {
        self.window_closes_at().is_some_and(|closes| now < closes)
    }
}
