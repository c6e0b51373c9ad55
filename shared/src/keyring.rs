//! The installation's own secrets, by version. After a replacement the previous version is still accepted, so nothing
//! that depends on it is refused (`docs/reliability.md#section-4-4`).

use std::sync::Arc;

use crate::cache::Cache;
use crate::secret::{Sealed, Secret};

/// A secret of the installation, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemSecret {
    /// Version, counted from 1.
    pub version: u32,
    /// The current version, sealed.
    pub sealed: Sealed,
    /// The previous version, sealed, while it is accepted.
    pub previous: Option<Sealed>,
}

/// Name of a secret of the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemSecretName {
    /// The pepper that API keys are hashed with.
    ApiKeyPepper,
    /// The key that callback data are authenticated with.
    CallbackMac,
}

impl SystemSecretName {
    /// All names.
    pub const ALL: [Self; 2] = [Self::ApiKeyPepper, Self::CallbackMac];

    /// Returns the name in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeyPepper => "api-key-pepper",
            Self::CallbackMac => "callback-mac",
        }
    }
}

/// The accepted versions of a secret, in clear.
#[derive(Debug, Clone)]
pub struct Keyring {
    version: u32,
    current: Secret,
    previous: Option<Secret>,
}

/// Result of looking up a version.
#[derive(Debug, Clone, Copy)]
pub enum Version<'a> {
    /// The version is accepted.
    Known(&'a Secret),
    /// The version is no longer accepted, or never existed.
    Unknown,
    /// The version is newer than the cached secret, which was replaced a moment ago.
    Newer,
}

impl Keyring {
    /// Creates the keyring of a secret that was never replaced.
    #[must_use]
    pub fn first(secret: Secret) -> Self {
        Self::new(1, secret, None)
    }

    /// Creates a keyring from the current version and the previous one.
    #[must_use]
    pub fn new(version: u32, current: Secret, previous: Option<Secret>) -> Self {
        Self { version, current, previous }
    }

    /// Returns the current version and its secret.
    #[must_use]
    pub fn current(&self) -> (u32, &Secret) {
        (self.version, &self.current)
    }

    /// Returns the secret of `version`, if it is accepted.
    #[must_use]
    pub fn of(&self, version: u32) -> Version<'_> {
        match &self.previous {
            _ if version == self.version => Version::Known(&self.current),
            _ if version > self.version => Version::Newer,
            Some(previous) if version + 1 == self.version => Version::Known(previous),
            _ => Version::Unknown,
        }
    }
}

/// A cache of one keyring.
pub type Remembered = Cache<(), Arc<Keyring>>;
