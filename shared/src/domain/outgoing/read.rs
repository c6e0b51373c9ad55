//! Parsing of outgoing messages from JSON, with the path of each error.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::conversations::content::Text;
use crate::domain::outgoing::{Interactive, MessageKind, Outgoing, Violation};

/// Meta's code for "invalid parameter".
const INVALID_PARAMETER: i64 = 100;
/// Meta's code for "required parameter is missing".
const MISSING: i64 = 131_008;
/// Meta's code for "unsupported message type".
const UNSUPPORTED: i64 = 131_051;

impl Outgoing {
    /// Parses the object under the key `kind`, and checks it.
    ///
    /// # Errors
    /// The first broken rule, with its field.
    pub fn read(kind: &str, object: Value) -> Result<Self, Violation> {
        let object = tidy(kind, object);
        let unsupported = || Violation::new("type", UNSUPPORTED, format!("must be one of {}", MessageKind::list()));
        let outgoing = match MessageKind::of(kind).ok_or_else(unsupported)? {
            MessageKind::Text => Self::Text(text(object)?),
            MessageKind::Image => Self::Image(typed(kind, object)?),
            MessageKind::Video => Self::Video(typed(kind, object)?),
            MessageKind::Audio => Self::Audio(typed(kind, object)?),
            MessageKind::Document => Self::Document(typed(kind, object)?),
            MessageKind::Sticker => Self::Sticker(typed(kind, object)?),
            MessageKind::Location => Self::Location(typed(kind, object)?),
            MessageKind::Contacts => Self::Contacts(typed(kind, object)?),
            MessageKind::Reaction => Self::Reaction(typed(kind, object)?),
            MessageKind::Interactive => Self::Interactive(Box::new(interactive(object)?)),
            MessageKind::Template => Self::Template(typed(kind, object)?),
        };
        outgoing.check()?;
        Ok(outgoing)
    }
}

/// Returns the object as Meta reads it: an optional field that is `null` is left out, as generated clients write it;
/// and the words of a template are in lower case, of which Meta's own examples have some in upper case.
fn tidy(kind: &str, mut object: Value) -> Value {
    without_nulls(&mut object);
    if kind == MessageKind::Template.as_str() {
        lower_case_words(&mut object);
    }
    object
}

fn without_nulls(value: &mut Value) {
    if let Value::Object(object) = value {
        object.retain(|_, value| !value.is_null());
        // The data of a flow is the caller's own, and so is what a `null` in it means.
        object.iter_mut().filter(|(key, _)| *key != "data").for_each(|(_, value)| without_nulls(value));
    } else if let Value::Array(list) = value {
        list.iter_mut().for_each(without_nulls);
    }
}

fn lower_case_words(holder: &mut Value) {
    let Some(components) = holder.get_mut("components").and_then(Value::as_array_mut) else { return };
    for component in components {
        for key in ["type", "sub_type"] {
            if let Some(Value::String(word)) = component.get_mut(key) {
                word.make_ascii_lowercase();
            }
        }
        for card in component.get_mut("cards").and_then(Value::as_array_mut).into_iter().flatten() {
            lower_case_words(card);
        }
    }
}

/// Parses one object. Errors carry the path below `field`. An array is accepted only where one is expected: serde would
/// otherwise read it as an object, field by field.
fn typed<T: DeserializeOwned>(field: &str, object: Value) -> Result<T, Violation> {
    if field != "contacts" && !object.is_object() {
        return Err(Violation::new(field, INVALID_PARAMETER, "must be an object".to_owned()));
    }
    serde_path_to_error::deserialize(object).map_err(|error| {
        let inside = error.path().to_string();
        let path = if inside == "." {
            field.to_owned()
        } else if inside.starts_with('[') {
            format!("{field}{inside}")
        } else {
            format!("{field}.{inside}")
        };
        let rule = error.inner().to_string();
        let code = if rule.starts_with("missing field") { MISSING } else { INVALID_PARAMETER };
        Violation::new(&path, code, rule)
    })
}

/// Parses a text and refuses unknown fields. The type itself accepts them, because it is also used for received
/// messages.
fn text(object: Value) -> Result<Text, Violation> {
    let fields = object.as_object().into_iter().flat_map(serde_json::Map::keys);
    if let Some(unknown) = fields.into_iter().find(|field| !["body", "preview_url"].contains(&field.as_str())) {
        return Err(Violation::new(&format!("text.{unknown}"), INVALID_PARAMETER, "is no field of a text".to_owned()));
    }
    typed("text", object)
}

/// Parses an interactive message by its kind, so that the path of an error leads into it.
fn interactive(mut object: Value) -> Result<Interactive, Violation> {
    let kind = object.as_object_mut().and_then(|object| object.remove("type"));
    let Some(Value::String(kind)) = kind else {
        return Err(Violation::new("interactive.type", MISSING, "is required".to_owned()));
    };
    let field = "interactive";
    Ok(match kind.as_str() {
        "button" => Interactive::Button(typed(field, object)?),
        "list" => Interactive::List(typed(field, object)?),
        "cta_url" => Interactive::CtaUrl(typed(field, object)?),
        "location_request_message" => Interactive::LocationRequestMessage(typed(field, object)?),
        "request_contact_info" => Interactive::RequestContactInfo(typed(field, object)?),
        "product" => Interactive::Product(typed(field, object)?),
        "product_list" => Interactive::ProductList(typed(field, object)?),
        "catalog_message" => Interactive::CatalogMessage(typed(field, object)?),
        "carousel" => Interactive::Carousel(typed(field, object)?),
        "flow" => Interactive::Flow(typed(field, object)?),
        "address_message" => Interactive::AddressMessage(typed(field, object)?),
        "call_permission_request" => Interactive::CallPermissionRequest(typed(field, object)?),
        "voice_call" => Interactive::VoiceCall(typed(field, object)?),
        "order_details" => Interactive::OrderDetails(typed(field, object)?),
        "order_status" => Interactive::OrderStatus(typed(field, object)?),
        _ => {
            let rule = "must be a kind of interactive message that Meta has, such as button, list, cta_url or flow";
            return Err(Violation::new("interactive.type", INVALID_PARAMETER, rule.to_owned()));
        }
    })
}
