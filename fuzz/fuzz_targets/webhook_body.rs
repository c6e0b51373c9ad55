//! Arbitrary bytes as a webhook body: nothing panics, and every parsed item can be parsed again from its raw form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::clock::at_millis;
use shared::provider::meta::webhook::parse;

fuzz_target!(|body: &[u8]| {
    let received_at = at_millis(1_795_176_000_000);
    for event in parse(body, received_at) {
        // A quarantined item is stored in its raw form, which must be parseable again.
        assert!(!parse(&event.raw, received_at).is_empty());
    }
});
