//! Definition of an approved template, and the parameters that it requires. Wrong parameters are found before the
//! request to Meta (`docs/meta/errors.md`, codes 132xxx).

use serde_json::Value;

use crate::domain::outgoing::check::{Checked, Violation, length};
use crate::domain::outgoing::{Component, Parameter, TEMPLATE_BODY_MAX, Template};

/// Meta's code for "number of parameters does not match".
const COUNT: i64 = 132_000;
/// Meta's code for "text too long after filling in".
const TOO_LONG: i64 = 132_005;
/// Meta's code for "parameter format does not match".
const FORMAT: i64 = 132_012;
/// Longest header after filling in, in characters.
const HEADER_MAX: usize = 60;

/// Definition of a template as stored at Meta: its fixed texts, and the places of its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// Whether the variables are named instead of numbered.
    pub named: bool,
    header: Slot,
    body: Option<String>,
    footer: Option<String>,
    buttons: Vec<ButtonSlot>,
    cards: Vec<Definition>,
    offer_ends: bool,
}

/// Header of a template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Slot {
    #[default]
    Nothing,
    Text(String),
    /// A file of this kind, a location or a product.
    Filled(&'static str),
    /// A kind that this version does not know. It is not checked.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ButtonSlot {
    kind: String,
    text: String,
    url: Option<String>,
    /// Id of the flow that the button opens.
    flow: Option<String>,
}

/// A template with its parameters filled in, as a customer sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// Header text, or the kind of file in brackets.
    pub header: Option<String>,
    /// Body text.
    pub body: Option<String>,
    /// Footer text.
    pub footer: Option<String>,
    /// Label and URL of each button; `None` for a button without a URL.
    pub buttons: Vec<(String, Option<String>)>,
}

impl Definition {
    /// Reads Meta's components. Unknown ones are ignored.
    #[must_use]
    pub fn read(named: bool, components: &Value) -> Self {
        let mut read = Self { named, ..Self::default() };
        for component in components.as_array().map(Vec::as_slice).unwrap_or_default() {
            let text = || component.get("text").and_then(Value::as_str).map(str::to_owned);
            match word(component, "type").as_str() {
                "HEADER" => read.header = slot(&word(component, "format"), text()),
                "BODY" => read.body = Some(text().unwrap_or_else(|| ONE_TIME_CODE.to_owned())),
                "FOOTER" => read.footer = text(),
                "BUTTONS" => {
                    let buttons = component.get("buttons").and_then(Value::as_array).map(Vec::as_slice);
                    read.buttons = buttons.unwrap_or_default().iter().map(ButtonSlot::read).collect();
                }
                "CAROUSEL" => {
                    let cards = component.get("cards").and_then(Value::as_array).map(Vec::as_slice);
                    let card = |card: &Value| Self::read(named, card.get("components").unwrap_or(&Value::Null));
                    read.cards = cards.unwrap_or_default().iter().map(card).collect();
                }
                "LIMITED_TIME_OFFER" => {
                    let offer = component.get("limited_time_offer").unwrap_or(component);
                    read.offer_ends = offer.get("has_expiration").and_then(Value::as_bool).unwrap_or(false);
                }
                _ => {}
            }
        }
        read
    }

    /// Returns the ids of the flows that the buttons open.
    pub fn flows(&self) -> impl Iterator<Item = &str> {
        self.buttons.iter().filter_map(|button| button.flow.as_deref())
    }

    /// Checks that the parameters of a message match the template.
    ///
    /// # Errors
    /// Names the field, the rule, and the error code that Meta would return.
    pub fn check(&self, sent: &Template) -> Result<(), Violation> {
        self.components("template.components", &sent.components)
    }

    fn components(&self, path: &str, sent: &[Component]) -> Checked {
        let place = |found: Option<usize>, what: &str| match found {
            Some(at) => format!("{path}[{at}].{what}"),
            None => path.to_owned(),
        };
        let header = find(sent, |one| matches!(one, Component::Header { .. }));
        self.check_header(&place(header.0, "parameters"), header.1.map(Component::parameters).unwrap_or_default())?;
        let body = find(sent, |one| matches!(one, Component::Body { .. }));
        let given = body.1.map(Component::parameters).unwrap_or_default();
        let text = self.body.as_deref().unwrap_or_default();
        self.check_text(&place(body.0, "parameters"), "body", text, given, TEMPLATE_BODY_MAX)?;
        for (at, component) in sent.iter().enumerate() {
            if let Component::Button { sub_type, index, parameters } = component {
                self.check_button(&format!("{path}[{at}]"), sub_type, &index.0, parameters)?;
            }
        }
        for (at, button) in self.buttons.iter().enumerate().filter(|(_, button)| button.must_be_filled()) {
            let given = sent.iter().any(|one| {
                let index = at.to_string();
                let Component::Button { index: given, parameters, .. } = one else { return false };
                given.0 == index && !parameters.is_empty()
            });
            holds(path, COUNT, given, || {
                format!("must have a button component for button {at} (\"{}\")", button.text)
            })?;
        }
        let offer = sent.iter().any(|one| matches!(one, Component::LimitedTimeOffer { .. }));
        holds(path, FORMAT, offer || !self.offer_ends, || {
            "must say when the offer ends: limited_time_offer".to_owned()
        })?;
        self.check_cards(path, sent)
    }

    fn check_header(&self, path: &str, given: &[Parameter]) -> Checked {
        match &self.header {
            Slot::Unknown => Ok(()),
            Slot::Nothing => {
                holds(path, COUNT, given.is_empty(), || "must be left out: the template has no header".to_owned())
            }
            Slot::Text(text) => self.check_text(path, "header", text, given, HEADER_MAX),
            Slot::Filled(kind) => {
                let fits = matches!(given, [one] if kind_of(one) == *kind);
                holds(path, FORMAT, fits, || format!("must be one {kind} for the header"))
            }
        }
    }

    /// Checks the parameters of a text: their number, their names if the variables are named, and the length of the
    /// filled-in text.
    fn check_text(&self, path: &str, what: &str, text: &str, given: &[Parameter], max: usize) -> Checked {
        let variables = variables(text);
        let list = || variables.iter().map(|name| format!("{{{{{name}}}}}")).collect::<Vec<_>>().join(", ");
        let rule = || match variables.len() {
            0 => format!("must be none: the {what} of the template has no variables"),
            count => format!("must be {count} for the {what}: {}", list()),
        };
        holds(path, COUNT, given.len() == variables.len(), rule)?;
        let mut filled = length(text);
        for (at, parameter) in given.iter().enumerate() {
            let path = format!("{path}[{at}]");
            let (value, name) = match parameter {
                Parameter::Text { text, parameter_name } => (text.as_str(), parameter_name.as_deref()),
                Parameter::Currency { currency } => (currency.fallback_value.as_str(), None),
                Parameter::DateTime { date_time } => (date_time.fallback_value.as_str(), None),
                _ => return Err(Violation::new(&path, FORMAT, format!("must be a text for the {what}"))),
            };
            let fits = match (self.named, name) {
                (true, Some(name)) => variables.iter().any(|variable| variable == name),
                (named, name) => !named && name.is_none(),
            };
            let rule = || match self.named {
                true => format!("must be one of {}", list()),
                false => "must be left out: the variables of this template have no names".to_owned(),
            };
            holds(&format!("{path}.parameter_name"), FORMAT, fits, rule)?;
            let replaced = if self.named { name } else { variables.get(at).map(String::as_str) };
            filled = filled + length(value) - replaced.map_or(0, |name| length(name) + "{{}}".len()).min(filled);
        }
        holds(path, TOO_LONG, filled <= max, || format!("makes the {what} {filled} characters long: {max} at most"))
    }

    fn check_button(&self, path: &str, sub_type: &str, index: &str, given: &[Parameter]) -> Checked {
        let button = index.parse::<usize>().ok().and_then(|at| self.buttons.get(at));
        let Some(button) = button else {
            let rule = format!("must be that of one of the template's {} buttons", self.buttons.len());
            return Err(Violation::new(&format!("{path}.index"), COUNT, rule));
        };
        let kind = button.sub_type();
        let alike = kind.is_none_or(|kind| kind == sub_type);
        holds(&format!("{path}.sub_type"), FORMAT, alike, || format!("must be {}", kind.unwrap_or_default()))?;
        let fixed = button.kind == "URL" && !button.must_be_filled();
        holds(&format!("{path}.parameters"), COUNT, given.is_empty() || !fixed, || {
            "must be left out: the button's URL has no variable".to_owned()
        })
    }

    fn check_cards(&self, path: &str, sent: &[Component]) -> Checked {
        let found = find(sent, |one| matches!(one, Component::Carousel { .. }));
        let cards = match found.1 {
            Some(Component::Carousel { cards }) => cards.as_slice(),
            _ => &[],
        };
        let path = found.0.map_or_else(|| path.to_owned(), |at| format!("{path}[{at}].cards"));
        holds(&path, COUNT, cards.len() == self.cards.len(), || format!("must be {} cards", self.cards.len()))?;
        for (at, (defined, card)) in self.cards.iter().zip(cards).enumerate() {
            defined.components(&format!("{path}[{at}].components"), &card.components)?;
        }
        Ok(())
    }

    /// Returns the template with its parameters filled in.
    #[must_use]
    pub fn fill(&self, sent: &Template) -> Filled {
        let given = |wanted: fn(&Component) -> bool| {
            find(&sent.components, wanted).1.map(Component::parameters).unwrap_or_default()
        };
        let header = match &self.header {
            Slot::Text(text) => Some(fill(text, given(|one| matches!(one, Component::Header { .. })))),
            Slot::Filled(kind) => Some(format!("[{kind}]")),
            Slot::Nothing | Slot::Unknown => None,
        };
        let body = given(|one| matches!(one, Component::Body { .. }));
        let button = |(at, button): (usize, &ButtonSlot)| {
            let given = sent.components.iter().find_map(|one| match one {
                Component::Button { index, parameters, .. } if index.0 == at.to_string() => Some(parameters.as_slice()),
                _ => None,
            });
            (button.text.clone(), button.url.as_ref().map(|url| fill(url, given.unwrap_or_default())))
        };
        Filled {
            header,
            body: self.body.as_ref().map(|text| fill(text, body)),
            footer: self.footer.clone(),
            buttons: self.buttons.iter().enumerate().map(button).collect(),
        }
    }
}

/// Body of templates for one-time codes, whose text Meta writes itself.
const ONE_TIME_CODE: &str = "{{1}} is your verification code.";

impl ButtonSlot {
    fn read(button: &Value) -> Self {
        let text = |name: &str| button.get(name).and_then(Value::as_str).map(str::to_owned);
        let flow = button.get("flow_id").map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        Self { kind: word(button, "type"), text: text("text").unwrap_or_default(), url: text("url"), flow }
    }

    /// Returns the `sub_type` of this button in a message; `None` if this version does not know it.
    fn sub_type(&self) -> Option<&'static str> {
        Some(match self.kind.as_str() {
            "QUICK_REPLY" => "quick_reply",
            // A one-time code is sent to the button as if it were part of a link.
            "URL" | "OTP" => "url",
            "COPY_CODE" => "copy_code",
            "FLOW" => "flow",
            "CATALOG" => "catalog",
            "MPM" => "mpm",
            "VOICE_CALL" => "voice_call",
            _ => return None,
        })
    }

    fn must_be_filled(&self) -> bool {
        match self.kind.as_str() {
            "URL" => self.url.as_deref().is_some_and(|url| url.contains("{{")),
            "OTP" | "COPY_CODE" | "MPM" => true,
            _ => false,
        }
    }
}

fn word(object: &Value, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_ascii_uppercase()
}

fn slot(format: &str, text: Option<String>) -> Slot {
    match format {
        "" | "TEXT" => Slot::Text(text.unwrap_or_default()),
        "IMAGE" => Slot::Filled("image"),
        "VIDEO" => Slot::Filled("video"),
        "DOCUMENT" => Slot::Filled("document"),
        "LOCATION" => Slot::Filled("location"),
        "PRODUCT" => Slot::Filled("product"),
        _ => Slot::Unknown,
    }
}

fn kind_of(parameter: &Parameter) -> &'static str {
    match parameter {
        Parameter::Image { .. } => "image",
        Parameter::Video { .. } => "video",
        Parameter::Document { .. } => "document",
        Parameter::Location { .. } => "location",
        Parameter::Product { .. } => "product",
        _ => "text",
    }
}

/// Returns the first component of a kind, and its position.
fn find(sent: &[Component], is: impl Fn(&Component) -> bool) -> (Option<usize>, Option<&Component>) {
    let at = sent.iter().position(is);
    (at, at.and_then(|at| sent.get(at)))
}

fn holds(path: &str, code: i64, holds: bool, rule: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation::new(path, code, rule())) }
}

/// Returns the names between `{{` and `}}`, each once, in the order in which parameters are given.
#[must_use]
pub fn variables(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else { break };
        let name = name.trim();
        if !name.is_empty() && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        rest = behind;
    }
    // Parameters of numbered variables are given in the order of the numbers.
    if names.iter().all(|name| name.parse::<u32>().is_ok()) {
        names.sort_by_key(|name| name.parse::<u32>().unwrap_or_default());
    }
    names
}

fn fill(text: &str, given: &[Parameter]) -> String {
    let mut filled = text.to_owned();
    for (at, name) in variables(text).iter().enumerate() {
        let by_name = given
            .iter()
            .find(|one| matches!(one, Parameter::Text { parameter_name: Some(given), .. } if given == name));
        let value = match by_name.or_else(|| given.get(at)) {
            Some(Parameter::Text { text, .. }) => text,
            Some(Parameter::Currency { currency }) => &currency.fallback_value,
            Some(Parameter::DateTime { date_time }) => &date_time.fallback_value,
            Some(Parameter::CouponCode { coupon_code }) => coupon_code,
            _ => continue,
        };
        filled = filled.replace(&format!("{{{{{name}}}}}"), value);
    }
    filled
}
