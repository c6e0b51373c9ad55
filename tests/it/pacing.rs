//! Send rates (`docs/reliability.md#section-1-4`, `docs/reliability.md#section-3-2`) in virtual time: the bulk lane is
//! released on schedule, the live lane goes ahead of it, and numbers are independent.

use std::cell::Cell;

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use sandbox::meta::{ScriptedFault, StatusOrder};
use serde_json::{Value, json};
use shared::domain::ids::{ConversationId, NumberId};
use shared::domain::sending::pacing::{self, PAIR_BURST};
use shared::storage::Reserved;

use crate::harness::{App, CUSTOMER, NUMBER, WABA};

/// Step of virtual time.
const STEP: SignedDuration = SignedDuration::from_millis(10);

/// Advances time until `over`, while the release and send-message functions run. Returns the number of received jobs.
async fn live_through(app: &App, over: impl AsyncFn() -> bool) -> usize {
    let releasers = async {
        loop {
            if app.functions.poll_release_fully().await == 0 {
                // Nothing to release: the job may be delayed.
                app.clock.reach(app.clock.now().checked_add(STEP).unwrap()).await;
            }
        }
    };
    let mut received = 0;
    let driver = async {
        while !over().await {
            while app.clock.waiting() == 0 {
                tokio::task::yield_now().await;
            }
            loop {
                let records = app.functions.poll_outbound().await;
                received += records;
                if records == 0 {
                    break;
                }
            }
            app.clock.advance(STEP);
            // The releaser must run before the next check whether it waits.
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = driver => {}
        () = releasers => {}
    }
    received
}

fn broadcast(from: &str, recipients: usize) -> Value {
    let to: Vec<String> = (0..recipients).map(|n| format!("+1666{n:07}")).collect();
    json!({"from": from, "template": {"name": "hello_world", "language": {"code": "en_US"}}, "recipients": to, "category": "utility"})
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// Sends an answer to a customer of the number, and answers from the other numbers.
async fn ask(app: &App, number: &str, others: usize) {
    let chat = json!({"from": number, "to": format!("+{CUSTOMER}"), "type": "text", "text": {"body": "an answer"}});
    assert_eq!(app.api("POST", "/v1/messages", Some(chat)).await.status, StatusCode::ACCEPTED);
    for other in 0..others {
        let hello = json!({"from": format!("9002002003{other:05}"), "to": "+15550003333", "type": "template",
            "template": {"name": "hello_world", "language": {"code": "en_US"}}});
        assert_eq!(app.api("POST", "/v1/messages", Some(hello)).await.status, StatusCode::ACCEPTED);
    }
}

/// Whether all those answers were sent.
fn answered(app: &App, number: &str, others: usize) -> bool {
    let sent = app.meta.sent();
    let late = sent.iter().rev().take(2_000);
    let chats = late.filter(|sent| (sent.phone_number_id == number && sent.to == CUSTOMER) || sent.to == "15550003333");
    chats.count() == others + 1
}

/// Sends a backlog at one rate. Returns a description of the measurement.
async fn backlog(rate: u32, count: usize, others: usize) -> String {
    let app = App::start().await;
    app.meta.order_statuses(StatusOrder::Withheld);
    let number = if rate == pacing::COEXISTENCE_RATE { "900100200300777" } else { NUMBER };
    if rate == pacing::COEXISTENCE_RATE {
        app.connect_number(number, true).await;
    }
    if rate == pacing::HIGH_RATE {
        let Value::Object(upgrade) = json!({"display_phone_number": "15550001111", "event": "THROUGHPUT_UPGRADE", "current_limit": "TIER_UNLIMITED"})
        else {
            unreachable!()
        };
        app.meta.reports(WABA, "phone_number_quality_update", &upgrade);
        app.drain().await;
    }
    app.meta.set_rate(number, usize::try_from(rate).unwrap());
    for other in 0..others {
        app.connect_number(&format!("9002002003{other:05}"), false).await;
    }
    let Value::Object(hello) = json!({"type": "text", "text": {"body": "hello"}}) else { unreachable!() };
    app.meta.customer_writes(CUSTOMER, number, hello).unwrap();
    app.drain().await;

    let answer = app.api("POST", "/v1/broadcasts", Some(broadcast(number, count))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let start = app.clock.now();
    let (half, asked, waited) = (count / 2, Cell::new(None), Cell::new(None));
    // One continuous run, because dropping a releaser simulates a crash.
    let received = live_through(&app, async || {
        let sent = app.meta.sent_count();
        if asked.get().is_none() && sent >= half {
            ask(&app, number, others).await;
            asked.set(Some(app.clock.now()));
        }
        if let (Some(asked), None) = (asked.get(), waited.get())
            && answered(&app, number, others)
        {
            waited.set(Some(seconds(asked, app.clock.now())));
        }
        sent > count + others
    })
    .await;
    let waited = waited.get().unwrap();
    let (took, ideal) = (seconds(start, app.clock.now()), count as f64 / f64::from(rate));
    assert!(took <= ideal * 1.25, "{rate}/s: {took} s instead of {ideal} s");
    assert!(waited <= 2.0, "the chat message waited {waited} s");
    let busiest = app.meta.busiest_second(number);
    assert!(busiest <= usize::try_from(rate).unwrap(), "{busiest} in one second at {rate}/s");
    assert_eq!(app.functions.metrics.total("send_not_sent"), 0, "Meta never had to slow us down");
    assert_eq!(received, count + others + 1, "each was received once");
    let mut to: Vec<String> =
        app.meta.sent().into_iter().map(|sent| format!("{} {}", sent.phone_number_id, sent.to)).collect();
    to.sort();
    to.dedup();
    assert_eq!(to.len(), count + others + 1, "each went out once");
    format!(
        "{count} at {rate}/s: {took:.1} s (ideal {ideal:.1}), busiest second {busiest}, chat and {others} other numbers within {waited:.2} s, 1.00 receives a message"
    )
}

#[tokio::test]
async fn a_campaign_leaves_on_schedule_and_a_chat_overtakes_it() {
    println!("{}", backlog(pacing::NUMBER_RATE, 400, 3).await);
}

#[tokio::test]
#[ignore = "takes minutes: .ci/run runs it"]
async fn ten_thousand_at_each_rate() {
    for (rate, others) in [(pacing::NUMBER_RATE, 99), (pacing::COEXISTENCE_RATE, 0), (pacing::HIGH_RATE, 0)] {
        println!("{}", backlog(rate, 10_000, others).await);
    }
}

#[tokio::test]
async fn what_is_asked_for_as_bulk_waits_behind_what_is_live_and_all_of_it_leaves() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let order = |n: usize, lane: Option<&str>| {
        let mut order = json!({"from": NUMBER, "to": format!("+1666{n:07}"), "type": "template",
            "template": {"name": "hello_world", "language": {"code": "en_US"}}});
        if let Some(lane) = lane {
            order["lane"] = json!(lane);
        }
        order
    };
    for n in 0..100 {
        assert_eq!(app.api("POST", "/v1/messages", Some(order(n, Some("bulk")))).await.status, StatusCode::ACCEPTED);
    }
    app.send("live", None).await;
    let start = app.clock.now();
    app.functions.poll_outbound().await;
    assert_eq!(app.meta.sent().len(), 1, "what is live does not wait");
    live_through(&app, async || app.meta.sent_count() == 101).await;
    let took = seconds(start, app.clock.now());
    assert!((1.3..=1.9).contains(&took), "{took}");
    // A flood of live messages: a burst is sent at once, the rest joins the bulk lane, and nothing is refused.
    app.advance(60);
    for n in 200..300 {
        assert_eq!(app.api("POST", "/v1/messages", Some(order(n, None))).await.status, StatusCode::ACCEPTED);
    }
    assert!(app.functions.metrics.total("lane") > 30);
    live_through(&app, async || app.meta.sent_count() == 201).await;
    assert!(app.meta.busiest_second(NUMBER) <= 80);
    assert_eq!(app.functions.metrics.total("send_not_sent"), 0);
}

#[tokio::test]
async fn sixty_four_at_once_get_sixty_four_different_slots() {
    let app = App::start().await;
    let number = NumberId::parse(NUMBER).unwrap();
    let (now, interval) = (app.clock.now(), pacing::interval_micros(80, 100));
    let ask = || app.stack.operator.table.pace_reserve(&number, 1, interval, SignedDuration::from_secs(5), now);
    let mut slots = Vec::new();
    for _ in 0..16 {
        for reserved in futures_util::future::join_all((0..4).map(|_| ask())).await {
            let Reserved::At(at) = reserved.unwrap() else { panic!("the schedule is free") };
            slots.push(at.as_millisecond());
        }
    }
    slots.sort_unstable();
    let span = slots[63] - slots[0];
    assert_eq!(span, 63 * interval / 1_000, "evenly: none twice, none left out");
}

#[tokio::test]
async fn a_pair_may_burst_and_then_one_each_six_seconds() {
    let app = App::start().await;
    let contact = shared::domain::ids::ContactId::generate(app.clock.now()).unwrap();
    let pair = ConversationId::new(NumberId::parse(NUMBER).unwrap(), contact);
    let (mut granted, mut at_once) = (0, 0);
    for ask in 0..100 {
        app.clock.advance(SignedDuration::from_millis(130));
        if let Reserved::At(_) = app.stack.operator.table.pair_reserve(&pair, app.clock.now()).await.unwrap() {
            granted += 1;
            at_once += i32::from(ask == granted - 1);
        }
    }
    assert_eq!((granted, at_once), (47, PAIR_BURST), "45 at once, two earned in 13 seconds");
}

#[tokio::test]
async fn too_fast_pauses_the_number_and_lowers_its_rate_for_a_while() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let slow = || ScriptedFault::Error { http: 400, code: 130_429, message: "too fast".to_owned() };
    let number = NumberId::parse(NUMBER).unwrap();
    app.meta.script([slow(), slow(), slow()]);
    app.send("answer", None).await;
    for _ in 0..3 {
        app.drain().await;
        app.advance(7);
    }
    let pace = app.stack.operator.table.pace_get(&number).await.unwrap();
    assert_eq!(pace.part(app.clock.now()), 80, "{pace:?}");
    app.recover().await;
    assert_eq!(app.only_status().await, "read");
    assert_eq!(app.stack.operator.table.pace_get(&number).await.unwrap().part(app.clock.now()), 100);
}

#[tokio::test]
async fn a_burst_that_was_too_fast_lowers_the_rate_once() {
    let app = App::start().await;
    let number = NumberId::parse(NUMBER).unwrap();
    let slow = || ScriptedFault::Error { http: 400, code: 130_429, message: "too fast".to_owned() };
    app.meta.script((0..1_000).map(|_| slow()));
    assert_eq!(app.api("POST", "/v1/broadcasts", Some(broadcast(NUMBER, 300))).await.status, StatusCode::ACCEPTED);
    let part_after = async |seconds: i64| {
        for _ in 0..seconds {
            app.drain().await;
            app.advance(1);
        }
        app.stack.operator.table.pace_get(&number).await.unwrap().part(app.clock.now())
    };
    assert_eq!(part_after(8).await, 80, "what was under way says nothing of the new rate");
    assert_eq!(part_after(8).await, 64, "what is refused later does");
    println!("too fast: {} refusals", app.functions.metrics.total("send_not_sent"));
    assert!(app.functions.metrics.total("send_not_sent") > 9, "more than it takes to lower it three times");
}

#[tokio::test]
async fn a_black_hole_leaves_a_few_in_doubt_and_never_the_backlog() {
    let mut app = App::start().await;
    app.stack.silence = std::time::Duration::from_millis(20);
    app.restart();
    app.meta.script((0..200).map(|_| ScriptedFault::Silent { accepted: false }));
    assert_eq!(app.api("POST", "/v1/broadcasts", Some(broadcast(NUMBER, 300))).await.status, StatusCode::ACCEPTED);
    let hole = async {
        // For ten minutes Meta answers no call.
        let until = app.clock.now().checked_add(SignedDuration::from_mins(10)).unwrap();
        loop {
            app.functions.poll_release().await;
            app.functions.poll_outbound().await;
            app.advance(1);
            if app.clock.now() >= until {
                return;
            }
        }
    };
    let patience = async {
        loop {
            // A short replacement for the longest duration of a call.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            app.meta.speak();
        }
    };
    tokio::select! {
        () = hole => {}
        () = patience => {}
    }
    let doubtful = app.functions.metrics.total("send_unknown");
    assert!((5..=80).contains(&doubtful), "{doubtful} doubtful of 300");
    assert!(app.meta.sent().is_empty());
    let waiting = app.meta.faults_waiting();
    assert!(waiting > 100, "the other calls were never made: {waiting}");
    println!("10 minutes of silence, 300 queued: {doubtful} in doubt");
}
