//! Delivery of webhooks, in order. A webhook that is not answered 200 is delivered again (Meta: for days).

use std::sync::Arc;
use std::time::Duration;

use axum::http::header;
use shared::provider::meta::signature;

use super::{Meta, PendingWebhook};

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Delivers webhooks until the task is aborted.
pub async fn deliver_forever(meta: Arc<Meta>, http: reqwest::Client) {
    let mut wait = FIRST_WAIT;
    loop {
        let Some(next) = meta.next_webhook() else {
            meta.all_delivered();
            meta.pending.notified().await;
            continue;
        };
        let url = meta.callback_url(&next.webhook.body);
        if post(&http, &url, &next.webhook).await {
            next.delivered();
            wait = FIRST_WAIT;
        } else {
            next.failed();
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

async fn post(http: &reqwest::Client, url: &str, webhook: &PendingWebhook) -> bool {
    let reply = http
        .post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(signature::HEADER, &webhook.signature)
        .body(webhook.body.clone())
        .send()
        .await;
    reply.is_ok_and(|reply| reply.status() == 200)
}
