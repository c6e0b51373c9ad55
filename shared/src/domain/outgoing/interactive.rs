//! Interactive messages: header, body, footer, and an action that depends on the kind.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::outgoing::{FileUse, OutgoingMedia};

/// An interactive message. `type` selects the kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Interactive {
    /// One to three reply buttons.
    Button(Card<Replies>),
    /// A list of up to ten rows to choose from.
    List(Card<Rows>),
    /// A button that opens a link.
    CtaUrl(Card<Named<LinkButton>>),
    /// A button that shares the customer's location.
    LocationRequestMessage(Card<Named<Anything>>),
    /// A button that shares the customer's phone number.
    RequestContactInfo(Card<Named<Anything>>),
    /// One product of a catalogue.
    Product(Card<Product>),
    /// Up to 30 products of a catalogue.
    ProductList(Card<ProductSections>),
    /// A whole catalogue.
    CatalogMessage(Card<Named<Thumbnail>>),
    /// Two to ten cards in a horizontal row.
    Carousel(Card<Cards>),
    /// A flow: a form with one or more screens.
    Flow(Card<Named<Flow>>),
    /// A form for a postal address. India only.
    AddressMessage(Card<Named<Address>>),
    /// A request for permission to call the customer.
    CallPermissionRequest(Card<Named<Anything>>),
    /// A button that calls the business.
    VoiceCall(Card<Named<VoiceCall>>),
    /// A payment request. India, Brazil and Singapore only. Its parameters are passed on to Meta unchecked.
    OrderDetails(Card<Named<Anything>>),
    /// The status of a paid order. Its parameters are passed on to Meta unchecked.
    OrderStatus(Card<Named<Anything>>),
}

/// Parts of an interactive message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Card<A> {
    /// Header above the text.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// Body text.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub body: Option<Words>,
    /// Footer in small print, below the text.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub footer: Option<Words>,
    /// Action offered to the customer.
    pub action: A,
}

fn none<T>() -> Option<T> {
    None
}

/// An object that is passed on to Meta unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct Anything(pub Map<String, Value>);

/// A text of an interactive message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The text.
    pub text: String,
}

/// Header of an interactive message or of a carousel card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Header {
    /// A line of text.
    Text {
        /// The text, at most 60 characters.
        text: String,
    },
    /// An image.
    Image {
        /// The file.
        image: OutgoingMedia,
    },
    /// A video.
    Video {
        /// The file.
        video: OutgoingMedia,
    },
    /// A document.
    Document {
        /// The file.
        document: OutgoingMedia,
    },
}

/// Reply buttons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replies {
    /// One to three buttons.
    pub buttons: Vec<Button>,
}

/// A button: `{"type":"reply","reply":{…}}` in a message, `quick_reply` instead of `reply` on a carousel card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Button {
    /// A button of a message.
    Reply {
        /// Id and label of the button.
        reply: Reply,
    },
    /// A button of a carousel card.
    QuickReply {
        /// Id and label of the button.
        quick_reply: QuickReply,
    },
}

/// A button of a carousel card.
pub type QuickReply = Reply;

/// Id and label of a button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Id, at most 256 characters. It is returned with the customer's answer.
    pub id: String,
    /// Label, at most 20 characters.
    pub title: String,
}

/// A list of rows to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Label of the button that opens the list, at most 20 characters.
    pub button: String,
    /// One to ten sections, with at most ten rows in all.
    pub sections: Vec<Section>,
}

/// A section of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Title, at most 24 characters. Required if there are several sections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Rows of the section.
    pub rows: Vec<Row>,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Id, at most 200 characters. It is returned with the customer's answer.
    pub id: String,
    /// First line, at most 24 characters.
    pub title: String,
    /// Second line, at most 72 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An action with a fixed name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named<P> {
    /// Name of the action, fixed for each kind of message.
    pub name: String,
    /// Parameters of the action.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub parameters: Option<P>,
}

/// A button that opens a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkButton {
    /// Label of the button, at most 20 characters.
    pub display_text: String,
    /// URL that the button opens, `http` or `https`.
    pub url: String,
}

/// A product of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// Id of the catalogue.
    pub catalog_id: String,
    /// The business's own id of the product.
    pub product_retailer_id: String,
}

/// Products of a catalogue, in sections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductSections {
    /// Id of the catalogue.
    pub catalog_id: String,
    /// One to ten sections, with at most 30 products in all.
    pub sections: Vec<ProductSection>,
}

/// A section of products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductSection {
    /// Title, at most 24 characters. Required if there are several sections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Products of the section.
    pub product_items: Vec<ProductItem>,
}

/// A product of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductItem {
    /// The business's own id of the product.
    pub product_retailer_id: String,
}

/// Product whose image represents the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Thumbnail {
    /// The business's own id of the product. Default: the first product of the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_product_retailer_id: Option<String>,
}

/// Cards of a carousel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cards {
    /// Two to ten cards, all of the same type.
    pub cards: Vec<CarouselCard>,
}

/// A card of a carousel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CarouselCard {
    /// Position of the card, counted from 0.
    pub card_index: u32,
    /// Type of the card: `cta_url`, `button` or `product`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Image or video of the card. Required for `cta_url` and `button`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// Text of the card, at most 160 characters and two line breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Words>,
    /// Action of the card, in the format of an interactive message of the same type.
    pub action: Value,
}

/// A flow to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// Version of the flow message format: `3`.
    pub flow_message_version: String,
    /// Token that is returned with the customer's answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_token: Option<String>,
    /// Id of the flow. Either `flow_id` or `flow_name` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_id: Option<String>,
    /// Name of the flow. Either `flow_id` or `flow_name` is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_name: Option<String>,
    /// Label of the button that opens the flow, at most 30 characters, without emoji.
    pub flow_cta: String,
    /// `navigate` (default) or `data_exchange`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_action: Option<String>,
    /// Screen to open, and its data; without it the flow opens its first screen. Not allowed with `data_exchange`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_action_payload: Option<FlowScreen>,
    /// State of the flow: `published` or `draft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// First screen of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowScreen {
    /// Id of the screen.
    pub screen: String,
    /// Data for the screen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Map<String, Value>>,
}

/// A form for a postal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// Country: `IN`.
    pub country: String,
    /// Values to fill in beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub values: Option<Map<String, Value>>,
    /// Addresses for the customer to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_addresses: Option<Vec<Value>>,
    /// Errors in the customer's last answer, by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub validation_errors: Option<Map<String, Value>>,
}

/// A button that calls the business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceCall {
    /// Label of the button, at most 20 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_text: Option<String>,
    /// Lifetime of the button in minutes, 1 to 43200 (30 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_minutes: Option<u32>,
    /// Payload that is returned with the call, at most 256 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

impl Header {
    /// Returns the file of the header and its kind, if it has one.
    pub(super) fn file(&self) -> Option<(&'static str, &OutgoingMedia)> {
        match self {
            Self::Text { .. } => None,
            Self::Image { image } => Some(("image", image)),
            Self::Video { video } => Some(("video", video)),
            Self::Document { document } => Some(("document", document)),
        }
    }

    fn file_use(&mut self, path: &str) -> Option<FileUse<'_>> {
        let (kind, media) = match self {
            Self::Text { .. } => return None,
            Self::Image { image } => ("image", image),
            Self::Video { video } => ("video", video),
            Self::Document { document } => ("document", document),
        };
        let id = media.id.as_mut()?;
        Some(FileUse { field: format!("{path}.header.{kind}.id"), kind, voice: false, id })
    }
}

impl Interactive {
    /// Returns the parts that every kind has: header, body and footer.
    pub(super) fn shown(&self) -> (Option<&Header>, Option<&Words>, Option<&Words>) {
        fn of<A>(card: &Card<A>) -> (Option<&Header>, Option<&Words>, Option<&Words>) {
            (card.header.as_ref(), card.body.as_ref(), card.footer.as_ref())
        }
        match self {
            Self::Button(card) => of(card),
            Self::List(card) => of(card),
            Self::CtaUrl(card) => of(card),
            Self::Product(card) => of(card),
            Self::ProductList(card) => of(card),
            Self::CatalogMessage(card) => of(card),
            Self::Carousel(card) => of(card),
            Self::Flow(card) => of(card),
            Self::AddressMessage(card) => of(card),
            Self::VoiceCall(card) => of(card),
            Self::LocationRequestMessage(card)
            | Self::RequestContactInfo(card)
            | Self::CallPermissionRequest(card)
            | Self::OrderDetails(card)
            | Self::OrderStatus(card) => of(card),
        }
    }

    pub(super) fn files(&mut self) -> Vec<FileUse<'_>> {
        let header = match self {
            Self::Button(card) => &mut card.header,
            Self::CtaUrl(card) => &mut card.header,
            Self::Flow(card) => &mut card.header,
            Self::OrderDetails(card) => &mut card.header,
            Self::Carousel(card) => {
                let mut files = Vec::new();
                for (place, card) in card.action.cards.iter_mut().enumerate() {
                    let path = format!("interactive.action.cards[{place}]");
                    files.extend(card.header.as_mut().and_then(|header| header.file_use(&path)));
                }
                return files;
            }
            _ => return Vec::new(),
        };
        header.as_mut().and_then(|header| header.file_use("interactive")).into_iter().collect()
    }
}
