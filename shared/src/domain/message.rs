//! A message of a conversation, and what is later said about it.

use jiff::Timestamp;

use super::contact::ContactCard;
use super::content::Content;
use super::ids::{PhoneNumberId, Wamid};

/// A message that somebody else than we wrote: the customer, or the business on its phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignMessage {
    /// The provider's id: the message's identity.
    pub id: Wamid,
    /// The other side of the conversation: the customer, or a group.
    pub contact: ContactCard,
    /// Who wrote it, where the other side is a group.
    pub author: Option<ContactCard>,
    /// How it came to us.
    pub origin: Origin,
    /// When, by the provider's clock, in whole seconds.
    pub at: Timestamp,
    /// What.
    pub content: Content,
    /// What it refers to.
    pub context: MessageContext,
    /// Names that the message itself connects with its sender, such as the new number after a change.
    pub linked: Vec<ContactCard>,
}

/// Who wrote a message that we did not, and by which way we learned of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The customer, just now.
    Customer,
    /// The customer, while another app answers (`standby`): stored, never replied to.
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

    /// The origin's stable name.
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

    /// The origin of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word)
    }

    /// Whether the customer wrote it.
    #[must_use]
    pub fn is_inbound(self) -> bool {
        matches!(self, Self::Customer | Self::Standby | Self::HistoryCustomer)
    }

    /// Whether it was written before the number was connected: never a reason to do anything.
    #[must_use]
    pub fn is_history(self) -> bool {
        matches!(self, Self::HistoryCustomer | Self::HistoryBusiness)
    }
}

/// What a message refers to. Any part may be missing, on taps too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageContext {
    /// The message it answers.
    pub quotes: Option<Wamid>,
    /// Who wrote the message it answers, in digits.
    pub quoted_author: Option<String>,
    /// How often it was forwarded.
    pub forwarded: Option<Forwarded>,
    /// The product it asks about: catalogue and product.
    pub product: Option<(String, String)>,
    /// The advertisement or post it came from, the provider's JSON.
    pub referral: Option<String>,
    /// What the phone knew of its delivery; past messages only.
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

/// What is said about an earlier message. It may arrive before that message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amendment {
    /// The provider's id of the amendment itself.
    pub id: Wamid,
    /// The message it speaks of.
    pub target: Wamid,
    /// The other side of the conversation.
    pub contact: ContactCard,
    /// Who amended, in a group; else the side alone tells.
    pub author: Option<ContactCard>,
    /// Whether the business did it, on its phone.
    pub by_business: bool,
    /// When.
    pub at: Timestamp,
    /// What.
    pub change: Change,
}

/// A change of an earlier message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It now says this.
    Edited(Content),
    /// It was deleted for everyone.
    Revoked,
    /// It was reacted to; `None` takes the reaction back.
    Reacted(Option<String>),
}

impl Change {
    /// The provider's word for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Edited(_) => "edit",
            Self::Revoked => "revoke",
            Self::Reacted(_) => "reaction",
        }
    }
}

/// One chunk of a number's past, as far as it is not messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryChunk {
    /// 0: the last day, 1: up to 90 days, 2: up to 180 days.
    pub phase: i64,
    /// Its place among the chunks of the phase; they come in any order.
    pub order: i64,
    /// Per cent; 100 is the only sign of the end.
    pub progress: i64,
}

/// Whom a past conversation was with, and up to a hundred of its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryThread {
    /// The number.
    pub number: PhoneNumberId,
    /// The other side.
    pub contact: ContactCard,
    /// Messages, all of that contact.
    pub messages: Vec<ForeignMessage>,
}
