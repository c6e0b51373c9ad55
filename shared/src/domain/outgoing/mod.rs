//! Outgoing messages: every kind of message that a business can send, in the Cloud API's own field names.
//!
//! The same types are the format of our API, of the table and of requests to Meta (`docs/meta/messages.md#section-4` to
//! `#section-6`). [`Outgoing::check`] checks every limit that Meta enforces.

mod check;
mod check_interactive;
mod check_template;
mod contact;
mod definition;
pub mod draft;
mod emoji;
mod interactive;
mod kind;
mod limits;
mod read;
mod template;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

pub use check::Violation;
pub use contact::{
    Birthday, ContactName, EmailEntry, Organisation, OutgoingContact, PhoneEntry, PostalAddress, UrlEntry,
};
pub use definition::{Definition, Filled, variables};
pub use interactive::{
    Address, Anything, Button, Card, Cards, CarouselCard, Flow, FlowScreen, Header, Interactive, LinkButton, Named,
    Product, ProductItem, ProductSection, ProductSections, QuickReply, Replies, Reply, Row, Rows, Section, Thumbnail,
    VoiceCall, Words,
};
pub use kind::MessageKind;
pub use limits::*;
pub use template::{Component, Currency, Fallback, Index, Language, OfferEnd, Parameter, Template, TemplateCard};

use crate::domain::conversations::content::Text;

/// A message to send. As JSON, an object with one key, the kind of message; its value is the content of that kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outgoing {
    /// Plain text.
    Text(Text),
    /// An image.
    Image(OutgoingMedia),
    /// A video.
    Video(OutgoingMedia),
    /// Audio: a file, or a voice message if `voice` is true.
    Audio(OutgoingMedia),
    /// A document.
    Document(OutgoingMedia),
    /// A sticker.
    Sticker(OutgoingMedia),
    /// A location.
    Location(Place),
    /// Contact cards.
    Contacts(Vec<OutgoingContact>),
    /// An emoji reaction to an earlier message.
    Reaction(OutgoingReaction),
    /// Buttons, lists, products, flows and other interactive messages.
    Interactive(Box<Interactive>),
    /// An approved template with its parameters.
    Template(Template),
}

/// A file: an uploaded one by its id, one of Meta's by its id, or a public link. Exactly one of `id` and `link` is
/// required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutgoingMedia {
    /// Id from `POST /v1/media` (`med_…`), or an id that Meta issued for this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Public `http` or `https` URL from which Meta fetches the file, at most 2000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Caption below the file, at most 1024 characters. Only for images, videos and documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// File name without a folder, at most 240 characters. Its extension decides the icon. Only for documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether to show the file as a voice message. Only for audio; the file must be OGG with Opus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<bool>,
}

/// A location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Latitude in degrees, -90 to 90, positive to the north.
    pub latitude: Degrees,
    /// Longitude in degrees, -180 to 180, positive to the east.
    pub longitude: Degrees,
    /// Name of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// An angle in degrees, given as a number or a string. Meta receives a string, the type in its documentation and in its
/// OpenAPI description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Degrees(pub String);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer).map(Self)
    }
}

/// Parses a value given as a string or a number, into a string.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("expected a number, or a text that is one")),
    }
}

/// An emoji reaction to an earlier message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutgoingReaction {
    /// Id of the message at the provider.
    pub message_id: String,
    /// One emoji. An empty string removes the reaction.
    pub emoji: String,
}

/// A file that a message refers to by id, with the way in which the file is used.
#[derive(Debug)]
pub struct FileUse<'a> {
    /// Path of the field that holds the id.
    pub field: String,
    /// `image`, `video`, `audio`, `document` or `sticker`.
    pub kind: &'static str,
    /// Whether it is shown as a voice message.
    pub voice: bool,
    /// The id, which may be replaced.
    pub id: &'a mut String,
}

impl Outgoing {
    /// Returns the kind of this message.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Image(_) => MessageKind::Image,
            Self::Video(_) => MessageKind::Video,
            Self::Audio(_) => MessageKind::Audio,
            Self::Document(_) => MessageKind::Document,
            Self::Sticker(_) => MessageKind::Sticker,
            Self::Location(_) => MessageKind::Location,
            Self::Contacts(_) => MessageKind::Contacts,
            Self::Reaction(_) => MessageKind::Reaction,
            Self::Interactive(_) => MessageKind::Interactive,
            Self::Template(_) => MessageKind::Template,
        }
    }

    /// Returns every file that the message refers to by id.
    pub fn files(&mut self) -> Vec<FileUse<'_>> {
        let kind = self.kind().as_str();
        let media = match self {
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Document(media)
            | Self::Sticker(media) => media,
            Self::Interactive(interactive) => return interactive.files(),
            Self::Template(template) => return template.files(),
            Self::Text(_) | Self::Location(_) | Self::Contacts(_) | Self::Reaction(_) => return Vec::new(),
        };
        let voice = media.voice == Some(true);
        media.id.as_mut().map(|id| FileUse { field: format!("{kind}.id"), kind, voice, id }).into_iter().collect()
    }
}
