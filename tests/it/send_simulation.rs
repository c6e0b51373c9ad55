//! Many intents with every fault and crashes: none is accepted twice, exactly the ambiguous ones have an unknown
//! outcome, and statuses settle all of them (`docs/reliability.md#o3`, `docs/reliability.md#o4`).

use std::collections::BTreeMap;

use axum::http::StatusCode;
use sandbox::aws::faults::Fault;
use sandbox::meta::{ScriptedFault, StatusOrder};
use serde_json::json;

use crate::harness::{App, NUMBER, effort};

/// A small random number generator.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// The fault that a send meets.
enum Met {
    Nothing,
    /// The outcome is known.
    Clear(ScriptedFault),
    /// The outcome is unknown; the flag is whether Meta accepted the message.
    Ambiguous(ScriptedFault, bool),
    /// Meta answered "try again", which implies that nothing was sent.
    Soft(ScriptedFault),
}

fn meet(dice: &mut Dice) -> Met {
    let error = |http, code| ScriptedFault::Error { http, code, message: "scripted".to_owned() };
    match dice.roll(24) {
        0 => Met::Ambiguous(ScriptedFault::DropBefore, false),
        1 => Met::Ambiguous(ScriptedFault::Html502, false),
        2 => Met::Ambiguous(ScriptedFault::DropAfter, true),
        3 => Met::Ambiguous(ScriptedFault::Truncated, true),
        4 => Met::Soft(error(500, [131_000, 131_016, 2][usize::try_from(dice.roll(3)).unwrap()])),
        5 => Met::Clear(error(400, 130_429)),
        6 => Met::Clear(error(400, 131_056)),
        7 => Met::Clear(error(400, [100, 131_026, 999_999][usize::try_from(dice.roll(3)).unwrap()])),
        8 => Met::Clear(ScriptedFault::Drip),
        9 => Met::Clear(ScriptedFault::Held),
        _ => Met::Nothing,
    }
}

#[derive(Default)]
struct Tally {
    ambiguous_accepted: u64,
    ambiguous_lost: u64,
    soft: u64,
    crashes: u64,
}

/// Runs one simulation. The messages are accepted and tried under faults and crashes while statuses are withheld. Then
/// the statuses arrive, backwards and twice. Then a day passes.
async fn run(seed: u64, intents: usize, crashes: bool) -> String {
    let (mut app, mut dice, mut tally) = (App::start().await, Dice(seed), Tally::default());
    app.meta.order_statuses(StatusOrder::Withheld);
    let mut promised = Vec::with_capacity(intents);
    for index in 0..intents {
        let order = json!({"from": NUMBER, "to": format!("+1666{index:07}"), "type": "template", "category": "utility",
            "template": {"name": "hello_world", "language": {"code": "en_US"}}});
        let answer = app.api("POST", "/v1/messages", Some(order)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        let accepted = answer.json();
        let text = |key: &str| accepted[key].as_str().unwrap().to_owned();
        promised.push((text("conversation_id"), text("id")));
        app.clock.advance(jiff::SignedDuration::from_millis(20));
        match meet(&mut dice) {
            Met::Nothing => {}
            Met::Clear(fault) => app.meta.script([fault]),
            Met::Soft(fault) => {
                tally.soft += 1;
                app.meta.script([fault]);
            }
            Met::Ambiguous(fault, accepted) => {
                *(if accepted { &mut tally.ambiguous_accepted } else { &mut tally.ambiguous_lost }) += 1;
                app.meta.script([fault]);
            }
        }
        if crashes && dice.roll(40) == 0 {
            let fault = if dice.roll(2) == 0 { Fault::CrashBefore } else { Fault::CrashAfter };
            app.stack.faults.order(usize::try_from(dice.roll(30)).unwrap(), fault);
            if app.until_crash(async |app: &App| app.functions.poll_outbound().await).await.is_none() {
                tally.crashes += 1;
            }
            app.stack.faults.clear();
        }
        app.functions.poll_outbound().await;
        if index % 50 == 49 {
            // Hidden messages become visible, leases expire, the sweep runs.
            for _ in 0..3 {
                app.advance(40);
                app.functions.tick().await.unwrap();
                while app.functions.poll_outbound().await > 0 {}
            }
        }
    }
    // A lowered rate may have moved some to the bulk lane, and a retryable answer is tried again after two minutes,
    // twice. Advance until no message was waiting for eight minutes.
    let mut quiet = 0;
    for second in 0_usize.. {
        app.functions.poll_release().await;
        while app.functions.poll_outbound().await > 0 {}
        app.advance(1);
        if second % 60 == 59 {
            app.functions.tick().await.unwrap();
            let (states, _) = states(&app, &promised, &BTreeMap::new()).await;
            quiet = if states.contains_key("queued") || states.contains_key("in_flight") { 0 } else { quiet + 1 };
            if quiet == 8 {
                break;
            }
        }
        assert!(second < 40 * 60 + intents, "seed {seed}: somebody waits for ever");
    }
    assert_eq!(app.meta.faults_waiting(), 0, "every fault was met");

    // No message is accepted twice. Unknown are those whose fault was ambiguous.
    let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
    for sent in app.meta.sent() {
        let data = sent.biz_opaque_callback_data.unwrap();
        *accepted.entry(data.split('.').nth(2).unwrap().to_owned()).or_default() += 1;
    }
    let doubled = accepted.values().filter(|count| **count > 1).count();
    assert_eq!(doubled, 0, "seed {seed}: accepted twice");
    let (states, _) = states(&app, &promised, &accepted).await;
    let unknown = states.get("unknown").copied().unwrap_or(0);
    let ambiguous = tally.ambiguous_accepted + tally.ambiguous_lost;
    assert!(
        (ambiguous..=ambiguous + tally.crashes).contains(&unknown),
        "seed {seed}: {states:?}, {ambiguous} ambiguous"
    );
    let soft = app.functions.metrics.total("tried_again");
    if !crashes {
        assert_eq!(soft, tally.soft, "each was tried again");
    }

    // The statuses arrive.
    app.meta.order_statuses(StatusOrder::ReversedTwice);
    while app.deliver().await + app.functions.poll_inbound().await > 0 {}
    let (states, wrong) = self::states(&app, &promised, &accepted).await;
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}");
    app.advance(2 * 86_400);
    for _ in 0..intents / 200 + 3 {
        app.functions.tick().await.unwrap();
        app.advance(60);
    }
    let (after, wrong) = self::states(&app, &promised, &accepted).await;
    assert_eq!(wrong, Vec::<String>::new(), "seed {seed}");
    assert_eq!(after.get("unknown"), None, "a person has what nobody settled: {after:?}");
    assert_eq!(after.get("review").copied().unwrap_or(0), states.get("unknown").copied().unwrap_or(0));
    assert!(app.functions.metrics.total("duplicate_confirmed") == 0);
    format!(
        "seed {seed}: {intents} intents, {ambiguous} ambiguous faults, {} soft, {} crashes: {} accepted, 0 twice; {unknown} in doubt, {} settled by statuses; {after:?}",
        tally.soft,
        tally.crashes,
        accepted.len(),
        unknown - states.get("unknown").copied().unwrap_or(0)
    )
}

/// Returns the number of messages per state, and the differences from Meta's records.
async fn states(
    app: &App,
    promised: &[(String, String)],
    accepted: &BTreeMap<String, usize>,
) -> (BTreeMap<String, u64>, Vec<String>) {
    let (mut states, mut wrong) = (BTreeMap::new(), Vec::new());
    for (conversation, message) in promised {
        let facts = app.facts(conversation, message).await.unwrap();
        let shown = facts.shown().as_str();
        *states.entry(shown.to_owned()).or_default() += 1;
        let ended = match (accepted.contains_key(message), shown) {
            (true, "read") => true,
            (true, _) => false,
            (false, shown) => ["unknown", "review", "failed"].contains(&shown),
        };
        if !ended {
            wrong.push(format!("{message} is {shown}, accepted: {}", accepted.contains_key(message)));
        }
    }
    (states, wrong)
}

#[tokio::test]
async fn nothing_is_accepted_twice_and_doubts_are_the_ambiguous_ones() {
    for (seed, crashes) in [(1, false), (2, true), (3, true)] {
        println!("{}", run(seed, effort::count(80, 250), crashes).await);
    }
}

#[tokio::test]
#[ignore = "takes minutes: .ci/run runs it"]
async fn many_thousand_intents_under_every_fault() {
    /// Intents per installation; the time of a run grows with the square.
    const AT_ONCE: usize = 2_500;
    let intents = shared::config::optional("SEND_INTENTS").and_then(|count| count.parse().ok()).unwrap_or(5_000);
    for (seed, begun) in (42..).zip((0..intents).step_by(AT_ONCE)) {
        println!("{}", run(seed, AT_ONCE.min(intents - begun), true).await);
    }
}

#[tokio::test]
async fn after_twenty_five_hours_without_meta_nothing_stale_is_sent() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let nowhere = app.stack.functions("http://127.0.0.1:9").unwrap();
    let mut promised = Vec::new();
    for index in 0..40 {
        let code = index % 4 == 0;
        let mut order = json!({"from": NUMBER, "to": format!("+1666{index:07}"), "type": "template",
            "category": if code { "authentication" } else { "utility" },
            "template": {"name": "hello_world", "language": {"code": "en_US"}}});
        order["lane"] = json!(if index % 2 == 0 { "live" } else { "bulk" });
        let accepted = app.api("POST", "/v1/messages", Some(order)).await.json();
        let text = |key: &str| accepted[key].as_str().unwrap().to_owned();
        promised.push((text("conversation_id"), text("id")));
    }
    let list: Vec<String> = (100..120).map(|n| format!("+1666{n:07}")).collect();
    let order = json!({"from": NUMBER, "template": {"name": "hello_world", "language": {"code": "en_US"}}, "recipients": list, "category": "utility"});
    let broadcast = app.api("POST", "/v1/broadcasts", Some(order)).await.json()["id"].as_str().unwrap().to_owned();
    // The number is paused for longer than messages are valid.
    let number = shared::domain::ids::NumberId::parse(NUMBER).unwrap();
    let outage = app.clock.now().checked_add(jiff::SignedDuration::from_hours(25)).unwrap();
    app.stack.operator.table.pace_pause(&number, outage, "outage").await.unwrap();
    for _ in 0..60 {
        nowhere.poll_release().await;
        while nowhere.poll_outbound().await > 0 {}
        app.advance(1_500);
        nowhere.tick().await.unwrap();
    }
    assert!(app.meta.sent().is_empty());
    for _ in 0..6 {
        app.recover().await;
    }
    assert_eq!(app.meta.sent().len(), 0, "nothing stale");
    for (conversation, message) in &promised {
        assert_eq!(app.facts(conversation, message).await.unwrap().shown().as_str(), "expired");
    }
    let results = app.api("GET", &format!("/v1/broadcasts/{broadcast}/recipients?limit=100"), None).await.json();
    for result in results["data"].as_array().unwrap() {
        assert_eq!(result["status"], "expired", "{result}");
    }
    println!("25 hours: {} messages and {} recipients expired, 0 sent", promised.len(), list.len());
}
