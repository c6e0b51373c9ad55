//! The whole sandbox with real HTTP requests, on this machine's cores.

use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt};
use sandbox::sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::provider::meta::signature;
use shared::secret::Secret;

/// Messages in each direction.
const MESSAGES: usize = 2_000;
/// Number of customers that the messages are spread over.
const CUSTOMERS: usize = 100;
/// Maximum number of concurrent requests.
const CONCURRENCY: usize = 16;
const POLL: Duration = Duration::from_millis(20);

pub(crate) async fn measure() -> Vec<(&'static str, String)> {
    let sandbox = Sandbox::start(&Options::default()).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut lines = inbound(&sandbox, &http).await;
    lines.extend(outbound(&sandbox, &http).await);
    sandbox.stop().await.unwrap();
    lines
}

fn customer(index: usize) -> String {
    format!("1555010{:04}", index % CUSTOMERS)
}

async fn inbound(sandbox: &Sandbox, http: &reqwest::Client) -> Vec<(&'static str, String)> {
    let ready = &sandbox.ready;
    // The first message opens each customer's window at Meta. Wait until these are stored.
    for index in 0..CUSTOMERS {
        let url = format!("{}/_sim/customers/{}/messages", ready.meta, customer(index));
        let message = json!({"to": ready.number.phone_number_id, "message": {"type": "text", "text": {"body": "hi"}}});
        let request = http.post(url).header("content-type", "application/json").body(message.to_string());
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    settle(sandbox, CUSTOMERS).await;

    let url = format!("{}/webhooks/meta/{}", ready.gateway, ready.app.id);
    let secret = Secret::new(ready.app.secret.clone());
    let since = Instant::now();
    stream::iter(0..MESSAGES)
        .for_each_concurrent(CONCURRENCY, async |index| {
            let body = webhook(&ready.number.phone_number_id, index);
            let signed = signature::sign(&secret, body.as_bytes());
            let reply = http.post(&url).header(signature::HEADER, signed).body(body).send().await.unwrap();
            assert_eq!(reply.status(), 200);
        })
        .await;
    let accepted = since.elapsed();
    settle(sandbox, CUSTOMERS + MESSAGES).await;
    let stored = since.elapsed();
    let rate = |time: Duration| format!("{:.0} /s", MESSAGES as f64 / time.as_secs_f64());
    vec![
        ("sandbox: webhooks accepted (1 message each)", rate(accepted)),
        ("sandbox: messages stored, end to end", rate(stored)),
    ]
}

/// Waits until the inbound function has stored this number of messages.
async fn settle(sandbox: &Sandbox, messages: usize) {
    while sandbox.metrics().total("inbound_stored") < messages as u64 {
        tokio::time::sleep(POLL).await;
    }
}

pub(crate) fn webhook(number: &str, index: usize) -> String {
    let now = Clock::system().now().as_second();
    json!({"object": "whatsapp_business_account", "entry": [{"id": "900100200300401", "changes": [{
        "field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550001111", "phone_number_id": number},
            "messages": [{"from": customer(index), "id": format!("wamid.BENCH{index}"), "timestamp": now.to_string(),
                          "type": "text", "text": {"body": "x".repeat(300)}}]}}]}]})
    .to_string()
}

async fn outbound(sandbox: &Sandbox, http: &reqwest::Client) -> Vec<(&'static str, String)> {
    let ready = &sandbox.ready;
    let url = format!("{}/v1/messages", ready.gateway);
    let since = Instant::now();
    stream::iter(0..MESSAGES)
        .for_each_concurrent(CONCURRENCY, async |index| {
            let body = json!({"from": ready.number.phone_number_id, "to": format!("+{}", customer(index)),
                              "type": "text", "text": {"body": format!("answer {index}")}});
            let request = http
                .post(&url)
                .header("authorization", format!("Bearer {}", ready.api_key))
                .header("content-type", "application/json")
                .header("idempotency-key", index.to_string());
            let reply = request.body(body.to_string()).send().await.unwrap();
            assert_eq!(reply.status(), 202);
        })
        .await;
    let accepted = since.elapsed();
    while sandbox.metrics().total("send_accepted") < MESSAGES as u64 {
        tokio::time::sleep(POLL).await;
    }
    let sent = since.elapsed();
    while sandbox.metrics().total("status_applied") < 3 * MESSAGES as u64 {
        tokio::time::sleep(POLL).await;
    }
    let read = since.elapsed();
    let reply = http.get(format!("{}/_sim/sent", ready.meta)).send().await.unwrap().text().await.unwrap();
    let sent_once: Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(sent_once["data"].as_array().unwrap().len(), MESSAGES, "each once");
    let rate = |time: Duration| format!("{:.0} /s", MESSAGES as f64 / time.as_secs_f64());
    vec![
        ("sandbox: sends accepted by the API", rate(accepted)),
        ("sandbox: sends accepted by Meta, end to end", rate(sent)),
        ("sandbox: sends with all three statuses stored", rate(read)),
    ]
}
