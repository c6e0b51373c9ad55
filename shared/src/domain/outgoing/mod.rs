//! What we are asked to send: every kind of message a business can write, in the Cloud API's own field names. One set
//! of types is the format of our API, of the table and of the wire, because all three are the same by design
//! (`facts/messages.md` §4 to §6). [`Outgoing::check`] knows every limit that Meta would refuse over.

mod check;
mod check_interactive;
mod check_template;
mod contact;
mod definition;
pub mod draft;
mod interactive;
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
pub use limits::*;
pub use template::{Component, Currency, Fallback, Index, Language, OfferEnd, Parameter, Template, TemplateCard};

use super::content::Text;

/// A message to send. As JSON: one key, the kind, and its object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outgoing {
    /// Plain text.
    Text(Text),
    /// A picture.
    Image(OutgoingMedia),
    /// A film.
    Video(OutgoingMedia),
    /// Sound: a file, or a voice message where `voice` is true.
    Audio(OutgoingMedia),
    /// A file.
    Document(OutgoingMedia),
    /// A sticker.
    Sticker(OutgoingMedia),
    /// A place.
    Location(Place),
    /// Address cards.
    Contacts(Vec<OutgoingContact>),
    /// An emoji on an earlier message.
    Reaction(OutgoingReaction),
    /// Buttons, lists, products, flows and the like.
    Interactive(Box<Interactive>),
    /// An approved template with its parameters.
    Template(Template),
}

/// A file: one of ours by its id, one of Meta's by its id, or a public link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutgoingMedia {
    /// `med_…` from `POST /v1/media`, or an id that Meta gave out for this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Where Meta fetches it: public, http or https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// Shown below it; pictures, films and documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// What the file is called, whose ending decides the icon; documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Shown as a voice message; audio, OGG with Opus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<bool>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Degrees north, -90 to 90.
    pub latitude: Degrees,
    /// Degrees east, -180 to 180.
    pub longitude: Degrees,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// An angle as it was given, number or text; on the wire a text, which Meta's pages and its description agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Degrees(pub String);

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number(deserializer).map(Self)
    }
}

/// A value that some write as a text and some as a number; kept as a text.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("expected a number, or a text that is one")),
    }
}

/// An emoji on an earlier message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutgoingReaction {
    /// The wamid of the message.
    pub message_id: String,
    /// One emoji; empty takes our reaction back.
    pub emoji: String,
}

/// Where a message names a file, and as what.
#[derive(Debug)]
pub struct FileUse<'a> {
    /// The field that holds the id, as the caller wrote it.
    pub field: String,
    /// `image`, `video`, `audio`, `document` or `sticker`.
    pub kind: &'static str,
    /// Shown as a voice message.
    pub voice: bool,
    /// The id.
    pub id: &'a mut String,
}

impl Outgoing {
    /// Meta's word for this kind of message.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Document(_) => "document",
            Self::Sticker(_) => "sticker",
            Self::Location(_) => "location",
            Self::Contacts(_) => "contacts",
            Self::Reaction(_) => "reaction",
            Self::Interactive(_) => "interactive",
            Self::Template(_) => "template",
        }
    }

    /// Every kind.
    pub const KINDS: [&'static str; 11] = [
        "text",
        "image",
        "video",
        "audio",
        "document",
        "sticker",
        "location",
        "contacts",
        "reaction",
        "interactive",
        "template",
    ];

    /// Every file that the message names by an id.
    pub fn files(&mut self) -> Vec<FileUse<'_>> {
        let (kind, media) = match self {
            Self::Image(media) => ("image", media),
            Self::Video(media) => ("video", media),
            Self::Audio(media) => ("audio", media),
            Self::Document(media) => ("document", media),
            Self::Sticker(media) => ("sticker", media),
            Self::Interactive(interactive) => return interactive.files(),
            Self::Template(template) => return template.files(),
            _ => return Vec::new(),
        };
        let voice = media.voice == Some(true);
        media.id.as_mut().map(|id| FileUse { field: format!("{kind}.id"), kind, voice, id }).into_iter().collect()
    }
}
