//! The cost meter: counts and prices every AWS request of a run, from the signed webhook to the last write. Assumed,
//! not measured: the duration of AWS and Meta calls, and the requests of Lambda's pollers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Request;
use sandbox::aws::capacity::Capacity;
use sandbox::meta::{self, Meta, StatusOrder};
use sandbox::sandbox::Seed;
use sandbox::stack::{Functions, OUTBOUND, Stack};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::provider::meta::signature;
use shared::secret::Secret;
use tower::ServiceExt;

use crate::function::{NUMBER, WABA, simulated_meta};

/// Number of customers, and of messages of each kind.
const MANY: usize = 1_000;

/// Timeout for sending the messages of one kind.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prices in us-east-1, in dollars (`docs/aws.md#section-9`).
const HTTP_API: f64 = 1.00e-6;
const INVOCATION: f64 = 0.20e-6;
const GB_SECOND: f64 = 0.000_013_333_4;
const SQS_REQUEST: f64 = 0.40e-6;
/// Request to a FIFO queue, or of a message with a group to a standard queue (a fair queue).
const GROUPED_REQUEST: f64 = 0.50e-6;
const WRITE_UNIT: f64 = 0.625e-6;
const READ_UNIT: f64 = 0.125e-6;
const PUT_OBJECT: f64 = 5e-6;
const KMS_REQUEST: f64 = 3e-6;
const LOG_BYTE: f64 = 0.50e-9;
const EGRESS_BYTE: f64 = 0.09e-9;

/// Memory of the functions in `template.yaml`, in GB.
const SMALL: f64 = 0.25;
const LARGE: f64 = 0.5;
/// Assumed duration of an AWS call within a region, in seconds, and the average number of concurrent calls in a batch.
/// The latter is below `BATCH_CONCURRENCY` (10), so the compute cost is estimated rather too high.
const AWS_CALL: f64 = 0.005;
const AT_ONCE: f64 = 8.0;
/// Assumed durations in seconds: S3 stores a batch, Meta accepts a message.
const S3_PUT: f64 = 0.030;
const GRAPH_CALL: f64 = 0.250;
/// CPU seconds of our own code per message, measured by the other benchmarks.
const OWN_CPU: f64 = 0.001;
/// Bytes of the access log's line for a request to the HTTP API.
const ACCESS_LOGGED: f64 = 170.0;
/// Price of a request to the HTTP API.
const GATEWAY: f64 = HTTP_API + ACCESS_LOGGED * LOG_BYTE;
/// Bytes of an invocation's log lines: metrics and one event.
const LOGGED: f64 = 1_000.0;
/// Bytes of a message sent to Meta, with TLS and headers.
const SENT_BYTES: f64 = 2_000.0;

/// Requests by name.
type Counted = Arc<Mutex<BTreeMap<String, usize>>>;

struct Meter {
    stack: Stack,
    seed: Seed,
    functions: Functions,
    meta: Arc<Meta>,
    counted: Counted,
    series: AtomicI64,
}

/// Consumption of one part of a run.
struct Used {
    requests: BTreeMap<String, usize>,
    units: Capacity,
}

impl Used {
    fn of(&self, names: &[&str]) -> f64 {
        names.iter().map(|name| self.requests.get(*name).copied().unwrap_or_default()).sum::<usize>() as f64
    }

    /// Returns the number of AWS calls, except those of Lambda's pollers and of the webhook function, whose time is
    /// counted separately.
    fn calls(&self) -> f64 {
        let of_webhooks = self.of(&["AmazonSQS.SendMessage grouped"]);
        self.requests.values().sum::<usize>() as f64 - of_webhooks
    }

    /// Returns the cost of DynamoDB, S3, KMS and sends to queues. The cost of Lambda's pollers is added by the caller.
    fn services(&self) -> f64 {
        let plain = ["AmazonSQS.SendMessage", "AmazonSQS.SendMessageBatch", "AmazonSQS.ChangeMessageVisibility"];
        let grouped = plain.map(|name| format!("{name} grouped"));
        self.units.write * WRITE_UNIT
            + self.units.read * READ_UNIT
            + self.of(&["S3.PUT"]) * PUT_OBJECT
            + self.of(&["TrentService.Decrypt"]) * KMS_REQUEST
            + self.of(&plain) * SQS_REQUEST
            + self.of(&grouped.each_ref().map(String::as_str)) * GROUPED_REQUEST
    }
}

/// One line of the table: dollars per message.
struct Cost {
    name: &'static str,
    gateway: f64,
    rest: f64,
    writes: f64,
    reads: f64,
}

impl Cost {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let figures = format!(
            "${:.2} with the HTTP API, ${:.2} with a function URL; {:.2} write, {:.2} read units",
            (self.gateway + self.rest) * 1e6,
            self.rest * 1e6,
            self.writes,
            self.reads
        );
        vec![(Box::leak(format!("cost of a million: {}", self.name).into_boxed_str()), figures)]
    }
}

pub(crate) async fn measure() -> Vec<(&'static str, String)> {
    let meter = Meter::start().await;
    // All contacts exist, and all caches are warm.
    for series in ["warm", "warmer"] {
        meter.texts(MANY, series).await;
        meter.poll(100).await;
    }
    let mut lines = Vec::new();
    for batch in [10, 100] {
        lines.extend(meter.inbound(batch).await.lines());
    }
    for batch in [10, 100] {
        lines.extend(meter.broadcast(batch).await.lines());
    }
    lines.extend(meter.answers(100).await.lines());
    lines
}

impl Meter {
    async fn start() -> Self {
        let clock = Clock::system();
        let stack = Stack::start(None, clock.clone()).await.unwrap();
        let seed = Seed::load_or_plant(None, &stack).await.unwrap();
        let meta = simulated_meta(&stack, &seed);
        meta::sample_templates().into_iter().for_each(|template| meta.put_template(template));
        meta.set_rate(NUMBER, 1_000);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let functions = stack.functions(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(meta::serve(listener, meta::routes(meta.clone())));
        let counted = Counted::default();
        let seen = counted.clone();
        stack.aws.set_tap(Some(Arc::new(move |name, body| {
            let queued = name.starts_with("AmazonSQS.").then(|| String::from_utf8_lossy(&body));
            let grouped = queued.is_some_and(|body| body.contains(".fifo") || body.contains("\"MessageGroupId\""));
            let name = if grouped { format!("{name} grouped") } else { name.to_owned() };
            *seen.lock().unwrap().entry(name).or_default() += 1;
            body
        })));
        let meter = Self { stack, seed, functions, meta, counted, series: AtomicI64::default() };
        let upgrade = json!({"display_phone_number": "15550001111", "event": "THROUGHPUT_UPGRADE",
            "current_limit": "TIER_UNLIMITED"});
        let Value::Object(upgrade) = upgrade else { unreachable!() };
        meter.meta.reports(WABA, "phone_number_quality_update", &upgrade);
        meter.deliver().await;
        meter.poll(100).await;
        meter
    }

    fn begin(&self) {
        self.counted.lock().unwrap().clear();
        self.stack.aws.start_meter();
    }

    fn used(&self) -> Used {
        let requests = std::mem::take(&mut *self.counted.lock().unwrap());
        Used { requests, units: self.stack.aws.consumed() }
    }

    async fn webhook(&self, body: String) {
        let signed = signature::sign(&Secret::new(self.seed.app_secret.clone()), body.as_bytes());
        let request = Request::post("/webhooks/meta/sandbox").header(signature::HEADER, signed);
        let answer = self.functions.gateway().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    /// One message per webhook, each from another customer.
    async fn texts(&self, count: usize, series: &str) {
        // Each series is a minute later than the one before. Messages in the wrong order cost more, and are rare.
        let now = Clock::system().now().as_second() + 60 * self.series.fetch_add(1, Ordering::Relaxed);
        for index in 0..count {
            let value = json!({"messaging_product": "whatsapp",
                "metadata": {"display_phone_number": "15550001111", "phone_number_id": NUMBER},
                "contacts": [{"profile": {"name": "Ada Example"}, "wa_id": customer(index)}],
                "messages": [{"from": customer(index), "id": format!("wamid.{series}{index}"), "type": "text",
                    "timestamp": now.to_string(), "text": {"body": "Is this still available? I would take two."}}]});
            let entry = json!({"id": WABA, "changes": [{"field": "messages", "value": value}]});
            self.webhook(json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string()).await;
        }
        // The simulated Meta opens the customers' windows, too.
        if series == "warm" {
            for index in 0..count {
                let Value::Object(hello) = json!({"type": "text", "text": {"body": "hi"}}) else { unreachable!() };
                self.meta.customer_writes(&customer(index), NUMBER, hello).unwrap();
            }
            self.deliver().await;
        }
    }

    async fn deliver(&self) {
        while let Some(next) = self.meta.next_webhook() {
            self.webhook(next.webhook.body.clone()).await;
            next.delivered();
        }
    }

    /// Polls batches of this size until the queue is empty. Returns the number of batches.
    async fn poll(&self, batch: usize) -> f64 {
        let mut batches = 0.0;
        while self.functions.poll_inbound_up_to(batch).await > 0 {
            batches += 1.0;
        }
        batches
    }

    /// Returns the cost of `webhooks` webhooks that were stored in `batches`, without the gateway.
    fn receiving(webhooks: f64, batches: f64, stored: &Used) -> f64 {
        // Lambda receives and deletes up to ten messages per request, independent of the batch size.
        let pollers = webhooks / 10.0 * 2.0 * SQS_REQUEST;
        let door = webhooks * (INVOCATION + (AWS_CALL + OWN_CPU) * SMALL * GB_SECOND);
        let worked = stored.calls() * AWS_CALL / AT_ONCE + batches * S3_PUT + webhooks * OWN_CPU;
        let inbound = batches * (INVOCATION + LOGGED * LOG_BYTE) + worked * LARGE * GB_SECOND;
        pollers + door + inbound + stored.services()
    }

    async fn inbound(&self, batch: usize) -> Cost {
        self.begin();
        self.texts(MANY, &format!("b{batch}")).await;
        let batches = self.poll(batch).await;
        let (stored, each) = (self.used(), MANY as f64);
        Cost {
            name: if batch == 10 { "inbound texts, batches of 10" } else { "inbound texts, batches of 100" },
            gateway: GATEWAY,
            rest: Self::receiving(each, batches, &stored) / each,
            writes: stored.units.write / each,
            reads: stored.units.read / each,
        }
    }

    /// Sends the waiting messages. Returns the consumption and the number of invocations.
    async fn send_all(&self) -> (Used, f64) {
        let mut batches = 0.0;
        let (sent, since) = (self.meta.sent_count(), Instant::now());
        while self.meta.sent_count() < sent + MANY {
            let told = ["released", "send_failed", "send_not_sent", "send_refused_by_us", "send_unknown", "expired"];
            let told = told.map(|metric| (metric, self.functions.metrics.total(metric)));
            assert!(since.elapsed() < PATIENCE, "{} of {MANY} sent: {told:?}", self.meta.sent_count() - sent);
            self.functions.poll_release_fully().await;
            while self.functions.poll_outbound().await > 0 {
                batches += 1.0;
            }
        }
        (self.used(), batches)
    }

    fn sending(used: &Used, batches: f64) -> f64 {
        let each = MANY as f64;
        let pollers = batches * 2.0 * GROUPED_REQUEST;
        let worked = each * (GRAPH_CALL / AT_ONCE + OWN_CPU) + used.calls() * AWS_CALL / AT_ONCE;
        let function = batches * (INVOCATION + LOGGED * LOG_BYTE) + worked * SMALL * GB_SECOND;
        pollers + function + used.services() + each * SENT_BYTES * EGRESS_BYTE
    }

    /// Processes the statuses of the sent messages: three webhooks per message.
    async fn statuses(&self, batch: usize) -> (f64, Capacity) {
        self.meta.order_statuses(StatusOrder::Normal);
        self.begin();
        self.deliver().await;
        let batches = self.poll(batch).await;
        let stored = self.used();
        let cost = Self::receiving(3.0 * MANY as f64, batches, &stored);
        self.meta.order_statuses(StatusOrder::Withheld);
        (cost, stored.units)
    }

    async fn post(&self, path: &str, body: &Value) {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", self.seed.api_key))
            .header("content-type", "application/json");
        let answer = self.functions.gateway().oneshot(request.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(answer.unwrap().status(), 202);
    }

    async fn broadcast(&self, batch: usize) -> Cost {
        self.meta.order_statuses(StatusOrder::Withheld);
        let to: Vec<String> = (0..MANY).map(|index| format!("+{}", customer(index))).collect();
        let body = json!({"from": NUMBER, "category": "utility", "recipients": to,
            "template": {"name": "hello_world", "language": {"code": "en_US"}}});
        self.begin();
        self.post("/v1/broadcasts", &body).await;
        let (sent, batches) = self.send_all().await;
        let (statuses, status_units) = self.statuses(batch).await;
        let each = MANY as f64;
        Cost {
            name: if batch == 10 {
                "broadcast sends with three statuses, batches of 10"
            } else {
                "broadcast sends with three statuses, batches of 100"
            },
            gateway: 3.0 * GATEWAY,
            rest: (Self::sending(&sent, batches) + statuses) / each,
            writes: (sent.units.write + status_units.write) / each,
            reads: (sent.units.read + status_units.read) / each,
        }
    }

    async fn answers(&self, batch: usize) -> Cost {
        self.meta.order_statuses(StatusOrder::Withheld);
        self.begin();
        for index in 0..MANY {
            let body = json!({"from": NUMBER, "to": format!("+{}", customer(index)), "type": "text",
                "text": {"body": format!("Yes, from 10 to 18, answer {index}.")}});
            self.post("/v1/messages", &body).await;
        }
        let asked = self.stack.aws.sqs().depth(OUTBOUND);
        assert!(asked > 0);
        let (sent, batches) = self.send_all().await;
        let (statuses, status_units) = self.statuses(batch).await;
        let each = MANY as f64;
        let api = each * (INVOCATION + (AWS_CALL * 6.0 + OWN_CPU) * LARGE * GB_SECOND);
        Cost {
            name: "answers, one request each, with three statuses, batches of 100",
            gateway: 3.0 * GATEWAY,
            // The API is called through the HTTP API in both variants.
            rest: (Self::sending(&sent, batches) + statuses + api) / each + GATEWAY,
            writes: (sent.units.write + status_units.write) / each,
            reads: (sent.units.read + status_units.read) / each,
        }
    }
}

fn customer(index: usize) -> String {
    format!("1555{:07}", index % MANY)
}
