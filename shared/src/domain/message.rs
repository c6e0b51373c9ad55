//! What a message says.

use jiff::Timestamp;

use super::contact::ContactCard;
use super::ids::Wamid;

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Plain text.
    Text(Text),
    /// A kind we do not read yet: kept as it came, so that a later version can.
    Unsupported(Unsupported),
}

/// A text message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// What was written.
    pub body: String,
    /// Whether WhatsApp renders a preview of the first link; only outbound.
    pub preview_url: bool,
}

/// A message as the provider sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// The provider's `type`, or `unknown` where it gave none.
    pub kind: String,
    /// The whole message, JSON.
    pub raw: String,
}

impl Content {
    /// The provider's word for this kind of content.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Text(_) => "text",
            Self::Unsupported(unsupported) => &unsupported.kind,
        }
    }
}

/// Kinds that are no message of the customer, or of which Meta does not say that they open the window
/// (`facts/errors-and-limits.md` §7).
const NOT_OPENING: [&str; 5] = ["edit", "reaction", "request_welcome", "revoke", "system"];

impl Content {
    /// Whether a message of this kind opens the customer service window.
    #[must_use]
    pub fn opens_window(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Unsupported(unsupported) => !NOT_OPENING.contains(&unsupported.kind.as_str()),
        }
    }
}

/// A message a customer wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    /// The provider's id: the message's identity.
    pub id: Wamid,
    /// Who wrote it.
    pub from: ContactCard,
    /// When, by the provider's clock, in whole seconds.
    pub at: Timestamp,
    /// What.
    pub content: Content,
    /// The message this one answers, if it quotes one.
    pub quotes: Option<Wamid>,
}
