//! JSON parsed one level at a time; a value that is not read is not checked either. A repeated key, a number too large
//! for a float or a hundred levels of nesting make only their own value unreadable.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// Significant digits that every JSON reader retains (IEEE 754 binary64).
const EXACT_DIGITS: usize = 15;

/// A JSON value and, if it is an object, its keys.
pub(super) struct Node<'a> {
    raw: &'a RawValue,
    keys: HashMap<Cow<'a, str>, &'a RawValue>,
}

impl<'a> Node<'a> {
    /// Parses `text`, which must be one JSON value.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str::<&RawValue>(text).ok().map(Self::new)
    }

    fn new(raw: &'a RawValue) -> Self {
        let is_object = raw.get().starts_with('{');
        let keys = if is_object { serde_json::from_str(raw.get()).unwrap_or_default() } else { HashMap::new() };
        Self { raw, keys }
    }

    /// Returns the value of a key; `null` counts as missing.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        self.keys.get(key).filter(|raw| raw.get() != "null").map(|raw| Node::new(raw))
    }

    /// Returns the keys of an object, sorted.
    pub(super) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.keys.keys().map(AsRef::as_ref).collect();
        keys.sort_unstable();
        keys
    }

    /// Whether the value is written as an array.
    pub(super) fn is_list(&self) -> bool {
        self.raw.get().starts_with('[')
    }

    /// Returns the elements of an array.
    pub(super) fn items(&self) -> Option<Vec<Node<'a>>> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.raw.get()).ok()?;
        Some(items.into_iter().map(Node::new).collect())
    }

    /// Returns a string's text, or a number or boolean as written: Meta writes ids and times as either.
    pub(super) fn text(&self) -> Option<String> {
        let raw = self.raw.get();
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok(),
            b'{' | b'[' | b'n' => None,
            _ => Some(raw.to_owned()),
        }
    }

    /// Returns the text of a key ([`Node::text`]).
    pub(super) fn text_of(&self, key: &str) -> Option<String> {
        self.get(key).and_then(|value| value.text())
    }

    /// Returns the text of a key, unless it is empty.
    pub(super) fn filled(&self, key: &str) -> Option<String> {
        self.text_of(key).filter(|text| !text.is_empty())
    }

    /// Returns a boolean.
    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.text_of(key).and_then(|text| text.parse().ok())
    }

    /// Returns the value as plain JSON, if it is valid. Keys are sorted, so that equal content has equal text.
    ///
    /// A number with more digits than a JSON reader retains becomes a text.
    pub(super) fn value(&self) -> Option<Value> {
        let value = serde_json::from_str(self.raw.get()).ok()?;
        let digits = self.raw.get().split(|letter: char| !(letter.is_ascii_digit() || letter == '.'));
        let is_long = digits.max_by_key(|run| run.len()).is_some_and(|run| run.len() > EXACT_DIGITS);
        Some(if is_long { self.exact() } else { value })
    }

    /// Returns the value with long numbers as texts. The value was parsed before, so its nesting is bounded.
    fn exact(&self) -> Value {
        if let Some(items) = self.items() {
            return Value::Array(items.iter().map(Node::exact).collect());
        }
        let raw = self.raw.get();
        match raw.as_bytes().first() {
            Some(b'{') => {
                let exact = |(key, raw): (&Cow<'_, str>, &&'a RawValue)| (key.to_string(), Node::new(raw).exact());
                Value::Object(self.keys.iter().map(exact).collect())
            }
            Some(b'-' | b'0'..=b'9') if raw.bytes().filter(u8::is_ascii_digit).count() > EXACT_DIGITS => {
                // Whole numbers of 64 bits are exact.
                let is_exact = raw.parse::<i64>().is_ok() || raw.parse::<u64>().is_ok();
                if is_exact { serde_json::from_str(raw).unwrap_or_default() } else { Value::String(raw.to_owned()) }
            }
            _ => serde_json::from_str(raw).unwrap_or_default(),
        }
    }

    /// Returns the value as it was written.
    pub(super) fn raw(&self) -> &'a str {
        self.raw.get()
    }
}

/// Replaces unpaired escapes from `\uD800` to `\uDFFF` by `\ufffd`, as a browser would. JSON with one is invalid
/// Unicode, which neither a parser nor a client accepts.
pub(super) fn without_lone_surrogates(raw: &str) -> Cow<'_, str> {
    if !raw.contains("\\ud") && !raw.contains("\\uD") {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (escape, after) = split_escape(&rest[at..]);
        match (unit(escape), unit(split_escape(after).0)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => {
                let (low, after_pair) = split_escape(after);
                out.push_str(escape);
                out.push_str(low);
                rest = after_pair;
            }
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str("\\ufffd");
                rest = after;
            }
            _ => {
                out.push_str(escape);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Splits off the escape at the beginning of `text`, if there is one.
fn split_escape(text: &str) -> (&str, &str) {
    let length = match text.as_bytes() {
        [b'\\', b'u', ..] => 6,
        [b'\\', ..] => 2,
        _ => 0,
    };
    text.split_at_checked(length).unwrap_or((text, ""))
}

fn unit(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.strip_prefix("\\u")?, 16).ok()
}
