//! A webhook is stored completely, once, and in any order (`docs/reliability.md#i1`, `docs/reliability.md#i6`,
//! `docs/reliability.md#i8`, `docs/reliability.md#s1`, `docs/reliability.md#s5`).

use axum::http::StatusCode;
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sandbox::meta::{SentMessage, StatusOrder};
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, change, text_message, webhook_body};

/// Returns the quarantined items of one reason.
async fn kept(app: &App, reason: &str) -> Vec<String> {
    let all = app.table_items().await;
    let mut kept: Vec<String> = all
        .into_iter()
        .filter(|item| item["reason"]["S"] == reason)
        .map(|item| item["what"]["S"].as_str().unwrap().to_owned())
        .collect();
    kept.sort();
    kept
}

/// A customer wrote, the answer was accepted by Meta, and no status was reported.
async fn answered_in_silence(app: &App) -> SentMessage {
    app.customer_writes("first");
    app.drain().await;
    app.send("answer", None).await;
    app.meta.order_statuses(StatusOrder::Withheld);
    app.drain().await;
    app.meta.sent().remove(0)
}

#[tokio::test]
async fn every_entry_change_message_and_status_of_a_post() {
    let app = App::start().await;
    let sent = answered_in_silence(&app).await;
    let status = |step: &str| {
        json!({"id": sent.wamid, "status": step, "timestamp": "1795176001", "recipient_id": CUSTOMER,
               "biz_opaque_callback_data": sent.biz_opaque_callback_data})
    };
    let entry = |index: usize, broken: Value| {
        let id = |part: &str| format!("wamid.{index}{part}");
        json!({"id": app_waba(), "changes": [
            change(NUMBER, json!({"messages": [
                text_message(CUSTOMER, &id("a"), &format!("{index}a")), broken,
                text_message(CUSTOMER, &id("b"), &format!("{index}b"))]})),
            change(NUMBER, json!({"statuses": [status(["sent", "delivered", "read"][index])],
                                  "messages": [text_message(CUSTOMER, &id("c"), &format!("{index}c"))]})),
        ]})
    };
    let body = json!({"object": "whatsapp_business_account", "entry": [
        entry(0, text_message(CUSTOMER, "wamid.x", "kept too")), entry(1, json!({"id": 7})),
        entry(2, text_message("15550004444", "wamid.y", "another customer"))]});
    assert_eq!(app.webhook(body.to_string()).await, StatusCode::OK);
    app.drain().await;

    let conversations = app.conversations().await;
    assert_eq!(conversations.len(), 2, "two customers");
    let mut texts = Vec::new();
    for conversation in &conversations {
        let path = format!("/v1/conversations/{}/messages", conversation["id"].as_str().unwrap());
        for message in app.api("GET", &path, None).await.json()["data"].as_array().unwrap() {
            texts.push(message["text"]["body"].as_str().unwrap().to_owned());
            if message["direction"] == "outbound" {
                assert_eq!(message["status"], "read");
            }
        }
    }
    texts.sort();
    let expected =
        ["0a", "0b", "0c", "1a", "1b", "1c", "2a", "2b", "2c", "another customer", "answer", "first", "kept too"];
    assert_eq!(texts, expected);
    assert_eq!(kept(&app, "malformed").await, ["message"]);
    assert_eq!(app.functions.metrics.total("inbound_quarantined"), 1, "the alarm's metric");
    assert_eq!(app.depth(), (0, 0));
}

fn app_waba() -> &'static str {
    crate::harness::WABA
}

#[tokio::test]
async fn three_times_each_and_shuffled_is_once_each() {
    let app = App::start().await;
    let mut bodies: Vec<String> = (0..40)
        .map(|index| {
            let message = text_message(CUSTOMER, &format!("wamid.{index}"), &format!("text {index:02}"));
            webhook_body(&[change(NUMBER, json!({"messages": [message]}))])
        })
        .flat_map(|body| [body.clone(), body.clone(), body])
        .collect();
    // A fixed shuffle: the same order in every run.
    let length = bodies.len();
    for index in 0..length {
        bodies.swap(index, (index * 7_919 + 13) % length);
    }
    for body in bodies {
        assert_eq!(app.webhook(body).await, StatusCode::OK);
    }
    app.drain().await;
    let expected: Vec<String> = (0..40).map(|index| format!("text {index:02}")).collect();
    assert_eq!(app.receive_violations(expected).await, Vec::<String>::new());
    assert_eq!(app.functions.metrics.total("inbound_stored"), 40);
    assert_eq!(app.functions.metrics.total("inbound_duplicate"), 80);
}

#[tokio::test]
async fn the_same_batch_in_eight_invocations_at_once() {
    let app = App::start().await;
    let messages: Vec<Value> =
        (0..5).map(|index| text_message(CUSTOMER, &format!("wamid.{index}"), &format!("text {index}"))).collect();
    for _ in 0..8 {
        app.webhook(webhook_body(&[change(NUMBER, json!({"messages": messages}))])).await;
    }
    let polls = (0..8).map(|_| app.functions.poll_inbound());
    futures_util::future::join_all(polls).await;
    app.drain().await;
    let expected = (0..5).map(|index| format!("text {index}")).collect();
    assert_eq!(app.receive_violations(expected).await, Vec::<String>::new());
    assert_eq!(app.conversations().await.len(), 1, "one contact, whoever was first");
}

#[tokio::test]
async fn a_three_megabyte_body_is_accepted_kept_and_processed() {
    let app = App::start().await;
    // Like a history chunk: many messages with incompressible texts.
    let noise = || hex::encode(shared::random::bytes::<1_400>().unwrap());
    let messages: Vec<Value> =
        (0..1_000).map(|index| text_message(CUSTOMER, &format!("wamid.{index}"), &noise())).collect();
    let body = webhook_body(&[change(NUMBER, json!({"messages": messages}))]);
    assert!((2_800_000..3_145_728).contains(&body.len()), "{}", body.len());
    assert_eq!(app.webhook(body).await, StatusCode::OK);
    assert!(app.stack.aws.sqs().bodies("inbound")[0].len() < 1_000, "a pointer, not the body");
    app.drain().await;
    assert_eq!(app.messages().await.len(), 1_000);

    let tomorrow = json!({"field": "teleports", "value": {"noise": noise().repeat(300)}});
    assert_eq!(app.webhook(webhook_body(&[tomorrow])).await, StatusCode::OK);
    app.drain().await;
    assert_eq!(kept(&app, "unsupported").await, ["teleports"]);
    assert_eq!(app.depth(), (0, 0));
}

#[tokio::test]
async fn odd_bytes_are_answered_200_and_kept() {
    let app = App::start().await;
    let said = |text: &str| {
        webhook_body(&[change(NUMBER, json!({"messages": [text_message(CUSTOMER, "wamid.AT", "@")]}))])
            .replace('@', text)
    };
    let mut bodies: Vec<Vec<u8>> = ["\u{ffff}", "\\ud800", "\\udc00\\ud800", "\\u0000", "\u{fffe}\u{feff}"]
        .iter()
        .enumerate()
        .map(|(index, text)| said(text).replace("wamid.AT", &format!("wamid.{index}")).into_bytes())
        .collect();
    let mut invalid = said("@").replace("wamid.AT", "wamid.invalid").into_bytes();
    let at = invalid.iter().position(|byte| *byte == b'@').unwrap();
    invalid[at] = 0xFF;
    bodies.push(invalid);
    bodies.push([b"\xef\xbb\xbf", said("bom").replace("wamid.AT", "wamid.bom").as_bytes()].concat());
    bodies.push(said("x").replace("wamid.AT", "wamid.number").replace("\"1795175990\"", "1e400").into_bytes());
    let stored = bodies.len();
    for body in bodies {
        assert_eq!(app.webhook(body).await, StatusCode::OK);
    }
    for nonsense in ["", "{", "\u{0}", "[[[[", &"[".repeat(100_000), "\"text\"", "{\"entry\":[{\"changes\":{}}]}"] {
        assert_eq!(app.webhook(nonsense).await, StatusCode::OK, "{nonsense:.20}");
    }
    app.drain().await;
    assert_eq!(app.messages().await.len(), stored);
    assert_eq!(kept(&app, "malformed").await, ["body", "body", "body", "body", "body", "changes", "entry"]);
    assert_eq!(app.functions.metrics.total("inbound_quarantined"), 7);
    assert_eq!(app.depth(), (0, 0), "nothing is retried");
    assert_eq!(app.stack.aws.sqs().depth("inbound-dead-letters"), 0);
}

#[tokio::test]
async fn an_unknown_number_is_kept_and_not_retried() {
    let app = App::start().await;
    let body = webhook_body(&[change(
        "900100200309999",
        json!({"messages": [text_message(CUSTOMER, "wamid.A", "hi")],
        "statuses": [{"id": "wamid.S", "status": "sent", "timestamp": "1"}]}),
    )]);
    for _ in 0..2 {
        assert_eq!(app.webhook(body.clone()).await, StatusCode::OK);
    }
    app.drain().await;
    assert_eq!(kept(&app, "unknown_number").await, ["message", "status"], "one item each, however often it comes");
    assert_eq!(app.functions.metrics.total("inbound_unrouted"), 4);
    assert!(app.conversations().await.is_empty());
    assert_eq!(app.depth(), (0, 0));
}

#[tokio::test]
async fn a_number_is_served_from_the_moment_it_is_connected() {
    let app = App::start().await;
    let id = "900100200309999";
    let body = |wamid: &str| webhook_body(&[change(id, json!({"messages": [text_message(CUSTOMER, wamid, wamid)]}))]);
    app.webhook(body("wamid.before")).await;
    app.drain().await;
    let number = shared::domain::accounts::number::Number {
        id: shared::domain::ids::NumberId::parse(id).unwrap(),
        tenant: shared::domain::ids::TenantId::parse(&app.seed.tenant_id).unwrap(),
        waba: shared::domain::ids::WabaId::parse(crate::harness::WABA).unwrap(),
        display_phone_number: "15550009999".to_owned(),
        coexistence: false,
        fallback: None,
        settings: shared::domain::accounts::number::Settings::default(),
    };
    app.stack.operator.put_number(&number, &shared::secret::Secret::new("t".to_owned()), None).await.unwrap();
    app.webhook(body("wamid.after")).await;
    app.drain().await;
    assert_eq!(app.texts("inbound").await, ["wamid.after"]);
}

#[tokio::test]
async fn what_the_table_refuses_is_kept_and_its_neighbours_are_stored() {
    let app = App::start().await;
    // Longer than a key of the table may be, so the key contains its hash.
    let mut long_user = text_message(CUSTOMER, "wamid.user", "long user id");
    long_user["from_user_id"] = json!("U".repeat(3_000));
    let mut large = text_message(CUSTOMER, "wamid.large", "large");
    large["text"]["body"] = json!("x".repeat(500_000));
    let good = text_message(CUSTOMER, "wamid.good", "good");
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": [long_user, good, large]}))])).await;
    app.drain().await;
    assert_eq!(app.texts("inbound").await, ["good", "long user id"]);
    assert_eq!(kept(&app, "malformed").await.len(), 1);
    assert_eq!((app.depth(), app.stack.aws.sqs().depth("inbound-dead-letters")), ((0, 0), 0));
}

#[tokio::test]
async fn a_batch_that_cannot_end_in_time_keeps_what_is_done() {
    let app = App::start().await;
    let messages: Vec<Value> =
        (0..20).map(|index| text_message(CUSTOMER, &format!("wamid.{index}"), &format!("{index:02}"))).collect();
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": messages}))])).await;
    app.functions.poll_inbound_before(SignedDuration::from_secs(9)).await;
    assert_eq!(app.functions.metrics.total("inbound_stored"), 0, "nothing is begun that could be cut off");
    assert_eq!(app.depth().0, 1, "and nothing acknowledged");
    app.advance(361);
    app.drain().await;
    assert_eq!(
        app.receive_violations((0..20).map(|index| format!("{index:02}")).collect()).await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn foreign_and_forged_statuses_change_nothing() {
    let app = App::start().await;
    let sent = answered_in_silence(&app).await;
    let ours = sent.biz_opaque_callback_data.unwrap();
    // Of a message that we did not send, and of ours with changed callback data.
    let foreign = [("wamid.other", None), ("wamid.other", Some("cmd-42".to_owned()))];
    let forged = [Some(ours.replace(".1.", ".2.")), Some(format!("{ours}0"))];
    let forged = forged.into_iter().map(|opaque| (sent.wamid.as_str(), opaque));
    for (wamid, opaque) in foreign.into_iter().chain(forged) {
        let mut status = json!({"id": wamid, "status": "failed", "timestamp": "1795176001"});
        if let Some(opaque) = opaque {
            status["biz_opaque_callback_data"] = json!(opaque);
        }
        app.webhook(webhook_body(&[change(NUMBER, json!({"statuses": [status]}))])).await;
    }
    app.drain().await;
    assert_eq!(app.only_status().await, "accepted");
    assert_eq!(app.functions.metrics.total("status_foreign"), 4);
    assert_eq!(app.functions.metrics.total("status_applied"), 0);
}

#[tokio::test]
async fn all_120_orders_of_five_statuses_end_the_same() {
    let app = App::start().await;
    app.customer_writes("first");
    app.drain().await;
    app.meta.order_statuses(StatusOrder::Withheld);
    let steps = ["sent", "delivered", "read", "played", "failed"];
    let orders = permutations(&[0, 1, 2, 3, 4]);
    assert_eq!(orders.len(), 120);
    for order in &orders {
        app.advance(7);
        app.send("answer", None).await;
        app.functions.poll_outbound().await;
        let sent = app.meta.sent().pop().unwrap();
        for index in order {
            let mut status = json!({"id": sent.wamid, "status": steps[*index], "timestamp": (1_795_176_001 + index).to_string(),
                "biz_opaque_callback_data": sent.biz_opaque_callback_data});
            if steps[*index] == "failed" {
                status["errors"] = json!([{"code": 131_026, "title": "Undeliverable"}]);
            }
            app.webhook(webhook_body(&[change(NUMBER, json!({"statuses": [status]}))])).await;
            app.functions.poll_inbound().await;
        }
    }
    let answers: Vec<Value> =
        app.messages().await.into_iter().filter(|message| message["direction"] == "outbound").collect();
    assert_eq!(answers.len(), 120);
    for answer in answers {
        assert_eq!(answer["status"], "played");
        assert_eq!(answer["error"]["code"], 131_026);
        assert_eq!(answer["statuses"], answers_statuses(), "{answer}");
    }
}

fn answers_statuses() -> Value {
    json!({"sent_at": "2026-11-20T12:00:01.000Z", "delivered_at": "2026-11-20T12:00:02.000Z",
           "read_at": "2026-11-20T12:00:03.000Z", "played_at": "2026-11-20T12:00:04.000Z",
           "failed_at": "2026-11-20T12:00:05.000Z"})
}

pub(crate) fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let rest: Vec<usize> =
            items.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, item)| *item).collect();
        for mut tail in permutations(&rest) {
            tail.insert(0, *item);
            all.push(tail);
        }
    }
    all
}

#[tokio::test]
async fn an_older_message_that_comes_late_does_not_move_the_conversation_back() {
    let app = App::start().await;
    let at = |id: &str, seconds: u64| {
        let mut message = text_message(CUSTOMER, id, id);
        message["timestamp"] = json!(seconds.to_string());
        webhook_body(&[change(NUMBER, json!({"messages": [message]}))])
    };
    app.webhook(at("wamid.new", 1_795_175_000)).await;
    app.webhook(at("wamid.old", 1_795_170_000)).await;
    app.drain().await;
    let conversation = app.conversations().await.remove(0);
    assert_eq!(conversation["last_activity_at"], "2026-11-20T11:43:20.000Z");
    assert_eq!(conversation["last_inbound_at"], "2026-11-20T11:43:20.000Z");
    // An answer is sent. Then a message arrives late that is newer than the last inbound one and older than the answer.
    app.send("answer", None).await;
    app.webhook(at("wamid.late", 1_795_175_100)).await;
    app.drain().await;
    let conversation = app.conversations().await.remove(0);
    assert_eq!(conversation["last_activity_at"], "2026-11-20T12:00:00.000Z");
    assert_eq!(conversation["last_inbound_at"], "2026-11-20T11:45:00.000Z");
}

#[tokio::test]
async fn a_failing_table_loses_nothing() {
    let app = App::start().await;
    let body = |id: &str| webhook_body(&[change(NUMBER, json!({"messages": [text_message(CUSTOMER, id, id)]}))]);
    app.webhook(body("wamid.a")).await;
    for service in ["DynamoDB", "S3.", "TrentService"] {
        app.stack.faults.take_down(service);
        app.functions.poll_inbound().await;
        app.stack.faults.clear();
        app.advance(361);
    }
    app.drain().await;
    assert_eq!(app.receive_violations(vec!["wamid.a".to_owned()]).await, Vec::<String>::new());

    // An outage longer than five receives: the whole record is in the dead-letter queue.
    app.webhook(body("wamid.b")).await;
    app.stack.faults.take_down("DynamoDB");
    for _ in 0..6 {
        app.functions.poll_inbound().await;
        app.advance(361);
    }
    assert_eq!(app.stack.aws.sqs().depth("inbound-dead-letters"), 1);
}

/// Any mixture of messages, statuses and invalid items, split over any webhooks: the valid ones are stored once.
#[test]
fn any_mixture_of_items_stores_exactly_the_good_ones() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    let rubbish = prop_oneof![
        Just(json!(null)),
        Just(json!(7)),
        Just(json!({})),
        Just(json!([])),
        Just(json!({"id": "wamid.R", "type": "text"})),
        Just(json!({"from": CUSTOMER, "id": "", "type": "text"})),
    ];
    let item = prop_oneof![3 => (0_u8..12).prop_map(|id| text_message(CUSTOMER, &format!("wamid.{id}"), &format!("text {id:02}"))), 1 => rubbish];
    let webhooks = prop::collection::vec(prop::collection::vec(item, 0..6), 1..6);
    runner
        .run(&webhooks, |webhooks| {
            let mut expected: Vec<String> =
                webhooks.iter().flatten().filter_map(|item| item["text"]["body"].as_str().map(str::to_owned)).collect();
            expected.sort();
            expected.dedup();
            let wrong = runtime.block_on(async {
                let app = App::start().await;
                for messages in &webhooks {
                    let status = app.webhook(webhook_body(&[change(NUMBER, json!({"messages": messages}))])).await;
                    assert_eq!(status, StatusCode::OK);
                }
                app.drain().await;
                app.receive_violations(expected).await
            });
            prop_assert_eq!(wrong, Vec::<String>::new());
            Ok(())
        })
        .unwrap();
}
