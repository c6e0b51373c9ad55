//! Templates of an account, mirrored from Meta.

use jiff::Timestamp;

/// Name and language, which identify a template, such as `order_update.en_US`.
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
    /// Parses a key as written in a URL path.
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

/// Returns whether the name has only lower-case letters, digits and underscores (Meta), and a valid length.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let spelled = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    spelled && (1..=NAME_MAX).contains(&name.len())
}

/// Returns whether the text looks like a locale, such as `en_US` or `es`.
#[must_use]
pub fn is_language(code: &str) -> bool {
    (2..=LANGUAGE_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A stored template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRecord {
    /// Its name.
    pub name: String,
    /// Its language, such as `en_US`.
    pub language: String,
    /// Meta's id of the template; `None` while it is known only from a webhook or a refusal.
    pub id: Option<String>,
    /// Meta's status, such as `APPROVED`.
    pub status: Option<String>,
    /// Time of the status.
    pub status_at: Option<Timestamp>,
    /// Meta's category, such as `UTILITY`.
    pub category: Option<String>,
    /// Meta's quality rating: `GREEN`, `YELLOW`, `RED` or `UNKNOWN`.
    pub quality: Option<String>,
    /// Meta's reason for a rejection.
    pub rejected_reason: Option<String>,
    /// Whether the variables are named instead of numbered.
    pub named: bool,
    /// Meta's components, as JSON; `None` until they are fetched.
    pub components: Option<String>,
    /// Time of the last fetch.
    pub fetched_at: Option<Timestamp>,
}

/// A template as Meta lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTemplate {
    /// Meta's id of the template.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its language.
    pub language: String,
    /// Meta's status.
    pub status: String,
    /// Meta's category.
    pub category: String,
    /// Meta's quality rating.
    pub quality: Option<String>,
    /// Meta's reason for a rejection.
    pub rejected_reason: Option<String>,
    /// Whether the variables are named instead of numbered.
    pub named: bool,
    /// Meta's components, as JSON.
    pub components: String,
}
