//! Messages written by others, and the annotations of a message.

use jiff::Timestamp;

use crate::domain::conversations::contact::ContactIdentity;
use crate::domain::conversations::content::Content;
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{NumberId, OutboundId, ProviderMessageId};

/// A message not sent through this service: from the customer, or from the business by other means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    /// The provider's id, which identifies the message.
    pub id: ProviderMessageId,
    /// The other party of the conversation: the customer, or a group.
    pub contact: ContactIdentity,
    /// Author of the message, if the other party is a group.
    pub author: Option<ContactIdentity>,
    /// Author, and the way by which the message arrived.
    pub origin: Origin,
    /// Time by the provider's clock, in whole seconds.
    pub at: Timestamp,
    /// Content of the message.
    pub content: Content,
    /// References to other messages, products and advertisements.
    pub context: MessageContext,
    /// Further identities that the message itself attributes to its sender, such as the new number after a change.
    pub linked: Vec<ContactIdentity>,
    /// The phone number that the customer gave up for another one.
    pub gave_up: Option<PhoneNumber>,
}

/// Author of a message not sent through this service, and the way by which it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The customer, live.
    Customer,
    /// The customer, while another app answers (`standby`). Stored, never replied to.
    Standby,
    /// The business, in the WhatsApp Business app or a linked device.
    BusinessApp,
    /// The business, through another app on the same number.
    OtherApp,
    /// The customer, before the number was connected.
    HistoryCustomer,
    /// The business, before the number was connected.
    HistoryBusiness,
}

impl Origin {
    /// All origins.
    pub const ALL: [Self; 6] = [
        Self::Customer,
        Self::Standby,
        Self::BusinessApp,
        Self::OtherApp,
        Self::HistoryCustomer,
        Self::HistoryBusiness,
    ];

    /// Returns the origin's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Standby => "standby",
            Self::BusinessApp => "business_app",
            Self::OtherApp => "other_app",
            Self::HistoryCustomer => "history_customer",
            Self::HistoryBusiness => "history_business",
        }
    }

    /// Returns the origin with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word)
    }

    /// Returns whether the customer wrote the message.
    #[must_use]
    pub fn is_inbound(self) -> bool {
        matches!(self, Self::Customer | Self::Standby | Self::HistoryCustomer)
    }

    /// Returns whether the message is older than the connection of the number. Such a message never triggers an action.
    #[must_use]
    pub fn is_history(self) -> bool {
        matches!(self, Self::HistoryCustomer | Self::HistoryBusiness)
    }
}

/// References of a message. Any part may be missing, also when a button was tapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageContext {
    /// The quoted message.
    pub quotes: Option<ProviderMessageId>,
    /// Our id of the quoted message, if we sent it. Only on messages that are returned to readers.
    pub quotes_ours: Option<OutboundId>,
    /// Author of the quoted message, in digits.
    pub quoted_author: Option<String>,
    /// Present if the message was forwarded.
    pub forwarded: Option<Forwarded>,
    /// The product in question: catalogue id and product id.
    pub product: Option<(String, String)>,
    /// The advertisement or post that led to the message, as the provider's JSON.
    pub referral: Option<String>,
    /// Delivery state according to the phone; only on messages from the history.
    pub history_status: Option<String>,
}

/// How often a message was forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// Up to five times.
    Once,
    /// More than five times.
    Often,
}

/// An annotation of an earlier message: an edit, a revocation or a reaction. It may arrive before that message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendment {
    /// The provider's id of the annotation itself.
    pub id: ProviderMessageId,
    /// The annotated message.
    pub target: ProviderMessageId,
    /// The other party of the conversation.
    pub contact: ContactIdentity,
    /// Author of the annotation, in a group. Otherwise [`Amendment::by_business`] identifies the author.
    pub author: Option<ContactIdentity>,
    /// Whether the business made the annotation, on its phone.
    pub by_business: bool,
    /// Time of the annotation.
    pub at: Timestamp,
    /// The change.
    pub change: Change,
}

/// A change of an earlier message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The message now has this content.
    Edited(Content),
    /// The message was deleted for everyone.
    Revoked,
    /// A reaction to the message; `None` removes the reaction.
    Reacted(Option<String>),
}

impl Change {
    /// Returns the provider's word for the change.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Edited(_) => "edit",
            Self::Revoked => "revoke",
            Self::Reacted(_) => "reaction",
        }
    }
}

/// Progress of the history sync, reported with each chunk of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryChunk {
    /// Phase: 0 for the last day, 1 for up to 90 days, 2 for up to 180 days.
    pub phase: i64,
    /// Position among the chunks of the phase; chunks arrive in any order.
    pub order: i64,
    /// Progress in per cent. 100 is the only sign of the end.
    pub progress: i64,
}

/// A past conversation: its other party, and up to a hundred of its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryThread {
    /// The business number.
    pub number: NumberId,
    /// The other party.
    pub contact: ContactIdentity,
    /// Messages, all of that contact.
    pub messages: Vec<InboundMessage>,
}
