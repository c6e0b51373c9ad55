//! Arbitrary bytes as a signature header: nothing panics, and only the correct MAC is accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::provider::meta::signature::{self, UnverifiedSignature};
use shared::secret::Secret;

fuzz_target!(|header: &[u8]| {
    let secret = Secret::new("fuzz".to_owned());
    let body = b"{}".to_vec();
    let right = signature::sign(&secret, &body);
    if let Some(unverified) = UnverifiedSignature::parse(header) {
        let accepted = signature::verify(std::slice::from_ref(&secret), unverified, body.into()).is_some();
        assert_eq!(accepted, header == right.as_bytes());
    }
});
