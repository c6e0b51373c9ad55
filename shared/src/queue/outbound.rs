//! Job formats of the outbound queue and the release queue.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::at_millis;
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{BroadcastId, ConversationId, NumberId, OutboundId, ProviderMessageId};
use crate::domain::sending::broadcast::BroadcastRecipient;
use crate::queue::job::BadJob;

/// A message of the outbound queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboundWork {
    /// A message to send.
    Send(SendJob),
    /// A customer's message to mark as read.
    Mark(MarkJob),
    /// A recipient of a broadcast, whose message does not exist yet.
    Recipient(RecipientJob),
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendJob {
    /// Conversation of the message.
    pub conversation: ConversationId,
    /// Id of the intent.
    pub message: OutboundId,
}

/// A customer's message to mark as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkJob {
    /// Conversation of the message.
    pub conversation: ConversationId,
    /// The message.
    pub message: ProviderMessageId,
    /// Whether to show the typing indicator too.
    pub typing: bool,
    /// Time of the request. A typing indicator is useful for seconds only.
    pub asked_at: Timestamp,
}

/// A recipient of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientJob {
    /// The broadcast.
    pub broadcast: BroadcastId,
    /// The number that sends it.
    pub number: NumberId,
    /// The recipient's position in the broadcast, from 0.
    pub place: usize,
    /// The recipient.
    pub recipient: BroadcastRecipient,
}

/// A number whose bulk lane is to be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseJob {
    /// The number.
    pub number: NumberId,
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
    /// Returns the job as a queue message.
    ///
    /// # Errors
    /// Never for values of these types; the signature is serde_json's.
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
    /// [`BadJob`] when it is not such a job.
    pub fn decode(body: &str) -> Result<Self, BadJob> {
        let conversation = |id: &str| ConversationId::parse(id).map_err(|_| BadJob);
        Ok(match serde_json::from_str(body).map_err(|_| BadJob)? {
            Wire::SendMessageV1 { conversation: id, message } => Self::Send(SendJob {
                conversation: conversation(&id)?,
                message: OutboundId::parse(&message).map_err(|_| BadJob)?,
            }),
            Wire::MarkReadV1 { conversation: id, message, typing, asked_at } => Self::Mark(MarkJob {
                conversation: conversation(&id)?,
                message: ProviderMessageId::parse(&message).map_err(|_| BadJob)?,
                typing,
                asked_at: at_millis(asked_at),
            }),
            Wire::BroadcastRecipientV1 { broadcast, number, place, to, values } => Self::Recipient(RecipientJob {
                broadcast: BroadcastId::parse(&broadcast).map_err(|_| BadJob)?,
                number: NumberId::parse(&number).map_err(|_| BadJob)?,
                place,
                recipient: BroadcastRecipient { to: PhoneNumber::parse(&to).map_err(|_| BadJob)?, values },
            }),
        })
    }

    /// Returns the FIFO message group: the conversation, the read receipts of a conversation, or one recipient of a
    /// broadcast, because each gets one message.
    #[must_use]
    pub fn group(&self) -> String {
        match self {
            Self::Send(job) => job.conversation.to_string(),
            // A group of its own: a read receipt that fails must not delay the conversation's messages.
            Self::Mark(job) => format!("{}.read", job.conversation),
            Self::Recipient(job) => format!("{}.{}", job.broadcast, job.place),
        }
    }
}

impl ReleaseJob {
    /// Returns the job as a queue message.
    ///
    /// # Errors
    /// Never for values of this type; the signature is serde_json's.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&ReleaseWire::ReleaseV1 { number: self.number.to_string() })
    }

    /// Reads a queue message.
    ///
    /// # Errors
    /// [`BadJob`] when it is not such a job.
    pub fn decode(body: &str) -> Result<Self, BadJob> {
        let ReleaseWire::ReleaseV1 { number } = serde_json::from_str(body).map_err(|_| BadJob)?;
        Ok(Self { number: NumberId::parse(&number).map_err(|_| BadJob)? })
    }
}
