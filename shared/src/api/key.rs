//! API keys: `sb_live_<id>_<secret><checksum>`. The table stores only an HMAC of the secret under a pepper, so a stolen
//! table gives no access.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::random::{self, NoRandomness};
use crate::secret::Secret;

/// Prefix of every key, by which secret scanners recognise a leaked one.
const PREFIX: &str = "sb_live_";
/// Hex digits of the checksum (CRC-32). A mistyped key is refused without a read of the table.
const CHECKSUM_DIGITS: usize = 8;

/// An API key in clear. It exists only while it is created and shown, and while a request is checked.
#[derive(Debug)]
pub struct ApiKey {
    /// The public part, which identifies the key.
    pub id: String,
    secret: Secret,
}

impl ApiKey {
    /// Generates a key with a secret of 256 bits.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn generate(now: Timestamp) -> Result<Self, NoRandomness> {
        let id = random::ulid(now)?.to_string();
        Ok(Self { id, secret: crate::vault::random_secret()? })
    }

    /// Parses a key from the value of an `Authorization` header.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (id, rest) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let (secret, checksum) = rest.split_at_checked(rest.len().checked_sub(CHECKSUM_DIGITS)?)?;
        let well_formed = !id.is_empty() && id.len() <= 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (well_formed && checksum == Self::checksum(id, secret))
            .then(|| Self { id: id.to_owned(), secret: Secret::new(secret.to_owned()) })
    }

    /// Returns the whole key in clear; it is shown once, at creation.
    #[must_use]
    pub fn reveal(&self) -> Secret {
        let (id, secret) = (&self.id, self.secret.expose());
        Secret::new(format!("{PREFIX}{id}_{secret}{}", Self::checksum(id, secret)))
    }

    fn checksum(id: &str, secret: &str) -> String {
        format!("{:08x}", crc32fast::hash(format!("{id}_{secret}").as_bytes()))
    }
}

/// Returns the stored form of a key: HMAC-SHA256 of its secret under the pepper, in hex.
#[must_use]
pub fn hash(key: &ApiKey, pepper: &Secret) -> String {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(pepper.expose().as_bytes()) else { return String::new() };
    hex::encode(mac.chain_update(key.secret.expose()).finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_a_changed_one_does_not() {
        let key = ApiKey::generate(Timestamp::UNIX_EPOCH).unwrap();
        let shown = key.reveal();
        let read = ApiKey::parse(shown.expose()).unwrap();
        let pepper = Secret::new("pepper".to_owned());
        assert_eq!(hash(&read, &pepper), hash(&key, &pepper));
        assert!(!hash(&key, &pepper).contains(key.secret.expose()));
        for at in 0..shown.expose().len() {
            let mut changed = shown.expose().as_bytes().to_vec();
            changed[at] ^= 1;
            assert!(ApiKey::parse(&String::from_utf8(changed).unwrap()).is_none(), "byte {at}");
        }
        for wrong in ["", "sb_live_", "sb_live__", "sb_live_a_", "sb_live_a_b", "Bearer x"] {
            assert!(ApiKey::parse(wrong).is_none(), "{wrong}");
        }
        assert!(!format!("{key:?}").contains(key.secret.expose()));
    }
}
