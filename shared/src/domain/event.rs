//! Items of a provider's webhook as domain types.

use jiff::Timestamp;

use crate::domain::accounts::account::{StateChange, Subject};
use crate::domain::conversations::contact::{AddressBookEntry, ContactIdentity, Preference};
use crate::domain::conversations::message::{Amendment, HistoryChunk, HistoryThread, InboundMessage};
use crate::domain::ids::{NumberId, ProviderMessageId};
use crate::domain::sending::status::Status;

/// One item of a webhook, with its raw form for the quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundEvent {
    /// The parsed item.
    pub said: InboundEventKind,
    /// A webhook that holds only this item, as JSON; or the received bytes, if they are not a webhook.
    pub raw: Vec<u8>,
}

/// Kinds of webhook items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundEventKind {
    /// A message not sent through this service: from the customer, or from the business by other means.
    Message(NumberId, Box<InboundMessage>),
    /// An annotation of an earlier message.
    Amendment(NumberId, Box<Amendment>),
    /// A status of a message sent from this number, by us or by another system.
    Status(NumberId, Box<StatusUpdate>),
    /// A status of a payment that a message from this number asked for.
    Payment(NumberId, Box<PaymentUpdate>),
    /// A call by the customer, which opens the customer service window as a message does.
    Call(NumberId, Box<ContactIdentity>, Timestamp),
    /// Messages from before the number was connected.
    History(Box<HistoryThread>),
    /// Progress of the history sync.
    HistoryProgress(NumberId, HistoryChunk),
    /// A change in the address book of the business's phone.
    AddressBook(NumberId, Box<ContactIdentity>, AddressBookEntry, Timestamp),
    /// A customer's choice about a category of messages.
    Preference(NumberId, Box<ContactIdentity>, Preference, Timestamp),
    /// A state of a number, an account, a template or a token.
    State(Box<StateChange>),
    /// Not understood, or not for a known number or account: quarantined. The text is as in [`QuarantinedItem::what`];
    /// the number is present if known.
    Quarantined(QuarantineReason, String, Option<NumberId>),
}

impl InboundEventKind {
    /// Returns the number that the item concerns, if any.
    #[must_use]
    pub fn number(&self) -> Option<&NumberId> {
        match self {
            Self::Message(number, _)
            | Self::Amendment(number, _)
            | Self::Status(number, _)
            | Self::Payment(number, _)
            | Self::Call(number, ..)
            | Self::HistoryProgress(number, _)
            | Self::AddressBook(number, ..)
            | Self::Preference(number, ..) => Some(number),
            Self::History(thread) => Some(&thread.number),
            Self::State(change) => match &change.subject {
                Subject::Number(number) => Some(number),
                _ => None,
            },
            Self::Quarantined(_, _, number) => number.as_ref(),
        }
    }

    /// Returns the kind of the item in one word.
    #[must_use]
    pub fn what(&self) -> &str {
        match self {
            Self::Message(..) => "message",
            Self::Amendment(_, amendment) => amendment.change.kind(),
            Self::Status(..) => "status",
            Self::Payment(..) => "payment",
            Self::Call(..) => "call",
            Self::History(_) | Self::HistoryProgress(..) => "history",
            Self::AddressBook(..) => "state_sync",
            Self::Preference(..) => "user_preferences",
            Self::State(change) => change.aspect.as_str(),
            Self::Quarantined(_, what, _) => what,
        }
    }

    /// Returns the number of messages in the item, as a measure of the cost to store it.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::History(thread) => thread.messages.len(),
            _ => 1,
        }
    }

    /// Returns whether the item concerns the message with this id.
    #[must_use]
    pub fn mentions(&self, wamid: &ProviderMessageId) -> bool {
        match self {
            Self::Message(_, message) => message.id == *wamid,
            Self::Amendment(_, amendment) => amendment.id == *wamid || amendment.target == *wamid,
            Self::Status(_, update) => update.wamid == *wamid,
            Self::Payment(_, update) => update.wamid == *wamid,
            Self::History(thread) => thread.messages.iter().any(|message| message.id == *wamid),
            _ => false,
        }
    }
}

/// A reported status of a sent message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusUpdate {
    /// The provider's id of the message.
    pub wamid: ProviderMessageId,
    /// The status.
    pub status: Status,
    /// Time by the provider's clock, in whole seconds.
    pub at: Timestamp,
    /// Callback data that the provider echoes from the send request. Unverified until its MAC is checked.
    pub unverified_callback_data: Option<String>,
    /// Reason of a failure.
    pub error: Option<ProviderError>,
    /// The provider's pricing object, as verbatim JSON.
    pub pricing: Option<String>,
    /// End of a free entry point, if the provider reported one.
    pub entry_point_until: Option<Timestamp>,
}

/// A reported status of a payment. It says nothing about the delivery of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentUpdate {
    /// The provider's id of the message that asked for the payment.
    pub wamid: ProviderMessageId,
    /// Time by the provider's clock, in whole seconds.
    pub at: Timestamp,
    /// Callback data that the provider echoes from the send request. Unverified until its MAC is checked.
    pub unverified_callback_data: Option<String>,
    /// The status.
    pub payment: Payment,
}

/// State of a payment, as the provider reported it last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// The provider's word for the state.
    pub status: String,
    /// The provider's report, as JSON.
    pub detail: String,
}

/// A failure as the provider reported it, or one of our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// The provider's error code. Decisions about the provider's errors use only this code.
    pub code: i64,
    /// Short name of the error.
    pub title: String,
    /// The most detailed text for people, if there is one.
    pub details: Option<String>,
    /// The provider's id of the failed call, needed for its support.
    pub trace: Option<String>,
}

impl ProviderError {
    /// Returns a failure of our own, without a provider's code. The title identifies it.
    #[must_use]
    pub fn ours(title: &str, details: &str) -> Self {
        Self { code: Self::OURS, title: title.to_owned(), details: Some(details.to_owned()), trace: None }
    }

    /// Title of the failure recorded when a person decides that a message was not sent.
    pub const SETTLED: &str = "settled_not_sent";

    /// Returns the failure recorded when a person decides that a message with outcome unknown was not sent.
    #[must_use]
    pub fn settled() -> Self {
        Self::ours(Self::SETTLED, "a person says that it was not sent")
    }

    /// Returns the failure of a message whose worker stopped after its claim, before it recorded an outcome.
    #[must_use]
    pub fn worker_died() -> Self {
        Self::ours("worker_died", "the worker stopped between its claim and its record")
    }

    /// Returns whether the error is an answer of the provider.
    #[must_use]
    pub fn is_the_providers(&self) -> bool {
        self.code != Self::OURS
    }

    const OURS: i64 = -1;
}

/// A quarantined item, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedItem {
    /// Reason of the quarantine.
    pub reason: QuarantineReason,
    /// The webhook field, the status, or the name of the level that could not be parsed.
    pub what: String,
    /// A webhook that holds only this item, so that it can be processed again; or the received bytes, if they are not a
    /// webhook.
    pub raw: Vec<u8>,
}

/// Reason of a quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuarantineReason {
    /// Authentic, but not in the documented format. A person must look at it.
    Malformed,
    /// A field or kind that is not processed yet.
    Unsupported,
    /// The number belongs to no tenant.
    UnknownNumber,
    /// The account belongs to no tenant.
    UnknownAccount,
    /// A customer's message written more than eight days before it arrived. Meta repeats deliveries for seven days, so
    /// this is not one of them. It is stored only in the quarantine, because a reply would come absurdly late
    /// (`docs/reliability.md#i4`).
    TooOld,
}

impl QuarantineReason {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::Malformed, Self::Unsupported, Self::UnknownNumber, Self::UnknownAccount, Self::TooOld];

    /// Returns the reason with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Returns the reason's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::UnknownNumber => "unknown_number",
            Self::UnknownAccount => "unknown_account",
            Self::TooOld => "too_old",
        }
    }
}
