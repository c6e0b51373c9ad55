//! Any bytes as a webhook body: nothing panics, and every item stands for itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared::clock::at_millis;
use shared::provider::meta::webhook::parse;

fuzz_target!(|body: &[u8]| {
    let received_at = at_millis(1_795_176_000_000);
    for event in parse(body, received_at) {
        // What is kept of an item can be read again, and says the same kind of thing.
        assert!(!parse(&event.raw, received_at).is_empty());
    }
});
