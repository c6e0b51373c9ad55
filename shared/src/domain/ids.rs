//! One type per kind of id, so that ids of different kinds cannot be confused.

use std::fmt;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::random::{self, NoRandomness};

/// Longest accepted wamid, in bytes (`docs/meta/webhooks.md#section-7-1`).
const WAMID_MAX: usize = 255;
/// Longest accepted Graph id, in bytes. Meta's ids have 15 to 17 digits. With this limit a conversation id fits into an
/// SQS message group id (128) and into the callback data (512).
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
            /// Prefix of every id of this kind.
            pub const PREFIX: &'static str = $prefix;

            /// Returns a new id, sortable by its time of creation.
            ///
            /// # Errors
            /// When the operating system provides no randomness.
            pub fn generate(now: Timestamp) -> Result<Self, NoRandomness> {
                random::ulid(now).map(Self)
            }

            /// Parses an id in our format: the prefix and 26 characters of Crockford base 32.
            ///
            /// # Errors
            /// When the text is anything else. Upper case is required, so that each id has one spelling.
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
    /// A customer of the platform, who owns numbers, keys and conversations.
    TenantId,
    "ten_"
);
our_id!(
    /// A person who writes to a tenant's numbers, under any number of aliases.
    ContactId,
    "con_"
);
our_id!(
    /// A message that we send. The id exists before the provider receives the message.
    OutboundId,
    "msg_"
);
our_id!(
    /// One onboarding of a number.
    OnboardingId,
    "onb_"
);
our_id!(
    /// One claim on the sending of a message.
    ClaimId,
    "clm_"
);

our_id!(
    /// One broadcast.
    BroadcastId,
    "brd_"
);

our_id!(
    /// A file to send.
    MediaId,
    "med_"
);

our_id!(
    /// One offboarding of a business.
    OffboardingId,
    "off_"
);

our_id!(
    /// One erasure of a contact.
    ErasureId,
    "era_"
);

our_id!(
    /// One replay of received webhooks.
    ReplayId,
    "rpl_"
);

our_id!(
    /// A note about a conversation.
    NoteId,
    "not_"
);

impl NoteId {
    /// Returns when the note was written.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        crate::clock::at_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }
}

impl OnboardingId {
    /// Returns the id of the onboarding that Meta's report of a shared account starts. A redelivered report yields the
    /// same id.
    #[must_use]
    pub fn of_shared(account: &WabaId, at: Timestamp) -> Self {
        Self(derived(at, &format!("shared#{account}")))
    }
}

impl OffboardingId {
    /// Returns the id of the offboarding that a report about an account starts. A redelivered report yields the same
    /// id.
    #[must_use]
    pub fn of_report(account: &WabaId, at: Timestamp) -> Self {
        Self(derived(at, &format!("left#{account}")))
    }

    /// Returns the id of the offboarding that a user's deletion request starts. A repeated request yields the same id,
    /// which differs from that of a report in the same second.
    #[must_use]
    pub fn of_deletion(account: &WabaId, at: Timestamp) -> Self {
        Self(derived(at, &format!("deletion#{account}")))
    }
}

/// Derives an id from its time and its subject.
fn derived(at: Timestamp, of: &str) -> Ulid {
    let hash = Sha256::digest(of);
    let mut random = [0; 16];
    random[..10].copy_from_slice(&hash[..10]);
    Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap_or(0), u128::from_le_bytes(random))
}

impl OutboundId {
    /// Returns the id of a broadcast's message to the recipient at this position. A repeated release yields the same id
    /// and thus no second message.
    #[must_use]
    pub fn of_recipient(broadcast: BroadcastId, place: usize) -> Self {
        let at = crate::clock::at_millis(i64::try_from(broadcast.0.timestamp_ms()).unwrap_or(i64::MAX));
        Self(derived(at, &format!("{broadcast}#{place}")))
    }

    /// Returns the smallest possible id of this millisecond.
    #[must_use]
    pub fn first_of(at: Timestamp) -> Self {
        Self(Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap_or(0), 0))
    }

    /// Returns the time of creation, to the millisecond.
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
            /// Parses an id of the provider, which is stored verbatim.
            ///
            /// # Errors
            /// When it is empty, too long, or contains a character that this kind of id never has.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.is_empty() || text.len() > $longest || !text.bytes().all(allowed) {
                    return Err(InvalidId($what));
                }
                Ok(Self(text.to_owned()))
            }

            /// Returns the id, verbatim.
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
    /// Meta's id of a business number, which is also the number's id in our API.
    NumberId,
    "a phone number id",
    GRAPH_ID_MAX,
    graph_character
);
printable!(NumberId);

provider_id!(
    /// Meta's id of a WhatsApp Business account.
    WabaId,
    "a WhatsApp Business account id",
    GRAPH_ID_MAX,
    graph_character
);
printable!(WabaId);

provider_id!(
    /// Meta's id of a file sent by a customer, valid for seven days.
    MetaFileId,
    "an id of a file of Meta's",
    GRAPH_ID_MAX,
    graph_character
);
printable!(MetaFileId);

provider_id!(
    /// Name that an operator gave a Meta app: the last part of its webhook URL.
    MetaAppId,
    "a Meta app name of letters, digits, - and _",
    GRAPH_ID_MAX,
    graph_character
);
printable!(MetaAppId);

provider_id!(
    /// The provider's id of a message. It contains the customer's phone number in base 64, so it is never printed.
    ProviderMessageId,
    "a message id",
    WAMID_MAX,
    |byte| byte.is_ascii_graphic()
);

impl fmt::Debug for ProviderMessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProviderMessageId(..)")
    }
}

/// Id of a conversation: the number and the contact, hence their whole history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId {
    number: NumberId,
    contact: ContactId,
}

impl ConversationId {
    /// Prefix of every conversation id.
    pub const PREFIX: &'static str = "conv_";

    /// Returns the id of the conversation of this number with this contact.
    #[must_use]
    pub fn new(number: NumberId, contact: ContactId) -> Self {
        Self { number, contact }
    }

    /// Parses an id in our format.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        const WHAT: InvalidId = InvalidId("an id of the form conv_<number id>_<ULID>");
        let (number, contact) = text.strip_prefix(Self::PREFIX).and_then(|rest| rest.rsplit_once('_')).ok_or(WHAT)?;
        Ok(Self {
            number: NumberId::parse(number).map_err(|_| WHAT)?,
            contact: ContactId::parse(&format!("{}{contact}", ContactId::PREFIX)).map_err(|_| WHAT)?,
        })
    }

    /// Returns the business number.
    #[must_use]
    pub fn number(&self) -> &NumberId {
        &self.number
    }

    /// Returns the contact.
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

/// Id of a message: the provider's id for a message written by others, our own id for a message that we send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// A message not sent through this service.
    Inbound(ProviderMessageId),
    /// A message that we send.
    Outbound(OutboundId),
}

impl MessageId {
    /// Returns the id as it is stored and shown in our API.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Inbound(wamid) => wamid.as_str().to_owned(),
            Self::Outbound(id) => id.to_string(),
        }
    }

    /// Parses an id written by [`MessageId::to_text`]. Any text that is not an id of ours is taken as the provider's.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        OutboundId::parse(text).map(Self::Outbound).or_else(|_| ProviderMessageId::parse(text).map(Self::Inbound))
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
        let id = ConversationId::new(NumberId::parse("900100200300501").unwrap(), contact);
        assert_eq!(ConversationId::parse(&id.to_string()), Ok(id));
        assert!(NumberId::parse(&"9".repeat(65)).is_err());
        for wrong in ["", "conv_", "conv_9_", "conv__01", "msg_1", "conv_9/1_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert!(ConversationId::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_wamid_is_not_printed() {
        let id = MessageId::Inbound(ProviderMessageId::parse("wamid.SECRET").unwrap());
        assert!(!format!("{id:?}").contains("SECRET"));
    }
}
