//! `signed_request`: how Meta tells that a user removed the app or wants their data deleted (`facts/onboarding.md` §10.6).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::Sha256;

use crate::secret::Secret;

/// The only algorithm that Meta uses.
const ALGORITHM: &str = "HMAC-SHA256";

/// What Meta says of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRequest {
    /// The user, by the app's own id of them.
    pub user: String,
    /// When Meta said it.
    pub issued_at: Timestamp,
}

#[derive(Deserialize)]
struct Wire {
    algorithm: String,
    issued_at: i64,
    user_id: serde_json::Value,
}

/// Reads a signed request, if one of the secrets signed it.
#[must_use]
pub fn read(text: &str, app_secrets: &[Secret]) -> Option<SignedRequest> {
    let (signature, payload) = text.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let signed = |secret: &Secret| {
        // HMAC takes keys of any length; the comparison takes the same time for all signatures.
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

/// A signed request, as Meta makes one.
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

    /// The vector of facts/onboarding.md §10.6.
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
                // The last character of the signature has two bits that say nothing.
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
