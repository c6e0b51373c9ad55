//! Properties of the fuzz targets, tested on stable with mutated fixtures. `fuzz/` has the same for cargo-fuzz.
//! `FUZZ_SECONDS` sets the duration; the default is one second.

use std::time::{Duration, Instant};

use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use shared::clock::at_millis;
use shared::provider::meta::signature::{self, UnverifiedSignature};
use shared::provider::meta::webhook::parse;
use shared::secret::Secret;

use crate::harness::fixtures;

/// JSON fragments that a mutation inserts or substitutes.
const PIECES: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b":",
    b",",
    b"null",
    b"true",
    b"-1",
    b"1e400",
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xef\xbb\xbf",
    b"99999999999999999999",
    b"\"\"",
    b"{}",
    b"[]",
    b"[[[[[[[[",
    b"\"messages\"",
    b"\"id\"",
    b"\"type\"",
    b"\"history\"",
];

fn below(chance: &mut TestRng, bound: usize) -> usize {
    usize::try_from(chance.next_u64() % bound.max(1) as u64).unwrap()
}

fn mutated(chance: &mut TestRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut body = seeds[below(chance, seeds.len())].clone();
    for _ in 0..=below(chance, 4) {
        let at = below(chance, body.len() + 1);
        match below(chance, 5) {
            0 => body.truncate(at),
            1 => {
                let end = (at + below(chance, 40)).min(body.len());
                body.drain(at..end);
            }
            2 => {
                let other = &seeds[below(chance, seeds.len())];
                let from = below(chance, other.len());
                let piece = other[from..(from + below(chance, 80)).min(other.len())].to_vec();
                body.splice(at..at, piece);
            }
            3 if at < body.len() => body[at] = chance.next_u64().to_le_bytes()[0],
            _ => {
                let piece = PIECES[below(chance, PIECES.len())].to_vec();
                body.splice(at..at, piece);
            }
        }
    }
    body
}

#[test]
fn any_bytes_are_read_and_what_is_kept_of_them_can_be_read_again() {
    let seeds: Vec<Vec<u8>> =
        fixtures::all().into_iter().map(|fixture| fixture.body.to_string().into_bytes()).collect();
    let mut chance = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let seconds = shared::config::optional("FUZZ_SECONDS").and_then(|text| text.parse().ok()).unwrap_or(1);
    let (until, received_at, mut runs) =
        (Instant::now() + Duration::from_secs(seconds), at_millis(1_795_176_000_000), 0);
    while Instant::now() < until {
        let body = mutated(&mut chance, &seeds);
        for event in parse(&body, received_at) {
            let again = parse(&event.raw, received_at);
            assert!(!again.is_empty(), "{}", String::from_utf8_lossy(&body));
            let same = again.iter().any(|other| other.said.what() == event.said.what());
            assert!(same, "{}\n{:?}\n{again:?}", String::from_utf8_lossy(&body), event.said);
        }
        runs += 1;
    }
    println!("{runs} mutated bodies in {seconds} s");
}

#[test]
fn any_bytes_are_a_signature_only_if_they_are_the_right_one() {
    let secret = Secret::new("fuzz".to_owned());
    let right = signature::sign(&secret, b"{}");
    let mut chance = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let seeds = [right.clone().into_bytes(), b"sha256=".to_vec(), right.to_uppercase().into_bytes()];
    for _ in 0..20_000 {
        let header = mutated(&mut chance, &seeds);
        if let Some(unverified) = UnverifiedSignature::parse(&header) {
            let accepted = signature::verify(std::slice::from_ref(&secret), unverified, "{}".into()).is_some();
            assert_eq!(accepted, header == right.as_bytes(), "{}", String::from_utf8_lossy(&header));
        }
    }
}
