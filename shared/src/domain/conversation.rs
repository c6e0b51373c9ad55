//! A conversation and its customer service window.

use jiff::{SignedDuration, Timestamp};

use super::contact::AddressBookEntry;
use super::desk::Desk;
use super::ids::{ContactId, ConversationId, TenantId};
use super::phone::PhoneNumber;

/// How long a customer's message keeps the window open (Meta: 24 hours).
pub const CUSTOMER_SERVICE_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// What is known of one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Number and contact.
    pub id: ConversationId,
    /// The owner.
    pub tenant: TenantId,
    /// The contact's phone number, if it is known.
    pub phone: Option<PhoneNumber>,
    /// The contact's business-scoped user id, if it is known.
    pub user_id: Option<String>,
    /// The group, if the other side is one.
    pub group_id: Option<String>,
    /// The name the contact chose in WhatsApp.
    pub profile_name: Option<String>,
    /// The user name the contact chose, without `@`.
    pub username: Option<String>,
    /// What the address book of the business's phone says.
    pub address_book: Option<AddressBookEntry>,
    /// The latest message, in either direction; the Unix epoch if there is none.
    pub last_activity_at: Timestamp,
    /// The latest message or call of the customer: what opens the window.
    pub last_inbound_at: Option<Timestamp>,
    /// When the customer last came from an advertisement or a post.
    pub last_referral_at: Option<Timestamp>,
    /// When the customer last called.
    pub last_call_at: Option<Timestamp>,
    /// Until when the provider says that a free entry point is open.
    pub entry_point_until: Option<Timestamp>,
    /// Until when somebody has read it.
    pub read_until: Option<Timestamp>,
    /// What people decided about it.
    pub desk: Desk,
    /// Other contacts that turned out to be the same person.
    pub also: Vec<ContactId>,
}

impl Conversation {
    /// A conversation of which nothing is known but its two sides.
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
            desk: Desk::default(),
            also: Vec::new(),
        }
    }

    /// Whether it is known by what the contact is called.
    #[must_use]
    pub fn has_name(&self) -> bool {
        self.phone.is_some() || self.user_id.is_some() || self.group_id.is_some()
    }

    /// Whether the customer wrote or called after somebody last read it.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        self.last_inbound_at > self.read_until
    }

    /// Whether it is still to be seen to: not closed, or the customer wrote or called again.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.desk.closed_at.is_none_or(|closed| self.last_inbound_at > Some(closed))
    }

    /// When the customer service window closes or closed; `None` if the customer never wrote.
    #[must_use]
    pub fn window_closes_at(&self) -> Option<Timestamp> {
        self.last_inbound_at.and_then(|at| at.checked_add(CUSTOMER_SERVICE_WINDOW).ok())
    }

    /// Whether a free-form message may be sent now.
    #[must_use]
    pub fn window_is_open(&self, now: Timestamp) -> bool {
        self.window_closes_at().is_some_and(|closes| now < closes)
    }
}
