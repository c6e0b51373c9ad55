//! The release inbound function alone: messages per CPU-second, read and write units and cost by kind, and the import
//! of a long chat history. Embedded AWS is served over HTTP on loopback and counts DynamoDB's capacity. CPU time is
//! that of the function's process.

use std::process::Child;
use std::sync::Arc;
use std::time::Instant;

use sandbox::aws::EmbeddedAws;
use sandbox::aws::sqs::Sqs;
use sandbox::meta::{self, Meta, StatusOrder};
use sandbox::sandbox::{Seed, aws_routes};
use sandbox::stack::{BUCKET, Functions, INBOUND, INBOUND_DEAD, KEY, ONBOARDING, Stack, TABLE};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::provider::meta::signature;
use shared::secret::Secret;
use tower::ServiceExt;

use crate::function::{NUMBER, WABA, build, cpu_seconds, peak_rss_kib, simulated_meta, spawn, sqs_event, stop};
use crate::runtime_api::RuntimeApi;

/// Number of customers who write in turn.
const CUSTOMERS: usize = 200;
/// Webhooks per kind.
const EACH: usize = 3_000;
/// Sends whose statuses are measured; each has three.
const SENDS: usize = 500;
/// Messages of the imported history, and the number of their threads.
const PAST: usize = 100_000;
const THREADS: usize = 500;

/// Prices in dollars (us-east-1, arm64, November 2026).
const WRITE_UNIT: f64 = 0.625e-6;
const READ_UNIT: f64 = 0.125e-6;
/// Lambda: one vCPU-second equals 1,769 MB-seconds.
const CPU_SECOND: f64 = 1.769 * 0.000_013_333_4;
/// SQS: one send, a tenth of a receive, a tenth of a delete. S3: a tenth of a put.
const QUEUE_AND_ARCHIVE: f64 = 1.2 * 0.4e-6 + 0.1 * 5e-6;

struct Bench {
    stack: Stack,
    seed: Seed,
    functions: Functions,
    meta: Arc<Meta>,
    api: RuntimeApi,
    function: Child,
    now: i64,
}

pub(crate) async fn measure() -> Vec<(&'static str, String)> {
    let mut bench = Bench::start().await;
    // The first message of each customer creates aliases, so it is measured as a kind of its own.
    let mut lines = Vec::new();
    lines.push(bench.kind("first message of a contact", CUSTOMERS, &|bench, index| bench.text(index, "a")).await);
    lines.push(bench.kind("text", EACH, &|bench, index| bench.text(index, "b")).await);
    lines.push(
        bench
            .kind("image", EACH, &|bench, index| {
                bench.message(
                    index,
                    "c",
                    "image",
                    &json!({"id": "700100200300001",
        "mime_type": "image/jpeg", "sha256": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "caption": "broken part"}),
                )
            })
            .await,
    );
    lines.push(
        bench
            .kind("button reply", EACH, &|bench, index| {
                bench.message(
                    index,
                    "d",
                    "interactive",
                    &json!({"type": "button_reply", "button_reply": {"id": "order:17:cancel", "title": "Cancel"}}),
                )
            })
            .await,
    );
    lines.push(
        bench
            .kind("reaction", EACH, &|bench, index| {
                bench.message(
                    index,
                    "e",
                    "reaction",
                    &json!({"message_id": format!("wamid.b{index}"), "emoji": "\u{1f44d}"}),
                )
            })
            .await,
    );
    lines.push(bench.kind("echo of the business's phone", EACH, &|bench, index| bench.echo(index)).await);
    lines.push(bench.kind("text, delivered again", EACH, &|bench, index| bench.text(index, "b")).await);
    let statuses = bench.statuses().await;
    lines.push(bench.kind("status (sent, delivered, read)", statuses.len(), &|_, index| statuses[index].clone()).await);
    lines.push(bench.kind("status of another system", EACH, &|bench, index| bench.foreign_status(index)).await);
    lines.extend(bench.history().await);
    stop(&mut bench.function);
    lines
}

impl Bench {
    async fn start() -> Self {
        let clock = Clock::system();
        let now = clock.now().as_second();
        let stack = Stack::start(None, clock.clone()).await.unwrap();
        let seed = Seed::load_or_plant(None, &stack).await.unwrap();
        let meta = simulated_meta(&stack, &seed);
        let (graph, aws) = (listen().await, listen().await);
        let functions = stack.functions(&format!("http://{}", graph.local_addr().unwrap())).unwrap();
        tokio::spawn(meta::serve(graph, meta::routes(meta.clone())));
        let aws_url = format!("http://{}", aws.local_addr().unwrap());
        let routes = aws_routes(stack.aws.clone());
        tokio::spawn(async move { axum::serve(aws, routes).await.unwrap() });
        let binary = build("inbound");
        let api = RuntimeApi::start().await;
        let variables = [
            ("TABLE_NAME", TABLE.to_owned()),
            ("KEY_ID", KEY.to_owned()),
            ("BUCKET_NAME", BUCKET.to_owned()),
            ("INBOUND_QUEUE_URL", Sqs::url(INBOUND)),
            ("ONBOARDING_QUEUE_URL", Sqs::url(ONBOARDING)),
            ("INBOUND_DEAD_LETTERS_URL", Sqs::url(INBOUND_DEAD)),
        ];
        let function = spawn(&binary, "inbound", 512, &api.address, &aws_url, &variables);
        api.first_next().await;
        Self { stack, seed, functions, meta, api, function, now }
    }

    fn aws(&self) -> &EmbeddedAws {
        &self.stack.aws
    }

    /// Posts a signed webhook to the webhook function.
    async fn webhook(&self, body: String) {
        let signed = signature::sign(&Secret::new(self.seed.app_secret.clone()), body.as_bytes());
        let request = axum::http::Request::post("/webhooks/meta/sandbox").header(signature::HEADER, signed);
        let answer = self.functions.gateway().oneshot(request.body(axum::body::Body::from(body)).unwrap()).await;
        assert_eq!(answer.unwrap().status(), 200);
    }

    /// Gives the function one batch after another until the queue is empty.
    async fn poll(&self) {
        loop {
            let messages = self.aws().sqs().receive(INBOUND, 10, None);
            if messages.is_empty() {
                return;
            }
            let answer = self.api.invoke(&sqs_event(INBOUND, &messages)).await;
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
            for message in &messages {
                self.aws().sqs().delete(INBOUND, &message.receipt);
            }
        }
    }

    async fn kind(
        &mut self,
        name: &'static str,
        count: usize,
        body: &dyn Fn(&Self, usize) -> String,
    ) -> (&'static str, String) {
        for index in 0..count {
            self.webhook(body(self, index)).await;
        }
        self.aws().start_meter();
        let before = cpu_seconds(self.function.id());
        self.poll().await;
        let (cpu, units) = (cpu_seconds(self.function.id()) - before, self.aws().consumed());
        let each = |total: f64| total / count as f64;
        let cost =
            each(units.write) * WRITE_UNIT + each(units.read) * READ_UNIT + each(cpu) * CPU_SECOND + QUEUE_AND_ARCHIVE;
        let figures = format!(
            "{:>6.0} per CPU-second, {:.2} write, {:.2} read units, ${:.2} a million",
            count as f64 / cpu,
            each(units.write),
            each(units.read),
            cost * 1e6
        );
        (Box::leak(format!("inbound: {name}").into_boxed_str()), figures)
    }

    fn text(&self, index: usize, series: &str) -> String {
        self.message(
            index,
            series,
            "text",
            &json!({"body": "Do you open on Sunday? I would come by at noon, if that is fine."}),
        )
    }

    fn message(&self, index: usize, series: &str, kind: &str, content: &Value) -> String {
        let (customer, user) = (customer(index), format!("US.7700112233{:010}", index % CUSTOMERS));
        let mut message = json!({"from": customer, "from_user_id": user, "id": format!("wamid.{series}{index}"),
            "timestamp": (self.now - 10_000 + index as i64).to_string(), "type": kind});
        message[kind] = content.clone();
        let value = json!({"messaging_product": "whatsapp", "metadata": metadata(), "messages": [message],
            "contacts": [{"profile": {"name": "Ada Example"}, "wa_id": customer, "user_id": user}]});
        webhook("messages", &value)
    }

    fn echo(&self, index: usize) -> String {
        let echo = json!({"from": "15550001111", "to": customer(index), "id": format!("wamid.f{index}"),
            "timestamp": (self.now - 5_000 + index as i64).to_string(), "type": "text",
            "text": {"body": "answered from the phone"}});
        let value = json!({"messaging_product": "whatsapp", "metadata": metadata(), "message_echoes": [echo]});
        webhook("smb_message_echoes", &value)
    }

    fn foreign_status(&self, index: usize) -> String {
        status(&format!("wamid.x{index}"), "delivered", self.now, &json!("cmd-42"))
    }

    /// Sends messages, and returns the webhooks of their three statuses.
    async fn statuses(&self) -> Vec<String> {
        for index in 0..CUSTOMERS {
            let Value::Object(message) = json!({"type": "text", "text": {"body": "hi"}}) else { unreachable!() };
            self.meta.customer_writes(&customer(index), NUMBER, message).unwrap();
        }
        self.meta.order_statuses(StatusOrder::Withheld);
        for index in 0..SENDS {
            let body = json!({"from": NUMBER, "to": format!("+{}", customer(index)), "type": "text",
                "text": {"body": format!("Yes, from 10 to 18, answer {index}.")}});
            let request = axum::http::Request::post("/v1/messages")
                .header("authorization", format!("Bearer {}", self.seed.api_key))
                .header("content-type", "application/json");
            let request = request.body(axum::body::Body::from(body.to_string())).unwrap();
            assert_eq!(self.functions.gateway().oneshot(request).await.unwrap().status(), 202);
        }
        // The test sends faster than a number may: later messages wait in the bulk lane.
        while self.meta.sent_count() < SENDS {
            let worked = self.functions.poll_outbound().await + self.functions.poll_release_fully().await;
            if worked == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        let sent = self.meta.sent();
        assert_eq!(sent.len(), SENDS);
        let steps = ["sent", "delivered", "read"];
        steps
            .iter()
            .flat_map(|step| {
                sent.iter().map(|one| status(&one.wamid, step, self.now, &json!(one.biz_opaque_callback_data)))
            })
            .collect()
    }

    /// Imports a long history in shuffled chunks of up to 3 MB.
    async fn history(&mut self) -> Vec<(&'static str, String)> {
        let mut bodies = past_chunks(self.now);
        let count = bodies.len();
        for index in 0..count {
            bodies.swap(index, (index * 7_919 + 13) % count);
        }
        let largest = bodies.iter().map(String::len).max().unwrap();
        for body in bodies {
            self.webhook(body).await;
        }
        self.aws().start_meter();
        let (before, since) = (cpu_seconds(self.function.id()), Instant::now());
        self.poll().await;
        let (cpu, time) = (cpu_seconds(self.function.id()) - before, since.elapsed().as_secs_f64());
        let (units, rss) = (self.aws().consumed(), peak_rss_kib(self.function.id()));
        vec![
            ("history: messages, in chunks", format!("{PAST} in {count}, the largest {:.2} MB", largest as f64 / 1e6)),
            (
                "history: time and CPU of the function",
                format!("{time:.0} s, {cpu:.0} s, {:.0} per CPU-second", PAST as f64 / cpu),
            ),
            ("history: write units a message", format!("{:.2}", units.write / PAST as f64)),
            ("history: peak memory of the function", format!("{:.0} MB", rss as f64 / 1024.0)),
        ]
    }
}

fn customer(index: usize) -> String {
    format!("1555{:07}", index % CUSTOMERS)
}

fn metadata() -> Value {
    json!({"display_phone_number": "15550001111", "phone_number_id": NUMBER})
}

fn webhook(field: &str, value: &Value) -> String {
    json!({"object": "whatsapp_business_account",
        "entry": [{"id": WABA, "changes": [{"field": field, "value": value}]}]})
    .to_string()
}

fn status(wamid: &str, step: &str, at: i64, callback_data: &Value) -> String {
    let status = json!({"id": wamid, "status": step, "timestamp": at.to_string(), "recipient_id": "15550002222",
        "biz_opaque_callback_data": callback_data,
        "pricing": {"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"}});
    webhook("messages", &json!({"messaging_product": "whatsapp", "metadata": metadata(), "statuses": [status]}))
}

fn past_chunks(now: i64) -> Vec<String> {
    let each = PAST / THREADS;
    let threads: Vec<Value> = (0..THREADS)
        .map(|thread| {
            let customer = format!("1666{thread:07}");
            let messages: Vec<Value> = (0..each)
                .map(|index| {
                    let id = format!("wamid.HBgLMTU1NTAwMDIyMjIVAgASGBQzQTdCOUVGNkY4{thread:05}{index:05}");
                    let at = (now - 8_000_000 + index as i64).to_string();
                    let text = json!({"body": format!("an old message, number {index} of its thread")});
                    let past = json!({"status": "READ"});
                    if index % 2 == 0 {
                        json!({"from": customer, "id": id, "timestamp": at, "type": "text", "text": text, "history_context": past})
                    } else {
                        json!({"from": "15550001111", "to": customer, "id": id, "timestamp": at, "type": "text", "text": text,
                               "history_context": past})
                    }
                })
                .collect();
            json!({"id": customer, "context": {"wa_id": customer}, "messages": messages})
        })
        .collect();
    let chunks: Vec<&[Value]> = threads.chunks(55).collect();
    let last = chunks.len();
    let body = |(index, threads): (usize, &&[Value])| {
        let progress = (index + 1) * 100 / last;
        let chunk =
            json!({"metadata": {"phase": 1, "chunk_order": index + 1, "progress": progress}, "threads": threads});
        webhook("history", &json!({"messaging_product": "whatsapp", "metadata": metadata(), "history": [chunk]}))
    };
    chunks.iter().enumerate().map(body).collect()
}

async fn listen() -> tokio::net::TcpListener {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap()
}
