//! One type per kind of id, so that two of them cannot be mistaken for each other.

use std::fmt;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::random::{self, NoRandomness};

/// Longest wamid we accept, in bytes (`facts/webhooks.md` §7.1 plans 255).
const WAMID_MAX: usize = 255;
/// Longest Graph id we accept, in bytes. Meta's have 15 to 17 digits; with this bound a conversation id fits into an SQS
/// message group (128) and into the callback data (512).
const GRAPH_ID_MAX: usize = 64;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {0}")]
pub struct InvalidId(pub &'static str);

macro_rules! our_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ulid);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, sortable by the moment it was made.
            ///
            /// # Errors
            /// When the operating system has no randomness.
            pub fn generate(now: Timestamp) -> Result<Self, NoRandomness> {
                random::ulid(now).map(Self)
            }

            /// Reads an id as we print it: prefix and 26 characters of Crockford base 32.
            ///
            /// # Errors
            /// When the text is anything else; the case must be ours too, so that one id has one spelling.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let id = text
                    .strip_prefix($prefix)
                    .and_then(|rest| Ulid::from_string(rest).ok())
                    .map(Self)
                    .ok_or(InvalidId(concat!("an id of the form ", $prefix, "<ULID>")))?;
                if id.to_string() == text { Ok(id) } else { Err(InvalidId("an id in upper case")) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }
    };
}

our_id!(
    /// A customer of the platform: the owner of numbers, keys and conversations.
    TenantId,
    "ten_"
);
our_id!(
    /// A person who writes to a tenant's numbers, whatever they are called by.
    ContactId,
    "con_"
);
our_id!(
    /// A message that we send. It exists before the provider knows of it.
    OutboundId,
    "msg_"
);
our_id!(
    /// A number being connected.
    OnboardingId,
    "onb_"
);
our_id!(
    /// One attempt to own the sending of a message.
    ClaimId,
    "clm_"
);

our_id!(
    /// One template to many recipients.
    BroadcastId,
    "brd_"
);

our_id!(
    /// A file to send.
    MediaId,
    "med_"
);

our_id!(
    /// The end of a business's time with us.
    OffboardingId,
    "off_"
);

our_id!(
    /// A contact of which everything is erased.
    ErasureId,
    "era_"
);

our_id!(
    /// One replay of what was received before.
    ReplayId,
    "rpl_"
);

our_id!(
    /// What people remember of a conversation.
    NoteId,
    "not_"
);

impl NoteId {
    /// When it was written.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        crate::clock::at_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }
}

impl OnboardingId {
    /// The onboarding that Meta's report of a shared account begins: the same report makes the same id.
    #[must_use]
    pub fn of_shared(account: &WabaId, at: Timestamp) -> Self {
        Self(derived(at, &format!("shared#{account}")))
    }
}

impl OffboardingId {
    /// The offboarding that a report about an account begins: the same report makes the same id.
    #[must_use]
    pub fn of_report(account: &WabaId, at: Timestamp) -> Self {
        Self(derived(at, &format!("left#{account}")))
    }

    /// The offboarding that a user's request begins: the same request makes the same id, and another one than a report of that second.
    #[must_use]
    pub fn of_deletion(account: &WabaId, at: Timestamp) -> Self {
        Self(derived(at, &format!("deletion#{account}")))
    }
}

/// An id that is made of what it is about.
fn derived(at: Timestamp, of: &str) -> Ulid {
    let hash = Sha256::digest(of);
    let mut random = [0; 16];
    random[..10].copy_from_slice(&hash[..10]);
    Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap_or(0), u128::from_le_bytes(random))
}

impl OutboundId {
    /// The message of a broadcast's recipient: the same place makes the same id, so that a repeated release makes no
    /// second message.
    #[must_use]
    pub fn of_recipient(broadcast: BroadcastId, place: usize) -> Self {
        let at = crate::clock::at_millis(i64::try_from(broadcast.0.timestamp_ms()).unwrap_or(i64::MAX));
        Self(derived(at, &format!("{broadcast}#{place}")))
    }

    /// No id of this millisecond, or of a later one, sorts before it.
    #[must_use]
    pub fn first_of(at: Timestamp) -> Self {
        Self(Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap_or(0), 0))
    }

    /// The moment the id was made, to the millisecond.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        crate::clock::at_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }
}

macro_rules! provider_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $longest:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// Reads the id as it was given to us; it is kept verbatim.
            ///
            /// # Errors
            /// When it is empty, too long, or holds a character this kind of id never has.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.is_empty() || text.len() > $longest || !text.bytes().all(allowed) {
                    return Err(InvalidId($what));
                }
                Ok(Self(text.to_owned()))
            }

            /// The id, verbatim.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

macro_rules! printable {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn graph_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

provider_id!(
    /// Meta's id of one business number; also the id of the number in our API.
    PhoneNumberId,
    "a phone number id",
    GRAPH_ID_MAX,
    graph_character
);
printable!(PhoneNumberId);

provider_id!(
    /// Meta's id of a WhatsApp Business account.
    WabaId,
    "a WhatsApp Business account id",
    GRAPH_ID_MAX,
    graph_character
);
printable!(WabaId);

provider_id!(
    /// Meta's id of a file that a customer sent; it lives seven days.
    MetaFileId,
    "an id of a file of Meta's",
    GRAPH_ID_MAX,
    graph_character
);
printable!(MetaFileId);

provider_id!(
    /// The name an operator gave a Meta app; it is the last part of its webhook URL.
    MetaAppId,
    "a Meta app name of letters, digits, - and _",
    GRAPH_ID_MAX,
    graph_character
);
printable!(MetaAppId);

provider_id!(
    /// The provider's id of a message. It holds the customer's phone number in base 64, so it is never printed.
    Wamid,
    "a message id",
    WAMID_MAX,
    |byte| byte.is_ascii_graphic()
);

impl fmt::Debug for Wamid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wamid(..)")
    }
}

/// A number and a contact: the whole history between the two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId {
    number: PhoneNumberId,
    contact: ContactId,
}

impl ConversationId {
    /// What every conversation id begins with.
    pub const PREFIX: &'static str = "conv_";

    /// The conversation of this number with this contact.
    #[must_use]
    pub fn new(number: PhoneNumberId, contact: ContactId) -> Self {
        Self { number, contact }
    }

    /// Reads an id as we print it.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const WHAT: InvalidId = InvalidId("an id of the form conv_<number id>_<ULID>");
        let (number, contact) = text.strip_prefix(Self::PREFIX).and_then(|rest| rest.rsplit_once('_')).ok_or(WHAT)?;
        Ok(Self {
            number: PhoneNumberId::parse(number).map_err(|_| WHAT)?,
            contact: ContactId::parse(&format!("{}{contact}", ContactId::PREFIX)).map_err(|_| WHAT)?,
        })
    }

    /// Our side.
    #[must_use]
    pub fn number(&self) -> &PhoneNumberId {
        &self.number
    }

    /// Their side.
    #[must_use]
    pub fn contact(&self) -> ContactId {
        self.contact
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}_{}", Self::PREFIX, self.number, self.contact.0)
    }
}

/// A message of a conversation: theirs by the provider's id, ours by our own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// They wrote it.
    Inbound(Wamid),
    /// We wrote it.
    Outbound(OutboundId),
}

impl MessageId {
    /// The id as it stands in the table and in our API.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Inbound(wamid) => wamid.as_str().to_owned(),
            Self::Outbound(id) => id.to_string(),
        }
    }

    /// Reads an id as [`MessageId::to_text`] wrote it: what is not one of ours is the provider's.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        OutboundId::parse(text).map(Self::Outbound).or_else(|_| Wamid::parse(text).map(Self::Inbound))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_ids_have_one_spelling() {
        let id = TenantId::generate(Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(TenantId::parse(&id.to_string()), Ok(id));
        assert!(TenantId::parse(&id.to_string().to_lowercase()).is_err());
        assert!(ContactId::parse(&id.to_string()).is_err(), "the prefix tells the kinds apart");
    }

    #[test]
    fn a_conversation_id_names_number_and_contact() {
        let contact = ContactId::generate(Timestamp::UNIX_EPOCH).unwrap();
        let id = ConversationId::new(PhoneNumberId::parse("900100200300501").unwrap(), contact);
        assert_eq!(ConversationId::parse(&id.to_string()), Ok(id));
        assert!(PhoneNumberId::parse(&"9".repeat(65)).is_err());
        for wrong in ["", "conv_", "conv_9_", "conv__01", "msg_1", "conv_9/1_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert!(ConversationId::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wamid_is_not_printed() {
        let id = MessageId::Inbound(Wamid::parse("wamid.SECRET").unwrap());
        assert!(!format!("{id:?}").contains("SECRET"));
    }
}
