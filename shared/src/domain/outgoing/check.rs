//! Checks of outgoing messages: every known rule for which Meta would refuse a message, checked before the request.

use serde_json::Value;

use crate::domain::outgoing::emoji;
use crate::domain::outgoing::{
    CAPTION_MAX, CONTACTS_MAX, Degrees, FILENAME_MAX, LINK_MAX, Outgoing, OutgoingContact, OutgoingMedia, Place,
    TEXT_BODY_MAX,
};

/// Meta's code for "invalid parameter".
pub(super) const INVALID: i64 = 100;
/// Meta's code for "required parameter is missing".
pub(super) const MISSING: i64 = 131_008;
/// Meta's code for "parameter value is not valid".
pub(super) const VALUE: i64 = 131_009;
/// Meta's code for a media file that cannot be fetched.
const MEDIA: i64 = 131_053;

/// A rule that a message breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {rule}")]
pub struct Violation {
    /// Path of the field.
    pub field: String,
    /// The broken rule, in words that continue the field's path.
    pub rule: String,
    /// Error code that Meta would return.
    pub code: i64,
}

pub(super) type Checked = Result<(), Violation>;

impl Violation {
    pub(super) fn new(field: &str, code: i64, rule: String) -> Self {
        Self { field: field.to_owned(), rule, code }
    }
}

/// Returns the length in UTF-16 units, the largest number of characters that Meta may count.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Checks a text of one to `max` characters.
pub(super) fn words(field: &str, text: &str, max: usize) -> Checked {
    if text.trim().is_empty() {
        return Err(Violation::new(field, MISSING, "must not be empty".to_owned()));
    }
    at_most(field, text, max)
}

/// Checks texts that are optional but must not be empty.
pub(super) fn filled(path: &str, parts: &[(&str, &Option<String>)]) -> Checked {
    for (name, text) in parts {
        if let Some(text) = text {
            words(&format!("{path}.{name}"), text, TEXT_BODY_MAX)?;
        }
    }
    Ok(())
}

/// Checks a text of at most `max` characters.
pub(super) fn at_most(field: &str, text: &str, max: usize) -> Checked {
    if length(text) > max {
        return Err(Violation::new(field, VALUE, format!("must be at most {max} characters (UTF-16 units)")));
    }
    if text.contains('\0') {
        return Err(Violation::new(field, VALUE, "must not contain the character U+0000".to_owned()));
    }
    Ok(())
}

pub(super) fn holds(field: &str, code: i64, holds: bool, rule: &str) -> Checked {
    if holds { Ok(()) } else { Err(Violation::new(field, code, rule.to_owned())) }
}

/// Returns the rest of an `http` or `https` URL after the scheme, which may be in upper case.
pub(super) fn after_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)).then_some(rest)
}

/// Checks that Meta can open a link: `http` or `https`, with a host.
pub(super) fn link(field: &str, url: &str) -> Checked {
    at_most(field, url, LINK_MAX)?;
    let host = after_scheme(url).unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let spaced = url.chars().any(|c| c.is_whitespace() || c.is_control());
    holds(field, VALUE, !host.is_empty() && !spaced, "must be an http or https link")
}

impl Outgoing {
    /// Checks every rule, and stops at the first broken one.
    ///
    /// # Errors
    /// Names the field, the rule, and the error code that Meta would return.
    pub fn check(&self) -> Checked {
        match self {
            Self::Text(text) => words("text.body", &text.body, TEXT_BODY_MAX),
            Self::Image(media) => file("image", media, true, false),
            Self::Video(media) => file("video", media, true, false),
            Self::Document(media) => file("document", media, true, true),
            Self::Audio(media) => file("audio", media, false, false),
            Self::Sticker(media) => file("sticker", media, false, false),
            Self::Location(place) => location("location", place),
            Self::Contacts(contacts) => cards(contacts),
            Self::Reaction(reaction) => {
                holds("reaction.message_id", VALUE, is_wamid(&reaction.message_id), "must be the id of a message")?;
                let one = reaction.emoji.is_empty() || emoji::is_one(&reaction.emoji);
                holds("reaction.emoji", VALUE, one, "must be one emoji, or empty to take the reaction back")
            }
            Self::Interactive(interactive) => interactive.check(),
            Self::Template(template) => template.check(),
        }
    }
}

fn is_wamid(text: &str) -> bool {
    crate::domain::ids::ProviderMessageId::parse(text).is_ok()
}

/// Checks a file given by id or by link, and the fields that its kind allows.
pub(super) fn file(field: &str, media: &OutgoingMedia, captioned: bool, named: bool) -> Checked {
    match (&media.id, &media.link) {
        (Some(id), None) => {
            let known = id.starts_with("med_") || (!id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
            holds(&format!("{field}.id"), MEDIA, known, "must be an id from POST /v1/media, or Meta's id of a file")?;
        }
        (None, Some(url)) => link(&format!("{field}.link"), url)?,
        (None, None) => return Err(Violation::new(field, MISSING, "needs `id` or `link`".to_owned())),
        (Some(_), Some(_)) => {
            return Err(Violation::new(field, INVALID, "takes `id` or `link`, not both".to_owned()));
        }
    }
    if let Some(caption) = &media.caption {
        let path = format!("{field}.caption");
        holds(&path, INVALID, captioned, "is not shown with this kind: leave it out")?;
        at_most(&path, caption, CAPTION_MAX)?;
    }
    if let Some(name) = &media.filename {
        let path = format!("{field}.filename");
        holds(&path, INVALID, named, "is only for documents: leave it out")?;
        words(&path, name, FILENAME_MAX)?;
        let plain = !name.chars().any(|c| c.is_control() || c == '/' || c == '\\');
        holds(&path, VALUE, plain, "must be a name without a folder")?;
    }
    holds(&format!("{field}.voice"), INVALID, media.voice.is_none() || field == "audio", "is only for audio")
}

pub(super) fn location(field: &str, place: &Place) -> Checked {
    let within = |degrees: &Degrees, most: f64| degrees.0.parse::<f64>().is_ok_and(|it| it.abs() <= most);
    holds(&format!("{field}.latitude"), VALUE, within(&place.latitude, 90.0), "must be from -90 to 90")?;
    holds(&format!("{field}.longitude"), VALUE, within(&place.longitude, 180.0), "must be from -180 to 180")?;
    for (part, text) in [("name", &place.name), ("address", &place.address)] {
        if let Some(text) = text {
            at_most(&format!("{field}.{part}"), text, TEXT_BODY_MAX)?;
        }
    }
    Ok(())
}

fn cards(contacts: &[OutgoingContact]) -> Checked {
    let some = (1..=CONTACTS_MAX).contains(&contacts.len());
    holds("contacts", VALUE, some, &format!("must be 1 to {CONTACTS_MAX} cards"))?;
    for (place, contact) in contacts.iter().enumerate() {
        let path = format!("contacts[{place}]");
        words(&format!("{path}.name.formatted_name"), &contact.name.formatted_name, TEXT_BODY_MAX)?;
        let rule = "needs one more part, such as first_name";
        holds(&format!("{path}.name"), MISSING, contact.name.has_part(), rule)?;
        if let Some(birthday) = &contact.birthday {
            let date = birthday.parse::<jiff::civil::Date>().is_ok() && birthday.len() == 10;
            holds(&format!("{path}.birthday"), VALUE, date, "must be YYYY-MM-DD")?;
        }
        for (at, one) in contact.phones.iter().enumerate() {
            let parts = [("phone", &one.phone), ("wa_id", &one.wa_id), ("type", &one.kind)];
            filled(&format!("{path}.phones[{at}]"), &parts)?;
        }
        for (at, one) in contact.emails.iter().enumerate() {
            words(&format!("{path}.emails[{at}].email"), &one.email, TEXT_BODY_MAX)?;
            filled(&format!("{path}.emails[{at}]"), &[("type", &one.kind)])?;
        }
        for (at, one) in contact.urls.iter().enumerate() {
            words(&format!("{path}.urls[{at}].url"), &one.url, LINK_MAX)?;
            filled(&format!("{path}.urls[{at}]"), &[("type", &one.kind)])?;
        }
        let name = &contact.name;
        let parts = [
            ("first_name", &name.first_name),
            ("last_name", &name.last_name),
            ("middle_name", &name.middle_name),
            ("suffix", &name.suffix),
            ("prefix", &name.prefix),
        ];
        filled(&format!("{path}.name"), &parts)?;
    }
    Ok(())
}

/// Checks that all ids are different.
pub(super) fn unique<'a>(field: &str, what: &str, ids: impl IntoIterator<Item = &'a str>) -> Checked {
    let mut seen = std::collections::BTreeSet::new();
    let all = ids.into_iter().all(|id| seen.insert(id));
    holds(field, VALUE, all, &format!("must not have the same {what} twice"))
}

/// Parses the action of a carousel card as the type that its kind requires.
pub(super) fn action<T: serde::de::DeserializeOwned>(field: &str, action: &Value) -> Result<T, Violation> {
    serde_json::from_value(action.clone()).map_err(|error| Violation::new(field, INVALID, error.to_string()))
}
