//! The installation's own secrets by version: a new one is used while the one before is still accepted, so that replacing one
//! refuses nobody (`reliability.md` §4.4).

use std::sync::Arc;

use crate::cache::Cache;
use crate::secret::{Sealed, Secret};
use crate::storage::{StorageError, Table};
use crate::vault::{Context, Vault, VaultError};

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

    /// What it is sealed for.
    #[must_use]
    pub fn context(self) -> Context {
        match self {
            Self::ApiKeyPepper => Context::ApiKeyPepper,
            Self::CallbackMac => Context::CallbackMac,
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
        Self { version: 1, current: secret, previous: None }
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

/// Reads and opens a secret. `None` before `operator init`.
///
/// # Errors
/// When AWS does not answer.
pub async fn open<E>(table: &Table, vault: &Vault, name: SystemSecretName) -> Result<Option<Keyring>, E>
where
    E: From<StorageError> + From<VaultError>,
{
    let Some(stored) = table.system_secret(name).await? else { return Ok(None) };
    let context = name.context();
    let previous = match &stored.previous {
        Some(sealed) => Some(vault.open(sealed, &context).await?),
        None => None,
    };
    let current = vault.open(&stored.sealed, &context).await?;
    Ok(Some(Keyring { version: stored.version, current, previous }))
}

/// A keyring that is remembered.
pub type Remembered = Cache<(), Arc<Keyring>>;

/// The keyring from memory, or read anew.
///
/// # Errors
/// When AWS does not answer and nothing is remembered.
pub async fn remembered<E>(
    memory: &Remembered,
    (table, vault): (&Table, &Vault),
    name: SystemSecretName,
) -> Result<Option<Arc<Keyring>>, E>
where
    E: From<StorageError> + From<VaultError>,
{
    memory.get(&(), async { Ok(open::<E>(table, vault, name).await?.map(Arc::new)) }).await
}
