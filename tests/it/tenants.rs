//! Isolation of tenants (`docs/reliability.md#t2`): random calls of five tenants use ids of all of them. Every id and
//! text in a response must be the caller's.

use std::collections::HashMap;

use axum::body::Body;
use axum::http::Request;
use sandbox::meta::{BusinessAccount, BusinessNumber, MetaNumber};
use serde_json::{Value, json};
use shared::domain::accounts::number::{Number, Settings};
use shared::domain::accounts::tenant::Scope;
use shared::domain::ids::{NumberId, TenantId, WabaId};
use shared::secret::Secret;

use crate::harness::{App, ask, text_message};

const TENANTS: usize = 5;
/// Customers who write to all tenants: each is five contacts.
const CUSTOMERS: usize = 6;

struct Tenant {
    key: String,
    number: String,
    account: String,
}

struct World {
    app: App,
    tenants: Vec<Tenant>,
    /// Owner of each id or text.
    owner: HashMap<String, usize>,
    /// Ids of all tenants, by kind.
    pool: HashMap<&'static str, Vec<String>>,
    state: u64,
    answered: u32,
    given: u32,
}

impl World {
    async fn new(seed: u64) -> Self {
        let app = App::start().await;
        let mut world = Self {
            app,
            tenants: Vec::new(),
            owner: HashMap::new(),
            pool: HashMap::new(),
            state: seed | 1,
            answered: 0,
            given: 0,
        };
        for place in 0..TENANTS {
            world.join(place).await;
        }
        world
    }

    async fn join(&mut self, place: usize) {
        let operator = &self.app.stack.operator;
        let tenant: TenantId = operator.create_tenant(&format!("Tenant {place}")).await.unwrap();
        let key = operator.create_key(Some(tenant), &[Scope::Read, Scope::Send, Scope::Manage]).await.unwrap();
        let (id, account) = (format!("90010020030070{place}"), format!("90010020030080{place}"));
        let number = Number {
            id: NumberId::parse(&id).unwrap(),
            tenant,
            waba: WabaId::parse(&account).unwrap(),
            display_phone_number: format!("1555000900{place}"),
            coexistence: false,
            fallback: None,
            settings: Settings::default(),
        };
        let token = Secret::new(format!("EAAtenant{place}"));
        operator.put_number(&number, &token, None).await.unwrap();
        let at_meta = BusinessNumber { id: id.clone(), ..BusinessNumber::default() };
        let at_meta = BusinessAccount { id: account.clone(), numbers: vec![at_meta], ..BusinessAccount::default() };
        self.app.meta.put_token(token.expose(), at_meta);
        self.app.meta.put_number(MetaNumber {
            phone_number_id: id.clone(),
            display_phone_number: number.display_phone_number.clone(),
            waba_id: account.clone(),
            token: token.expose().to_owned(),
        });
        for word in [tenant.to_string(), id.clone(), account.clone(), number.display_phone_number.clone()] {
            self.owner.insert(word, place);
        }
        self.pool.entry("number").or_default().push(id.clone());
        self.pool.entry("account").or_default().push(account.clone());
        self.tenants.push(Tenant { key: key.expose().to_owned(), number: id, account });
    }

    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Returns any id of this kind, of any tenant.
    fn any(&mut self, kind: &'static str) -> String {
        let count = self.pool.get(kind).map_or(0, Vec::len);
        if count == 0 {
            return "none".to_owned();
        }
        let place = self.below(count);
        self.pool[kind][place].clone()
    }

    fn note(&mut self, kind: &'static str, id: &str, owner: usize) {
        if self.owner.insert(id.to_owned(), owner).is_none() {
            self.pool.entry(kind).or_default().push(id.to_owned());
        }
    }

    /// A customer writes to a number. The text contains the tenant.
    async fn customer_writes(&mut self) {
        let (place, customer) = (self.below(TENANTS), self.below(CUSTOMERS));
        let word = format!("said-to-{place}-{}", self.state);
        self.owner.insert(word.clone(), place);
        let mut message = text_message(&format!("1555000800{customer}"), &format!("wamid.{word}"), &word);
        message["timestamp"] = json!(self.app.clock.now().as_second().to_string());
        let contacts =
            json!([{"profile": {"name": format!("Customer-of-{place}")}, "wa_id": format!("1555000800{customer}")}]);
        self.owner.insert(format!("Customer-of-{place}"), place);
        let tenant = &self.tenants[place];
        let change = crate::harness::change(&tenant.number, json!({"contacts": contacts, "messages": [message]}));
        let body =
            json!({"object": "whatsapp_business_account", "entry": [{"id": tenant.account, "changes": [change]}]});
        self.app.webhook(body.to_string()).await;
        self.app.functions.poll_inbound().await;
    }

    /// Makes one random call of a random tenant.
    async fn step(&mut self) {
        let caller = self.below(TENANTS);
        let (method, path, body, makes) = self.call();
        let key = self.tenants[caller].key.clone();
        let answer = if path == "/v1/media" {
            let request = Request::post(&path).header("authorization", format!("Bearer {key}"));
            self.app.request(request.body(Body::from(crate::kinds::JPEG)).unwrap()).await
        } else {
            ask(&self.app, &key, method, &path, body).await
        };
        let status = answer.status.as_u16();
        assert!(status < 500 && status != 429, "{method} {path}: {}", answer.text);
        self.answered += 1;
        if !answer.status.is_success() || answer.text.is_empty() {
            return;
        }
        self.given += 1;
        for line in answer.text.lines() {
            let said: Value = serde_json::from_str(line).unwrap();
            if let (Some(kind), Some(id)) = (makes, said["id"].as_str()) {
                self.note(kind, id, caller);
            }
            self.look(&said, caller, &format!("{method} {path}"));
        }
    }

    /// Checks that every text with an owner belongs to the caller.
    fn look(&mut self, said: &Value, caller: usize, what: &str) {
        match said {
            Value::String(text) => {
                let owner = self.owner.get(text.as_str()).copied();
                assert!(owner.is_none_or(|owner| owner == caller), "{what} of {caller} has {text} of {owner:?}");
                // A conversation's id contains its number.
                if let Some(number) = text.strip_prefix("conv_").and_then(|rest| rest.split_once('_')) {
                    assert_eq!(number.0, self.tenants[caller].number, "{what}: {text}");
                    self.note("conversation", text, caller);
                } else if text.starts_with("con_") {
                    self.note("contact", text, caller);
                } else if text.starts_with("msg_") {
                    self.note("message", text, caller);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.look(item, caller, what)),
            Value::Object(fields) => fields.values().for_each(|value| self.look(value, caller, what)),
            _ => {}
        }
    }

    fn call(&mut self) -> (&'static str, String, Value, Option<&'static str>) {
        const NONE: Value = Value::Null;
        let text = json!({"type": "text", "text": {"body": "an answer"}});
        match self.below(50) {
            0 => ("GET", "/v1/conversations?limit=5".to_owned(), NONE, None),
            1 => ("GET", "/v1/conversations?search=1555&limit=3".to_owned(), NONE, None),
            2 => ("GET", "/v1/conversations?unread=true&status=open&limit=3".to_owned(), NONE, None),
            3 => ("GET", format!("/v1/conversations/{}", self.any("conversation")), NONE, None),
            4 => ("GET", format!("/v1/conversations/{}/messages?limit=5", self.any("conversation")), NONE, None),
            5 => {
                let path = format!("/v1/conversations/{}/messages/{}", self.any("conversation"), self.any("message"));
                ("GET", path, NONE, None)
            }
            6 => {
                let body = json!({"labels": ["x"], "assigned_to": "somebody"});
                ("PATCH", format!("/v1/conversations/{}", self.any("conversation")), body, None)
            }
            7 => {
                let path = format!("/v1/conversations/{}/notes", self.any("conversation"));
                ("POST", path, json!({"text": "a note"}), Some("note"))
            }
            8 => ("GET", format!("/v1/conversations/{}/notes", self.any("conversation")), NONE, None),
            9 => {
                let path = format!("/v1/conversations/{}/notes/{}", self.any("conversation"), self.any("note"));
                ("DELETE", path, NONE, None)
            }
            10 => ("GET", format!("/v1/conversations/{}/send-options", self.any("conversation")), NONE, None),
            11 | 12 => {
                let mut body = text;
                body["conversation_id"] = json!(self.any("conversation"));
                ("POST", "/v1/messages".to_owned(), body, Some("message"))
            }
            13 => {
                let mut body = text;
                body["from"] = json!(self.any("number"));
                body["to"] = json!(format!("+1555000800{}", self.below(CUSTOMERS)));
                ("POST", "/v1/messages".to_owned(), body, Some("message"))
            }
            14 => ("GET", "/v1/numbers".to_owned(), NONE, None),
            15 => ("GET", format!("/v1/numbers/{}", self.any("number")), NONE, None),
            16 => ("PATCH", format!("/v1/numbers/{}", self.any("number")), json!({"label": "a label"}), None),
            17 => ("GET", format!("/v1/numbers/{}/health", self.any("number")), NONE, None),
            18 => {
                let phone = format!("%2B1555000800{}", self.below(CUSTOMERS));
                ("GET", format!("/v1/numbers/{}/conversation?phone={phone}", self.any("number")), NONE, None)
            }
            19 => ("POST", "/v1/media".to_owned(), NONE, Some("media")),
            20 => ("GET", format!("/v1/media/{}", self.any("media")), NONE, None),
            21 => {
                let template = json!({"name": "order_update", "language": {"code": "en_US"}});
                let recipients = json!([{"to": "+15550008000", "parameters": ["x", "1"]}]);
                let body = json!({"from": self.any("number"), "template": template, "category": "utility", "recipients": recipients});
                ("POST", "/v1/broadcasts".to_owned(), body, Some("broadcast"))
            }
            22 => ("GET", format!("/v1/broadcasts/{}", self.any("broadcast")), NONE, None),
            23 => ("GET", format!("/v1/broadcasts/{}/recipients", self.any("broadcast")), NONE, None),
            24 => ("GET", "/v1/broadcasts?limit=3".to_owned(), NONE, None),
            25 => ("POST", "/v1/keys".to_owned(), json!({"scopes": ["read"]}), Some("key")),
            26 => ("DELETE", format!("/v1/keys/{}", self.any("key")), NONE, None),
            27 => ("GET", "/v1/audit?limit=5".to_owned(), NONE, None),
            28 => ("POST", "/v1/onboardings".to_owned(), json!({"app": "sandbox"}), Some("onboarding")),
            29 => ("GET", format!("/v1/onboardings/{}", self.any("onboarding")), NONE, None),
            _ => self.rarer_call(),
        }
    }

    /// Less frequent calls: contacts, accounts, data at Meta, and calls that end something.
    fn rarer_call(&mut self) -> (&'static str, String, Value, Option<&'static str>) {
        const NONE: Value = Value::Null;
        let hello = json!({"name": "hello_world", "language": {"code": "en_US"}});
        match self.below(24) {
            0 => ("GET", format!("/v1/contacts/{}", self.any("contact")), NONE, None),
            1 => ("DELETE", format!("/v1/contacts/{}", self.any("contact")), NONE, Some("erasure")),
            2 => ("GET", format!("/v1/erasures/{}", self.any("erasure")), NONE, None),
            3 => ("GET", "/v1/usage?from=2026-11-20&until=2026-11-20".to_owned(), NONE, None),
            4 => {
                let number = self.any("number");
                ("GET", format!("/v1/usage?from=2026-11-20&until=2026-11-20&number_id={number}"), NONE, None)
            }
            5 => ("GET", "/v1/accounts".to_owned(), NONE, None),
            6 => ("GET", format!("/v1/accounts/{}/templates", self.any("account")), NONE, None),
            7 => {
                let path = format!("/v1/accounts/{}/templates/order_update.en_US/preview", self.any("account"));
                ("POST", path, json!({"components": []}), None)
            }
            8 => ("GET", format!("/v1/numbers/{}/templates", self.any("number")), NONE, None),
            9 => ("GET", format!("/v1/numbers/{}/quarantine", self.any("number")), NONE, None),
            10 => ("GET", format!("/v1/numbers/{}/profile", self.any("number")), NONE, None),
            11 => ("GET", format!("/v1/numbers/{}/webhook", self.any("number")), NONE, None),
            12 => ("GET", format!("/v1/numbers/{}/links", self.any("number")), NONE, None),
            13 => ("PUT", format!("/v1/numbers/{}/fallback-template", self.any("number")), hello, None),
            14 => ("GET", "/v1/merges".to_owned(), NONE, None),
            15 => ("GET", "/v1/alerts".to_owned(), NONE, None),
            16 => ("GET", "/v1/offboardings".to_owned(), NONE, None),
            17 => ("GET", format!("/v1/conversations/{}/export", self.any("conversation")), NONE, None),
            18 => {
                let path = format!("/v1/conversations/{}/read", self.any("conversation"));
                ("POST", path, json!({"at_meta": false}), None)
            }
            19 => ("PUT", format!("/v1/conversations/{}/block", self.any("conversation")), NONE, None),
            20 => ("DELETE", format!("/v1/conversations/{}/block", self.any("conversation")), NONE, None),
            21 => {
                let path = format!("/v1/conversations/{}/messages/{}", self.any("conversation"), self.any("message"));
                ("POST", format!("{path}/cancel"), NONE, None)
            }
            22 => {
                let path = format!("/v1/conversations/{}/messages/{}", self.any("conversation"), self.any("message"));
                ("POST", format!("{path}/settle"), json!({"outcome": "sent"}), None)
            }
            _ => ("POST", format!("/v1/broadcasts/{}/cancel", self.any("broadcast")), NONE, None),
        }
    }
}

/// Returns the number of calls, and of those that returned data.
async fn run(steps: u32, seed: u64) -> (u32, u32) {
    let mut world = Box::pin(World::new(seed)).await;
    for step in 0..steps {
        if step % 50 == 0 {
            Box::pin(world.customer_writes()).await;
        }
        Box::pin(world.step()).await;
        world.app.clock.advance(jiff::SignedDuration::from_millis(7));
    }
    assert!(world.given > steps / 8, "{}", world.given);
    (world.answered, world.given)
}

#[tokio::test]
async fn every_answer_is_the_callers_own() {
    let (calls, given) = Box::pin(run(4_000, 7)).await;
    println!("tenants: {calls} calls of {TENANTS}, {given} answered with something, all of it the caller's");
}

/// A hundred thousand calls, for CI's long runs.
#[tokio::test]
#[ignore = "takes minutes"]
async fn every_answer_of_a_hundred_thousand_is_the_callers_own() {
    let (calls, given) = Box::pin(run(100_000, 11)).await;
    println!("tenants: {calls} calls of {TENANTS}, {given} answered with something, all of it the caller's");
}
