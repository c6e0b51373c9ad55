//! Callback data: the text that we give Meta with each message (`biz_opaque_callback_data`).
//!
//! Meta returns it with each status of the message, which makes it the only conclusive evidence about a send with
//! outcome unknown (`docs/reliability.md#section-0-2`). The text is versioned and authenticated with a MAC, and
//! contains no personal data.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::ids::{ConversationId, OutboundId, TenantId};
use crate::keyring::{Keyring, Version};
use crate::secret::Secret;

/// First character of the text, followed by the version of the key.
const PREFIX: char = 'w';
/// Length of the truncated MAC in bytes: 64 bits, so a forger would need about 2^63 webhooks.
const MAC_BYTES: usize = 8;

/// The message and the send attempt that a status belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackData {
    /// Conversation of the message.
    pub conversation: ConversationId,
    /// The message.
    pub message: OutboundId,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

/// Result of reading a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// The text is ours.
    Ours(CallbackData),
    /// The text is in another format: it is not ours.
    NotOurs,
    /// The text is in our format, but was changed, belongs to another tenant, or was made with a key that is no longer
    /// accepted.
    Refused,
    /// The text names a newer key than the cached ones.
    Newer,
}

impl CallbackData {
    /// Returns the text for Meta: at most 200 of the 512 characters that Meta allows.
    #[must_use]
    pub fn seal(&self, keys: &Keyring, tenant: TenantId) -> String {
        let (version, key) = keys.current();
        format!("{}.{}", self.unsealed(version), hex::encode(self.mac(version, key, tenant)))
    }

    /// Reads a text that Meta returned.
    #[must_use]
    pub fn open(text: &str, keys: &Keyring, tenant: TenantId) -> Opened {
        let Some((version, data, mac)) = Self::parse(text) else {
            let is_version =
                |rest: &str| rest.split_once('.').is_some_and(|(version, _)| version.parse::<u32>().is_ok());
            return if text.strip_prefix(PREFIX).is_some_and(is_version) { Opened::Refused } else { Opened::NotOurs };
        };
        match keys.of(version) {
            Version::Known(key) if bool::from(data.mac(version, key, tenant).ct_eq(&mac)) => Opened::Ours(data),
            Version::Known(_) | Version::Unknown => Opened::Refused,
            Version::Newer => Opened::Newer,
        }
    }

    fn parse(text: &str) -> Option<(u32, Self, Vec<u8>)> {
        let mut parts = text.split('.');
        let (version, conversation, message, attempt, mac) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let number: u32 = version.strip_prefix(PREFIX)?.parse().ok()?;
        // Only the canonical spelling of the version is accepted.
        if parts.next().is_some() || version.len() != number.to_string().len() + 1 {
            return None;
        }
        let data = Self {
            conversation: ConversationId::parse(conversation).ok()?,
            message: OutboundId::parse(message).ok()?,
            attempt: attempt.parse().ok()?,
        };
        Some((number, data, hex::decode(mac).ok()?))
    }

    fn unsealed(&self, version: u32) -> String {
        format!("{PREFIX}{version}.{}.{}.{}", self.conversation, self.message, self.attempt)
    }

    fn mac(&self, version: u32, key: &Secret, tenant: TenantId) -> Vec<u8> {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
            return Vec::new();
        };
        let full =
            mac.chain_update(tenant.to_string()).chain_update("|").chain_update(self.unsealed(version)).finalize();
        full.into_bytes()[..MAC_BYTES].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::ids::{ContactId, NumberId};

    #[test]
    fn opens_only_for_its_key_and_its_tenant() {
        let now = Timestamp::UNIX_EPOCH;
        let keyring = |text: &str| Keyring::first(Secret::new(text.to_owned()));
        let (key, other) = (keyring("k1"), keyring("k2"));
        let (tenant, stranger) = (TenantId::generate(now).unwrap(), TenantId::generate(now).unwrap());
        let data = CallbackData {
            conversation: ConversationId::new(NumberId::parse("9001").unwrap(), ContactId::generate(now).unwrap()),
            message: OutboundId::generate(now).unwrap(),
            attempt: 3,
        };
        let sealed = data.seal(&key, tenant);
        assert!(sealed.len() < 200, "{sealed}");
        assert_eq!(CallbackData::open(&sealed, &key, tenant), Opened::Ours(data));
        assert_eq!(CallbackData::open(&sealed, &other, tenant), Opened::Refused);
        assert_eq!(CallbackData::open(&sealed, &key, stranger), Opened::Refused);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] ^= 1;
            let forged = String::from_utf8(forged).unwrap();
            assert!(!matches!(CallbackData::open(&forged, &key, tenant), Opened::Ours(_)), "{forged}");
        }
        for foreign in ["", "cmd-42", "w1", "wx.a.b.1.00", "a.b.c.d.e"] {
            assert_eq!(CallbackData::open(foreign, &key, tenant), Opened::NotOurs, "{foreign}");
        }
        for broken in ["w2.a.b.1.00", "w1.a.b.c.d.e", "w01.a.b.c.d"] {
            assert_eq!(CallbackData::open(broken, &key, tenant), Opened::Refused, "{broken}");
        }
    }
}
