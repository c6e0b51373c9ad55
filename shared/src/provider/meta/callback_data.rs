//! What we give Meta with each message (`biz_opaque_callback_data`) and get back with each of its statuses: the only
//! conclusive evidence about a doubtful send (`reliability.md` §0.2). Versioned, with a MAC, no personal data.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::domain::ids::{ConversationId, OutboundId, TenantId};
use crate::secret::Secret;

const VERSION: &str = "w1";
/// Bytes of the MAC that travel: 64 bits, forged by nobody who cannot try 2^63 webhooks.
const MAC_BYTES: usize = 8;

/// Which try of which message a status speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackData {
    /// Where the message is.
    pub conversation: ConversationId,
    /// The message.
    pub message: OutboundId,
    /// The try, from 1.
    pub attempt: u32,
}

impl CallbackData {
    /// The text to give Meta; at most 200 of the 512 characters it takes.
    #[must_use]
    pub fn seal(&self, key: &Secret, tenant: TenantId) -> String {
        format!("{}.{}", self.unsealed(), hex::encode(self.mac(key, tenant)))
    }

    /// Reads a text that came back. `None` if it is not ours, was changed, or belongs to another tenant.
    #[must_use]
    pub fn open(text: &str, key: &Secret, tenant: TenantId) -> Option<Self> {
        let mut parts = text.split('.');
        let (version, conversation, message, attempt, mac) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != VERSION || parts.next().is_some() {
            return None;
        }
        let data = Self {
            conversation: ConversationId::parse(conversation).ok()?,
            message: OutboundId::parse(message).ok()?,
            attempt: attempt.parse().ok()?,
        };
        let mac = hex::decode(mac).ok()?;
        bool::from(data.mac(key, tenant).ct_eq(&mac)).then_some(data)
    }

    fn unsealed(&self) -> String {
        format!("{VERSION}.{}.{}.{}", self.conversation, self.message, self.attempt)
    }

    fn mac(&self, key: &Secret, tenant: TenantId) -> Vec<u8> {
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else {
            return Vec::new();
        };
        let full = mac.chain_update(tenant.to_string()).chain_update("|").chain_update(self.unsealed()).finalize();
        full.into_bytes()[..MAC_BYTES].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::ids::{ContactId, PhoneNumberId};

    #[test]
    fn opens_only_for_its_key_and_its_tenant() {
        let now = Timestamp::UNIX_EPOCH;
        let (key, other) = (Secret::new("k1".to_owned()), Secret::new("k2".to_owned()));
        let (tenant, stranger) = (TenantId::generate(now).unwrap(), TenantId::generate(now).unwrap());
        let data = CallbackData {
            conversation: ConversationId::new(PhoneNumberId::parse("9001").unwrap(), ContactId::generate(now).unwrap()),
            message: OutboundId::generate(now).unwrap(),
            attempt: 3,
        };
        let sealed = data.seal(&key, tenant);
        assert!(sealed.len() < 200, "{sealed}");
        assert_eq!(CallbackData::open(&sealed, &key, tenant), Some(data));
        assert_eq!(CallbackData::open(&sealed, &other, tenant), None);
        assert_eq!(CallbackData::open(&sealed, &key, stranger), None);
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] ^= 1;
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(CallbackData::open(&forged, &key, tenant), None, "{forged}");
        }
        for foreign in ["", "cmd-42", "w1", "w2.a.b.1.00", "w1.a.b.c.d.e"] {
            assert_eq!(CallbackData::open(foreign, &key, tenant), None);
        }
    }
}
