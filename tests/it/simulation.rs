//! Deterministic simulation of receiving (`docs/reliability.md#i1`): many webhooks, each delivered three times,
//! shuffled, with crashes before or after any call, all derived from one seed. Failing seeds are printed and can be run
//! alone: `SIMULATION_SEED=7 cargo test -p tests -- simulation`.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use sandbox::aws::faults::Fault;
use serde_json::{Value, json};
use shared::domain::accounts::tenant::Scope;

use crate::harness::{App, NUMBER, change, effort, text_message, webhook_body};

/// Number of seeds in the everyday and in the long run, each an installation. `SIMULATION_SEEDS` sets another.
const SEEDS: [u64; 2] = [40, 1_000];
/// Webhooks per run.
const WEBHOOKS: usize = 10;
/// Customers who write.
const CUSTOMERS: u64 = 3;

struct Chance(TestRng);

impl Chance {
    fn new(seed: u64) -> Self {
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self(TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for index in (1..list.len()).rev() {
            let other = usize::try_from(self.below(index as u64 + 1)).unwrap();
            list.swap(index, other);
        }
    }
}

/// Returns webhooks with one message each and, sometimes, the echo of our reaction; the texts; and the wamids with a
/// reaction.
fn webhooks(chance: &mut Chance, count: usize) -> (Vec<String>, BTreeSet<String>, BTreeSet<String>) {
    let (mut bodies, mut texts, mut reacted) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for index in 0..count {
        let (id, customer) = (format!("wamid.{index}"), format!("1555000{:04}", chance.below(CUSTOMERS)));
        let mut message = text_message(&customer, &id, &format!("text {index}"));
        message["timestamp"] = json!((1_795_175_000 + chance.below(500)).to_string());
        if chance.below(2) == 0 {
            message["from_user_id"] = json!(format!("US.{customer}"));
        }
        bodies.push(webhook_body(&[change(NUMBER, json!({"messages": [message]}))]));
        texts.insert(format!("text {index}"));
        if chance.below(4) == 0 {
            let reaction = json!({"from": "15550001111", "to": customer, "id": format!("wamid.R{index}"),
                "timestamp": "1795175900", "type": "reaction", "reaction": {"message_id": id, "emoji": "!"}});
            let mut reaction = change(NUMBER, json!({"message_echoes": [reaction]}));
            reaction["field"] = json!("smb_message_echoes");
            bodies.push(webhook_body(&[reaction]));
            reacted.insert(id);
        }
    }
    (bodies, texts, reacted)
}

/// Delivers, polls and crashes at random, then settles.
async fn run(app: &mut App, chance: &mut Chance, bodies: &[String]) -> usize {
    let mut deliveries: Vec<&String> = bodies.iter().flat_map(|body| [body, body, body]).collect();
    chance.shuffle(&mut deliveries);
    let mut crashes = 0;
    let faults = [Fault::CrashBefore, Fault::CrashAfter, Fault::Unavailable, Fault::LostReply];
    for (index, body) in deliveries.iter().enumerate() {
        if app.webhook(body.as_bytes().to_vec()).await != StatusCode::OK {
            // An unacknowledged webhook is delivered again.
            assert_eq!(app.webhook(body.as_bytes().to_vec()).await, StatusCode::OK);
        }
        if chance.below(4) == 0 || index + 1 == deliveries.len() {
            let fault = faults[usize::try_from(chance.below(4)).unwrap()];
            app.stack.faults.order(usize::try_from(chance.below(30)).unwrap(), fault);
            let ended = app.until_crash(async |app: &App| app.functions.poll_inbound().await).await;
            crashes += usize::from(ended.is_none());
            app.stack.faults.clear();
        }
        // Hidden messages become visible. The whole run is far shorter than the eight days after which a message is too
        // old.
        if chance.below(10.max(bodies.len() as u64 / 100)) == 0 {
            app.advance(400);
        }
    }
    settle(app).await;
    crashes
}

/// Hidden messages become visible, and an operator replays the dead letters.
async fn settle(app: &App) {
    let key = app.stack.operator.create_key(None, &[Scope::Operator]).await.unwrap();
    for _ in 0..6 {
        app.advance(400);
        app.drain().await;
    }
    let request = Request::post("/v1/replays").header("authorization", format!("Bearer {}", key.expose()));
    let request = request.body(Body::from(r#"{"source": "dead_letters"}"#)).unwrap();
    assert_eq!(app.request(request).await.status, StatusCode::ACCEPTED);
    app.drain().await;
}

/// Returns all messages of all conversations.
async fn all_messages(app: &App) -> Vec<Value> {
    let mut all = Vec::new();
    for conversation in app.conversations().await {
        let mut cursor = String::new();
        loop {
            let id = conversation["id"].as_str().unwrap();
            let page = app.api("GET", &format!("/v1/conversations/{id}/messages?limit=100{cursor}"), None).await.json();
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    all
}

async fn violations(app: &App, texts: &BTreeSet<String>, reacted: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let messages = all_messages(app).await;
    let stored: Vec<String> =
        messages.iter().map(|message| message["text"]["body"].as_str().unwrap().to_owned()).collect();
    let once: BTreeSet<String> = stored.iter().cloned().collect();
    if once.len() != stored.len() || once != *texts {
        wrong.push(format!("{} stored, {} different, {} expected", stored.len(), once.len(), texts.len()));
    }
    let with_reaction = messages.iter().filter(|message| message["reactions"].is_array());
    let with_reaction: BTreeSet<String> =
        with_reaction.map(|message| message["id"].as_str().unwrap().to_owned()).collect();
    if with_reaction != *reacted {
        wrong.push(format!("reactions at {with_reaction:?} instead of {reacted:?}"));
    }
    if app.depth() != (0, 0) || app.stack.aws.sqs().depth("inbound-dead-letters") != 0 {
        wrong.push("something is left in a queue".to_owned());
    }
    wrong
}

async fn simulate(seed: u64, count: usize) -> (usize, Vec<String>) {
    let mut chance = Chance::new(seed);
    let (bodies, texts, reacted) = webhooks(&mut chance, count);
    let mut app = App::start().await;
    let crashes = run(&mut app, &mut chance, &bodies).await;
    (crashes, violations(&app, &texts, &reacted).await)
}

#[test]
fn no_seed_loses_or_doubles_anything() {
    let asked = |name: &'static str| shared::config::optional(name).and_then(|value| value.parse::<u64>().ok());
    let only = asked("SIMULATION_SEED");
    let count = asked("SIMULATION_SEEDS").unwrap_or(effort::count(SEEDS[0], SEEDS[1]));
    let seeds: Vec<u64> = only.map_or_else(|| (0..count).collect(), |seed| vec![seed]);
    let (mut crashes, mut failed) = (0, Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for seed in &seeds {
        let (crashed, wrong) = runtime.block_on(simulate(*seed, WEBHOOKS));
        crashes += crashed;
        if !wrong.is_empty() {
            failed.push(format!("SIMULATION_SEED={seed}: {wrong:?}"));
        }
    }
    println!("{} seeds, {crashes} crashes, {} failed", seeds.len(), failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(only.is_some() || crashes > effort::count(20, 100), "{crashes}");
}

#[tokio::test]
#[ignore = "takes minutes: .ci/run runs it"]
async fn ten_thousand_webhooks_three_times_each_are_stored_once() {
    let (crashes, wrong) = simulate(10_000_000, 10_000).await;
    println!("10,000 messages in more than 30,000 deliveries, {crashes} crashes");
    assert_eq!(wrong, Vec::<String>::new());
    assert!(crashes > 100, "{crashes}");
}

/// A planted bug must be detected.
#[test]
fn a_consumer_that_acknowledges_first_is_found() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = (0..20).any(|seed| {
        runtime.block_on(async {
            let mut chance = Chance::new(seed);
            let (bodies, texts, reacted) = webhooks(&mut chance, WEBHOOKS);
            let mut app = App::start().await;
            for body in &bodies {
                app.webhook(body.as_bytes().to_vec()).await;
            }
            app.stack.faults.order(5, Fault::CrashBefore);
            app.until_crash(async |app: &App| app.functions.poll_inbound_acknowledging_first().await).await;
            app.stack.faults.clear();
            app.drain().await;
            !violations(&app, &texts, &reacted).await.is_empty()
        })
    });
    assert!(found);
}
