//! The ledger: an accepted message that makes no progress raises an alert, unless it waits for a known reason.

use sandbox::stack::OUTBOUND;

use crate::harness::{App, to_customer};

/// Runs everything every minute for this many hours.
async fn hours(app: &App, hours: i64) {
    for _ in 0..hours * 60 {
        app.drain().await;
        app.advance(60);
        app.functions.tick().await.unwrap();
    }
}

pub(crate) fn told(app: &App) -> i64 {
    app.functions.metrics.values("ledger_imbalance").into_iter().max().unwrap_or_default()
}

#[tokio::test]
async fn what_is_sent_is_in_the_books_and_nothing_is_told() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    for index in 0..3 {
        assert_eq!(app.api("POST", "/v1/messages", Some(to_customer(&index.to_string()))).await.status, 202);
    }
    hours(&app, 2).await;
    assert_eq!(told(&app), 0);
    assert_eq!(app.functions.metrics.total("ledger_checked"), 3, "each once");
}

#[tokio::test]
async fn a_message_whose_queue_message_is_gone_is_told() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    assert_eq!(app.api("POST", "/v1/messages", Some(to_customer("never taken"))).await.status, 202);
    // The queue is purged.
    for message in app.stack.aws.sqs().receive(OUTBOUND, 10, None) {
        app.stack.aws.sqs().delete(OUTBOUND, &message.receipt);
    }
    hours(&app, 2).await;
    assert_eq!(told(&app), 1);
    assert_eq!(app.only_status().await, "queued");
    let last = |app: &App| app.functions.metrics.values("ledger_imbalance").last().copied();
    hours(&app, 1).await;
    assert_eq!(last(&app), Some(1), "it is told until somebody has done something");
    let messages = app.messages().await;
    let message = messages.iter().find(|one| one["status"] == "queued").unwrap();
    let conversation = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/conversations/{conversation}/messages/{}/cancel", message["id"].as_str().unwrap());
    assert!(app.api("POST", &path, None).await.status.is_success());
    hours(&app, 1).await;
    assert_eq!(last(&app), Some(0));
}

#[tokio::test]
async fn what_waits_for_its_number_is_not_told() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    app.meta.withdraw_tokens(crate::harness::WABA);
    // The second message waits behind the first.
    for index in 0..2 {
        assert_eq!(app.api("POST", "/v1/messages", Some(to_customer(&index.to_string()))).await.status, 202);
    }
    hours(&app, 3).await;
    assert_eq!(app.functions.metrics.total("ledger_checked"), 2);
    assert_eq!(told(&app), 0);
}
