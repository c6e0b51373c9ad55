//! SQS: standard and FIFO queues, visibility, receive counts, dead-letter queues, groups, de-duplication, size and
//! character rules, and delays of standard queues.
//!
//! Not supported, because Switchboard does not use them: batch calls except sending, message attributes, policies.

mod queue;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use shared::clock::Clock;
use tokio::sync::Notify;

use super::{ACCOUNT, AwsError, REGION};
use crate::state_file;
pub use queue::{Message, QueueSettings};
use queue::{QueueState, Send};

/// Longest wait of a long poll (SQS: 20 s).
const WAIT_MAX: Duration = Duration::from_secs(20);
/// Error code for a queue that does not exist.
pub(super) const NO_SUCH_QUEUE: &str = "com.amazonaws.sqs#QueueDoesNotExist";
/// Most messages of one receive (SQS: 10).
const RECEIVE_MAX: usize = 10;

/// The queues of one installation.
#[derive(Debug)]
pub struct Sqs {
    clock: Clock,
    file: Option<PathBuf>,
    queues: Mutex<BTreeMap<String, QueueState>>,
    arrived: Notify,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    queue_url: Option<String>,
    queue_name: Option<String>,
    message_body: Option<String>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
    max_number_of_messages: Option<usize>,
    wait_time_seconds: Option<u64>,
    visibility_timeout: Option<i64>,
    receipt_handle: Option<String>,
    delay_seconds: Option<i64>,
    entries: Vec<Request>,
    id: Option<String>,
}

impl Sqs {
    pub(super) fn open(clock: Clock, file: Option<PathBuf>) -> Result<Self, String> {
        let queues = state_file::load(file.as_deref())?.unwrap_or_default();
        Ok(Self { clock, file, queues: Mutex::new(queues), arrived: Notify::new() })
    }

    /// Creates a queue, or changes the settings of an existing one.
    pub fn create(&self, name: &str, settings: QueueSettings) {
        self.lock().entry(name.to_owned()).or_default().settings = settings;
    }

    /// Returns the queue URL given to the SDK. Only its last part is used here.
    #[must_use]
    pub fn url(name: &str) -> String {
        format!("http://sqs.{REGION}.embedded/{ACCOUNT}/{name}")
    }

    /// Writes the queues to the state folder, if there is one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<(), String> {
        state_file::save(self.file.as_deref(), &*self.lock())
    }

    /// Receives up to ten messages, as Lambda's poller does. Messages that exceeded the maximum number of receives are
    /// moved to the dead-letter queue.
    #[must_use]
    pub fn receive(&self, name: &str, most: usize, visibility: Option<i64>) -> Vec<Message> {
        let now = self.clock.now().as_millisecond();
        let mut queues = self.lock();
        let Some(queue) = queues.get_mut(name) else { return Vec::new() };
        let (received, dead) = queue.receive(now, most.min(RECEIVE_MAX), visibility);
        if let Some((dead_letters, _)) = queue.settings.dead_letters.clone() {
            let target = queues.entry(dead_letters).or_default();
            target.messages.extend(dead);
        }
        received
    }

    /// Deletes a received message.
    pub fn delete(&self, name: &str, receipt: &str) {
        if let Some(queue) = self.lock().get_mut(name) {
            queue.delete(receipt);
        }
        self.arrived.notify_waiters();
    }

    /// Returns the number of messages in the queue, visible or not.
    #[must_use]
    pub fn depth(&self, name: &str) -> usize {
        self.lock().get(name).map_or(0, |queue| queue.messages.len())
    }

    /// Returns the bodies in the queue, visible or not, in order of arrival.
    #[must_use]
    pub fn bodies(&self, name: &str) -> Vec<String> {
        let queues = self.lock();
        queues
            .get(name)
            .map(|queue| queue.messages.iter().map(|message| message.body.clone()).collect())
            .unwrap_or_default()
    }

    /// Waits until a message may have become receivable, for at most `patience`.
    pub async fn wait(&self, patience: Duration) {
        // After a timeout the caller looks again, exactly as after a notification.
        drop(tokio::time::timeout(patience, self.arrived.notified()).await);
    }

    pub(super) async fn answer(&self, operation: &str, body: &str) -> Result<Value, AwsError> {
        let request: Request =
            serde_json::from_str(body).map_err(|error| AwsError::new("InvalidParameterValue", error.to_string()))?;
        match operation {
            "ReceiveMessage" => self.receive_call(&request).await,
            "ListQueues" => {
                Ok(json!({"QueueUrls": self.lock().keys().map(|name| Self::url(name)).collect::<Vec<_>>()}))
            }
            "GetQueueUrl" => {
                let name = request.queue_name.clone().unwrap_or_default();
                self.with(&name, |_, _| Ok(json!({"QueueUrl": Self::url(&name)})))
            }
            "SendMessage" => self.send_call(&request, &name_of(&request)),
            "SendMessageBatch" => self.send_batch(&request),
            "DeleteMessage" => {
                let (name, receipt) = (name_of(&request), request.receipt_handle.clone().unwrap_or_default());
                self.with(&name, |queue, _| {
                    queue.delete(&receipt);
                    Ok(json!({}))
                })
            }
            "ChangeMessageVisibility" => {
                let (receipt, seconds) =
                    (request.receipt_handle.clone().unwrap_or_default(), request.visibility_timeout);
                self.with(&name_of(&request), |queue, now| {
                    queue.change_visibility(now, &receipt, seconds.unwrap_or(0)).map(|()| json!({}))
                })
            }
            "GetQueueAttributes" => {
                let name = name_of(&request);
                self.with(&name, |queue, now| Ok(json!({"Attributes": attributes(&name, queue, now)})))
            }
            other => Err(AwsError::new("UnsupportedOperation", format!("embedded AWS does not do SQS {other}"))),
        }
    }

    /// Sends up to ten messages. A refused message does not stop the others.
    fn send_batch(&self, request: &Request) -> Result<Value, AwsError> {
        let name = name_of(request);
        let size: usize = request.entries.iter().filter_map(|entry| entry.message_body.as_ref()).map(String::len).sum();
        if !(1..=RECEIVE_MAX).contains(&request.entries.len()) || size > queue::BODY_MAX {
            return Err(AwsError::new("BatchRequestTooLong", "a batch is 1 to 10 messages and 1 MiB"));
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in &request.entries {
            match self.send_call(entry, &name) {
                Ok(mut sent) => {
                    sent["Id"] = json!(entry.id);
                    sent["MD5OfMessageBody"] = sent["MD5OfMessageBody"].take();
                    successful.push(sent);
                }
                Err(error) if error.code == NO_SUCH_QUEUE => return Err(error),
                Err(error) => failed.push(json!({"Id": entry.id, "Code": error.code, "SenderFault": true})),
            }
        }
        Ok(json!({"Successful": successful, "Failed": failed}))
    }

    fn send_call(&self, request: &Request, name: &str) -> Result<Value, AwsError> {
        let send = Send {
            body: request.message_body.clone().unwrap_or_default(),
            group: request.message_group_id.clone(),
            deduplication: request.message_deduplication_id.clone(),
            delay_seconds: request.delay_seconds,
        };
        let sent = self.with(name, |queue, now| queue.send(now, send))?;
        self.arrived.notify_waiters();
        Ok(json!({"MessageId": sent.id, "MD5OfMessageBody": sent.md5}))
    }

    async fn receive_call(&self, request: &Request) -> Result<Value, AwsError> {
        let name = name_of(request);
        self.with(&name, |_, _| Ok(()))?;
        let wait = Duration::from_secs(request.wait_time_seconds.unwrap_or(0)).min(WAIT_MAX);
        let most = request.max_number_of_messages.unwrap_or(1);
        let mut received = self.receive(&name, most, request.visibility_timeout);
        if received.is_empty() && !wait.is_zero() {
            self.wait(wait).await;
            received = self.receive(&name, most, request.visibility_timeout);
        }
        let messages: Vec<Value> = received
            .iter()
            .map(|message| {
                json!({
                    "MessageId": message.id,
                    "ReceiptHandle": message.receipt,
                    "Body": message.body,
                    "MD5OfBody": queue::md5(&message.body),
                    "Attributes": message.attributes(),
                })
            })
            .collect();
        Ok(json!({"Messages": messages}))
    }

    fn with<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut QueueState, i64) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        let now = self.clock.now().as_millisecond();
        let mut queues = self.lock();
        let missing = || AwsError::new(NO_SUCH_QUEUE, "there is no such queue");
        work(queues.get_mut(name).ok_or_else(missing)?, now)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, QueueState>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(request: &Request) -> String {
    let url = request.queue_url.as_deref().unwrap_or_default();
    url.rsplit('/').next().unwrap_or_default().to_owned()
}

fn attributes(name: &str, queue: &QueueState, now: i64) -> Map<String, Value> {
    let visible = queue.messages.iter().filter(|message| message.visible_at <= now).count();
    let mut all = Map::new();
    all.insert("QueueArn".to_owned(), json!(format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")));
    all.insert("ApproximateNumberOfMessages".to_owned(), json!(visible.to_string()));
    let hidden = queue.messages.len() - visible;
    all.insert("ApproximateNumberOfMessagesNotVisible".to_owned(), json!(hidden.to_string()));
    all
}
