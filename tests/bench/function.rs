//! A function in release build, in its own process, and its resource use.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use sandbox::aws::sqs::Message;
use sandbox::meta::{Meta, MetaApp, MetaNumber};
use sandbox::sandbox::Seed;
use sandbox::stack::Stack;
use serde_json::json;

/// Clock ticks per second in `/proc/<pid>/stat` (Linux's `USER_HZ`).
const TICKS: f64 = 100.0;

/// The number and the account of the benchmarks.
pub(crate) const NUMBER: &str = "900100200300501";
pub(crate) const WABA: &str = "900100200300401";

/// Returns a simulated Meta with the seeded app and number.
pub(crate) fn simulated_meta(stack: &Stack, seed: &Seed) -> Arc<Meta> {
    let meta = Arc::new(Meta::new(stack.clock.clone(), stack.faults.clone()));
    meta.put_app(MetaApp {
        client_id: String::new(),
        secret: seed.app_secret.clone(),
        callback_url: "/webhooks/meta/sandbox".to_owned(),
    });
    meta.put_number(MetaNumber {
        phone_number_id: NUMBER.to_owned(),
        display_phone_number: "15550001111".to_owned(),
        waba_id: WABA.to_owned(),
        token: seed.access_token.clone(),
    });
    meta
}

/// Builds a function as it is deployed and returns its path. `BENCH_FUNCTIONS=<folder>` skips the build and uses the
/// functions in that folder.
pub(crate) fn build(package: &str) -> PathBuf {
    if let Some(folder) = shared::config::optional("BENCH_FUNCTIONS") {
        return Path::new(&folder).join(package);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--package", package])
        .current_dir(root)
        .status()
        .unwrap();
    assert!(built.success(), "the release build of {package} failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("release").join(package)
}

/// Starts a function under a local Runtime API and embedded AWS.
pub(crate) fn spawn(
    binary: &Path,
    name: &str,
    memory: u32,
    runtime_api: &str,
    aws: &str,
    variables: &[(&str, String)],
) -> Child {
    Command::new(binary)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.to_string())
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "bench")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "bench")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "bench")
        .env("AWS_SECRET_ACCESS_KEY", "bench")
        .env("AWS_ENDPOINT_URL", aws)
        .env("RUST_LOG", "warn")
        .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Returns the event that Lambda gives a function for a batch of a queue.
pub(crate) fn sqs_event(queue: &str, messages: &[Message]) -> String {
    let record = |message: &Message| {
        json!({"messageId": message.id, "receiptHandle": message.receipt, "body": message.body,
            "attributes": message.attributes(), "messageAttributes": {}, "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{queue}"), "awsRegion": "us-east-1"})
    };
    json!({"Records": messages.iter().map(record).collect::<Vec<_>>()}).to_string()
}

pub(crate) fn stop(function: &mut Child) {
    function.kill().unwrap();
    function.wait().unwrap();
}

/// Returns the CPU seconds of a process, user and system. Uses the scheduler's nanosecond count where available.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let ran = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    };
    let ran: Option<Vec<f64>> = threads.map(|thread| thread.ok().and_then(ran)).collect();
    if let Some(ran) = ran.filter(|ran| ran.iter().sum::<f64>() > 0.0) {
        return ran.iter().sum::<f64>() / 1e9;
    }
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    // utime and stime, fields 14 and 15 of proc(5).
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS
}

pub(crate) fn peak_rss_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
