//! People, phone numbers and user ids: whoever has a number, a conversation is with one person, and an answer reaches
//! the author of the message that it quotes.

use serde_json::{Value, json};

use crate::harness::{App, NUMBER, change, effort, webhook_body};

/// First second of a run, shortly before the clock of the tests.
const BEGINS: i64 = 1_795_175_000;
/// Seconds between two events: no two reports have the same second.
const STEP: i64 = 10;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }
}

#[derive(Clone)]
struct Person {
    phone: Option<usize>,
    /// Counts the user ids: WhatsApp gives a new one with a new phone number.
    user: usize,
}

/// The people, as they are in truth, and the webhooks that tell of them.
struct World {
    people: Vec<Person>,
    told: Vec<Value>,
    second: i64,
    wrote: Vec<bool>,
}

fn phone(place: usize) -> String {
    format!("1555000222{place}")
}

fn user(person: usize, version: usize) -> String {
    format!("US.p{person}v{version}")
}

impl World {
    fn new() -> Self {
        let people = (0..4).map(|place| Person { phone: (place < 3).then_some(place), user: 0 }).collect();
        Self { people, told: Vec::new(), second: BEGINS, wrote: vec![false; 4] }
    }

    fn is_free(&self, phone: usize) -> bool {
        self.people.iter().all(|person| person.phone != Some(phone))
    }

    fn tell(&mut self, mut message: Value) {
        self.second += STEP;
        message["timestamp"] = json!(self.second.to_string());
        message["id"] = json!(format!("wamid.{}", self.second));
        self.told.push(message);
    }

    /// Returns who was last reported with a phone number.
    fn last_teller(&self, phone: &str) -> Option<usize> {
        let last =
            self.told.iter().rev().find(|message| message["from"] == phone || message["system"]["wa_id"] == phone)?;
        let user = last["system"]["user_id"].as_str().or(last["from_user_id"].as_str())?;
        let (_, person) = user.split_once('p')?;
        (last["from"] != phone || last["type"] == "text").then(|| person.split('v').next()?.parse().ok()).flatten()
    }

    /// Makes one random thing happen.
    fn step(&mut self, dice: &mut Dice) {
        let who = dice.roll(self.people.len());
        let free: Vec<usize> = (0..4).filter(|phone| self.is_free(*phone)).collect();
        let person = self.people[who].clone();
        match dice.roll(8) {
            // Moves to another number, of which WhatsApp tells.
            0 if person.phone.is_some() && !free.is_empty() => {
                let new = free[dice.roll(free.len())];
                self.people[who] = Person { phone: Some(new), user: person.user + 1 };
                self.tell(json!({"from": phone(person.phone.unwrap()), "type": "system", "system": {
                    "type": "user_changed_number", "body": "changed", "wa_id": phone(new),
                    "user_id": user(who, person.user + 1), "previous_user_id": user(who, person.user)}}));
            }
            // Leaves a number without a word.
            1 => self.people[who].phone = None,
            // Takes a number that is free, perhaps somebody's old one.
            2 if person.phone.is_none() && !free.is_empty() => {
                self.people[who].phone = Some(free[dice.roll(free.len())]);
            }
            // Writes, with or without showing the phone number.
            _ => {
                let mut message = json!({"type": "text", "text": {"body": format!("person {who}")},
                    "from_user_id": user(who, person.user)});
                if let Some(at) = person.phone.filter(|_| dice.roll(4) > 0) {
                    message["from"] = json!(phone(at));
                }
                self.wrote[who] = true;
                self.tell(message);
            }
        }
    }
}

async fn run(seed: u64, reordered: bool) {
    let (app, mut dice, mut world) = (App::start().await, Dice(seed), World::new());
    for _ in 0..40 {
        world.step(&mut dice);
    }
    let mut told = world.told.clone();
    if reordered {
        // Meta repeats and reorders: neighbours change places.
        for place in 1..told.len() {
            if dice.roll(3) == 0 {
                told.swap(place - 1, place);
            }
        }
    }
    for message in &told {
        app.webhook(webhook_body(&[change(NUMBER, json!({"messages": [message]}))])).await;
        app.drain().await;
    }
    for who in 0..4 {
        (0..10).for_each(|version| app.meta.open_window(NUMBER, &user(who, version)));
        app.meta.open_window(NUMBER, &phone(who));
    }
    let (mut answered, conversations) = (0, app.conversations().await);
    for conversation in &conversations {
        let id = conversation["id"].as_str().unwrap();
        let page = app.api("GET", &format!("/v1/conversations/{id}/messages?limit=100"), None).await.json();
        let texts: Vec<&str> =
            page["data"].as_array().unwrap().iter().filter_map(|message| message["text"]["body"].as_str()).collect();
        let Some(author) = texts.first() else { continue };
        assert!(texts.iter().all(|text| text == author), "seed {seed}: two people in one conversation: {texts:?}");
        let who: usize = author.trim_start_matches("person ").parse().unwrap();
        let quoted = page["data"].as_array().unwrap().iter().find(|message| message["text"].is_object()).unwrap();
        let order = json!({"conversation_id": id, "type": "text", "text": {"body": "an answer"},
            "context": {"message_id": quoted["id"]}});
        let answer = app.api("POST", "/v1/messages", Some(order)).await;
        if answer.status == 409 {
            // Nothing is known by which the person can be reached; that is said, and nobody else gets the answer.
            assert_eq!(answer.json()["code"], "contact_moved", "seed {seed}: {}", answer.text);
            continue;
        }
        assert_eq!(answer.status, 202, "seed {seed}: {}", answer.text);
        app.advance(1);
        app.drain().await;
        let (to, person) = (app.meta.sent().last().unwrap().to.clone(), &world.people[who]);
        let is_theirs = person.phone.is_some_and(|at| to == phone(at))
            || (0..=person.user).any(|version| to == user(who, version))
            // A number that was left without a word, and of whose next owner nobody told.
            || world.last_teller(&to) == Some(who);
        assert!(is_theirs, "seed {seed}: the answer to person {who} went to {to}: {conversation:#}");
        answered += 1;
    }
    assert_eq!(answered, app.meta.sent_count(), "seed {seed}");
    let wrote = world.wrote.iter().filter(|wrote| **wrote).count();
    let with_texts = conversations.len();
    assert!(with_texts >= wrote, "seed {seed}: {with_texts} conversations of {wrote} people");
    if !reordered {
        assert_eq!(with_texts, wrote, "seed {seed}: one conversation per person");
    }
}

#[tokio::test]
async fn no_conversation_has_two_people_and_every_answer_reaches_the_author() {
    for seed in 0..effort::count(30, 400) {
        run(seed, false).await;
        run(seed, true).await;
    }
}

fn text(id: &str, at: i64, from: Option<&str>, user: Option<&str>) -> Value {
    let mut message = json!({"id": id, "timestamp": at.to_string(), "type": "text", "text": {"body": id}});
    if let Some(from) = from {
        message["from"] = json!(from);
    }
    if let Some(user) = user {
        message["from_user_id"] = json!(user);
    }
    message
}

async fn receive(app: &App, messages: &[Value]) {
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": messages}))])).await;
    app.drain().await;
}

#[tokio::test]
async fn two_people_in_one_second_with_one_number_are_an_alert_and_stay_two() {
    let app = App::start().await;
    let one = text("wamid.1", BEGINS, Some("15550002222"), Some("US.one"));
    let other = text("wamid.2", BEGINS, Some("15550002222"), Some("US.other"));
    receive(&app, &[one]).await;
    receive(&app, &[other]).await;
    assert_eq!(app.conversations().await.len(), 2);
    let alerts = app.api("GET", "/v1/alerts", None).await.json();
    assert_eq!(alerts["data"][0]["aspect"], "identity", "{alerts:#}");
}

#[tokio::test]
async fn a_new_person_told_twice_is_one_conversation_in_any_order_and_in_one_body() {
    let (both, alone) = (
        || text("wamid.1", BEGINS, Some("15550002222"), Some("US.one")),
        || text("wamid.2", BEGINS + 1, None, Some("US.one")),
    );
    for posts in [vec![vec![both(), alone()]], vec![vec![both()], vec![alone()]], vec![vec![alone()], vec![both()]]] {
        let app = App::start().await;
        for post in &posts {
            receive(&app, post).await;
        }
        let conversations = app.conversations().await;
        assert_eq!(conversations.len(), 1, "{posts:?}: {conversations:#?}");
        assert_eq!(conversations[0]["contact"]["merged_contact_ids"], Value::Null, "{posts:?}");
    }
}

#[tokio::test]
async fn a_number_in_a_card_is_the_customers_only_if_whatsapp_vouches_for_it() {
    let card = |phones: Value, origin: &str| {
        json!({"id": "wamid.card", "timestamp": BEGINS.to_string(), "from_user_id": "US.one", "type": "contacts",
            "contacts": [{"origin": origin, "phones": phones}]})
    };
    let verified = json!({"phone": "+1 555 000 2222", "wa_id": "15550002222"});
    let of = |user: &str| json!({"phone": "+15550002222", "wa_id": "15550002222", "user_id": user});
    for (phones, origin, expected) in [
        (json!([verified]), "contact_request", Some("+15550002222")),
        (json!([of("US.one")]), "contact_request", Some("+15550002222")),
        (json!([{"phone": "+15550004444"}, of("US.one")]), "contact_request", Some("+15550002222")),
        (json!([{"phone": "+15550002222"}]), "contact_request", None),
        (json!([verified]), "other", None),
        (json!([of("US.other")]), "contact_request", None),
        (json!([verified, {"phone": "+15550004444", "wa_id": "15550004444"}]), "contact_request", None),
    ] {
        let app = App::start().await;
        receive(&app, &[card(phones.clone(), origin)]).await;
        let shown = app.conversations().await.remove(0)["contact"]["phone"].clone();
        assert_eq!(shown.as_str(), expected, "{phones} {origin}");
    }
}

#[tokio::test]
async fn what_an_erased_person_wrote_before_the_number_moved_never_reaches_its_next_owner() {
    let app = App::start().await;
    let phone = Some("15550002222");
    receive(&app, &[text("wamid.one", BEGINS, phone, Some("US.one"))]).await;
    receive(&app, &[text("wamid.other", BEGINS + 100, phone, Some("US.other"))]).await;
    let all = app.conversations().await;
    let one = all.iter().find(|conversation| conversation["contact"]["user_id"] == "US.one").unwrap();
    let erased = app.api("DELETE", &format!("/v1/contacts/{}", one["contact"]["id"].as_str().unwrap()), None).await;
    assert_eq!(erased.status, 202, "{}", erased.text);
    app.advance(3_600);
    app.functions.offboard().await.unwrap();
    for user in [None, Some("US.one")] {
        receive(&app, &[text("wamid.late", BEGINS + 50, phone, user)]).await;
    }
    let left = app.conversations().await;
    assert_eq!(left.len(), 1, "{left:#?}");
    let id = left[0]["id"].as_str().unwrap();
    let page = app.api("GET", &format!("/v1/conversations/{id}/messages"), None).await.json();
    let ids: Vec<&str> = page["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["wamid.other"]);
    assert_eq!((app.depth(), app.stack.aws.sqs().depth("inbound-dead-letters")), ((0, 0), 0));
}
