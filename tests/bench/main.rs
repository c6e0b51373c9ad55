//! `cargo bench -p tests`: figures, never verdicts.
//!
//! 1. The release webhook function under a local Lambda Runtime API: sizes, init to the first `/next`, first and warm
//!    invocations, CPU and memory, for a webhook of 1 KB. Embedded AWS answers it over HTTP on loopback.
//! 2. The whole sandbox, end to end: webhooks accepted, messages stored, messages sent, each per second.
//!
//! Everything shares this machine's cores: compare runs with each other, not with Lambda.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot run has nothing better to do than stop"
)]

mod end_to_end;
mod runtime_api;
mod webhook;

use std::io::Write;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let lines = runtime.block_on(async {
        let mut lines = webhook::measure().await;
        lines.extend(end_to_end::measure().await);
        lines
    });
    let mut out = std::io::stdout();
    for (name, value) in lines {
        writeln!(out, "{name:<58} {value}").unwrap();
    }
}

/// The `percent`-th percentile of sorted values.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
