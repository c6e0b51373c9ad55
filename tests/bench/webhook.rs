//! The release webhook function alone.

use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::time::Instant;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use sandbox::aws::sqs::Sqs;
use sandbox::sandbox::{Seed, aws_routes};
use sandbox::stack::{BUCKET, INBOUND, KEY, Stack, TABLE};
use serde_json::json;
use shared::clock::Clock;
use shared::provider::meta::signature;
use shared::secret::Secret;

use crate::function::{build, cpu_seconds, peak_rss_kib, spawn, stop};
use crate::https::{self, Served};
use crate::percentile;
use crate::runtime_api::RuntimeApi;

/// Number of measured cold starts; the median is printed.
const STARTS: usize = 15;
/// Number of warm invocations after the last start.
const WARM: usize = 4_000;

/// Measurements of one implementation.
struct Measured {
    init: f64,
    first: f64,
    cold_cpu: f64,
    warm: Vec<f64>,
    per_second: f64,
    rss: f64,
}

pub(crate) async fn measure() -> Vec<(&'static str, String)> {
    let binary = build("webhook");
    let size = std::fs::metadata(&binary).unwrap().len();
    let mut zip = DeflateEncoder::new(Vec::new(), Compression::best());
    zip.write_all(&std::fs::read(&binary).unwrap()).unwrap();
    let zip = zip.finish().unwrap().len();
    let stack = Stack::start(None, Clock::system()).await.unwrap();
    let seed = Seed::load_or_plant(None, &stack).await.unwrap();
    let aws = https::serve(aws_routes(stack.aws.clone())).await;
    let event = event(&seed);
    let ours = run(&binary, &aws, &event, STARTS).await;
    let ms = |value: f64| format!("{value:.2} ms");
    let mut lines = vec![
        ("webhook: binary (release, stripped)", format!("{:.2} MB", size as f64 / 1e6)),
        ("webhook: deflated, as in the zip", format!("{:.2} MB", zip as f64 / 1e6)),
        ("webhook: spawn to first /next, with its connection", ms(ours.init)),
        ("webhook: first invocation, median of 15", ms(ours.first)),
        ("webhook: CPU until then", ms(ours.cold_cpu)),
        ("webhook: warm invocation of 1 KB, p50", ms(percentile(&ours.warm, 50))),
        ("webhook: warm invocation of 1 KB, p99", ms(percentile(&ours.warm, 99))),
        ("webhook: warm invocations per CPU-second", format!("{:.0}", ours.per_second)),
        ("webhook: peak RSS", format!("{:.1} MB", ours.rss)),
    ];
    // The same function in other languages, if `tests/bench/peers/install` installed them.
    for (language, name) in [("node", "webhook in Node"), ("python", "webhook in Python")] {
        let tools = shared::config::optional("SWITCHBOARD_TOOLS").unwrap_or_else(|| "target/tools".to_owned());
        let peer = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(tools).join("peers").join(language);
        if !peer.exists() {
            lines.push((name, "not installed: tests/bench/peers/install".to_owned()));
            continue;
        }
        let it = run(&peer.canonicalize().unwrap(), &aws, &event, 5).await;
        lines.push((
            name,
            format!(
                "{:.0} per CPU-second, {:.0} ms of CPU until the first is answered, {:.0} MB: ours is {:.1} x, {:.0} x, {:.1} x better",
                it.per_second,
                it.cold_cpu,
                it.rss,
                ours.per_second / it.per_second,
                it.cold_cpu / ours.cold_cpu,
                it.rss / ours.rss
            ),
        ));
    }
    lines
}

async fn run(binary: &Path, aws: &Served, event: &str, starts: usize) -> Measured {
    let (mut inits, mut firsts, mut colds) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    for _ in 0..starts {
        if let Some((mut function, _)) = last.take() {
            stop(&mut function);
        }
        let (function, api, init, first) = start(binary, aws, event).await;
        inits.push(init);
        firsts.push(first);
        colds.push(cpu_seconds(function.id()) * 1e3);
        last = Some((function, api));
    }
    let (mut function, api) = last.unwrap();
    let cpu_before = cpu_seconds(function.id());
    let mut warm = Vec::with_capacity(WARM);
    for _ in 0..WARM {
        let since = Instant::now();
        api.invoke(event).await;
        warm.push(since.elapsed().as_secs_f64() * 1e3);
    }
    let per_second = WARM as f64 / (cpu_seconds(function.id()) - cpu_before);
    let rss = peak_rss_kib(function.id()) as f64 / 1024.0;
    stop(&mut function);
    for times in [&mut inits, &mut firsts, &mut colds, &mut warm] {
        times.sort_by(f64::total_cmp);
    }
    let (init, first, cold_cpu) = (percentile(&inits, 50), percentile(&firsts, 50), percentile(&colds, 50));
    Measured { init, first, cold_cpu, warm, per_second, rss }
}

/// Starts the function and gives it its first event.
async fn start(binary: &Path, aws: &Served, event: &str) -> (Child, RuntimeApi, f64, f64) {
    let api = RuntimeApi::start().await;
    let since = Instant::now();
    let variables = [
        ("TABLE_NAME", TABLE.to_owned()),
        ("KEY_ID", KEY.to_owned()),
        ("BUCKET_NAME", BUCKET.to_owned()),
        ("INBOUND_QUEUE_URL", Sqs::url(INBOUND)),
        ("SSL_CERT_FILE", aws.trusted.to_string_lossy().into_owned()),
        ("NODE_EXTRA_CA_CERTS", aws.trusted.to_string_lossy().into_owned()),
        ("AWS_CA_BUNDLE", aws.trusted.to_string_lossy().into_owned()),
    ];
    let function = spawn(binary, "webhook", 256, &api.address, &aws.url, &variables);
    let init = api.first_next().await.duration_since(since).as_secs_f64() * 1e3;
    let since = Instant::now();
    let answer = api.invoke(event).await;
    let first = since.elapsed().as_secs_f64() * 1e3;
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["statusCode"], 200, "{answer}");
    (function, api, init, first)
}

/// Returns a webhook of 1 KB with a text.
pub(crate) fn kilobyte() -> String {
    let said = "x".repeat(640);
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "900100200300401", "changes": [{
        "field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550001111", "phone_number_id": "900100200300501"},
            "contacts": [{"profile": {"name": "Ada Example"}, "wa_id": "15550002222"}],
            "messages": [{"from": "15550002222", "id": "wamid.BENCH", "timestamp": "1763700001", "type": "text",
                          "text": {"body": said}}]}}]}]})
    .to_string();
    assert!((1_000..1_100).contains(&body.len()), "{}", body.len());
    body
}

/// Returns a webhook as API Gateway's HTTP API passes it on.
pub(crate) fn event(seed: &Seed) -> String {
    let body = kilobyte();
    let signed = signature::sign(&Secret::new(seed.app_secret.clone()), body.as_bytes());
    let path = "/webhooks/meta/sandbox";
    json!({
        "version": "2.0",
        "routeKey": "POST /webhooks/meta/{app}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "example.execute-api.us-east-1.amazonaws.com",
                    "user-agent": "facebookexternalua", "x-hub-signature-256": signed},
        "requestContext": {
            "accountId": "000000000000", "apiId": "example", "domainName": "example.execute-api.us-east-1.amazonaws.com",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1",
                     "userAgent": "facebookexternalua"},
            "requestId": "bench", "routeKey": "POST /webhooks/meta/{app}", "stage": "$default",
            "time": "20/Nov/2026:12:00:00 +0000", "timeEpoch": 1_795_176_000_000_u64,
        },
        "body": body,
        "isBase64Encoded": false,
    })
    .to_string()
}
