//! The API over a large inbox: cost of a page of conversations and of a page of messages, while new messages are
//! written. Runs in this process over embedded AWS. Times include our code and SQLite; read units are those DynamoDB
//! would charge for.

use std::collections::BTreeSet;
use std::time::Instant;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use sandbox::sandbox::Seed;
use sandbox::stack::{Functions, Stack};
use serde_json::{Value, json};
use shared::clock::{Clock, at_millis};
use shared::provider::meta::signature;
use shared::secret::Secret;
use tower::ServiceExt;

use crate::percentile;

/// Number of conversations, and of messages in each. `BENCH_INBOX` overrides it, such as `1000x1000`.
const SIZE: (usize, usize) = (200, 100);
/// Messages per webhook.
const BATCH: usize = 500;
/// Number of measured pages.
const PAGES: usize = 200;
const START: i64 = 1_795_176_000_000;
const NUMBER: &str = "900100200300501";
const WABA: &str = "900100200300401";

struct Inbox {
    stack: Stack,
    seed: Seed,
    functions: Functions,
    clock: Clock,
    written: usize,
}

pub(crate) async fn measure() -> Vec<(&'static str, String)> {
    let asked = shared::config::optional("BENCH_INBOX");
    let asked =
        asked.as_deref().and_then(|text| text.split_once('x')).map(|(c, m)| (c.parse().unwrap(), m.parse().unwrap()));
    let (conversations, messages) = asked.unwrap_or(SIZE);
    let clock = Clock::manual(at_millis(START));
    let stack = Stack::start(None, clock.clone()).await.unwrap();
    let seed = Seed::load_or_plant(None, &stack).await.unwrap();
    // No message is sent, so the Graph URL is not used.
    let functions = stack.functions("http://127.0.0.1:9").unwrap();
    let mut inbox = Inbox { stack, seed, functions, clock, written: 0 };
    let since = Instant::now();
    while inbox.written < conversations * messages {
        inbox.write(conversations, BATCH).await;
    }
    let filled = since.elapsed();
    let mut lines = vec![(
        "inbox: conversations x messages",
        format!("{conversations} x {messages}, filled in {:.0} s", filled.as_secs_f64()),
    )];
    let list = inbox.walk("/v1/conversations?limit=50").await;
    lines.push(("inbox: page of 50 conversations", list.1));
    lines.push(("inbox: page behind the last conversation", inbox.behind("/v1/conversations?limit=50").await));
    lines.push(("inbox: whole inbox while messages come", inbox.all_once(conversations).await));
    let thread = format!("/v1/conversations/{}/messages?limit=50", list.0);
    lines.push(("inbox: page of 50 messages", inbox.walk(&thread).await.1));
    lines.push(("inbox: search by number", inbox.walk("/v1/conversations?search=1555&limit=20").await.1));
    lines.push(("inbox: unread of one page", inbox.walk("/v1/conversations?unread=true&limit=50").await.1));
    lines
}

impl Inbox {
    /// Customers write in turn, one message per millisecond.
    async fn write(&mut self, customers: usize, count: usize) {
        let message = |place: usize| {
            json!({"from": format!("15550{:06}", place % customers), "id": format!("wamid.m{place}"),
                "timestamp": (START / 1_000 + i64::try_from(place / 50).unwrap()).to_string(), "type": "text",
                "text": {"body": "Is this still available? I would take two of them on Friday."}})
        };
        let all: Vec<Value> = (self.written..self.written + count).map(message).collect();
        let value = json!({"messaging_product": "whatsapp", "messages": all,
            "metadata": {"display_phone_number": "15550001111", "phone_number_id": NUMBER}});
        let body = json!({"object": "whatsapp_business_account",
            "entry": [{"id": WABA, "changes": [{"field": "messages", "value": value}]}]})
        .to_string();
        let signed = signature::sign(&Secret::new(self.seed.app_secret.clone()), body.as_bytes());
        let request = Request::post("/webhooks/meta/sandbox").header(signature::HEADER, signed);
        let answer = self.functions.gateway().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        while self.functions.poll_inbound().await > 0 {}
        self.written += count;
        let passed = START + i64::try_from(self.written / 50).unwrap() * 1_000;
        let ahead = passed - self.clock.now().as_millisecond();
        self.clock.advance(shared::clock::SignedDuration::from_millis(ahead.max(1)));
    }

    async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).header("authorization", format!("Bearer {}", self.seed.api_key));
        let answer = self.functions.gateway().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        // The API key has a rate limit per second.
        self.clock.advance(shared::clock::SignedDuration::from_millis(5));
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    /// Reads page after page, and starts again after the last. Returns the id of an item of the first page, and the
    /// times and read units.
    async fn walk(&self, path: &str) -> (String, String) {
        let (mut times, mut cursor, mut first) = (Vec::with_capacity(PAGES), String::new(), String::new());
        self.stack.aws.start_meter();
        for _ in 0..PAGES {
            let since = Instant::now();
            let page = self.get(&format!("{path}{cursor}")).await;
            times.push(since.elapsed().as_secs_f64() * 1e3);
            if first.is_empty() {
                first = page["data"][0]["id"].as_str().unwrap_or_default().to_owned();
            }
            let shown = page["data"].as_array().is_some_and(|shown| !shown.is_empty());
            let next = page["next_cursor"].as_str().filter(|_| shown);
            cursor = next.map(|next| format!("&cursor={next}")).unwrap_or_default();
        }
        let units = self.stack.aws.consumed().read / PAGES as f64;
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
        (first, format!("p50 {p50:.1} ms, p99 {p99:.1} ms, {units:.1} read units"))
    }

    /// Measures pages behind the last shown conversation: they contain only entries that a newer message replaced.
    async fn behind(&self, path: &str) -> String {
        let (mut times, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = self.get(&format!("{path}{cursor}")).await;
            let shown = page["data"].as_array().is_some_and(|shown| !shown.is_empty());
            let Some(next) = page["next_cursor"].as_str() else { return "none".to_owned() };
            cursor = format!("&cursor={next}");
            if !shown {
                break;
            }
        }
        self.stack.aws.start_meter();
        while pages < PAGES / 10 {
            let since = Instant::now();
            let page = self.get(&format!("{path}{cursor}")).await;
            times.push(since.elapsed().as_secs_f64() * 1e3);
            pages += 1;
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let units = self.stack.aws.consumed().read / f64::from(u32::try_from(pages).unwrap());
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (percentile(&times, 50), percentile(&times, 99));
        format!("{pages} measured: p50 {p50:.1} ms, p99 {p99:.1} ms, {units:.1} read units")
    }

    /// Walks the whole inbox while old conversations receive messages. No conversation may appear twice; only those
    /// that moved up meanwhile may be missing.
    async fn all_once(&mut self, conversations: usize) -> String {
        let (mut seen, mut cursor, mut pages) = (BTreeSet::new(), String::new(), 0);
        let mut twice = 0;
        loop {
            let page = self.get(&format!("/v1/conversations?limit=50{cursor}")).await;
            for one in page["data"].as_array().unwrap() {
                twice += usize::from(!seen.insert(one["id"].as_str().unwrap().to_owned()));
            }
            pages += 1;
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
            self.write(conversations, 3).await;
        }
        let moved = (pages - 1) * 3;
        assert!(twice == 0 && seen.len() + moved >= conversations, "{twice} twice, {} of {conversations}", seen.len());
        format!("{} in {pages} pages, {twice} twice, {moved} messages came meanwhile", seen.len())
    }
}
