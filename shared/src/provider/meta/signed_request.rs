//! `signed_request`: Meta's callback format when a user removes the app or requests deletion of their data
//! (`docs/meta/onboarding.md#section-10-6`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::Sha256;

use crate::secret::Secret;

/// The only algorithm that Meta uses.
const ALGORITHM: &str = "HMAC-SHA256";

/// Content of a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// The user's id, scoped to the app.
    pub user: String,
    /// Time of issue.
    pub issued_at: Timestamp,
}

#[derive(Deserialize)]
struct Wire {
    algorithm: String,
    issued_at: i64,
    user_id: serde_json::Value,
}

/// Reads a signed request. `None` if none of the secrets signed it, or if it is malformed.
#[must_use]
pub fn read(text: &str, app_secrets: &[Secret]) -> Option<SignedRequest> {
    let (signature, payload) = text.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signed = |secret: &Secret| {
        // HMAC accepts keys of any length. The comparison runs in constant time.
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes())
            .is_ok_and(|mac| mac.chain_update(payload.as_bytes()).verify_slice(&signature).is_ok())
    };
    if !app_secrets.iter().any(signed) {
        return None;
    }
    let wire: Wire = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    if !wire.algorithm.eq_ignore_ascii_case(ALGORITHM) {
        return None;
    }
    let user = wire.user_id.as_str().map_or_else(|| wire.user_id.to_string(), str::to_owned);
    Some(SignedRequest { user, issued_at: Timestamp::from_second(wire.issued_at).ok()? })
}

/// Signs a request as Meta does, for tests and the simulated Meta.
#[must_use]
pub fn sign(payload: &serde_json::Value, app_secret: &Secret) -> String {
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    let mac = Hmac::<Sha256>::new_from_slice(app_secret.expose().as_bytes());
    let mac = mac.map(|mac| mac.chain_update(payload.as_bytes()).finalize().into_bytes());
    format!("{}.{payload}", mac.map(|mac| URL_SAFE_NO_PAD.encode(mac)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vector of `docs/meta/onboarding.md#section-10-6`.
    const REQUEST: &str = "A-EHlg89pkJ-efkPeqY4uxjEoInUfBL9lulcJEUNNCQ.\
        eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImlzc3VlZF9hdCI6MTcwMDAwMDAwMCwidXNlcl9pZCI6IjEyMzQ1Njc4OTAifQ";

    fn secrets(secret: &str) -> Vec<Secret> {
        vec![Secret::new("another".to_owned()), Secret::new(secret.to_owned())]
    }

    #[test]
    fn metas_request_is_read_and_no_changed_one() {
        let ours = secrets("test_app_secret_0001");
        let read_it = read(REQUEST, &ours).unwrap();
        assert_eq!((read_it.user.as_str(), read_it.issued_at.as_second()), ("1234567890", 1_700_000_000));
        assert_eq!(read(REQUEST, &secrets("test_app_secret_0002")), None);
        for at in 0..REQUEST.len() {
            let mut changed = REQUEST.as_bytes().to_vec();
            changed[at] ^= 1;
            if let Ok(changed) = String::from_utf8(changed) {
                // Includes the last character of the signature, which has two unused bits: the decoder requires zeros
                // there.
                assert!(read(&changed, &ours).is_none(), "byte {at}");
            }
        }
        for other in ["", ".", "a", "a.b", "a.b.c"] {
            assert_eq!(read(other, &ours), None, "{other}");
        }
        let md5 = serde_json::json!({"algorithm": "HMAC-MD5", "issued_at": 1, "user_id": "1"});
        assert_eq!(read(&sign(&md5, &ours[1]), &ours), None, "another algorithm");
        let number = serde_json::json!({"algorithm": "HMAC-SHA256", "issued_at": 1, "user_id": 7});
        assert_eq!(read(&sign(&number, &ours[1]), &ours).unwrap().user, "7");
    }
}
