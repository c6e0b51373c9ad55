//! Kinds of outgoing messages: one list. Code that must know all of them matches exhaustively.

use serde::Deserialize;
use utoipa::ToSchema;

/// Declares the kinds with Meta's words for them.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)+) => {
        /// Kind of an outgoing message: the value of `type`, and the name of the field with its content.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum MessageKind {
            $($(#[$doc])* $name,)+
        }

        impl MessageKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns Meta's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

kinds! {
    /// Text.
    Text = "text",
    /// Picture.
    Image = "image",
    /// Video.
    Video = "video",
    /// Sound or voice message.
    Audio = "audio",
    /// File of any type.
    Document = "document",
    /// Sticker.
    Sticker = "sticker",
    /// Place.
    Location = "location",
    /// Contact cards.
    Contacts = "contacts",
    /// Emoji at an earlier message.
    Reaction = "reaction",
    /// Buttons, lists, products, flows.
    Interactive = "interactive",
    /// Approved template.
    Template = "template",
}

impl MessageKind {
    /// Returns the kind with this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == word)
    }

    /// Returns all words, separated by commas.
    #[must_use]
    pub fn list() -> String {
        Self::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ")
    }
}
