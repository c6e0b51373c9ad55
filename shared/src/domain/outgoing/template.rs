//! Template messages: the name, the language, and a parameter per variable.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::outgoing::{FileUse, OutgoingMedia, Place};

/// A message made from an approved template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Name of the template.
    pub name: String,
    /// Language of the template.
    pub language: Language,
    /// Components of the template that have parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub components: Vec<Component>,
}

/// Language of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// Locale exactly as in the template, such as `en_US`.
    pub code: String,
    /// `deterministic`, the only policy. Used by older clients; may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Component of a template with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Component {
    /// The header. It takes exactly one parameter.
    Header {
        /// Parameters of the header.
        parameters: Vec<Parameter>,
    },
    /// The body.
    Body {
        /// Parameters of the body, in the order of the variables or with `parameter_name`.
        parameters: Vec<Parameter>,
    },
    /// A button.
    Button {
        /// Kind of button: `quick_reply`, `url`, `copy_code`, `flow`, `catalog`, `mpm`, `voice_call` or
        /// `order_details`.
        sub_type: String,
        /// Position of the button, from 0 to 9.
        index: Index,
        /// Parameters of the button.
        #[serde(default)]
        parameters: Vec<Parameter>,
    },
    /// A limited-time offer.
    LimitedTimeOffer {
        /// One parameter of type `limited_time_offer`, with the end of the offer.
        parameters: Vec<Parameter>,
    },
    /// A carousel with as many cards as the template has.
    Carousel {
        /// The cards.
        cards: Vec<TemplateCard>,
    },
    /// Target of a tap on the message. Only for eligible businesses.
    TapTargetConfiguration {
        /// Parameters of type `tap_target_configuration`.
        parameters: Vec<Parameter>,
    },
}

/// Card of a carousel template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateCard {
    /// Position of the card, counted from 0.
    pub card_index: u32,
    /// Components of the card that have parameters.
    #[schema(no_recursion)]
    pub components: Vec<Component>,
}

/// Position of a button, given as a number or a string. Meta receives a string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Index(pub String);

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::domain::outgoing::text_or_number(deserializer).map(Self)
    }
}

/// Value of a variable. `type` selects the kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Parameter {
    /// A text.
    Text {
        /// The text, at most 1024 characters.
        text: String,
        /// Name of the variable. Required in a template with named variables, not allowed in others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parameter_name: Option<String>,
    },
    /// An amount of money, formatted by the customer's device.
    Currency {
        /// The amount.
        currency: Currency,
    },
    /// A date or time, shown as given.
    DateTime {
        /// The text.
        date_time: DateTime,
    },
    /// An image for the header.
    Image {
        /// The file.
        image: OutgoingMedia,
    },
    /// A video for the header.
    Video {
        /// The file.
        video: OutgoingMedia,
    },
    /// A document for the header.
    Document {
        /// The file.
        document: OutgoingMedia,
    },
    /// A location for the header.
    Location {
        /// The location, with name and address.
        location: Place,
    },
    /// A product for the header.
    Product {
        /// Catalogue and product.
        product: crate::domain::outgoing::Product,
    },
    /// Payload of a quick-reply button.
    Payload {
        /// The payload, at most 256 characters. It is returned when the customer taps the button.
        payload: String,
    },
    /// Coupon code for a copy-code button.
    CouponCode {
        /// The code, at most 15 characters.
        coupon_code: String,
    },
    /// Action of a flow, catalogue, multi-product or order details button.
    Action {
        /// The object that Meta documents for this kind of button.
        action: Value,
    },
    /// End of a limited-time offer.
    LimitedTimeOffer {
        /// The end of the offer.
        limited_time_offer: OfferEnd,
    },
    /// Target of a tap on the message.
    TapTargetConfiguration {
        /// List of targets, each with a URL and a title.
        tap_target_configuration: Value,
    },
    /// Lifetime of a call button.
    TtlMinutes {
        /// Lifetime in minutes, 1 to 43200 (30 days).
        ttl_minutes: u32,
    },
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Currency {
    /// Text shown if the device cannot format the amount.
    pub fallback_value: String,
    /// Currency, as an ISO 4217 code.
    pub code: String,
    /// The amount multiplied by 1000.
    pub amount_1000: i64,
}

/// A date or time. Meta shows the text; the parts are passed on unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DateTime {
    /// The text, at most 1024 characters.
    pub fallback_value: String,
    /// `calendar`, `day_of_week`, `day_of_month`, `year`, `month`, `hour`, `minute`, `timestamp`.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub parts: serde_json::Map<String, serde_json::Value>,
}

/// A text that is shown as given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// The text, at most 1024 characters.
    pub fallback_value: String,
}

/// End of an offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferEnd {
    /// Time in Unix milliseconds.
    pub expiration_time_ms: i64,
}

impl Component {
    /// Returns the component's own parameters, without those of carousel cards.
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
