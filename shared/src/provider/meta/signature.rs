//! Verification that a webhook is Meta's: `X-Hub-Signature-256` over the raw bytes, before anything else is read.

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// The header with Meta's signature. Header names are case-insensitive.
pub const HEADER: &str = "x-hub-signature-256";

const PREFIX: &[u8] = b"sha256=";
const HEX_DIGITS: usize = 64;

/// A webhook body with a valid signature. Only [`verify`] creates one, so the type is proof of the check.
#[derive(Debug, Clone)]
pub struct AuthenticBody(Bytes);

impl AuthenticBody {
    /// Returns the bytes as received.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// A well-formed signature that is not checked yet: exactly `sha256=` and 64 lower-case hex digits.
#[derive(Debug, Clone, Copy)]
pub struct UnverifiedSignature([u8; 32]);

impl UnverifiedSignature {
    /// Parses the value of the signature header; `None` for any other form.
    #[must_use]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let digits = header.strip_prefix(PREFIX).filter(|digits| digits.len() == HEX_DIGITS)?;
        if digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut mac = [0_u8; 32];
        hex::decode_to_slice(digits, &mut mac).ok()?;
        Some(Self(mac))
    }
}

/// Returns the body if one of `secrets` made the signature. All secrets are tried, each compared in constant time.
#[must_use]
pub fn verify(secrets: &[Secret], signature: UnverifiedSignature, body: Bytes) -> Option<AuthenticBody> {
    let mut authentic = false;
    for secret in secrets {
        authentic |= keyed(secret).chain_update(&body).verify_slice(&signature.0).is_ok();
    }
    authentic.then_some(AuthenticBody(body))
}

/// Returns the header value that Meta would send with `body`, for the simulated Meta and for tests.
#[must_use]
pub fn sign(secret: &Secret, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(keyed(secret).chain_update(body).finalize().into_bytes()))
}

fn keyed(secret: &Secret) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).unwrap_or_else(|_| {
        // Unreachable: HMAC accepts keys of any length, only the signature of `new_from_slice` allows an error.
        Hmac::<Sha256>::new(&Default::default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Test vectors of `docs/meta/webhooks.md#section-3`.
    const ESCAPED: &str = r#"{"object":"whatsapp_business_account","entry":[{"id":"900100200300401","changes":[{"field":"messages","value":{"t":"caf\u00e9 \ud83d\ude00 https:\/\/a.example"}}]}]}"#;

    fn mac(secret: &str, body: &str) -> String {
        sign(&Secret::new(secret.to_owned()), body.as_bytes())
    }

    #[test]
    fn agrees_with_the_published_vectors() {
        let body = r#"{"object":"whatsapp_business_account","entry":[]}"#;
        let vectors = [
            ("test_app_secret_0001", body, "e01d2a66e1ebeb3001df423ed0c8fca1c0a25dfc4bbbd4679fa1adb974eb8555"),
            ("test_app_secret", body, "dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756"),
            ("test_app_secret_0001", ESCAPED, "b38e70afd38a143c3e9e4a172e4019c6956f030a4624e52c34834ce5e570c0cd"),
        ];
        for (secret, body, expected) in vectors {
            assert_eq!(mac(secret, body), format!("sha256={expected}"));
        }
        let unescaped = ESCAPED.replace(r"\/", "/");
        assert_eq!(
            mac("test_app_secret_0001", &unescaped),
            "sha256=b526ed827d726f18d497dbada0487ff5afeeef155b01b5e2ead37af4649ac842"
        );
    }

    #[test]
    fn only_one_shape_is_a_signature() {
        let good = mac("s", "b");
        assert!(UnverifiedSignature::parse(good.as_bytes()).is_some());
        let hex = &good[7..];
        let wrong = [
            String::new(),
            hex.to_owned(),
            format!("sha1={hex}"),
            format!("SHA256={hex}"),
            format!("sha256={}", hex.to_uppercase()),
            format!("sha256={hex}0"),
            format!("sha256={}", &hex[1..]),
            format!(" sha256={hex}"),
            format!("sha256= {hex}"),
            format!("{good}, {good}"),
            format!("sha256={}", "g".repeat(64)),
        ];
        for header in wrong {
            assert!(UnverifiedSignature::parse(header.as_bytes()).is_none(), "{header}");
        }
    }
}
