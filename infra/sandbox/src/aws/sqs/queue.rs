//! Rules of one queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::AwsError;

/// Largest message, in bytes (SQS: 1 MiB).
pub(super) const BODY_MAX: usize = 1024 * 1024;
/// Period in which FIFO queues drop a repeated de-duplication id, in milliseconds (SQS: 5 minutes). A deletion of the
/// message does not end it.
const DEDUPLICATION_MS: i64 = 300_000;
/// Longest visibility timeout, in seconds (SQS: 12 hours).
const VISIBILITY_MAX: i64 = 43_200;
/// Longest delay of a message, in seconds (SQS: 15 minutes).
const DELAY_MAX: i64 = 900;
/// Longest group or de-duplication id, in characters (SQS).
const ID_MAX: usize = 128;

/// Settings of a queue.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct QueueSettings {
    /// FIFO: ordered per group, with de-duplication.
    pub fifo: bool,
    /// Visibility timeout, in seconds.
    pub visibility_seconds: i64,
    /// Dead-letter queue, and the number of receives after which a message is moved there.
    pub dead_letters: Option<(String, u32)>,
}

/// A message in a queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Message {
    /// Message id.
    pub id: String,
    /// Message body.
    pub body: String,
    /// Message group, in FIFO queues.
    pub group: Option<String>,
    /// Receipt handle of the latest receive.
    pub receipt: String,
    /// Number of receives.
    pub receive_count: u32,
    pub(super) visible_at: i64,
    sent_at: i64,
}

impl Message {
    /// Returns the message attributes that Lambda's events carry.
    #[must_use]
    pub fn attributes(&self) -> Map<String, Value> {
        let mut all = Map::new();
        all.insert("ApproximateReceiveCount".to_owned(), json!(self.receive_count.to_string()));
        all.insert("SentTimestamp".to_owned(), json!(self.sent_at.to_string()));
        if let Some(group) = &self.group {
            all.insert("MessageGroupId".to_owned(), json!(group));
        }
        all
    }
}

pub(super) struct Send {
    pub(super) body: String,
    pub(super) group: Option<String>,
    pub(super) deduplication: Option<String>,
    pub(super) delay_seconds: Option<i64>,
}

pub(super) struct Sent {
    pub(super) id: String,
    pub(super) md5: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct QueueState {
    pub(super) settings: QueueSettings,
    pub(super) messages: VecDeque<Message>,
    remembered: BTreeMap<String, (i64, String)>,
    serial: u64,
}

impl QueueState {
    pub(super) fn send(&mut self, now: i64, send: Send) -> Result<Sent, AwsError> {
        check(&send, self.settings.fifo)?;
        let delay = send.delay_seconds.unwrap_or(0);
        let md5 = md5(&send.body);
        if let Some(id) = &send.deduplication {
            self.remembered.retain(|_, (until, _)| *until > now);
            if let Some((_, earlier)) = self.remembered.get(id) {
                return Ok(Sent { id: earlier.clone(), md5 });
            }
        }
        self.serial += 1;
        let id = format!("00000000-0000-4000-8000-{:012x}", self.serial);
        if let Some(deduplication) = send.deduplication {
            self.remembered.insert(deduplication, (now + DEDUPLICATION_MS, id.clone()));
        }
        self.messages.push_back(Message {
            id: id.clone(),
            body: send.body,
            group: send.group,
            receipt: String::new(),
            receive_count: 0,
            visible_at: now + delay * 1_000,
            sent_at: now,
        });
        Ok(Sent { id, md5 })
    }

    /// Returns the received messages, and those that exceeded the maximum number of receives.
    pub(super) fn receive(&mut self, now: i64, most: usize, visibility: Option<i64>) -> (Vec<Message>, Vec<Message>) {
        let hidden_until = now + visibility.unwrap_or(self.settings.visibility_seconds) * 1_000;
        let most_receives = self.settings.dead_letters.as_ref().map_or(u32::MAX, |(_, count)| *count);
        let mut blocked: BTreeSet<String> = BTreeSet::new();
        if self.settings.fifo {
            let in_flight = self.messages.iter().filter(|message| message.visible_at > now);
            blocked.extend(in_flight.filter_map(|message| message.group.clone()));
        }
        let (mut received, mut dead) = (Vec::new(), Vec::new());
        let mut kept = VecDeque::with_capacity(self.messages.len());
        for mut message in std::mem::take(&mut self.messages) {
            let is_blocked = message.group.as_ref().is_some_and(|group| blocked.contains(group));
            if received.len() >= most || message.visible_at > now || is_blocked {
                kept.push_back(message);
            } else if message.receive_count >= most_receives {
                message.receive_count = 0;
                dead.push(message);
            } else {
                self.serial += 1;
                message.receive_count += 1;
                message.visible_at = hidden_until;
                message.receipt = format!("{}#{}", message.id, self.serial);
                received.push(message.clone());
                kept.push_back(message);
            }
        }
        self.messages = kept;
        (received, dead)
    }

    /// Deletes by receipt handle. An outdated handle, from before the message was received again, deletes nothing.
    pub(super) fn delete(&mut self, receipt: &str) {
        self.messages.retain(|message| message.receipt != receipt || receipt.is_empty());
    }

    pub(super) fn change_visibility(&mut self, now: i64, receipt: &str, seconds: i64) -> Result<(), AwsError> {
        if !(0..=VISIBILITY_MAX).contains(&seconds) {
            return Err(AwsError::new("InvalidParameterValue", "VisibilityTimeout must be 0 to 43200"));
        }
        let message = self.messages.iter_mut().find(|message| message.receipt == receipt && !receipt.is_empty());
        let message = message.ok_or_else(|| AwsError::new("ReceiptHandleIsInvalid", "no message has this receipt"))?;
        if message.visible_at <= now {
            return Err(AwsError::new("com.amazonaws.sqs#MessageNotInflight", "the message is not in flight"));
        }
        message.visible_at = now + seconds * 1_000;
        Ok(())
    }
}

fn check(send: &Send, fifo: bool) -> Result<(), AwsError> {
    let invalid = |rule: &str| Err(AwsError::new("InvalidParameterValue", rule.to_owned()));
    let most = if fifo { 0 } else { DELAY_MAX };
    if !(0..=most).contains(&send.delay_seconds.unwrap_or(0)) {
        return invalid("DelaySeconds must be 0 to 900, and FIFO queues take none for a message");
    }
    if send.body.is_empty() {
        return invalid("MessageBody must not be empty");
    }
    if send.body.len() > BODY_MAX {
        return invalid("One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.");
    }
    let allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    if !send.body.chars().all(allowed) {
        return Err(AwsError::new("com.amazonaws.sqs#InvalidMessageContents", "a character SQS does not take"));
    }
    let printable = |id: &String| (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if !send.group.iter().chain(&send.deduplication).all(printable) {
        return invalid("MessageGroupId and MessageDeduplicationId must be 1 to 128 printable characters");
    }
    if fifo && (send.group.is_none() || send.deduplication.is_none()) {
        return Err(AwsError::new("MissingParameter", "a FIFO queue needs MessageGroupId and MessageDeduplicationId"));
    }
    if !fifo && send.deduplication.is_some() {
        return invalid("MessageDeduplicationId is for FIFO queues");
    }
    Ok(())
}

pub(super) fn md5(body: &str) -> String {
    hex::encode(Md5::digest(body.as_bytes()))
}
