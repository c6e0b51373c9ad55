//! The batch runner: reports each record's result separately, and contains a panic to its record.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::FutureExt;
use futures_util::stream::{self, StreamExt};

use crate::limits::BATCH_CONCURRENCY;
use crate::telemetry::Metrics;

const GROUP: &str = "MessageGroupId";

/// Result of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All effects of the record are durable; the queue may delete it.
    Done,
    /// The queue must deliver the record again, without an error: it is not due yet, or not finished.
    Later,
    /// The queue must deliver the record again, because something that it needs failed.
    Failed,
}

/// Processes the records of a standard queue, up to [`BATCH_CONCURRENCY`] (10) at a time, in any order. Counts failed
/// records, because Lambda itself counts only invocations.
pub async fn run_standard<F, Fut>(event: SqsEvent, metrics: &Metrics, work: F) -> SqsBatchResponse
where
    F: Fn(SqsMessage) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let failed = stream::iter(event.records)
        .map(|record| contained(metrics, &work, record))
        .buffer_unordered(BATCH_CONCURRENCY)
        .filter_map(|failed| async move { failed })
        .collect()
        .await;
    come_again(failed)
}

/// Processes the records of a FIFO queue: up to [`BATCH_CONCURRENCY`] groups at a time, the records of one group in
/// order.
///
/// After a failure the rest of the group is returned to the queue too, because it would otherwise overtake the failed
/// record. `hand_back` is called for each of these and may shorten its visibility timeout. The metric counts the failed
/// record only, not the ones after it.
pub async fn run_fifo<F, Fut, B, Back>(event: SqsEvent, metrics: &Metrics, work: F, hand_back: B) -> SqsBatchResponse
where
    F: Fn(SqsMessage) -> Fut,
    Fut: Future<Output = Outcome>,
    B: Fn(SqsMessage) -> Back,
    Back: Future<Output = ()>,
{
    let mut order = Vec::new();
    let mut groups: HashMap<String, Vec<SqsMessage>> = HashMap::new();
    for record in event.records {
        let group = record.attributes.get(GROUP).cloned().unwrap_or_default();
        if !groups.contains_key(&group) {
            order.push(group.clone());
        }
        groups.entry(group).or_default().push(record);
    }
    let failed: Vec<Vec<String>> = stream::iter(order)
        .filter_map(|group| std::future::ready(groups.remove(&group)))
        .map(|records| in_order(metrics, &work, &hand_back, records))
        .buffer_unordered(BATCH_CONCURRENCY)
        .collect()
        .await;
    come_again(failed.into_iter().flatten().collect())
}

async fn in_order<F, Fut, B, Back>(metrics: &Metrics, work: &F, hand_back: &B, records: Vec<SqsMessage>) -> Vec<String>
where
    F: Fn(SqsMessage) -> Fut,
    Fut: Future<Output = Outcome>,
    B: Fn(SqsMessage) -> Back,
    Back: Future<Output = ()>,
{
    let mut failed = Vec::new();
    for record in records {
        if failed.is_empty() {
            failed.extend(contained(metrics, work, record).await);
        } else {
            failed.push(record.message_id.clone().unwrap_or_default());
            hand_back(record).await;
        }
    }
    failed
}

/// Returns the record's id if the queue must deliver it again.
async fn contained<F, Fut>(metrics: &Metrics, work: &F, record: SqsMessage) -> Option<String>
where
    F: Fn(SqsMessage) -> Fut,
    Fut: Future<Output = Outcome>,
{
    let id = record.message_id.clone().unwrap_or_default();
    let outcome = AssertUnwindSafe(async { work(record).await }).catch_unwind().await;
    match outcome {
        Ok(Outcome::Done) => None,
        Ok(Outcome::Later) => Some(id),
        Ok(Outcome::Failed) => {
            metrics.count("record_failed", "failed", 1);
            Some(id)
        }
        Err(panic) => {
            metrics.count("record_failed", "panicked", 1);
            tracing::error!(event = "batch.record_panicked", message_id = %id, kind = kind(panic.as_ref()));
            Some(id)
        }
    }
}

/// Type of a panic's payload. The message itself is not logged, because it could quote the record.
fn kind(panic: &(dyn Any + Send)) -> &'static str {
    if panic.is::<String>() || panic.is::<&'static str>() { "message" } else { "value" }
}

/// Builds the response that makes the queue deliver the records with these ids again.
#[must_use]
pub fn come_again(failed: Vec<String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for id in failed {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        response.batch_item_failures.push(failure);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, group: &str) -> SqsMessage {
        let mut record = SqsMessage::default();
        record.message_id = Some(id.to_owned());
        record.body = Some(id.to_owned());
        record.attributes.insert(GROUP.to_owned(), group.to_owned());
        record
    }

    fn event(records: &[(&str, &str)]) -> SqsEvent {
        let mut event = SqsEvent::default();
        event.records = records.iter().map(|(id, group)| record(id, group)).collect();
        event
    }

    fn failed(response: SqsBatchResponse) -> Vec<String> {
        let mut ids: Vec<String> = response.batch_item_failures.into_iter().map(|item| item.item_identifier).collect();
        ids.sort();
        ids
    }

    async fn work(record: SqsMessage) -> Outcome {
        match record.body.as_deref() {
            Some(body) if body.starts_with("panic") => panic!("{body}"),
            Some(body) if body.starts_with("bad") => Outcome::Failed,
            Some(body) if body.starts_with("early") => Outcome::Later,
            _ => Outcome::Done,
        }
    }

    #[tokio::test]
    async fn a_panic_is_one_records_failure() {
        let records = event(&[("a", "1"), ("panic", "1"), ("bad", "1"), ("b", "1"), ("early", "1")]);
        let metrics = Metrics::in_memory("inbound");
        assert_eq!(failed(run_standard(records, &metrics, work).await), ["bad", "early", "panic"]);
        assert_eq!(metrics.total("record_failed"), 2, "what only waits has not failed");
    }

    #[tokio::test]
    async fn a_failed_group_is_handed_back_from_there_on_and_others_go_on() {
        let records = event(&[("a", "1"), ("bad", "1"), ("c", "2"), ("d", "1"), ("panic", "3"), ("e", "3")]);
        let metrics = Metrics::in_memory("send-message");
        assert_eq!(failed(run_fifo(records, &metrics, work, |_| async {}).await), ["bad", "d", "e", "panic"]);
        assert_eq!(metrics.total("record_failed"), 2, "what is behind a failed one has not failed");
    }
}
