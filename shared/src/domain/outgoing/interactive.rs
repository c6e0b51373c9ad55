//! Interactive messages: a card of header, body, footer, and an action of its kind.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{FileUse, OutgoingMedia};

/// An interactive message by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Interactive {
    /// Up to three buttons to answer with.
    Button(Card<Replies>),
    /// Up to ten rows to choose from.
    List(Card<Rows>),
    /// A button that opens a link.
    CtaUrl(Card<Named<LinkButton>>),
    /// A button that shares the customer's location.
    LocationRequestMessage(Card<Named<Anything>>),
    /// A button that shares the customer's phone number.
    RequestContactInfo(Card<Named<Anything>>),
    /// One product of a catalogue.
    Product(Card<Product>),
    /// Up to thirty products of a catalogue.
    ProductList(Card<ProductSections>),
    /// The whole catalogue.
    CatalogMessage(Card<Named<Thumbnail>>),
    /// Two to ten cards beside each other.
    Carousel(Card<Cards>),
    /// A form.
    Flow(Card<Named<Flow>>),
    /// A form for a postal address; India only.
    AddressMessage(Card<Named<Address>>),
    /// Asks whether the business may call.
    CallPermissionRequest(Card<Named<Anything>>),
    /// A button that calls the business.
    VoiceCall(Card<Named<VoiceCall>>),
    /// A payment; India, Brazil, Singapore. Passed on as it is.
    OrderDetails(Card<Named<Anything>>),
    /// What became of a paid order. Passed on as it is.
    OrderStatus(Card<Named<Anything>>),
}

/// What an interactive message shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Card<A> {
    /// On top.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// The text.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub body: Option<Words>,
    /// Small, below the text.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub footer: Option<Words>,
    /// What the customer can do.
    pub action: A,
}

fn none<T>() -> Option<T> {
    None
}

/// An object that Meta takes as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct Anything(pub Map<String, Value>);

/// A text of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The text.
    pub text: String,
}

/// What stands on top of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Header {
    /// A line.
    Text {
        /// The line.
        text: String,
    },
    /// A picture.
    Image {
        /// The file.
        image: OutgoingMedia,
    },
    /// A film.
    Video {
        /// The file.
        video: OutgoingMedia,
    },
    /// A file.
    Document {
        /// The file.
        document: OutgoingMedia,
    },
}

/// Buttons to answer with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Replies {
    /// The buttons.
    pub buttons: Vec<Button>,
}

/// A button: `{"type":"reply","reply":{…}}`, on carousel cards `quick_reply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Button {
    /// On a card of its own.
    Reply {
        /// Id and label.
        reply: Reply,
    },
    /// On a carousel card.
    QuickReply {
        /// Id and label.
        quick_reply: QuickReply,
    },
}

/// A carousel card's button.
pub type QuickReply = Reply;

/// What a button sends back, and its label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Comes back with the answer.
    pub id: String,
    /// The label.
    pub title: String,
}

/// Rows to choose from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// The label of the button that opens the list.
    pub button: String,
    /// The rows in sections.
    pub sections: Vec<Section>,
}

/// A section of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Its title; required if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Comes back with the answer.
    pub id: String,
    /// The first line.
    pub title: String,
    /// The second line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// An action that Meta knows by a fixed name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Named<P> {
    /// The name that belongs to the kind.
    pub name: String,
    /// What it needs.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub parameters: Option<P>,
}

/// A button that opens a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkButton {
    /// The label.
    pub display_text: String,
    /// The link.
    pub url: String,
}

/// One product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The catalogue.
    pub catalog_id: String,
    /// The product in it.
    pub product_retailer_id: String,
}

/// Products in sections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductSections {
    /// The catalogue.
    pub catalog_id: String,
    /// The sections.
    pub sections: Vec<ProductSection>,
}

/// A section of products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductSection {
    /// Its title; required if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its products.
    pub product_items: Vec<ProductItem>,
}

/// A product of a section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductItem {
    /// The product.
    pub product_retailer_id: String,
}

/// Which product stands for the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Thumbnail {
    /// The product; the first without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail_product_retailer_id: Option<String>,
}

/// Cards beside each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cards {
    /// The cards.
    pub cards: Vec<CarouselCard>,
}

/// A card of a carousel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CarouselCard {
    /// Its place, from 0.
    pub card_index: u32,
    /// `cta_url`, `button` or `product`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its picture or film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<Header>,
    /// Its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Words>,
    /// What the customer can do with it, as in a message of that kind.
    pub action: Value,
}

/// A form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// `3`.
    pub flow_message_version: String,
    /// Comes back with the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_token: Option<String>,
    /// The flow, by id or by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_id: Option<String>,
    /// The flow, by id or by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_name: Option<String>,
    /// The label of its button.
    pub flow_cta: String,
    /// `navigate` or `data_exchange`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_action: Option<String>,
    /// The first screen and its data; only with `navigate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_action_payload: Option<FlowScreen>,
    /// `published` or `draft`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// Where a form begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FlowScreen {
    /// The screen.
    pub screen: String,
    /// What it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub data: Option<Map<String, Value>>,
}

/// A form for a postal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// `IN`.
    pub country: String,
    /// What is filled in already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub values: Option<Map<String, Value>>,
    /// Addresses to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_addresses: Option<Vec<Value>>,
    /// What was wrong with the last answer, by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub validation_errors: Option<Map<String, Value>>,
}

/// A button that calls the business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VoiceCall {
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_text: Option<String>,
    /// How long it works, in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_minutes: Option<u32>,
    /// Comes back with the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

impl Header {
    /// Its file, if it has one, and as what.
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
    /// What every kind has: header, body, footer.
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
