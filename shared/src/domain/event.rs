//! What a provider's webhook says, in our words.

use jiff::Timestamp;

use super::account::{StateChange, Subject};
use super::contact::{AddressBookEntry, ContactCard, Preference};
use super::ids::{PhoneNumberId, Wamid};
use super::message::{Amendment, ForeignMessage, HistoryChunk, HistoryThread};
use super::status::Status;

/// One item of a webhook, and a webhook that holds only it: what is kept when it cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundEvent {
    /// What it says.
    pub said: Said,
    /// The same, JSON; or the bytes, where they are no webhook.
    pub raw: Vec<u8>,
}

/// What an item says, in our words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Somebody else than we wrote: the customer to a number, or the business on its phone.
    Message(PhoneNumberId, Box<ForeignMessage>),
    /// Something was said about an earlier message.
    Amendment(PhoneNumberId, Box<Amendment>),
    /// A message we sent, or another system sent from the same number, took a step.
    Status(PhoneNumberId, Box<StatusUpdate>),
    /// The customer called: that opens the window like a message.
    Call(PhoneNumberId, Box<ContactCard>, Timestamp),
    /// Messages from before the number was connected.
    History(Box<HistoryThread>),
    /// How far the past has come in.
    HistoryProgress(PhoneNumberId, HistoryChunk),
    /// The address book of the business's phone changed.
    AddressBook(PhoneNumberId, Box<ContactCard>, AddressBookEntry, Timestamp),
    /// A person says what they want to get.
    Preference(PhoneNumberId, Box<ContactCard>, Preference, Timestamp),
    /// Something about a number, an account, a template or a token.
    State(Box<StateChange>),
    /// Not understood, or not for us: kept raw. The second part is the number it is about, where that is known.
    Kept(KeptReason, String, Option<PhoneNumberId>),
}

impl Said {
    /// The number it is about, where one is.
    #[must_use]
    pub fn number(&self) -> Option<&PhoneNumberId> {
        match self {
            Self::Message(number, _)
            | Self::Amendment(number, _)
            | Self::Status(number, _)
            | Self::Call(number, ..)
            | Self::HistoryProgress(number, _)
            | Self::AddressBook(number, ..)
            | Self::Preference(number, ..) => Some(number),
            Self::History(thread) => Some(&thread.number),
            Self::State(change) => match &change.subject {
                Subject::Number(number) => Some(number),
                _ => None,
            },
            Self::Kept(_, _, number) => number.as_ref(),
        }
    }

    /// What kind of item it is, in a word.
    #[must_use]
    pub fn what(&self) -> &str {
        match self {
            Self::Message(..) => "message",
            Self::Amendment(_, amendment) => amendment.change.kind(),
            Self::Status(..) => "status",
            Self::Call(..) => "call",
            Self::History(_) | Self::HistoryProgress(..) => "history",
            Self::AddressBook(..) => "state_sync",
            Self::Preference(..) => "user_preferences",
            Self::State(change) => change.aspect.as_str(),
            Self::Kept(_, what, _) => what,
        }
    }

    /// How many messages it holds: what it costs to store.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::History(thread) => thread.messages.len(),
            _ => 1,
        }
    }

    /// Whether it speaks of the message with this id.
    #[must_use]
    pub fn mentions(&self, wamid: &Wamid) -> bool {
        match self {
            Self::Message(_, message) => message.id == *wamid,
            Self::Amendment(_, amendment) => amendment.id == *wamid || amendment.target == *wamid,
            Self::Status(_, update) => update.wamid == *wamid,
            Self::History(thread) => thread.messages.iter().any(|message| message.id == *wamid),
            _ => false,
        }
    }
}

/// A step of a sent message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusUpdate {
    /// The provider's id of the message.
    pub wamid: Wamid,
    /// The step.
    pub status: Status,
    /// When, by the provider's clock, in whole seconds.
    pub at: Timestamp,
    /// What we gave the provider with the message, echoed. Unproven until its MAC is checked.
    pub unverified_callback_data: Option<String>,
    /// Why it failed.
    pub error: Option<ProviderError>,
    /// The provider's price facts, JSON, kept verbatim.
    pub pricing: Option<String>,
    /// Until when a free entry point is open, where the provider says so.
    pub entry_point_until: Option<Timestamp>,
}

/// A failure in the provider's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderError {
    /// The provider's number for it: the only part decisions are made on.
    pub code: i64,
    /// A short name.
    pub title: String,
    /// The best text for a person, where one was given.
    pub details: Option<String>,
    /// The provider's id of the failed call, which its support asks for.
    pub trace: Option<String>,
}

impl ProviderError {
    /// The token was sent with a proof that another app secret made: the secret was replaced, and the token is sealed anew soon.
    /// The form of the error: `facts/onboarding.md` §10.3.
    #[must_use]
    pub fn is_stale_proof(&self) -> bool {
        let names_it = |text: &str| text.contains("appsecret_proof");
        self.code == 100 && (names_it(&self.title) || self.details.as_deref().is_some_and(names_it))
    }

    /// Our own trouble, which no provider has a code for: told apart by its title.
    #[must_use]
    pub fn ours(title: &str, details: &str) -> Self {
        Self { code: Self::OURS, title: title.to_owned(), details: Some(details.to_owned()), trace: None }
    }

    /// The title of what a person said was not sent.
    pub const SETTLED: &str = "settled_not_sent";

    /// A person settled a doubt.
    #[must_use]
    pub fn settled() -> Self {
        Self::ours(Self::SETTLED, "a person says that it was not sent")
    }

    /// A worker claimed the message and was never heard of again.
    #[must_use]
    pub fn worker_died() -> Self {
        Self::ours("worker_died", "the worker stopped between its claim and its record")
    }

    /// Whether the provider answered at all.
    #[must_use]
    pub fn is_the_providers(&self) -> bool {
        self.code != Self::OURS
    }

    const OURS: i64 = -1;
}

/// An item we cannot use, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Why it is kept instead of used.
    pub reason: KeptReason,
    /// The webhook field, the status word or the name of the level that did not parse.
    pub what: String,
    /// A webhook that holds only the item, so that it can be processed again by itself; or the bytes, where they are
    /// no webhook.
    pub raw: Vec<u8>,
}

/// Why an item is kept raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeptReason {
    /// Authentic, but not the shape the provider promises: a person must look.
    Malformed,
    /// A field or kind that we do not process yet.
    Unsupported,
    /// For a number that no tenant has.
    UnknownNumber,
    /// For an account that no tenant has.
    UnknownAccount,
    /// A customer's message written more than eight days before it came: Meta repeats for seven, so this is no repetition of
    /// hers. Stored nowhere else, because a reply to it would be absurd (`reliability.md` I4).
    TooOld,
}

impl KeptReason {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::Malformed, Self::Unsupported, Self::UnknownNumber, Self::UnknownAccount, Self::TooOld];

    /// The reason of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// The reason's stable name.
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
