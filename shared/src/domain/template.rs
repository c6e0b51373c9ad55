//! Templates of an account, as they are mirrored from Meta.

use jiff::Timestamp;

/// A template's name and language, which name it: `order_update.en_US`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateKey {
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
}

/// Longest name of a template, in characters (Meta).
pub const NAME_MAX: usize = 512;
/// Longest language code, in characters.
pub const LANGUAGE_MAX: usize = 15;

impl TemplateKey {
    /// Reads one as it is written in a path.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, language) = text.split_once('.')?;
        (is_name(name) && is_language(language)).then(|| Self { name: name.to_owned(), language: language.to_owned() })
    }
}

impl std::fmt::Display for TemplateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.name, self.language)
    }
}

/// Lower-case letters, digits and underscores (Meta).
#[must_use]
pub fn is_name(name: &str) -> bool {
    let spelled = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    spelled && (1..=NAME_MAX).contains(&name.len())
}

/// A locale such as `en_US` or `es`.
#[must_use]
pub fn is_language(code: &str) -> bool {
    (2..=LANGUAGE_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A template with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRecord {
    /// Its name.
    pub name: String,
    /// Its language, such as `en_US`.
    pub language: String,
    /// Meta's id of it; `None` while only a webhook or a refusal told of it.
    pub id: Option<String>,
    /// Meta's word, such as `APPROVED`.
    pub status: Option<String>,
    /// Since when.
    pub status_at: Option<Timestamp>,
    /// Meta's word, such as `UTILITY`.
    pub category: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality: Option<String>,
    /// Why it was rejected.
    pub rejected_reason: Option<String>,
    /// Its variables have names.
    pub named: bool,
    /// Meta's components, JSON; `None` while they were not fetched.
    pub components: Option<String>,
    /// When it was last fetched.
    pub fetched_at: Option<Timestamp>,
}

/// A template as Meta lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTemplate {
    /// Meta's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
    /// Meta's word.
    pub status: String,
    /// Meta's word.
    pub category: String,
    /// Meta's word.
    pub quality: Option<String>,
    /// Why it was rejected.
    pub rejected_reason: Option<String>,
    /// Its variables have names.
    pub named: bool,
    /// Its components, JSON.
    pub components: String,
}
