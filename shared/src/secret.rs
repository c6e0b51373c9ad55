//! Values that are never printed.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text: no `Display`, no `Serialize`, a `Debug` that shows nothing, and memory wiped on drop.
///
/// Read it with [`Secret::expose`], as late as possible, and never copy it into a value that outlives the call.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of the secret text.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// Returns the secret in clear.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Whether `unverified` equals one of `secrets`. All are compared, each in constant time.
#[must_use]
pub fn same(secrets: &[Secret], unverified: &str) -> bool {
    let mut found = false;
    for secret in secrets {
        found |= bool::from(secret.expose().as_bytes().ct_eq(unverified.as_bytes()));
    }
    found
}

/// A secret sealed by KMS: safe to store, and useless without the key and the encryption context.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Wraps ciphertext from KMS or from the table.
    #[must_use]
    pub fn from_bytes(ciphertext: Vec<u8>) -> Self {
        Self(ciphertext)
    }

    /// Returns the ciphertext.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}
