//! Environment variables, read once at start. Every error names the variable.

/// A variable that is missing or unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set, or empty.
    #[error("environment variable {0} is not set or empty")]
    Missing(&'static str),
    /// The variable has an unusable value. The value is not repeated, because it may be a secret.
    #[error("environment variable {name} has an unusable value: {rule}")]
    Invalid {
        /// Name of the variable.
        name: &'static str,
        /// The rule that its value must meet.
        rule: &'static str,
    },
}

/// Returns the value of `name`.
///
/// # Errors
/// [`ConfigError::Missing`] when it is absent or empty.
pub fn required(name: &'static str) -> Result<String, ConfigError> {
    optional(name).ok_or(ConfigError::Missing(name))
}

/// Returns the value of `name`, if it is set and not empty.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
