//! Templates: the name, the language, and a parameter for each variable.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{FileUse, OutgoingMedia, Place};

/// An approved template with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: Language,
    /// Its parts that have parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub components: Vec<Component>,
}

/// A template's language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// Exactly the template's locale, such as `en_US`.
    pub code: String,
    /// `deterministic`, from older clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Component {
    /// The header: one parameter.
    Header {
        /// Its parameters.
        parameters: Vec<Parameter>,
    },
    /// The body.
    Body {
        /// Its parameters.
        parameters: Vec<Parameter>,
    },
    /// A button.
    Button {
        /// `quick_reply`, `url`, `copy_code`, `flow`, `catalog`, `mpm`, `voice_call` or `order_details`.
        sub_type: String,
        /// Its place, from 0.
        index: Index,
        /// Its parameters.
        #[serde(default)]
        parameters: Vec<Parameter>,
    },
    /// An offer that ends.
    LimitedTimeOffer {
        /// When.
        parameters: Vec<Parameter>,
    },
    /// Cards beside each other, as many as the template has.
    Carousel {
        /// The cards.
        cards: Vec<TemplateCard>,
    },
    /// What a tap on the message opens; eligible businesses only.
    TapTargetConfiguration {
        /// The targets.
        parameters: Vec<Parameter>,
    },
}

/// A card of a template's carousel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateCard {
    /// Its place, from 0.
    pub card_index: u32,
    /// Its parts that have parameters.
    #[schema(no_recursion)]
    pub components: Vec<Component>,
}

/// A place among the buttons, number or text; on the wire a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Index(pub String);

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::text_or_number(deserializer).map(Self)
    }
}

/// A value for a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Parameter {
    /// A text.
    Text {
        /// The text.
        text: String,
        /// The variable's name, in a template with named variables.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parameter_name: Option<String>,
    },
    /// An amount, written as the customer's device does.
    Currency {
        /// The amount.
        currency: Currency,
    },
    /// A moment, written as given.
    DateTime {
        /// The text.
        date_time: Fallback,
    },
    /// A picture for the header.
    Image {
        /// The file.
        image: OutgoingMedia,
    },
    /// A film for the header.
    Video {
        /// The file.
        video: OutgoingMedia,
    },
    /// A file for the header.
    Document {
        /// The file.
        document: OutgoingMedia,
    },
    /// A place for the header.
    Location {
        /// The place.
        location: Place,
    },
    /// A product for the header.
    Product {
        /// Product and catalogue.
        product: super::Product,
    },
    /// What a quick-reply button sends back.
    Payload {
        /// The payload.
        payload: String,
    },
    /// The code that a button copies.
    CouponCode {
        /// The code.
        coupon_code: String,
    },
    /// What a flow, catalogue or products button does.
    Action {
        /// As Meta's page of that button has it.
        action: Value,
    },
    /// When the offer ends.
    LimitedTimeOffer {
        /// The end.
        limited_time_offer: OfferEnd,
    },
    /// What a tap opens.
    TapTargetConfiguration {
        /// Links and titles.
        tap_target_configuration: Value,
    },
    /// How long a call button works.
    TtlMinutes {
        /// Minutes.
        ttl_minutes: u32,
    },
}

/// An amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Currency {
    /// Shown where the device cannot write it.
    pub fallback_value: String,
    /// ISO 4217.
    pub code: String,
    /// The amount times 1000.
    pub amount_1000: i64,
}

/// A text shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// The text.
    pub fallback_value: String,
}

/// The end of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferEnd {
    /// Unix milliseconds.
    pub expiration_time_ms: i64,
}

impl Component {
    /// The component's parameters; those of its cards are theirs.
    #[must_use]
    pub fn parameters(&self) -> &[Parameter] {
        match self {
            Self::Header { parameters }
            | Self::Body { parameters }
            | Self::Button { parameters, .. }
            | Self::LimitedTimeOffer { parameters }
            | Self::TapTargetConfiguration { parameters } => parameters,
            Self::Carousel { .. } => &[],
        }
    }

    fn files(&mut self, path: &str) -> Vec<FileUse<'_>> {
        match self {
            Self::Header { parameters } => parameters
                .iter_mut()
                .enumerate()
                .filter_map(|(place, one)| one.file(&format!("{path}.parameters[{place}]")))
                .collect(),
            Self::Carousel { cards } => {
                let mut files = Vec::new();
                for (place, card) in cards.iter_mut().enumerate() {
                    for (part, component) in card.components.iter_mut().enumerate() {
                        files.extend(component.files(&format!("{path}.cards[{place}].components[{part}]")));
                    }
                }
                files
            }
            _ => Vec::new(),
        }
    }
}

impl Parameter {
    fn file(&mut self, path: &str) -> Option<FileUse<'_>> {
        let (kind, media) = match self {
            Self::Image { image } => ("image", image),
            Self::Video { video } => ("video", video),
            Self::Document { document } => ("document", document),
            _ => return None,
        };
        Some(FileUse { field: format!("{path}.{kind}.id"), kind, voice: false, id: media.id.as_mut()? })
    }
}

impl Template {
    pub(super) fn files(&mut self) -> Vec<FileUse<'_>> {
        let components = self.components.iter_mut().enumerate();
        components.flat_map(|(place, one)| one.files(&format!("template.components[{place}]"))).collect()
    }
}
