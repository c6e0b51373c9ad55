//! Webhooks on their way: delivered in order, and again until they are answered 200, as Meta does for days.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use shared::provider::meta::signature;

use super::state::{Meta, PendingWebhook};

/// Deliveries of one webhook before it is dropped: with doubling waits that is about four minutes of outage.
const DELIVERIES_MAX: u32 = 10;
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Delivers what waits, once. What is not answered 200 goes back to the end of the line. Answers whether all went.
pub async fn deliver_all(meta: &Meta, http: &reqwest::Client) -> bool {
    let mut all = true;
    for webhook in meta.take_webhooks() {
        if deliver(http, &webhook).await {
            continue;
        }
        all = false;
        if webhook.failures + 1 < DELIVERIES_MAX {
            let again = PendingWebhook { failures: webhook.failures + 1, ..webhook };
            meta.put_back(again);
        } else {
            tracing::error!(event = "simulated_meta.webhook_dropped", deliveries = DELIVERIES_MAX);
        }
    }
    if all {
        meta.all_delivered();
    }
    all
}

/// Delivers for ever.
pub async fn deliver_forever(meta: Arc<Meta>, http: reqwest::Client) {
    let mut wait = FIRST_WAIT;
    loop {
        if deliver_all(&meta, &http).await {
            wait = FIRST_WAIT;
            meta.pending.notified().await;
        } else {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(60));
        }
    }
}

async fn deliver(http: &reqwest::Client, webhook: &PendingWebhook) -> bool {
    let reply = http
        .post(&webhook.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(signature::HEADER, &webhook.signature)
        .body(webhook.body.clone())
        .send()
        .await;
    reply.is_ok_and(|reply| reply.status() == 200)
}
