//! What the outbound queue and the release queue hold.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::job::BadJob;
use crate::clock::at_millis;
use crate::domain::broadcast::BroadcastRecipient;
use crate::domain::ids::{BroadcastId, ConversationId, OutboundId, PhoneNumberId, Wamid};
use crate::domain::phone::PhoneNumber;

/// What the outbound queue holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundWork {
    /// A message to be sent.
    Send(SendJob),
    /// A customer's message to be marked as read.
    Mark(MarkJob),
    /// A broadcast's recipient, whose message does not exist yet.
    Recipient(RecipientJob),
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendJob {
    /// Where it belongs.
    pub conversation: ConversationId,
    /// The intent.
    pub message: OutboundId,
}

/// A customer's message to be marked as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkJob {
    /// Where it belongs.
    pub conversation: ConversationId,
    /// The message.
    pub message: Wamid,
    /// Show that an answer is being written.
    pub typing: bool,
    /// When that was asked for: a typing indicator is of use for seconds.
    pub asked_at: Timestamp,
}

/// A broadcast's recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientJob {
    /// The broadcast.
    pub broadcast: BroadcastId,
    /// The number it goes out from.
    pub number: PhoneNumberId,
    /// The recipient's place in it, from 0.
    pub place: usize,
    /// The recipient.
    pub recipient: BroadcastRecipient,
}

/// A number whose bulk lane is to be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseJob {
    /// The number.
    pub number: PhoneNumberId,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "job")]
enum Wire {
    #[serde(rename = "send_message.v1")]
    SendMessageV1 { conversation: String, message: String },
    #[serde(rename = "mark_read.v1")]
    MarkReadV1 { conversation: String, message: String, typing: bool, asked_at: i64 },
    #[serde(rename = "broadcast_recipient.v1")]
    BroadcastRecipientV1 {
        broadcast: String,
        number: String,
        place: usize,
        to: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "job")]
enum ReleaseWire {
    #[serde(rename = "release.v1")]
    ReleaseV1 { number: String },
}

impl OutboundWork {
    /// The work as a queue message.
    ///
    /// # Errors
    /// Never for values of these types; the signature is JSON's.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&match self {
            Self::Send(job) => {
                Wire::SendMessageV1 { conversation: job.conversation.to_string(), message: job.message.to_string() }
            }
            Self::Mark(job) => Wire::MarkReadV1 {
                conversation: job.conversation.to_string(),
                message: job.message.as_str().to_owned(),
                typing: job.typing,
                asked_at: job.asked_at.as_millisecond(),
            },
            Self::Recipient(job) => Wire::BroadcastRecipientV1 {
                broadcast: job.broadcast.to_string(),
                number: job.number.to_string(),
                place: job.place,
                to: job.recipient.to.e164().to_owned(),
                values: job.recipient.values.clone(),
            },
        })
    }

    /// Reads a queue message.
    ///
    /// # Errors
    /// [`BadJob`] when it is none.
    pub fn decode(body: &str) -> Result<Self, BadJob> {
        let conversation = |id: &str| ConversationId::parse(id).map_err(|_| BadJob);
        Ok(match serde_json::from_str(body).map_err(|_| BadJob)? {
            Wire::SendMessageV1 { conversation: id, message } => Self::Send(SendJob {
                conversation: conversation(&id)?,
                message: OutboundId::parse(&message).map_err(|_| BadJob)?,
            }),
            Wire::MarkReadV1 { conversation: id, message, typing, asked_at } => Self::Mark(MarkJob {
                conversation: conversation(&id)?,
                message: Wamid::parse(&message).map_err(|_| BadJob)?,
                typing,
                asked_at: at_millis(asked_at),
            }),
            Wire::BroadcastRecipientV1 { broadcast, number, place, to, values } => Self::Recipient(RecipientJob {
                broadcast: BroadcastId::parse(&broadcast).map_err(|_| BadJob)?,
                number: PhoneNumberId::parse(&number).map_err(|_| BadJob)?,
                place,
                recipient: BroadcastRecipient { to: PhoneNumber::parse(&to).map_err(|_| BadJob)?, values },
            }),
        })
    }

    /// What the queue keeps in order: a conversation; its receipts; of a broadcast, whose recipients are one message each, the place.
    #[must_use]
    pub fn group(&self) -> String {
        match self {
            Self::Send(job) => job.conversation.to_string(),
            // Not the conversation's: a receipt that fails must not hold back an answer.
            Self::Mark(job) => format!("{}.read", job.conversation),
            Self::Recipient(job) => format!("{}.{}", job.broadcast, job.place),
        }
    }
}

impl ReleaseJob {
    /// The job as a queue message.
    ///
    /// # Errors
    /// Never for values of these types; the signature is JSON's.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&ReleaseWire::ReleaseV1 { number: self.number.to_string() })
    }

    /// Reads a queue message.
    ///
    /// # Errors
    /// [`BadJob`] when it is none.
    pub fn decode(body: &str) -> Result<Self, BadJob> {
        let ReleaseWire::ReleaseV1 { number } = serde_json::from_str(body).map_err(|_| BadJob)?;
        Ok(Self { number: PhoneNumberId::parse(&number).map_err(|_| BadJob)? })
    }
}
