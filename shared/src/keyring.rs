//! The installation's own secrets by version: a new one is used while the one before is still accepted, so that replacing one
//! refuses nobody (`reliability.md` §4.4).

use std::sync::Arc;

use crate::cache::Cache;
use crate::secret::{Sealed, Secret};

/// A secret of ours as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemSecret {
    /// Counts from 1.
    pub version: u32,
    /// The one in use.
    pub sealed: Sealed,
    /// The one before, while it is accepted.
    pub previous: Option<Sealed>,
}

/// Which secret, and what it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemSecretName {
    /// What API keys are hashed with.
    ApiKeyPepper,
    /// What callback data are signed with.
    CallbackMac,
}

impl SystemSecretName {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ApiKeyPepper, Self::CallbackMac];

    /// Its name in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKeyPepper => "api-key-pepper",
            Self::CallbackMac => "callback-mac",
        }
    }
}

/// A secret's accepted versions, opened.
#[derive(Debug, Clone)]
pub struct Keyring {
    version: u32,
    current: Secret,
    previous: Option<Secret>,
}

/// What a version is to us.
#[derive(Debug, Clone, Copy)]
pub enum Version<'a> {
    /// It is accepted.
    Known(&'a Secret),
    /// It was, or never existed.
    Unknown,
    /// Newer than what we remember: somebody replaced the secret a moment ago.
    Newer,
}

impl Keyring {
    /// A secret that was never replaced.
    #[must_use]
    pub fn first(secret: Secret) -> Self {
        Self::new(1, secret, None)
    }

    /// A secret of this version, and the one before it.
    #[must_use]
    pub fn new(version: u32, current: Secret, previous: Option<Secret>) -> Self {
        Self { version, current, previous }
    }

    /// The version in use, and the secret.
    #[must_use]
    pub fn current(&self) -> (u32, &Secret) {
        (self.version, &self.current)
    }

    /// The secret of a version.
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

/// A keyring that is remembered.
pub type Remembered = Cache<(), Arc<Keyring>>;
