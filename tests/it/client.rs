//! A typed client of the API that knows every field of an answer and refuses unknown ones. A field that is added to an
//! answer without being added here fails the test.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, WABA};

/// Calls the API with one key.
struct Client<'a> {
    app: &'a App,
}

/// A problem response; `type` is its stable name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    #[serde(rename = "type")]
    _type: Option<String>,
    title: String,
    status: u16,
    code: String,
    field: Option<String>,
    #[serde(rename = "rule")]
    _rule: Option<String>,
    remedy: Option<String>,
    #[serde(rename = "meta_code")]
    _meta_code: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Number {
    id: String,
    account_id: String,
    display_phone_number: String,
    label: Option<String>,
    active: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contact {
    id: String,
    phone: Option<String>,
    user_id: Option<String>,
    profile_name: Option<String>,
    username: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    open: bool,
    closes_at: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryPoint {
    last_referral_at: Option<String>,
    open_until: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversation {
    id: String,
    number_id: String,
    contact: Contact,
    last_activity_at: Option<String>,
    last_inbound_at: Option<String>,
    customer_service_window: Window,
    free_entry_point: EntryPoint,
    unread: bool,
    status: String,
    assigned_to: Option<String>,
    labels: Vec<String>,
    revision: u64,
    #[serde(default)]
    preferences: Vec<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    id: String,
    conversation_id: String,
    status: String,
}

/// A message has a field named after its type, and further fields that depend on its direction and origin.
#[derive(Debug, Deserialize)]
struct Message {
    id: String,
    conversation_id: String,
    direction: String,
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    status: String,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    messages: u64,
    sent: u64,
    delivered: u64,
    read: u64,
    failed: u64,
    billable: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Usage {
    data: Vec<Value>,
    total: Counts,
}

impl Client<'_> {
    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<T, Problem> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("authorization", format!("Bearer {}", self.app.seed.api_key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = self.app.request(request.body(body).unwrap()).await;
        let read = |text: &str| format!("{method} {path}: {text}");
        if answer.status.is_success() {
            Ok(serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{}: {error}", read(&answer.text))))
        } else {
            Err(serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{}: {error}", read(&answer.text))))
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.ask("GET", path, &[], None).await.unwrap()
    }

    /// Returns all items of a list, page after page.
    async fn all<T: DeserializeOwned>(&self, path: &str) -> Vec<T> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page: Page<T> = self.get(&format!("{path}{sign}limit=2{cursor}")).await;
            all.extend(page.data);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }
}

#[tokio::test]
async fn a_program_works_with_the_api_by_types() {
    let app = App::start().await;
    let client = Client { app: &app };
    for text in ["hello", "is anybody there?", "hm"] {
        app.customer_writes(text);
        app.drain().await;
        app.advance(1);
    }
    let numbers: Vec<Number> = client.all("/v1/numbers").await;
    let [number] = &numbers[..] else { panic!("{numbers:?}") };
    assert_eq!((number.id.as_str(), number.account_id.as_str(), number.active), (NUMBER, WABA, true));
    assert!(number.label.is_none() && !number.display_phone_number.is_empty());

    let all: Vec<Conversation> = client.all("/v1/conversations?unread=true").await;
    let [known] = &all[..] else { panic!("{all:?}") };
    assert_eq!((known.number_id.as_str(), known.contact.phone.as_deref()), (NUMBER, Some(&*format!("+{CUSTOMER}"))));
    assert!(known.unread && known.customer_service_window.open && known.customer_service_window.closes_at.is_some());
    assert!(known.last_activity_at == known.last_inbound_at && known.last_activity_at.is_some());
    assert!(
        known.contact.profile_name.is_some() && known.contact.user_id.is_none() && known.contact.username.is_none()
    );
    assert!(known.free_entry_point.last_referral_at.is_none() && known.free_entry_point.open_until.is_none());
    assert!(known.contact.id.starts_with("con_") && known.assigned_to.is_none() && known.labels.is_empty());

    let order = json!({"conversation_id": known.id, "type": "text", "text": {"body": "Yes."}});
    let key = [("idempotency-key", "answer-1")];
    let sent: Accepted = client.ask("POST", "/v1/messages", &key, Some(order.clone())).await.unwrap();
    let again: Accepted = client.ask("POST", "/v1/messages", &key, Some(order)).await.unwrap();
    assert_eq!((&sent.id, &sent.conversation_id, sent.status.as_str()), (&again.id, &known.id, "queued"));
    app.drain().await;
    let path = format!("/v1/conversations/{}/messages", known.id);
    let shown: Message = client.get(&format!("{path}/{}", sent.id)).await;
    assert_eq!((shown.status.as_str(), shown.kind.as_str(), shown.direction.as_str()), ("read", "text", "outbound"));
    assert_eq!((&shown.conversation_id, &shown.rest["text"]["body"]), (&known.id, &json!("Yes.")));
    let newest: Vec<Message> = client.all(&path).await;
    let mut oldest: Vec<Message> = client.all(&format!("{path}?order=oldest")).await;
    oldest.reverse();
    let ids = |messages: &[Message]| messages.iter().map(|one| one.id.clone()).collect::<Vec<_>>();
    assert_eq!((newest.len(), ids(&newest)), (4, ids(&oldest)));
    assert!(newest.is_sorted_by(|one, next| one.timestamp >= next.timestamp));

    let one = format!("/v1/conversations/{}", known.id);
    let change = json!({"assigned_to": "grace", "labels": ["vip"]});
    let now: Conversation = client.ask("PATCH", &one, &[("if-match", "\"0\"")], Some(change.clone())).await.unwrap();
    assert_eq!((now.revision, now.assigned_to.as_deref(), now.status.as_str()), (1, Some("grace"), "open"));
    assert!(now.preferences.is_empty());
    let late = client.ask::<Conversation>("PATCH", &one, &[("if-match", "\"0\"")], Some(change)).await.unwrap_err();
    assert_eq!((late.status, late.code.as_str()), (412, "changed_meanwhile"));
    assert!(!late.title.is_empty());
    let typo = client.ask::<Value>("PATCH", &one, &[], Some(json!({"colour": "red"}))).await.unwrap_err();
    assert_eq!((typo.status, typo.field.as_deref()), (422, Some("colour")), "{typo:?}");
    let nobodys = client.ask::<Value>("GET", "/v1/numbers/1", &[], None).await.unwrap_err();
    assert_eq!((nobodys.status, nobodys.code.as_str()), (u16::from(StatusCode::NOT_FOUND), "not_found"));
    assert!(nobodys.remedy.is_none_or(|remedy| !remedy.is_empty()));

    let usage: Usage = client.get("/v1/usage").await;
    assert_eq!((usage.total.messages, usage.total.sent, usage.total.delivered, usage.total.read), (1, 1, 1, 1));
    assert_eq!((usage.data.len(), usage.total.failed, usage.total.billable), (1, 0, 0));
    let grouped: BTreeMap<String, Value> = client.get("/openapi.json").await;
    assert_eq!(grouped["openapi"], "3.1.0");
}
