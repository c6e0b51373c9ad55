//! Every function as it is deployed: size, start, and cost of a small warm invocation. Embedded AWS is served over
//! HTTPS.

use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use sandbox::aws::sqs::Sqs;
use sandbox::meta::{self, Meta};
use sandbox::sandbox::{Seed, aws_routes};
use sandbox::stack::{BUCKET, INBOUND, INBOUND_DEAD, KEY, ONBOARDING, OUTBOUND, OUTBOUND_DEAD, RELEASE, Stack, TABLE};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::ids::{ContactId, ConversationId, MetaAppId, NumberId};
use shared::queue::{InboundJob, Payload};

use crate::function::{NUMBER, WABA, build, cpu_seconds, peak_rss_kib, spawn, stop};
use crate::https::{self, Served};
use crate::percentile;
use crate::runtime_api::RuntimeApi;

/// Number of measured cold starts; the median is printed.
const STARTS: usize = 7;
/// Number of warm invocations after the last start.
const WARM: usize = 2_000;

/// All functions, with their memory in `template.yaml` in MB.
const FUNCTIONS: [(&str, u32); 11] = [
    ("webhook", 256),
    ("inbound", 512),
    ("api", 512),
    ("send-message", 256),
    ("release", 256),
    ("sweep", 256),
    ("signup-callback", 256),
    ("onboarding", 256),
    ("token-refresh", 256),
    ("offboarding", 512),
    ("management", 512),
];

struct Place {
    aws: Served,
    graph: String,
    seed: Seed,
}

/// Measurements of one function.
struct Measured {
    init: f64,
    first: f64,
    warm: Vec<f64>,
    per_second: f64,
    rss: f64,
}

pub(crate) async fn measure() -> Vec<(&'static str, String)> {
    let clock = Clock::system();
    let stack = Stack::start(None, clock.clone()).await.unwrap();
    let seed = Seed::load_or_plant(None, &stack).await.unwrap();
    let aws = https::serve(aws_routes(stack.aws.clone())).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let graph = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(meta::serve(listener, meta::routes(Arc::new(Meta::new(clock, stack.faults.clone())))));
    let place = Place { aws, graph, seed };
    let mut lines = Vec::new();
    for (name, memory) in FUNCTIONS {
        let binary = build(name);
        let bytes = std::fs::read(&binary).unwrap();
        let mut zip = DeflateEncoder::new(Vec::new(), Compression::best());
        zip.write_all(&bytes).unwrap();
        let (binary_mb, zip_mb) = (bytes.len() as f64 / 1e6, zip.finish().unwrap().len() as f64 / 1e6);
        let mut it = place.measure(&binary, name, memory).await;
        it.warm.sort_by(f64::total_cmp);
        let figures = format!(
            "{binary_mb:5.2} MB, zip {zip_mb:.2}; init {:5.2} ms, first {:6.2}, warm p50 {:.2}, p99 {:.2}; {:5.0} per CPU-second; {:4.1} MB RSS",
            it.init,
            it.first,
            percentile(&it.warm, 50),
            percentile(&it.warm, 99),
            it.per_second,
            it.rss
        );
        lines.push((&*Box::leak(format!("function {name}").into_boxed_str()), figures));
    }
    lines
}

impl Place {
    async fn measure(&self, binary: &Path, name: &str, memory: u32) -> Measured {
        let (mut inits, mut firsts) = (Vec::new(), Vec::new());
        let mut last = None;
        for start in 0..STARTS {
            if let Some((mut function, _)) = last.take() {
                stop(&mut function);
            }
            let api = RuntimeApi::start().await;
            let since = Instant::now();
            let function: Child = spawn(binary, name, memory, &api.address, &self.aws.url, &self.variables());
            inits.push(api.first_next().await.duration_since(since).as_secs_f64() * 1e3);
            let since = Instant::now();
            worked(name, &api.invoke(&self.event(name, start)).await);
            firsts.push(since.elapsed().as_secs_f64() * 1e3);
            last = Some((function, api));
        }
        let (mut function, api) = last.unwrap();
        let before = cpu_seconds(function.id());
        let mut warm = Vec::with_capacity(WARM);
        for index in STARTS..STARTS + WARM {
            let event = self.event(name, index);
            let since = Instant::now();
            let answer = api.invoke(&event).await;
            warm.push(since.elapsed().as_secs_f64() * 1e3);
            worked(name, &answer);
        }
        let per_second = WARM as f64 / (cpu_seconds(function.id()) - before);
        let rss = peak_rss_kib(function.id()) as f64 / 1024.0;
        stop(&mut function);
        inits.sort_by(f64::total_cmp);
        firsts.sort_by(f64::total_cmp);
        Measured { init: percentile(&inits, 50), first: percentile(&firsts, 50), warm, per_second, rss }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TABLE_NAME", TABLE.to_owned()),
            ("KEY_ID", KEY.to_owned()),
            ("BUCKET_NAME", BUCKET.to_owned()),
            ("INBOUND_QUEUE_URL", Sqs::url(INBOUND)),
            ("INBOUND_DEAD_LETTERS_URL", Sqs::url(INBOUND_DEAD)),
            ("OUTBOUND_QUEUE_URL", Sqs::url(OUTBOUND)),
            ("OUTBOUND_DEAD_LETTERS_URL", Sqs::url(OUTBOUND_DEAD)),
            ("RELEASE_QUEUE_URL", Sqs::url(RELEASE)),
            ("ONBOARDING_QUEUE_URL", Sqs::url(ONBOARDING)),
            ("MESSAGE_HISTORY", "off".to_owned()),
            ("META_GRAPH_URL", self.graph.clone()),
            ("SSL_CERT_FILE", self.aws.trusted.to_string_lossy().into_owned()),
        ]
    }

    /// Returns a small and frequent event of the function: a webhook, a text to store, a read receipt to send, an empty
    /// lane, a page of numbers.
    fn event(&self, name: &str, index: usize) -> String {
        let key = format!("Bearer {}", self.seed.api_key);
        match name {
            "webhook" => crate::webhook::event(&self.seed),
            "api" => gateway("GET", "/v1/numbers", &key),
            "management" => gateway("GET", "/v1/accounts", &key),
            // The object does not exist, so this is one read.
            "signup-callback" => gateway("GET", "/deletions/off_01JD0000000000000000000000", &key),
            "onboarding" => batch(&json!({"job": "onboarding.v1", "id": "onb_01JD0000000000000000000000"})),
            "sweep" | "token-refresh" | "offboarding" => json!({}).to_string(),
            "release" => batch(&json!({"job": "release.v1", "number": "900100200300501"})),
            "inbound" => batch(&text(index)),
            "send-message" => {
                let contact = ContactId::parse("con_01JD0000000000000000000000").unwrap();
                let conversation = ConversationId::new(NumberId::parse(NUMBER).unwrap(), contact).to_string();
                batch(&json!({"job": "mark_read.v1", "conversation": conversation, "message": "wamid.bench",
                    "typing": false, "asked_at": 4_102_444_800_000_i64}))
            }
            _ => panic!("{name} is not measured"),
        }
    }
}

/// Panics when the function failed to do the measured work.
fn worked(name: &str, answer: &[u8]) {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let failed = answer["batchItemFailures"].as_array().is_some_and(|failed| !failed.is_empty());
    let refused = answer["statusCode"].as_u64().is_some_and(|status| status >= 500 || status == 401);
    assert!(!failed && !refused, "{name}: {answer}");
}

/// Returns a text from one of fifty customers, as the webhook function queues it.
fn text(index: usize) -> Value {
    let customer = format!("15550{:06}", index % 50);
    let now = Clock::system().now();
    let value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001111", "phone_number_id": NUMBER},
        "contacts": [{"profile": {"name": "Ada Example"}, "wa_id": customer}],
        "messages": [{"from": customer, "id": format!("wamid.bench{index}"), "timestamp": now.as_second().to_string(),
            "type": "text", "text": {"body": "Is this still available? I would take two."}}]});
    let body = json!({"object": "whatsapp_business_account",
        "entry": [{"id": WABA, "changes": [{"field": "messages", "value": value}]}]});
    let job = InboundJob {
        app: MetaAppId::parse("sandbox").unwrap(),
        received_at: now,
        payload: Payload::Plain(STANDARD.encode(body.to_string())),
        done: 0,
        replayed: false,
        kept: None,
    };
    serde_json::from_str(&job.encode().unwrap()).unwrap()
}

fn batch(body: &Value) -> String {
    json!({"Records": [{"messageId": "m1", "receiptHandle": "r1", "body": body.to_string(),
        "attributes": {"SentTimestamp": "1763700000000", "ApproximateReceiveCount": "1", "MessageGroupId": "g"},
        "messageAttributes": {}, "eventSource": "aws:sqs", "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:queue"}]})
    .to_string()
}

fn gateway(method: &str, path: &str, authorization: &str) -> String {
    json!({"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"host": "example.execute-api.us-east-1.amazonaws.com", "authorization": authorization},
        "requestContext": {"accountId": "000000000000", "apiId": "example", "stage": "$default", "requestId": "bench",
            "domainName": "example.execute-api.us-east-1.amazonaws.com", "routeKey": "$default",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "bench"},
            "time": "20/Nov/2026:12:00:00 +0000", "timeEpoch": 1_795_176_000_000_u64},
        "isBase64Encoded": false})
    .to_string()
}
