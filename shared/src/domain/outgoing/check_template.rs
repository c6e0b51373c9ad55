//! Rules of template messages that can be checked without the template's definition.

use crate::domain::outgoing::check::{
    Checked, INVALID, MISSING, VALUE, Violation, at_most, file, holds, length, link, location, unique, words,
};
use crate::domain::outgoing::{
    COUPON_MAX, Component, PAYLOAD_MAX, Parameter, TEMPLATE_BODY_MAX, TEMPLATE_BUTTONS_MAX, TEMPLATE_NAME_MAX,
    TEMPLATE_SPACES_MAX, Template,
};

/// Meta's code for "number of parameters does not match".
const COUNT: i64 = 132_000;
/// Meta's code for "text too long after filling in".
const TOO_LONG: i64 = 132_005;
/// Meta's code for "parameter format does not match".
const FORMAT: i64 = 132_012;

const SUB_TYPES: [&str; 8] =
    ["quick_reply", "url", "copy_code", "flow", "catalog", "mpm", "voice_call", "order_details"];

impl Template {
    pub(super) fn check(&self) -> Checked {
        words("template.name", &self.name, TEMPLATE_NAME_MAX)?;
        let spelled = self.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        holds("template.name", VALUE, spelled, "must be lower-case letters, digits and underscores")?;
        let code = &self.language.code;
        let locale = (2..=15).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        holds("template.language.code", VALUE, locale, "must be a locale such as en_US")?;
        let policy = self.language.policy.as_deref().is_none_or(|policy| policy == "deterministic");
        holds("template.language.policy", VALUE, policy, "must be deterministic, or left out")?;
        components("template.components", &self.components)
    }
}

fn components(path: &str, components: &[Component]) -> Checked {
    let mut buttons = Vec::new();
    let mut once = Vec::new();
    for (at, component) in components.iter().enumerate() {
        let path = format!("{path}[{at}]");
        match component {
            Component::Header { parameters } => {
                once.push("header");
                holds(&format!("{path}.parameters"), COUNT, parameters.len() == 1, "must be one parameter")?;
            }
            Component::Body { parameters } => {
                once.push("body");
                body(&path, parameters)?;
            }
            Component::Button { sub_type, index, parameters } => {
                button(&path, sub_type, parameters)?;
                let place = index.0.parse::<usize>().is_ok_and(|place| place < TEMPLATE_BUTTONS_MAX);
                holds(&format!("{path}.index"), VALUE, place, "must be from 0 to 9")?;
                buttons.push(index.0.as_str());
            }
            Component::LimitedTimeOffer { parameters } => {
                once.push("limited_time_offer");
                let one = matches!(parameters[..], [Parameter::LimitedTimeOffer { .. }]);
                holds(&format!("{path}.parameters"), FORMAT, one, "must be one limited_time_offer")?;
            }
            Component::Carousel { cards } => {
                once.push("carousel");
                for (at, card) in cards.iter().enumerate() {
                    let path = format!("{path}.cards[{at}]");
                    let in_order = usize::try_from(card.card_index) == Ok(at);
                    holds(&format!("{path}.card_index"), VALUE, in_order, "must count up from 0")?;
                    self::components(&format!("{path}.components"), &card.components)?;
                }
            }
            Component::TapTargetConfiguration { .. } => once.push("tap_target_configuration"),
        }
        for (at, parameter) in component.parameters().iter().enumerate() {
            one(&format!("{path}.parameters[{at}]"), parameter)?;
        }
    }
    unique(path, "component", once)?;
    unique(path, "button index", buttons)
}

fn body(path: &str, parameters: &[Parameter]) -> Checked {
    let path = format!("{path}.parameters");
    let mut total = 0;
    let mut names = Vec::new();
    for (at, parameter) in parameters.iter().enumerate() {
        let path = format!("{path}[{at}]");
        match parameter {
            Parameter::Text { text, parameter_name } => {
                let broken = text.contains(['\n', '\t', '\r']);
                holds(&format!("{path}.text"), FORMAT, !broken, "must not contain a line break or a tab")?;
                let spaces = text.contains(&" ".repeat(TEMPLATE_SPACES_MAX + 1));
                let rule = format!("must not contain more than {TEMPLATE_SPACES_MAX} spaces in a row");
                holds(&format!("{path}.text"), FORMAT, !spaces, &rule)?;
                total += length(text);
                names.push(parameter_name.as_deref());
            }
            Parameter::Currency { currency } => total += length(&currency.fallback_value),
            Parameter::DateTime { date_time } => total += length(&date_time.fallback_value),
            _ => return Err(Violation::new(&path, FORMAT, "must be text, currency or date_time".to_owned())),
        }
    }
    let rule = format!("must be at most {TEMPLATE_BODY_MAX} characters together (UTF-16 units)");
    holds(&path, TOO_LONG, total <= TEMPLATE_BODY_MAX, &rule)?;
    let named: Vec<&str> = names.iter().flatten().copied().collect();
    let alike = named.is_empty() || named.len() == names.len();
    holds(&path, FORMAT, alike, "must all have a parameter_name, or none")?;
    unique(&path, "parameter_name", named)
}

fn button(path: &str, sub_type: &str, parameters: &[Parameter]) -> Checked {
    let known = SUB_TYPES.contains(&sub_type);
    holds(&format!("{path}.sub_type"), VALUE, known, &format!("must be one of {}", SUB_TYPES.join(", ")))?;
    let fits = |parameter: &Parameter| match sub_type {
        "quick_reply" => matches!(parameter, Parameter::Payload { .. }),
        "url" => matches!(parameter, Parameter::Text { .. }),
        "copy_code" => matches!(parameter, Parameter::CouponCode { .. }),
        "voice_call" => matches!(parameter, Parameter::TtlMinutes { .. } | Parameter::Payload { .. }),
        _ => matches!(parameter, Parameter::Action { .. }),
    };
    let rule = format!("must be what a {sub_type} button takes");
    holds(&format!("{path}.parameters"), FORMAT, parameters.iter().all(fits), &rule)
}

/// Checks the rules of a parameter that do not depend on its component.
fn one(path: &str, parameter: &Parameter) -> Checked {
    let filled = |name: &str, text: &str, max| match text.is_empty() {
        true => Err(Violation::new(&format!("{path}.{name}"), FORMAT, "must not be empty".to_owned())),
        false => at_most(&format!("{path}.{name}"), text, max),
    };
    match parameter {
        Parameter::Text { text, parameter_name } => {
            if let Some(name) = parameter_name {
                let spelled = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
                let rule = "must be lower-case letters, digits and underscores";
                holds(&format!("{path}.parameter_name"), FORMAT, spelled && !name.is_empty(), rule)?;
            }
            filled("text", text, TEMPLATE_BODY_MAX)
        }
        Parameter::Currency { currency } => {
            filled("currency.fallback_value", &currency.fallback_value, TEMPLATE_BODY_MAX)?;
            let code = currency.code.len() == 3 && currency.code.bytes().all(|b| b.is_ascii_uppercase());
            holds(&format!("{path}.currency.code"), FORMAT, code, "must be an ISO 4217 code such as EUR")
        }
        Parameter::DateTime { date_time } => {
            filled("date_time.fallback_value", &date_time.fallback_value, TEMPLATE_BODY_MAX)
        }
        Parameter::Image { image } => file(&format!("{path}.image"), image, false, false),
        Parameter::Video { video } => file(&format!("{path}.video"), video, false, false),
        Parameter::Document { document } => file(&format!("{path}.document"), document, false, true),
        Parameter::Location { location: place } => {
            let named = place.name.is_some() && place.address.is_some();
            holds(&format!("{path}.location"), MISSING, named, "needs name and address in a template")?;
            location(&format!("{path}.location"), place)
        }
        Parameter::Product { product } => {
            words(&format!("{path}.product.catalog_id"), &product.catalog_id, PAYLOAD_MAX)?;
            words(&format!("{path}.product.product_retailer_id"), &product.product_retailer_id, PAYLOAD_MAX)
        }
        Parameter::Payload { payload } => filled("payload", payload, PAYLOAD_MAX),
        Parameter::CouponCode { coupon_code } => filled("coupon_code", coupon_code, COUPON_MAX),
        Parameter::Action { action } => {
            holds(&format!("{path}.action"), FORMAT, action.is_object(), "must be an object")
        }
        Parameter::LimitedTimeOffer { limited_time_offer } => {
            let path = format!("{path}.limited_time_offer.expiration_time_ms");
            holds(&path, VALUE, limited_time_offer.expiration_time_ms > 0, "must be Unix milliseconds")
        }
        Parameter::TapTargetConfiguration { tap_target_configuration } => {
            let targets = tap_target_configuration.as_array().map(Vec::as_slice).unwrap_or_default();
            holds(&format!("{path}.tap_target_configuration"), INVALID, !targets.is_empty(), "must be a list")?;
            for (at, target) in targets.iter().enumerate() {
                let url = target.get("url").and_then(serde_json::Value::as_str).unwrap_or_default();
                link(&format!("{path}.tap_target_configuration[{at}].url"), url)?;
            }
            Ok(())
        }
        Parameter::TtlMinutes { ttl_minutes } => {
            let within = crate::domain::outgoing::CALL_TTL_MINUTES.contains(ttl_minutes);
            holds(&format!("{path}.ttl_minutes"), VALUE, within, "must be 1 to 43200 (30 days)")
        }
    }
}
