//! All functions over embedded AWS and the simulated Meta, driven through their HTTP and queue interfaces. The clock
//! stands still until a test advances it.

pub(crate) mod effort;
pub(crate) mod fixtures;
pub(crate) mod iam;
mod invariants;
pub(crate) mod world;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use jiff::SignedDuration;
use sandbox::meta::{self, Meta, MetaApp, MetaNumber};
use sandbox::sandbox::Seed;
use sandbox::stack::{Functions, INBOUND, OUTBOUND, Stack};
use serde_json::{Map, Value, json};
use shared::clock::{Clock, at_millis};
use shared::provider::meta::signature;
use shared::secret::Secret;
use tower::ServiceExt;

pub(crate) const APP: &str = "sandbox";
pub(crate) const NUMBER: &str = "900100200300501";
pub(crate) const WABA: &str = "900100200300401";
pub(crate) const CUSTOMER: &str = "15550002222";

/// 2026-11-20 12:00 UTC, an ordinary Friday.
const START: i64 = 1_795_176_000_000;
/// Maximum rounds of [`App::drain`]. Reaching it means that the system never becomes idle.
const ROUNDS_MAX: usize = 500;

/// Minutes between the sweeps of [`App::recover`]: half an hour in all.
const RECOVERY: [i64; 15] = [1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3];

/// One installation under test.
pub(crate) struct App {
    pub(crate) stack: Stack,
    pub(crate) meta: Arc<Meta>,
    pub(crate) seed: Seed,
    pub(crate) functions: Functions,
    pub(crate) clock: Clock,
    graph_url: String,
}

/// A response with its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl App {
    pub(crate) async fn start() -> Self {
        let clock = Clock::manual(at_millis(START));
        let stack = Stack::start(None, clock.clone()).await.unwrap();
        let seed = Seed::load_or_plant(None, &stack).await.unwrap();
        let meta = Arc::new(Meta::new(clock.clone(), stack.faults.clone()));
        meta.put_app(MetaApp {
            client_id: "900100200300101".to_owned(),
            secret: seed.app_secret.clone(),
            callback_url: format!("/webhooks/meta/{APP}"),
        });
        meta.put_number(MetaNumber {
            phone_number_id: NUMBER.to_owned(),
            display_phone_number: "15550001111".to_owned(),
            waba_id: WABA.to_owned(),
            token: seed.access_token.clone(),
        });
        meta.put_token(&seed.access_token, sandbox::sandbox::seeded_account());
        meta::sample_templates().into_iter().for_each(|template| meta.put_template(template));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let graph_url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(meta::serve(listener, meta::routes(meta.clone())));
        let functions = stack.functions(&graph_url).unwrap();
        stack.aws.set_permissions(iam::permissions());
        stack.faults.clear();
        Self { stack, meta, seed, functions, clock, graph_url }
    }

    /// Restarts all functions cold: in-memory state is lost.
    pub(crate) fn restart(&mut self) {
        self.functions = self.stack.functions(&self.graph_url).unwrap();
    }

    /// Returns the URL of the simulated Graph API.
    pub(crate) fn graph_url(&self) -> &str {
        &self.graph_url
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// Connects another number for the seeded tenant.
    pub(crate) async fn connect_number(&self, id: &str, coexistence: bool) {
        let number = shared::domain::accounts::number::Number {
            id: shared::domain::ids::NumberId::parse(id).unwrap(),
            tenant: shared::domain::ids::TenantId::parse(&self.seed.tenant_id).unwrap(),
            waba: shared::domain::ids::WabaId::parse(WABA).unwrap(),
            display_phone_number: format!("1{id}"),
            coexistence,
            fallback: None,
            settings: shared::domain::accounts::number::Settings::default(),
        };
        let token = Secret::new(self.seed.access_token.clone());
        self.stack.operator.put_number(&number, &token, None).await.unwrap();
        self.meta.put_number(MetaNumber {
            phone_number_id: id.to_owned(),
            display_phone_number: format!("1{id}"),
            waba_id: WABA.to_owned(),
            token: self.seed.access_token.clone(),
        });
    }

    // ---- requests ----

    pub(crate) async fn request(&self, request: Request<Body>) -> Answer {
        // Boxed, like every call of the functions, because a test's stack is small.
        Box::pin(call(self.functions.gateway(), request)).await
    }

    /// Calls the API with the seeded tenant's key.
    pub(crate) async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.request(self.api_request(method, path, body, None)).await
    }

    pub(crate) fn api_request(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        key: Option<&str>,
    ) -> Request<Body> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.seed.api_key))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request.body(body.map_or(Body::empty(), |body| Body::from(body.to_string()))).unwrap()
    }

    /// Requests a text to the customer. Takes one millisecond, because outbound ids order the messages by time.
    pub(crate) async fn send(&self, text: &str, key: Option<&str>) -> Answer {
        let answer = self.request(self.api_request("POST", "/v1/messages", Some(to_customer(text)), key)).await;
        self.clock.advance(SignedDuration::from_millis(1));
        answer
    }

    /// Posts a webhook body with Meta's signature.
    pub(crate) async fn webhook(&self, body: impl Into<Vec<u8>>) -> StatusCode {
        let body = body.into();
        let signature = signature::sign(&Secret::new(self.seed.app_secret.clone()), &body);
        self.post_webhook(body, &[(signature::HEADER, signature.as_bytes())]).await.status
    }

    pub(crate) async fn post_webhook(&self, body: Vec<u8>, headers: &[(&str, &[u8])]) -> Answer {
        let mut request = Request::builder().method("POST").uri(format!("/webhooks/meta/{APP}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.request(request.body(Body::from(body)).unwrap()).await
    }

    /// The simulated customer writes a text; its webhook waits at Meta. Returns the wamid.
    pub(crate) fn customer_writes(&self, text: &str) -> String {
        let Value::Object(message) = json!({"type": "text", "text": {"body": text}}) else { unreachable!() };
        self.meta.customer_writes(CUSTOMER, NUMBER, message).unwrap()
    }

    // ---- passing of time ----

    /// Meta delivers each waiting webhook once. Those not answered 200 remain waiting.
    pub(crate) async fn deliver(&self) -> usize {
        let delivered = self.deliver_quietly().await;
        self.meta.all_delivered();
        delivered
    }

    /// Delivers without releasing a reply that waits for all deliveries (`DropLate`).
    pub(crate) async fn deliver_quietly(&self) -> usize {
        let mut delivered = 0;
        while let Some(next) = self.meta.next_webhook() {
            let headers = [(signature::HEADER, next.webhook.signature.as_bytes())];
            let answer = self.post_webhook(next.webhook.body.clone().into_bytes(), &headers).await;
            if answer.status != StatusCode::OK {
                next.failed();
                break;
            }
            next.delivered();
            delivered += 1;
        }
        delivered
    }

    /// Sends one message whose reply from Meta arrives after all three statuses were stored. `DropLate` must be
    /// ordered.
    pub(crate) async fn send_with_statuses_before_the_reply(&self) {
        let statuses = async {
            while self.functions.metrics.total("status_applied") < 3 {
                if self.deliver_quietly().await + self.functions.poll_inbound().await == 0 {
                    tokio::task::yield_now().await;
                }
            }
            self.meta.all_delivered();
        };
        tokio::join!(self.functions.poll_outbound(), statuses);
    }

    /// Runs all functions and deliveries until none has work left.
    pub(crate) async fn drain(&self) {
        for _ in 0..ROUNDS_MAX {
            let worked = Box::pin(self.deliver()).await
                + Box::pin(self.functions.poll_inbound()).await
                + Box::pin(self.functions.poll_release()).await
                + Box::pin(self.functions.poll_outbound()).await;
            if worked == 0 {
                return;
            }
        }
        panic!("something goes on for ever");
    }

    /// Advances half an hour: leases expire, hidden messages become visible, the sweep runs. It runs once per minute at
    /// first, then less often than it does at AWS, which saves half of the tests' time.
    pub(crate) async fn recover(&self) {
        for minutes in RECOVERY {
            self.drain().await;
            self.advance(minutes * 60);
            self.functions.tick().await.unwrap();
        }
        self.drain().await;
    }

    /// Runs `work` until it ends or a fault crashes the function. After a crash the functions restart cold and the
    /// result is `None`.
    pub(crate) async fn until_crash<T>(&mut self, work: impl AsyncFnOnce(&Self) -> T) -> Option<T> {
        let faults = self.stack.faults.clone();
        let ended = tokio::select! {
            biased;
            ended = work(self) => Some(ended),
            () = faults.crashed() => None,
        };
        if ended.is_none() {
            self.restart();
        }
        ended
    }

    // ---- views of an API client ----

    /// Returns all messages of the only conversation, newest first.
    pub(crate) async fn messages(&self) -> Vec<Value> {
        let conversations = self.conversations().await;
        let Some(conversation) = conversations.first() else { return Vec::new() };
        let id = conversation["id"].as_str().unwrap();
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.api("GET", &format!("/v1/conversations/{id}/messages?limit=100{cursor}"), None).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.text);
            let page = page.json();
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    pub(crate) async fn conversations(&self) -> Vec<Value> {
        let answer = self.api("GET", "/v1/conversations?limit=100", None).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["data"].as_array().unwrap().clone()
    }

    /// Returns the texts of one direction, sorted.
    pub(crate) async fn texts(&self, direction: &str) -> Vec<String> {
        let all = self.messages().await;
        let mut texts: Vec<String> = all
            .iter()
            .filter(|message| message["direction"] == direction)
            .filter_map(|message| message["text"]["body"].as_str().map(str::to_owned))
            .collect();
        texts.sort();
        texts
    }

    /// Returns the status of the only outbound message.
    pub(crate) async fn only_status(&self) -> String {
        let all = self.messages().await;
        let outbound: Vec<&Value> = all.iter().filter(|message| message["direction"] == "outbound").collect();
        assert_eq!(outbound.len(), 1, "{outbound:?}");
        outbound[0]["status"].as_str().unwrap().to_owned()
    }

    /// Deletes an item of the table, as its TTL would.
    pub(crate) async fn delete_item(&self, item: &Value) {
        let of = |name: &str| aws_sdk_dynamodb::types::AttributeValue::S(item[name]["S"].as_str().unwrap().to_owned());
        let client = self.stack.operator_dynamodb();
        let delete = client.delete_item().table_name(sandbox::stack::TABLE);
        delete.key("pk", of("pk")).key("sk", of("sk")).send().await.unwrap();
    }

    /// Replaces the table's content, as a restore does, and restarts the functions.
    pub(crate) async fn restore(&mut self, items: &[Value]) {
        for item in self.table_items().await {
            self.delete_item(&item).await;
        }
        for item in items {
            let body = json!({"TableName": sandbox::stack::TABLE, "Item": item}).to_string();
            let request = Request::post("/").header("x-amz-target", "DynamoDB_20120810.PutItem");
            let answer = self.stack.aws.answer(request.body(bytes::Bytes::from(body)).unwrap()).await;
            assert_eq!(answer.status(), StatusCode::OK);
        }
        self.restart();
    }

    /// Returns every item of the table, as DynamoDB's JSON.
    pub(crate) async fn table_items(&self) -> Vec<Value> {
        let (mut items, mut start) = (Vec::new(), Value::Null);
        loop {
            let mut body = json!({"TableName": sandbox::stack::TABLE});
            if !start.is_null() {
                body["ExclusiveStartKey"] = start;
            }
            let request = Request::post("/").header("x-amz-target", "DynamoDB_20120810.Scan");
            let request = request.body(bytes::Bytes::from(body.to_string())).unwrap();
            let answer: Value = serde_json::from_slice(self.stack.aws.answer(request).await.body()).unwrap();
            items.extend(answer["Items"].as_array().unwrap().iter().cloned());
            start = answer["LastEvaluatedKey"].clone();
            if start.is_null() {
                return items;
            }
        }
    }

    /// Puts an item with these texts as attributes into the table.
    pub(crate) async fn put_item(&self, texts: &serde_json::Map<String, Value>) {
        let item: serde_json::Map<String, Value> =
            texts.iter().map(|(name, text)| (name.clone(), json!({"S": text}))).collect();
        let body = json!({"TableName": sandbox::stack::TABLE, "Item": item});
        let request = Request::post("/").header("x-amz-target", "DynamoDB_20120810.PutItem");
        let request = request.body(bytes::Bytes::from(body.to_string())).unwrap();
        assert_eq!(self.stack.aws.answer(request).await.status(), StatusCode::OK);
    }

    pub(crate) fn depth(&self) -> (usize, usize) {
        (self.stack.aws.sqs().depth(INBOUND), self.stack.aws.sqs().depth(OUTBOUND))
    }
}

pub(crate) async fn call(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Answer { status, headers, text: String::from_utf8_lossy(&bytes).into_owned() }
}

/// Calls the API with this key; a null body sends none.
pub(crate) async fn ask(app: &App, key: &str, method: &str, path: &str, body: Value) -> Answer {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json");
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    app.request(request.body(body).unwrap()).await
}

pub(crate) fn to_customer(text: &str) -> Value {
    json!({"from": NUMBER, "to": format!("+{CUSTOMER}"), "type": "text", "text": {"body": text}})
}

// ---- webhook bodies ----

pub(crate) fn text_message(from: &str, id: &str, body: &str) -> Value {
    json!({"from": from, "id": id, "timestamp": "1795175990", "type": "text", "text": {"body": body}})
}

/// Returns one change of the field `messages`.
pub(crate) fn change(number: &str, value: Value) -> Value {
    let mut fields = Map::new();
    fields.insert("messaging_product".to_owned(), json!("whatsapp"));
    fields.insert("metadata".to_owned(), json!({"display_phone_number": "15550001111", "phone_number_id": number}));
    if let Value::Object(value) = value {
        fields.extend(value);
    }
    json!({"field": "messages", "value": fields})
}

/// Returns a whole webhook with one entry.
pub(crate) fn webhook_body(changes: &[Value]) -> String {
    json!({"object": "whatsapp_business_account", "entry": [{"id": WABA, "changes": changes}]}).to_string()
}

/// Whether an item of the table is the inbound message with this wamid.
pub(crate) fn is_theirs(item: &Value, wamid: &str) -> bool {
    let sk = item["sk"]["S"].as_str().unwrap();
    sk.starts_with("IN#") && sk.ends_with(&format!("#{wamid}"))
}
