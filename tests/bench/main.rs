//! `cargo bench -p tests`: prints figures and asserts none.
//!
//! 1. The release webhook function under a local Lambda Runtime API: size, init until the first `/next`, first and warm
//!    invocations, CPU and memory, for a webhook of 1 KB. Embedded AWS is served over HTTP on loopback.
//! 2. The release inbound function: CPU, write units and cost by kind of message, and the import of a long history.
//! 3. The API over a large inbox: pages of conversations and messages, in time and read units (`BENCH_INBOX=1000x1000`
//!    for a large one).
//! 4. The release send-message function against a Meta that takes 250 ms: sends per second, billed milliseconds, write
//!    units.
//! 5. The cost meter: all AWS requests of a run, counted and priced, in dollars per million messages.
//! 6. The whole sandbox, end to end: webhooks accepted, messages stored, messages sent, each per second.
//! 7. Every function: size, start, a small invocation.
//! 8. Load: 3,300 webhooks per second for a minute.
//! 9. Hot paths by instruction count, under callgrind.
//!
//! All processes share this machine's cores: compare runs with each other, not with Lambda.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot run has nothing better to do than stop"
)]

mod cost;
mod end_to_end;
mod function;
mod functions;
mod https;
mod inbound;
mod inbox;
mod instructions;
mod load;
mod runtime_api;
mod send;
mod webhook;

use std::io::Write;

fn main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(instructions::RUN) {
        let (path, times) = (arguments.next().unwrap(), arguments.next().unwrap());
        return instructions::run(&path, times.parse().unwrap());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // `cargo bench -p tests -- inbound` runs one benchmark.
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    let lines = runtime.block_on(async {
        let mut lines = Vec::new();
        if wanted("webhook") {
            lines.extend(webhook::measure().await);
        }
        if wanted("functions") {
            lines.extend(functions::measure().await);
        }
        if wanted("inbound") {
            lines.extend(inbound::measure().await);
        }
        if wanted("inbox") {
            lines.extend(inbox::measure().await);
        }
        if wanted("send") {
            lines.extend(send::measure().await);
        }
        if wanted("cost") {
            lines.extend(cost::measure().await);
        }
        if wanted("end_to_end") {
            lines.extend(end_to_end::measure().await);
        }
        if wanted("instructions") {
            lines.extend(instructions::measure());
        }
        if wanted("load") {
            lines.extend(load::measure().await);
        }
        lines
    });
    let mut out = std::io::stdout();
    for (name, value) in &lines {
        writeln!(out, "{name:<58} {value}").unwrap();
    }
    // `BENCH_JSON=<file>` also writes the figures as JSON. The path is relative to the project's root, because cargo
    // starts a benchmark in its crate's folder.
    if let Some(file) = shared::config::optional("BENCH_JSON") {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let named: serde_json::Map<_, _> =
            lines.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        std::fs::write(file, serde_json::to_string_pretty(&named).unwrap()).unwrap();
    }
}

/// Returns the `percent`-th percentile of sorted values.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}
