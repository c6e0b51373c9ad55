//! What a message says. These types are the one part of the domain that serialises: their JSON, close to the Cloud API's own
//! field names, is both the format of the table and what our API shows. A key is only ever added.

use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

/// The content of a message. As JSON: one key, the kind, and its object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Plain text.
    Text(Text),
    /// A picture.
    Image(Media),
    /// A film.
    Video(Media),
    /// Sound: a file, or a voice message where `voice` is true.
    Audio(Media),
    /// A file.
    Document(Media),
    /// A sticker.
    Sticker(Media),
    /// A place.
    Location(Location),
    /// Address cards.
    Contacts(Vec<SharedContact>),
    /// An answer to a button, a list, a flow or a call-permission request.
    Interactive(Interactive),
    /// A tap on a quick-reply button of a template.
    Button(Button),
    /// A basket from a catalogue.
    Order(Order),
    /// Something that WhatsApp says about the customer, not the customer.
    System(System),
    /// A message that WhatsApp does not show to us; it can be opened on the phone.
    Unsupported(Unsupported),
    /// Past media whose reference comes in a second webhook, or never.
    MediaPlaceholder {},
    /// A kind that we do not know: kept as it came, so that a later version can read it.
    Unknown(Unknown),
}

/// A text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Text {
    /// What was written.
    pub body: String,
    /// Whether WhatsApp renders a preview of the first link; only outbound.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preview_url: bool,
}

/// A reference to media at the provider: it lives seven days (`facts/webhooks.md` §7.5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Media {
    /// The provider's id of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its MIME type, with parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// SHA-256 of the file, base 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// A link that needs the number's token and dies in about five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What was written below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// What the file is called; documents only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Whether it moves; stickers only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub animated: Option<bool>,
    /// Whether it was recorded as a voice message; audio only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voice: Option<bool>,
    /// Why the file cannot be had, such as 131052: too large.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ContentError>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Location {
    /// Degrees north.
    #[schema(value_type = f64)]
    pub latitude: Number,
    /// Degrees east.
    #[schema(value_type = f64)]
    pub longitude: Number,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// A link about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// One address card. Every part may be missing, the name included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SharedContact {
    /// The name as shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formatted_name: Option<String>,
    /// Phone numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<SharedPhone>,
    /// E-mail addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    /// A vCard, where the customer answered a request for contact information.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcard: Option<String>,
    /// `contact_request` if it answers such a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The whole card as the provider gave it: addresses, organisation, links, birthday.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<serde_json::Value>,
}

/// A phone number of an address card, as it was written there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct SharedPhone {
    /// The number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The same, if it is on WhatsApp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<String>,
    /// The business-scoped user id behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// An answer to an interactive message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Interactive {
    /// The provider's word for the kind of answer.
    #[serde(rename = "type")]
    pub kind: String,
    /// The answer; as JSON under the key of its kind.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A button was tapped.
    ButtonReply {
        /// The button's id, ours.
        id: String,
        /// Its label.
        title: String,
    },
    /// A row of a list was chosen.
    ListReply {
        /// The row's id, ours.
        id: String,
        /// Its label.
        title: String,
        /// Its second line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
    },
    /// A flow or an address form was filled in.
    NfmReply {
        /// `flow` or `address_message`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What the chat shows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
        /// The answers: the provider's `response_json`, read; the text itself where it was not JSON.
        response: serde_json::Value,
    },
    /// The customer allowed or refused calls.
    CallPermissionReply {
        /// `accept` or `reject`.
        response: String,
        /// Until when, Unix seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expiration_timestamp: Option<i64>,
        /// Whether it holds for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        is_permanent: Option<bool>,
        /// `user_action` or `automatic`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        response_source: Option<String>,
    },
    /// Another kind: the provider's whole object.
    Other(serde_json::Value),
}

/// A tap on a template's quick-reply button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Button {
    /// Our payload; the label, if we gave none.
    pub payload: String,
    /// The label.
    pub text: String,
}

/// A basket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// The catalogue.
    pub catalog_id: String,
    /// What the customer wrote with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What is in it.
    pub product_items: Vec<OrderItem>,
}

/// One line of a basket. Amounts are decimal texts: money is never a binary fraction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OrderItem {
    /// The product, by the business's own id.
    pub product_retailer_id: String,
    /// How many.
    pub quantity: String,
    /// Price of one, in major units.
    pub item_price: String,
    /// ISO 4217.
    pub currency: String,
}

/// What WhatsApp says about the customer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct System {
    /// `user_changed_number`, `user_changed_user_id`, `user_identity_changed`, or what comes next.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The new number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wa_id: Option<String>,
    /// The new business-scoped user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_user_id: Option<String>,
    /// The hash of the new identity key, where the check is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_hash: Option<String>,
}

/// A message that WhatsApp does not show to us.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Unsupported {
    /// What it is, such as `poll_creation`, where WhatsApp says so.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why it is not shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ContentError>,
}

/// An error that came inside a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentError {
    /// The provider's number for it.
    pub code: i64,
    /// A short name.
    pub title: String,
    /// The best text for a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// A message as the provider sent it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Unknown {
    /// The provider's `type`, or `unknown` where it gave none.
    pub kind: String,
    /// The whole message, JSON.
    pub raw: String,
}

/// Kinds that are no message of the customer although they come as one.
const NOT_OPENING: [&str; 5] = ["edit", "reaction", "request_welcome", "revoke", "system"];

impl Content {
    /// The provider's word for this kind of content.
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

    /// Whether a message of this kind opens the customer service window: any message of a person does. What WhatsApp
    /// says itself does not, and of the others Meta does not say so (`facts/errors-and-limits.md` §7).
    #[must_use]
    pub fn opens_window(&self) -> bool {
        match self {
            Self::System(_) | Self::MediaPlaceholder {} => false,
            Self::Unknown(unknown) => !NOT_OPENING.contains(&unknown.kind.as_str()),
            _ => true,
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
