//! State of the simulated Meta.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use shared::clock::Clock;
use shared::domain::conversations::conversation::CUSTOMER_SERVICE_WINDOW;
use shared::domain::sending::status::Status;
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

/// Maximum deliveries of one webhook before it is dropped. With doubling waits this covers an outage of some minutes.
const DELIVERIES_MAX: u32 = 12;

/// A Meta app that receives webhooks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetaApp {
    /// Meta's id of the app.
    #[serde(default)]
    pub client_id: String,
    /// App secret; it signs the app's webhooks.
    pub secret: String,
    /// Callback URL for webhooks; may be empty.
    pub callback_url: String,
}

/// A business number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MetaNumber {
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// The number's digits.
    pub display_phone_number: String,
    /// Meta's id of the number's account.
    pub waba_id: String,
    /// An access token that may send from the number.
    pub token: String,
}

/// An accepted send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SentMessage {
    /// The message id in the response.
    pub wamid: String,
    /// Meta's id of the sending number.
    pub phone_number_id: String,
    /// The customer's digits.
    pub to: String,
    /// The whole request body.
    pub body: Value,
    /// The request's callback data, returned with every status.
    pub biz_opaque_callback_data: Option<String>,
    /// Statuses reported so far.
    pub statuses: Vec<String>,
    /// Time of acceptance, Unix seconds.
    #[serde(default)]
    pub accepted_at: i64,
}

/// A webhook that waits for delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PendingWebhook {
    /// Value of the signature header.
    pub signature: String,
    /// The signed body.
    pub body: String,
    /// Number of deliveries that were not answered 200.
    pub failures: u32,
}

/// A fault for one of the next sends, ordered by `/_sim/faults`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ScriptedFault {
    /// Refuse the send with a Graph error.
    Error {
        /// HTTP status; 400 by default.
        #[serde(default = "bad_request")]
        http: u16,
        /// Graph error code.
        code: i64,
        /// Error text.
        #[serde(default)]
        message: String,
    },
    /// Close the connection without accepting the send.
    DropBefore,
    /// Accept the send, then close the connection without an answer.
    DropAfter,
    /// Accept the send, and close the connection without an answer after the statuses were delivered.
    DropLate,
    /// Answer 502 with HTML, without accepting the send.
    Html502,
    /// Accept the send, and answer 200 with half a body.
    Truncated,
    /// Accept the send, and answer with a Graph error.
    Lie {
        /// HTTP status; 400 by default.
        #[serde(default = "bad_request")]
        http: u16,
        /// Graph error code.
        code: i64,
    },
    /// Accept the send, and report `failed` with this code.
    FailLater {
        /// Error code in the status.
        code: i64,
    },
    /// Accept a template message and hold it for quality assessment: no status is reported until the next order of
    /// statuses.
    Held,
    /// Do not answer until [`Meta::speak`]; then close the connection.
    Silent {
        /// Whether the send is accepted.
        accepted: bool,
    },
    /// Accept the send, and send the response byte by byte.
    Drip,
}

/// Report that follows an accepted send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The statuses of the current [`StatusOrder`].
    Statuses,
    /// `failed` with this code.
    Failure(i64),
    /// No status: the message is held for quality assessment.
    Assessment,
}

fn bad_request() -> u16 {
    400
}

/// Order in which statuses of accepted sends are reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatusOrder {
    /// `sent`, `delivered`, `read`, each once.
    #[default]
    Normal,
    /// `read`, `delivered`, `sent`, each twice.
    ReversedTwice,
    /// None until another order is given.
    Withheld,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) app: Option<MetaApp>,
    pub(super) numbers: BTreeMap<String, MetaNumber>,
    /// Time of the customer's last message, Unix milliseconds, by `number/customer`.
    windows: BTreeMap<String, i64>,
    pub(super) sent: Vec<SentMessage>,
    pub(super) outbox: VecDeque<PendingWebhook>,
    pub(super) faults: VecDeque<ScriptedFault>,
    pub(super) statuses: StatusOrder,
    /// Sends whose statuses wait for another [`StatusOrder`]: indices into `sent`.
    withheld: Vec<usize>,
    pub(super) serial: u64,
    #[serde(default)]
    pub(super) limits: Limits,
    /// Templates by `name/language`.
    #[serde(default)]
    pub(super) templates: BTreeMap<String, MetaTemplate>,
    /// Number that uploaded each file, by file id.
    #[serde(default)]
    pub(super) files: BTreeMap<String, String>,
    /// Files sent by customers, by file id.
    #[serde(default)]
    pub(super) sent_files: BTreeMap<String, SentFile>,
    /// Number that received each customer message, by wamid.
    #[serde(default)]
    pub(super) received: BTreeMap<String, String>,
    /// Accounts, codes and tokens of businesses.
    #[serde(default)]
    pub(super) businesses: Businesses,
    /// Profiles, QR codes, blocked customers.
    #[serde(default)]
    pub(super) kept: Kept,
    /// Read receipts and typing indicators, in order of arrival.
    #[serde(default)]
    pub(super) marks: Vec<Value>,
}

/// A webhook during its delivery. If dropped before [`Undelivered::delivered`], it returns to the front of the queue.
#[derive(Debug)]
pub struct Undelivered<'a> {
    meta: &'a Meta,
    /// The webhook to deliver.
    pub webhook: PendingWebhook,
    waits: bool,
}

impl Undelivered<'_> {
    /// Marks the webhook as answered 200.
    pub fn delivered(mut self) {
        self.waits = false;
    }

    /// Counts a failed delivery. The webhook is dropped after `DELIVERIES_MAX` of them.
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
    /// Wakes the delivery task.
    pub(super) pending: Notify,
    /// Wakes tasks that wait until all webhooks are delivered.
    pub(super) delivered: Notify,
    /// Wakes the held responses of [`ScriptedFault::Silent`].
    pub(super) spoken: Notify,
}

impl Meta {
    /// Creates a Meta without apps and accounts. `faults` counts its calls together with those of AWS.
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

    /// Stores the app and its callback URL.
    pub fn put_app(&self, app: MetaApp) {
        self.lock().app = Some(app);
    }

    /// Stores a number.
    pub fn put_number(&self, number: MetaNumber) {
        self.lock().numbers.insert(number.phone_number_id.clone(), number);
    }

    /// Returns every accepted send, in order.
    #[must_use]
    pub fn sent(&self) -> Vec<SentMessage> {
        self.lock().sent.clone()
    }

    /// Returns the number of accepted sends.
    #[must_use]
    pub fn sent_count(&self) -> usize {
        self.lock().sent.len()
    }

    /// Orders faults for the next sends, one per send.
    pub fn script(&self, faults: impl IntoIterator<Item = ScriptedFault>) {
        self.lock().faults.extend(faults);
    }

    /// Returns the number of ordered faults that no send has met yet.
    #[must_use]
    pub fn faults_waiting(&self) -> usize {
        self.lock().faults.len()
    }

    /// Changes the order of statuses. Withheld statuses are reported now, unless the new order withholds them too.
    pub fn order_statuses(&self, order: StatusOrder) {
        let mut state = self.lock();
        state.statuses = order;
        if order != StatusOrder::Withheld {
            for index in std::mem::take(&mut state.withheld) {
                self.report(&mut state, index);
            }
        }
    }

    /// Signals that every webhook so far was delivered, for [`ScriptedFault::DropLate`].
    pub fn all_delivered(&self) {
        self.delivered.notify_waiters();
    }

    /// Returns the URL to which a webhook is delivered: the override of its account, otherwise the app's callback URL.
    pub(super) fn callback_url(&self, body: &str) -> String {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let account = body.pointer("/entry/0/id").and_then(Value::as_str).unwrap_or_default();
        let state = self.lock();
        let own = state.businesses.accounts.get(account).and_then(|account| account.override_url.clone());
        own.or_else(|| state.app.as_ref().map(|app| app.callback_url.clone())).unwrap_or_default()
    }

    /// Returns the app's callback URL.
    pub(super) fn app_callback_url(&self) -> String {
        self.lock().app.as_ref().map(|app| app.callback_url.clone()).unwrap_or_default()
    }

    /// Returns the app's id.
    pub(super) fn client_id(&self) -> String {
        self.lock().app.as_ref().map(|app| app.client_id.clone()).unwrap_or_default()
    }

    /// Takes the first waiting webhook for delivery.
    pub fn next_webhook(&self) -> Option<Undelivered<'_>> {
        let webhook = self.lock().outbox.pop_front()?;
        Some(Undelivered { meta: self, webhook, waits: true })
    }

    /// Resets everything except the app, the numbers and the templates.
    pub fn reset(&self) {
        let mut state = self.lock();
        let (app, numbers) = (state.app.take(), std::mem::take(&mut state.numbers));
        let templates = std::mem::take(&mut state.templates);
        *state = State { app, numbers, templates, serial: state.serial, ..State::default() };
    }

    /// Opens the customer service window of a number for a recipient, as a message of theirs does. The recipient is the
    /// digits of a phone number, or a user id.
    pub fn open_window(&self, number: &str, recipient: &str) {
        let now = self.clock.now().as_millisecond();
        self.lock().windows.insert(format!("{number}/{recipient}"), now);
    }

    /// Receives a message from a customer: opens the customer service window, queues a webhook, and returns the wamid.
    ///
    /// # Errors
    /// When `message` is not a message object of the Cloud API (`Some` with the rule), or the number does not exist
    /// (`None`).
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

    /// Queues a webhook with one change of `field`. `value` is sent as given, in an entry of this account.
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
            self.clock.now() < shared::clock::after(opened, CUSTOMER_SERVICE_WINDOW)
        })
    }

    pub(super) fn next_fault(&self) -> Option<ScriptedFault> {
        self.lock().faults.pop_front()
    }

    /// Accepts a send, queues its statuses, and returns its wamid.
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

    /// Releases the held responses of [`ScriptedFault::Silent`].
    pub fn speak(&self) {
        self.spoken.notify_waiters();
    }

    fn post(&self, state: &mut State, body: String) {
        let Some(app) = &state.app else { return };
        let signature = signature::sign(&Secret::new(app.secret.clone()), body.as_bytes());
        state.outbox.push_back(PendingWebhook { signature, body, failures: 0 });
        self.pending.notify_one();
    }

    /// Returns the state as JSON, for the state folder.
    #[must_use]
    pub fn snapshot(&self) -> Value {
        serde_json::to_value(&*self.lock()).unwrap_or_else(|_| json!({}))
    }

    /// Replaces the state by one from [`Meta::snapshot`].
    ///
    /// # Errors
    /// When `snapshot` cannot be decoded.
    pub fn restore(&self, snapshot: Value) -> Result<(), String> {
        *self.lock() = serde_json::from_value(snapshot).map_err(|error| error.to_string())?;
        Ok(())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
