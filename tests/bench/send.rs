//! The release send-message function against a Meta that takes 250 ms to answer: sends per second, billed milliseconds,
//! and write units of a send from its acceptance to its last status.

use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use sandbox::aws::sqs::Sqs;
use sandbox::meta::{self, Meta, StatusOrder};
use sandbox::sandbox::{Seed, aws_routes};
use sandbox::stack::{BUCKET, Functions, KEY, OUTBOUND, Stack, TABLE};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::provider::meta::signature;
use tower::ServiceExt;

use crate::function::{NUMBER, WABA, build, cpu_seconds, peak_rss_kib, simulated_meta, spawn, sqs_event, stop};
use crate::percentile;
use crate::runtime_api::RuntimeApi;

/// Sends per kind.
const SENDS: usize = 300;
/// Meta's response time.
const LATENCY: Duration = Duration::from_millis(250);

struct Bench {
    stack: Stack,
    seed: Seed,
    functions: Functions,
    meta: Arc<Meta>,
    api: RuntimeApi,
    function: Child,
}

/// Write units per send of one kind.
struct Units {
    accepted: f64,
    sent: f64,
    statuses: f64,
}

pub(crate) async fn measure() -> Vec<(&'static str, String)> {
    let mut bench = Bench::start().await;
    let mut lines = Vec::new();
    for (name, keyed) in [("answer with an Idempotency-Key", true), ("answer", false)] {
        bench.stack.aws.start_meter();
        for index in 0..SENDS {
            bench.answer(index, keyed).await;
        }
        lines.extend(bench.follow(name).await);
    }
    bench.stack.aws.start_meter();
    bench.broadcast().await;
    lines.extend(bench.follow("broadcast").await);
    let rss = peak_rss_kib(bench.function.id());
    lines.push(("send: peak memory of the function", format!("{:.0} MB", rss as f64 / 1024.0)));
    stop(&mut bench.function);
    lines
}

impl Bench {
    async fn start() -> Self {
        let clock = Clock::system();
        let stack = Stack::start(None, clock.clone()).await.unwrap();
        let seed = Seed::load_or_plant(None, &stack).await.unwrap();
        let meta = simulated_meta(&stack, &seed);
        meta::sample_templates().into_iter().for_each(|template| meta.put_template(template));
        meta.set_rate(NUMBER, 1_000);
        let (graph, aws) = (listen().await, listen().await);
        let graph_url = format!("http://{}", graph.local_addr().unwrap());
        let functions = stack.functions(&graph_url).unwrap();
        let slowly =
            axum::middleware::from_fn(async |request: axum::extract::Request, next: axum::middleware::Next| {
                tokio::time::sleep(LATENCY).await;
                next.run(request).await
            });
        tokio::spawn(meta::serve(graph, meta::routes(meta.clone()).layer(slowly)));
        let aws_url = format!("http://{}", aws.local_addr().unwrap());
        let routes = aws_routes(stack.aws.clone());
        tokio::spawn(async move { axum::serve(aws, routes).await.unwrap() });
        let binary = build("send-message");
        let api = RuntimeApi::start().await;
        let variables = [
            ("TABLE_NAME", TABLE.to_owned()),
            ("KEY_ID", KEY.to_owned()),
            ("OUTBOUND_QUEUE_URL", Sqs::url(OUTBOUND)),
            ("BUCKET_NAME", BUCKET.to_owned()),
            ("META_GRAPH_URL", graph_url),
        ];
        let function = spawn(&binary, "send-message", 256, &api.address, &aws_url, &variables);
        api.first_next().await;
        let bench = Self { stack, seed, functions, meta, api, function };
        bench.prepare().await;
        bench
    }

    /// Opens every customer's window, and has Meta upgrade the number's throughput.
    async fn prepare(&self) {
        let Value::Object(upgrade) = json!({"display_phone_number": "15550001111", "event": "THROUGHPUT_UPGRADE",
            "current_limit": "TIER_UNLIMITED"})
        else {
            unreachable!()
        };
        self.meta.reports(WABA, "phone_number_quality_update", &upgrade);
        for index in 0..SENDS {
            let Value::Object(hello) = json!({"type": "text", "text": {"body": "hi"}}) else { unreachable!() };
            self.meta.customer_writes(&customer(index), NUMBER, hello).unwrap();
        }
        self.deliver().await;
        self.meta.order_statuses(StatusOrder::Withheld);
    }

    async fn deliver(&self) {
        while let Some(next) = self.meta.next_webhook() {
            let request = Request::post("/webhooks/meta/sandbox").header(signature::HEADER, &next.webhook.signature);
            let request = request.body(Body::from(next.webhook.body.clone())).unwrap();
            assert_eq!(self.functions.gateway().oneshot(request).await.unwrap().status(), 200);
            next.delivered();
        }
        while self.functions.poll_inbound().await > 0 {}
    }

    async fn post(&self, path: &str, body: &Value, key: Option<String>) {
        let mut request = Request::post(path)
            .header("authorization", format!("Bearer {}", self.seed.api_key))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = self.functions.gateway().oneshot(request.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(answer.unwrap().status(), 202);
    }

    async fn answer(&self, index: usize, keyed: bool) {
        let body = json!({"from": NUMBER, "to": format!("+{}", customer(index)), "type": "text",
            "text": {"body": format!("Yes, from 10 to 18, answer {index}.")}});
        self.post("/v1/messages", &body, keyed.then(|| index.to_string())).await;
    }

    async fn broadcast(&self) {
        let to: Vec<String> = (0..SENDS).map(|index| format!("+{}", customer(index))).collect();
        let body = json!({"from": NUMBER, "category": "utility", "recipients": to,
            "template": {"name": "hello_world", "language": {"code": "en_US"}}});
        self.post("/v1/broadcasts", &body, None).await;
        while self.stack.aws.sqs().depth(OUTBOUND) < SENDS {
            self.functions.poll_release_fully().await;
        }
    }

    /// Sends the waiting messages batch after batch, then processes their statuses.
    async fn follow(&mut self, name: &str) -> Vec<(&'static str, String)> {
        let accepted = self.stack.aws.consumed().write;
        let (before, sent_before) = (cpu_seconds(self.function.id()), self.meta.sent_count());
        let (mut times, mut calls) = (Vec::new(), 0);
        loop {
            let messages = self.stack.aws.sqs().receive(OUTBOUND, 10, None);
            if messages.is_empty() {
                break;
            }
            let event = sqs_event(OUTBOUND, &messages);
            let since = Instant::now();
            let answer = self.api.invoke(&event).await;
            times.push(since.elapsed().as_secs_f64() * 1_000.0);
            calls += messages.len();
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
            for message in &messages {
                self.stack.aws.sqs().delete(OUTBOUND, &message.receipt);
            }
        }
        let cpu = cpu_seconds(self.function.id()) - before;
        let sent = self.stack.aws.consumed().write;
        assert_eq!(self.meta.sent_count() - sent_before, SENDS);
        self.meta.order_statuses(StatusOrder::Normal);
        self.deliver().await;
        self.meta.order_statuses(StatusOrder::Withheld);
        let each = |units: f64| units / SENDS as f64;
        let units = Units {
            accepted: each(accepted),
            sent: each(sent - accepted),
            statuses: each(self.stack.aws.consumed().write - sent),
        };
        times.sort_by(f64::total_cmp);
        let total: f64 = times.iter().sum();
        let line = |what: &str, value: String| -> (&'static str, String) {
            (Box::leak(format!("send: {name}: {what}").into_boxed_str()), value)
        };
        vec![
            line(
                "one invocation of ten",
                format!(
                    "p50 {:.0} ms, p99 {:.0} ms: {:.1} sends a second, {:.1} at once",
                    percentile(&times, 50),
                    percentile(&times, 99),
                    calls as f64 / total * 1_000.0,
                    calls as f64 * LATENCY.as_secs_f64() * 1_000.0 / total
                ),
            ),
            line("billed, each", format!("{:.1} ms; CPU {:.2} ms", total / calls as f64, cpu * 1_000.0 / calls as f64)),
            line(
                "write units, each",
                format!(
                    "{:.2} accepted + {:.2} sent + {:.2} three statuses = {:.2}",
                    units.accepted,
                    units.sent,
                    units.statuses,
                    units.accepted + units.sent + units.statuses
                ),
            ),
        ]
    }
}

fn customer(index: usize) -> String {
    format!("1555{index:07}")
}

async fn listen() -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()
}
