//! Content of messages.
//!
//! Only these types and those of `outgoing` serialise in the domain. Their JSON is close to the Cloud API's field
//! names, and is the format of both the table and our API. Keys may be added, never changed or removed.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

/// Content of a message. As JSON, an object with one key, the kind of message; its value is the content of that kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Plain text.
    Text(Text),
    /// An image.
    Image(Media),
    /// A video.
    Video(Media),
    /// Audio: a file, or a voice message if `voice` is true.
    Audio(Media),
    /// A document.
    Document(Media),
    /// A sticker.
    Sticker(Media),
    /// A location.
    Location(Location),
    /// Contact cards.
    Contacts(Vec<SharedContact>),
    /// An answer to buttons, a list, a flow, an address form or a call permission request.
    Interactive(Interactive),
    /// A tap on a quick-reply button of a template.
    Button(Button),
    /// An order from a catalogue.
    Order(Order),
    /// A notice of WhatsApp about the customer, not written by the customer.
    System(System),
    /// A message that WhatsApp does not deliver to the API; it can be read on the phone.
    Unsupported(Unsupported),
    /// A media file from before the number was connected. Its reference arrives later, or never.
    MediaPlaceholder {},
    /// A kind of message that this version does not know, stored as received.
    Unknown(Unknown),
}

/// A text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Text {
    /// The text.
    pub body: String,
    /// Whether WhatsApp shows a preview of the first link. Only in sent messages.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview_url: bool,
}

/// A received media file. The provider deletes it after seven days (`docs/meta/webhooks.md#section-7-5`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Media {
    /// The provider's id of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// MIME type, with parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// SHA-256 hash of the file, in base 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Link to the file. It requires the number's token and expires after about five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Caption below the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// File name; documents only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether the sticker is animated; stickers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub animated: Option<bool>,
    /// Whether it was recorded as a voice message; audio only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice: Option<bool>,
    /// Reasons why the file is not available, such as 131052: too large.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ContentError>,
}

/// A location.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Location {
    /// Latitude in degrees, positive to the north.
    #[schema(value_type = f64)]
    pub latitude: Number,
    /// Longitude in degrees, positive to the east.
    #[schema(value_type = f64)]
    pub longitude: Number,
    /// Name of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address of the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Link about the location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A contact card. Any part may be missing, including the name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SharedContact {
    /// Displayed name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formatted_name: Option<String>,
    /// Phone numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<SharedPhone>,
    /// E-mail addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// A vCard, if the customer answered a request for contact information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcard: Option<String>,
    /// `contact_request` if the card answers a request for contact information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The whole card as the provider sent it, with addresses, organisation, links and birthday.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<serde_json::Value>,
}

/// A phone number of a contact card.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SharedPhone {
    /// The number as written in the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The number in WhatsApp's spelling, if it is on WhatsApp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<String>,
    /// Business-scoped user id of the number's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// An answer to an interactive message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interactive {
    /// Kind of answer, in the provider's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The answer; as JSON under a key named after its kind.
    #[serde(flatten)]
    pub answer: Answer,
}

/// Answer to an interactive message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The customer tapped a button.
    ButtonReply {
        /// Id of the button, as given when the message was sent.
        id: String,
        /// Label of the button.
        title: String,
    },
    /// The customer chose a row of a list.
    ListReply {
        /// Id of the row, as given when the message was sent.
        id: String,
        /// Title of the row.
        title: String,
        /// Description of the row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// The customer completed a flow or an address form.
    NfmReply {
        /// `flow` or `address_message`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Text shown in the chat.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// The answers: the provider's `response_json`, parsed, or as a string if it is not JSON.
        response: serde_json::Value,
    },
    /// The customer granted or refused permission to call.
    CallPermissionReply {
        /// `accept` or `reject`.
        response: String,
        /// End of the permission, in Unix seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expiration_timestamp: Option<i64>,
        /// Whether the permission is permanent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        is_permanent: Option<bool>,
        /// `user_action` or `automatic`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        response_source: Option<String>,
    },
    /// Another kind of answer: the provider's whole object.
    Other(serde_json::Value),
}

/// A tap on a quick-reply button of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Button {
    /// Payload of the button as given when the template was sent, or its label if none was given.
    pub payload: String,
    /// Label of the button.
    pub text: String,
}

/// An order from a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// Id of the catalogue.
    pub catalog_id: String,
    /// Text that the customer wrote with the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Ordered products.
    pub product_items: Vec<OrderItem>,
}

/// One product of an order. A number is a number as the provider wrote it; one whose digits a JSON reader would round
/// is a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderItem {
    /// The business's own id of the product, if the provider named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_retailer_id: Option<String>,
    /// Number of pieces.
    #[schema(value_type = Value)]
    pub quantity: serde_json::Value,
    /// Price per piece, in major currency units.
    #[schema(value_type = Value)]
    pub item_price: serde_json::Value,
    /// Currency, as an ISO 4217 code.
    pub currency: String,
}

/// A notice of WhatsApp about the customer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct System {
    /// `user_changed_number`, `user_changed_user_id`, `user_identity_changed`, or a kind that Meta adds later.
    #[serde(rename = "type")]
    pub kind: String,
    /// Text for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The new number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<String>,
    /// The new business-scoped user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The previous business-scoped user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_user_id: Option<String>,
    /// Hash of the new identity key, if the identity check is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_hash: Option<String>,
}

/// A message that WhatsApp does not deliver to the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Unsupported {
    /// Kind of message, such as `poll_creation`, if WhatsApp reports it.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Reasons why it is not delivered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ContentError>,
}

/// An error reported inside a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentError {
    /// The provider's error code.
    pub code: i64,
    /// Short name of the error.
    pub title: String,
    /// Detailed text for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// A message of an unknown kind, as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unknown {
    /// The provider's `type`, or `unknown` if there was none.
    pub kind: String,
    /// The whole message, as JSON text.
    pub raw: String,
}

/// Kinds that do not open the customer service window, although they arrive as messages.
const NOT_OPENING: [&str; 5] = ["edit", "reaction", "request_welcome", "revoke", "system"];

impl Content {
    /// Returns the provider's word for this kind of content.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Text(_) => "text",
            Self::Image(_) => "image",
            Self::Video(_) => "video",
            Self::Audio(_) => "audio",
            Self::Document(_) => "document",
            Self::Sticker(_) => "sticker",
            Self::Location(_) => "location",
            Self::Contacts(_) => "contacts",
            Self::Interactive(_) => "interactive",
            Self::Button(_) => "button",
            Self::Order(_) => "order",
            Self::System(_) => "system",
            Self::Unsupported(_) => "unsupported",
            Self::MediaPlaceholder {} => "media_placeholder",
            Self::Unknown(unknown) => &unknown.kind,
        }
    }

    /// Returns whether content of this kind opens the customer service window. Every message written by a person does.
    /// Notices of WhatsApp do not, and for the remaining kinds Meta does not document it
    /// (`docs/meta/errors.md#section-7`).
    #[must_use]
    pub fn opens_window(&self) -> bool {
        match self {
            Self::System(_) | Self::MediaPlaceholder {} => false,
            Self::Unknown(unknown) => !NOT_OPENING.contains(&unknown.kind.as_str()),
            Self::Text(_)
            | Self::Image(_)
            | Self::Video(_)
            | Self::Audio(_)
            | Self::Document(_)
            | Self::Sticker(_)
            | Self::Location(_)
            | Self::Contacts(_)
            | Self::Interactive(_)
            | Self::Button(_)
            | Self::Order(_)
            | Self::Unsupported(_) => true,
        }
    }

    /// Returns the file that the content refers to.
    #[must_use]
    pub fn file(&self) -> Option<&Media> {
        match self {
            Self::Image(media)
            | Self::Video(media)
            | Self::Audio(media)
            | Self::Document(media)
            | Self::Sticker(media) => Some(media),
            Self::Text(_)
            | Self::Location(_)
            | Self::Contacts(_)
            | Self::Interactive(_)
            | Self::Button(_)
            | Self::Order(_)
            | Self::System(_)
            | Self::Unsupported(_)
            | Self::MediaPlaceholder {}
            | Self::Unknown(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_the_cloud_apis() {
        let cases = [
            (Content::Text(Text { body: "hi".to_owned(), preview_url: false }), r#"{"text":{"body":"hi"}}"#),
            (
                Content::Interactive(Interactive {
                    kind: "button_reply".to_owned(),
                    answer: Answer::ButtonReply { id: "a".to_owned(), title: "A".to_owned() },
                }),
                r#"{"interactive":{"type":"button_reply","button_reply":{"id":"a","title":"A"}}}"#,
            ),
            (Content::MediaPlaceholder {}, r#"{"media_placeholder":{}}"#),
        ];
        for (content, json) in cases {
            assert_eq!(serde_json::to_string(&content).unwrap(), json);
            assert_eq!(serde_json::from_str::<Content>(json).unwrap(), content);
            assert!(json.starts_with(&format!("{{\"{}\"", content.kind())));
        }
    }
}
