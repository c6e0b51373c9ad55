//! What the simulated Meta remembers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use shared::clock::{Clock, Timestamp};
use shared::domain::conversation::CUSTOMER_SERVICE_WINDOW;
use shared::domain::status::Status;
use shared::provider::meta::signature;
use shared::secret::Secret;
use tokio::sync::Notify;

use super::assets::MetaTemplate;
use super::files::{self, SentFile};
use super::kept::Kept;
use super::limits::Limits;
use super::payload;
use super::signup::Businesses;
use crate::aws::faults::Faults;

/// Deliveries of one webhook before it is dropped: with doubling waits that is some minutes of outage.
const DELIVERIES_MAX: u32 = 12;

/// An app whose webhooks are delivered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetaApp {
    /// Its id.
    #[serde(default)]
    pub client_id: String,
    /// Signs its webhooks.
    pub secret: String,
    /// Where its webhooks go; empty while nobody listens.
    pub callback_url: String,
}

/// A business number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetaNumber {
    /// Its id.
    pub phone_number_id: String,
    /// Its digits.
    pub display_phone_number: String,
    /// Its account.
    pub waba_id: String,
    /// The token that may send from it.
    pub token: String,
}

/// A send that was accepted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SentMessage {
    /// The id given to it.
    pub wamid: String,
    /// The number it went out from.
    pub phone_number_id: String,
    /// The customer, digits.
    pub to: String,
    /// The request, whole.
    pub body: Value,
    /// What came with it to be echoed.
    pub biz_opaque_callback_data: Option<String>,
    /// The statuses emitted so far.
    pub statuses: Vec<String>,
    /// When it was accepted, Unix seconds.
    #[serde(default)]
    pub accepted_at: i64,
}

/// A webhook on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PendingWebhook {
    /// The signature header.
    pub signature: String,
    /// The body, as the signature has it.
    pub body: String,
    /// Deliveries that were not answered 200.
    pub failures: u32,
}

/// A fault that `/_sim/faults` orders for the next sends.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ScriptedFault {
    /// Refuse with a Graph error.
    Error {
        /// The HTTP status; 400 unless given.
        #[serde(default = "bad_request")]
        http: u16,
        /// Meta's code.
        code: i64,
        /// Its text.
        #[serde(default)]
        message: String,
    },
    /// Close the connection before anything happened.
    DropBefore,
    /// Accept, then close the connection without an answer.
    DropAfter,
    /// Accept, and close the connection without an answer only after the statuses were delivered.
    DropLate,
    /// Answer 502 with HTML, without accepting.
    Html502,
    /// Accept, and answer 200 with half a body.
    Truncated,
    /// Answer with a Graph error, and send the message all the same.
    Lie {
        /// The HTTP status; 400 unless given.
        #[serde(default = "bad_request")]
        http: u16,
        /// Meta's code.
        code: i64,
    },
    /// Accept, and report `failed` with this code.
    FailLater {
        /// Meta's code.
        code: i64,
    },
    /// Accept a template and hold it for an assessment of its quality: nothing is reported until another order of
    /// statuses is given.
    Held,
    /// Do not answer until Meta is told to speak, and then hang up.
    Silent {
        /// Whether the message is accepted.
        accepted: bool,
    },
    /// Accept, and answer a byte at a time.
    Drip,
}

/// What follows an accepted send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The usual statuses.
    Statuses,
    /// A failure.
    Failure(i64),
    /// An assessment of quality.
    Assessment,
}

fn bad_request() -> u16 {
    400
}

/// How statuses of accepted sends are reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusOrder {
    /// `sent`, `delivered`, `read`, each once.
    #[default]
    Normal,
    /// The same, backwards and each twice.
    ReversedTwice,
    /// Not at all, until another order is given.
    Withheld,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) app: Option<MetaApp>,
    pub(super) numbers: BTreeMap<String, MetaNumber>,
    /// `number/customer` and when the customer last wrote, Unix milliseconds.
    windows: BTreeMap<String, i64>,
    pub(super) sent: Vec<SentMessage>,
    pub(super) outbox: VecDeque<PendingWebhook>,
    pub(super) faults: VecDeque<ScriptedFault>,
    pub(super) statuses: StatusOrder,
    /// Statuses that wait for an end of [`StatusOrder::Withheld`]: index into `sent`.
    withheld: Vec<usize>,
    pub(super) serial: u64,
    #[serde(default)]
    pub(super) limits: Limits,
    /// By name and language.
    #[serde(default)]
    pub(super) templates: BTreeMap<String, MetaTemplate>,
    /// Files by id, and the number that uploaded each.
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    /// Files that customers sent, by id.
    #[serde(default)]
    pub(super) sent_files: BTreeMap<String, SentFile>,
    /// Wamids of customers' messages, and to which number.
    #[serde(default)]
    pub(super) received: BTreeMap<String, String>,
    /// What businesses have that are not connected yet.
    #[serde(default)]
    pub(super) businesses: Businesses,
    /// Profiles, QR codes, blocked customers.
    #[serde(default)]
    pub(super) kept: Kept,
    /// Receipts and typing indicators, as they came.
    #[serde(default)]
    pub(super) marks: Vec<Value>,
}

/// A webhook being delivered. Dropped, it goes back to the front of the line, unless it was delivered.
#[derive(Debug)]
pub struct Undelivered<'a> {
    meta: &'a Meta,
    /// The webhook.
    pub webhook: PendingWebhook,
    waits: bool,
}

impl Undelivered<'_> {
    /// It was answered 200.
    pub fn delivered(mut self) {
        self.waits = false;
    }

    /// It was answered otherwise, or not at all.
    pub fn failed(mut self) {
        self.webhook.failures += 1;
        self.waits = self.webhook.failures < DELIVERIES_MAX;
    }
}

impl Drop for Undelivered<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.meta.lock().outbox.push_front(self.webhook.clone());
        }
    }
}

/// The simulated Meta.
#[derive(Debug)]
pub struct Meta {
    pub(super) clock: Clock,
    pub(super) faults: Arc<Faults>,
    state: Mutex<State>,
    /// Wakes the deliverer.
    pub(super) pending: Notify,
    /// Wakes those who wait until everything was delivered.
    pub(super) delivered: Notify,
    /// Wakes the answers that are silent.
    pub(super) spoken: Notify,
}

impl Meta {
    /// A Meta that knows nobody. `faults` counts its calls together with AWS's.
    #[must_use]
    pub fn new(clock: Clock, faults: Arc<Faults>) -> Self {
        Self {
            clock,
            faults,
            state: Mutex::default(),
            pending: Notify::new(),
            delivered: Notify::new(),
            spoken: Notify::new(),
        }
    }

    /// Registers the app and its callback URL.
    pub fn put_app(&self, app: MetaApp) {
        self.lock().app = Some(app);
    }

    /// Registers a number.
    pub fn put_number(&self, number: MetaNumber) {
        self.lock().numbers.insert(number.phone_number_id.clone(), number);
    }

    /// Every accepted send, in order.
    #[must_use]
    pub fn sent(&self) -> Vec<SentMessage> {
        self.lock().sent.clone()
    }

    /// How many sends were accepted.
    #[must_use]
    pub fn sent_count(&self) -> usize {
        self.lock().sent.len()
    }

    /// Orders faults for the next sends, one each.
    pub fn script(&self, faults: impl IntoIterator<Item = ScriptedFault>) {
        self.lock().faults.extend(faults);
    }

    /// Faults that no send has met yet.
    #[must_use]
    pub fn faults_waiting(&self) -> usize {
        self.lock().faults.len()
    }

    /// Changes how statuses are reported; those withheld so far are reported now, if they may be.
    pub fn order_statuses(&self, order: StatusOrder) {
        let mut state = self.lock();
        state.statuses = order;
        if order != StatusOrder::Withheld {
            for index in std::mem::take(&mut state.withheld) {
                self.report(&mut state, index);
            }
        }
    }

    /// Says that every webhook so far was delivered, for [`ScriptedFault::DropLate`].
    pub fn all_delivered(&self) {
        self.delivered.notify_waiters();
    }

    /// Where a webhook goes now: to the callback URL of its account's own, else to the app's.
    pub(super) fn callback_url(&self, body: &str) -> String {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let account = body.pointer("/entry/0/id").and_then(Value::as_str).unwrap_or_default();
        let state = self.lock();
        let own = state.businesses.accounts.get(account).and_then(|account| account.override_url.clone());
        own.or_else(|| state.app.as_ref().map(|app| app.callback_url.clone())).unwrap_or_default()
    }

    /// The app's own callback URL.
    pub(super) fn app_callback_url(&self) -> String {
        self.lock().app.as_ref().map(|app| app.callback_url.clone()).unwrap_or_default()
    }

    /// The app's id.
    pub(super) fn client_id(&self) -> String {
        self.lock().app.as_ref().map(|app| app.client_id.clone()).unwrap_or_default()
    }

    /// The first webhook that waits, to be delivered now.
    pub fn next_webhook(&self) -> Option<Undelivered<'_>> {
        let webhook = self.lock().outbox.pop_front()?;
        Some(Undelivered { meta: self, webhook, waits: true })
    }

    /// Forgets everything but the app and the numbers.
    pub fn reset(&self) {
        let mut state = self.lock();
        let (app, numbers) = (state.app.take(), std::mem::take(&mut state.numbers));
        let templates = std::mem::take(&mut state.templates);
        *state = State { app, numbers, templates, serial: state.serial, ..State::default() };
    }

    /// A customer writes: the window opens and a webhook is on its way. Answers the message's wamid.
    ///
    /// # Errors
    /// When the message is no Cloud API message object, or there is no such number (`None`).
    pub fn customer_writes(
        &self,
        customer: &str,
        to: &str,
        mut message: Map<String, Value>,
    ) -> Result<String, Option<String>> {
        if !message.get("type").is_some_and(Value::is_string) {
            return Err(Some("`message.type` must be a string".to_owned()));
        }
        let mut state = self.lock();
        let number = state.numbers.get(to).cloned().ok_or(None)?;
        let now = self.clock.now();
        files::attach(&mut state, to, &mut message, now.as_second());
        state.serial += 1;
        let wamid = payload::wamid(customer, state.serial);
        state.windows.insert(format!("{to}/{customer}"), now.as_millisecond());
        state.received.insert(wamid.clone(), to.to_owned());
        let value = payload::message(&number, customer, &wamid, now, message);
        self.post(&mut state, payload::envelope(&number.waba_id, "messages", &value));
        Ok(wamid)
    }

    /// Meta reports a change of any field, as written, with an entry of this account around it.
    pub fn reports(&self, account: &str, field: &str, value: &Map<String, Value>) {
        let entry = json!({"id": account, "time": self.clock.now().as_second(),
            "changes": [{"field": field, "value": value}]});
        let body = json!({"object": "whatsapp_business_account", "entry": [entry]}).to_string();
        self.post(&mut self.lock(), body);
    }

    pub(super) fn window_is_open(&self, number: &str, customer: &str) -> bool {
        let last = self.lock().windows.get(&format!("{number}/{customer}")).copied();
        last.is_some_and(|at| {
            let opened = shared::clock::at_millis(at);
            self.clock.now() < opened.checked_add(CUSTOMER_SERVICE_WINDOW).unwrap_or(Timestamp::MAX)
        })
    }

    pub(super) fn next_fault(&self) -> Option<ScriptedFault> {
        self.lock().faults.pop_front()
    }

    /// Takes a send: an id, and its statuses are on their way.
    pub(super) fn accept(&self, number: &str, customer: &str, body: Value, after: After) -> String {
        let mut state = self.lock();
        state.serial += 1;
        let wamid = payload::wamid(customer, state.serial);
        let opaque = body.get("biz_opaque_callback_data").and_then(Value::as_str).map(str::to_owned);
        state.sent.push(SentMessage {
            wamid: wamid.clone(),
            phone_number_id: number.to_owned(),
            to: customer.to_owned(),
            body,
            biz_opaque_callback_data: opaque,
            statuses: Vec::new(),
            accepted_at: self.clock.now().as_second(),
        });
        let index = state.sent.len() - 1;
        match after {
            After::Statuses => self.report(&mut state, index),
            After::Assessment => state.withheld.push(index),
            After::Failure(code) => self.report_failure(&mut state, index, code),
        }
        wamid
    }

    fn report(&self, state: &mut State, index: usize) {
        let steps: &[Status] = match state.statuses {
            StatusOrder::Normal => &[Status::Sent, Status::Delivered, Status::Read],
            StatusOrder::ReversedTwice => {
                &[Status::Read, Status::Read, Status::Delivered, Status::Delivered, Status::Sent, Status::Sent]
            }
            StatusOrder::Withheld => {
                state.withheld.push(index);
                return;
            }
        };
        let Some(sent) = state.sent.get_mut(index) else { return };
        sent.statuses.extend(steps.iter().map(|step| step.as_str().to_owned()));
        let sent = sent.clone();
        let Some(number) = state.numbers.get(&sent.phone_number_id).cloned() else { return };
        for step in steps {
            let value = payload::status(&number, &sent, step.as_str(), self.clock.now());
            self.post(state, payload::envelope(&number.waba_id, "messages", &value));
        }
    }

    fn report_failure(&self, state: &mut State, index: usize, code: i64) {
        let Some(sent) = state.sent.get_mut(index) else { return };
        sent.statuses.push("failed".to_owned());
        let sent = sent.clone();
        let Some(number) = state.numbers.get(&sent.phone_number_id).cloned() else { return };
        let mut value = payload::status(&number, &sent, "failed", self.clock.now());
        value["statuses"][0]["errors"] = json!([{"code": code, "title": "scripted", "message": "scripted",
            "error_data": {"details": "ordered by a fault"}}]);
        self.post(state, payload::envelope(&number.waba_id, "messages", &value));
    }

    /// Lets the answers come that are silent.
    pub fn speak(&self) {
        self.spoken.notify_waiters();
    }

    fn post(&self, state: &mut State, body: String) {
        let Some(app) = &state.app else { return };
        let signature = signature::sign(&Secret::new(app.secret.clone()), body.as_bytes());
        state.outbox.push_back(PendingWebhook { signature, body, failures: 0 });
        self.pending.notify_one();
    }

    /// The state as JSON, for the state folder.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        serde_json::to_value(&*self.lock()).unwrap_or_else(|_| json!({}))
    }

    /// Takes over a state from [`Meta::snapshot`].
    ///
    /// # Errors
    /// When it is none.
    pub fn restore(&self, snapshot: Value) -> Result<(), String> {
        *self.lock() = serde_json::from_value(snapshot).map_err(|error| error.to_string())?;
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
