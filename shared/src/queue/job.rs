//! Job formats: small, versioned, with ids in place of objects, and never a token. An old version stays readable until
//! its queue is drained.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::at_millis;
use crate::domain::ids::{MetaAppId, NumberId, ProviderMessageId, ReplayId, TenantId};
use crate::limits::{ARCHIVE_FOR, KEPT_FOR, QUEUE_BODY_MAX, WEBHOOK_BODY_MAX};

/// A webhook to process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundJob {
    /// The Meta app that signed it.
    pub app: MetaAppId,
    /// Time of receipt.
    pub received_at: Timestamp,
    /// The body.
    pub payload: Payload,
    /// Number of its items that an earlier invocation stored before its time ran out.
    pub done: usize,
    /// Whether it comes from the archive by a replay, rather than from Meta.
    pub replayed: bool,
    /// Key of the quarantined item that it was made from. The item is deleted once the webhook can be used.
    pub kept: Option<String>,
}

/// A message of the inbound queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundWork {
    /// A webhook to process.
    Webhook(InboundJob),
    /// Webhooks to enqueue again.
    Replay(ReplayJob),
}

/// A replay: received webhooks are processed again. Facts that are already stored do not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayJob {
    /// The replay.
    pub id: ReplayId,
    /// Limits it to this tenant.
    pub tenant: Option<TenantId>,
    /// Limits it to this number.
    pub number: Option<NumberId>,
    /// Limits it to webhooks that mention this message.
    pub message: Option<ProviderMessageId>,
    /// Start of the period of receipt, inclusive.
    pub from: Timestamp,
    /// End of the period of receipt, exclusive.
    pub until: Timestamp,
    /// Source of the webhooks.
    pub source: ReplaySource,
    /// Position to continue at: index of the folder or list, and a cursor within it.
    pub at: (i64, Option<String>),
    /// Objects and items read so far.
    pub read: i64,
    /// Webhooks enqueued so far.
    pub queued: i64,
}

/// A source of past webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplaySource {
    /// All webhooks received in the last eight days.
    Archive,
    /// Quarantined items.
    Quarantine,
    /// Messages of the dead-letter queue, each of which failed five times.
    DeadLetters,
}

/// Bodies up to this size, in bytes, are not compressed. Compressing 1 KB takes half of the webhook function's CPU time
/// and saves nothing, because SQS bills per 64 KiB.
const PLAIN_MAX: usize = 16 * 1024;

/// Location of a webhook's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// In the job, in base 64, because SQS refuses some characters that JSON allows.
    Plain(String),
    /// In the job, compressed with gzip, in base 64.
    Inline(String),
    /// In the archive, compressed with gzip, because it is too large for SQS.
    Stored(String),
}

/// A body prepared for the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packed {
    /// Small enough for the job.
    Fits(Payload),
    /// Too large for the job: gzip bytes for the archive.
    TooLarge(Vec<u8>),
}

/// A queue message that is not a job in any format this version can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue message is not a job that this version can read")]
pub struct BadJob;

#[derive(Serialize, Deserialize)]
#[serde(tag = "job")]
enum InboundWire {
    #[serde(rename = "meta_webhook.v1")]
    MetaWebhookV1 {
        app: String,
        received_at: i64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base64: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        gzip_base64: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stored_at: Option<String>,
        #[serde(default, skip_serializing_if = "is_zero")]
        done: usize,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<String>,
    },
    #[serde(rename = "replay.v1")]
    ReplayV1 {
        id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        number: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        from: i64,
        until: i64,
        source: ReplaySource,
        at: (i64, Option<String>),
        read: i64,
        queued: i64,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Payload {
    /// Prepares a body for the queue.
    ///
    /// # Errors
    /// When compression fails, which does not happen in memory.
    pub fn pack(body: &[u8]) -> std::io::Result<Packed> {
        if body.len() <= PLAIN_MAX {
            return Ok(Packed::Fits(Self::Plain(STANDARD.encode(body))));
        }
        let gzip = Self::gzip(body)?;
        // Base 64 encodes three bytes as four characters.
        let fits = gzip.len() / 3 * 4 < QUEUE_BODY_MAX;
        Ok(if fits { Packed::Fits(Self::Inline(STANDARD.encode(gzip))) } else { Packed::TooLarge(gzip) })
    }

    /// Returns the body, or `None` if it is in the archive.
    ///
    /// # Errors
    /// [`BadJob`] when [`Payload::pack`] did not write it.
    pub fn body(&self) -> Result<Option<Vec<u8>>, BadJob> {
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| BadJob);
        Ok(match self {
            Self::Plain(base64) => Some(decode(base64)?),
            Self::Inline(gzip_base64) => Some(Self::gunzip(&decode(gzip_base64)?)?),
            Self::Stored(_) => None,
        })
    }

    /// Compresses a body for the archive.
    ///
    /// # Errors
    /// When compression fails, which does not happen in memory.
    pub fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 2 + 64), Compression::fast());
        encoder.write_all(body)?;
        encoder.finish()
    }

    /// Decompresses a body from the archive, up to the size limit of a webhook.
    ///
    /// # Errors
    /// [`BadJob`] when it is not gzip or is larger than [`WEBHOOK_BODY_MAX`].
    pub fn gunzip(gzip: &[u8]) -> Result<Vec<u8>, BadJob> {
        let mut body = Vec::new();
        let bound = WEBHOOK_BODY_MAX as u64 + 1;
        GzDecoder::new(gzip).take(bound).read_to_end(&mut body).map_err(|_| BadJob)?;
        if body.len() > WEBHOOK_BODY_MAX { Err(BadJob) } else { Ok(body) }
    }
}

impl InboundJob {
    /// Returns the job as a queue message.
    ///
    /// # Errors
    /// Never for values of these types; the signature is serde_json's.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        let (base64, gzip_base64, stored_at) = match &self.payload {
            Payload::Plain(base64) => (Some(base64.clone()), None, None),
            Payload::Inline(gzip_base64) => (None, Some(gzip_base64.clone()), None),
            Payload::Stored(key) => (None, None, Some(key.clone())),
        };
        serde_json::to_string(&InboundWire::MetaWebhookV1 {
            app: self.app.to_string(),
            received_at: self.received_at.as_millisecond(),
            base64,
            gzip_base64,
            stored_at,
            done: self.done,
            replayed: self.replayed,
            kept: self.kept.clone(),
        })
    }
}

impl ReplayJob {
    /// Creates a replay of everything that `source` still holds at `now`: eight days of the archive, or 35 days of the
    /// quarantine.
    #[must_use]
    pub fn of(source: ReplaySource, id: ReplayId, now: Timestamp) -> Self {
        let kept_for = if source == ReplaySource::Quarantine { KEPT_FOR } else { ARCHIVE_FOR };
        Self {
            id,
            tenant: None,
            number: None,
            message: None,
            from: now.checked_sub(kept_for).unwrap_or(Timestamp::MIN),
            // `until` is exclusive, so this includes `now` but nothing received later.
            until: now.checked_add(SignedDuration::from_millis(1)).unwrap_or(now),
            source,
            at: (0, None),
            read: 0,
            queued: 0,
        }
    }

    /// Returns the period of receipt, start inclusive and end exclusive; `None` for dead letters, which are all read.
    #[must_use]
    pub fn period(&self) -> Option<(Timestamp, Timestamp)> {
        (self.source != ReplaySource::DeadLetters).then_some((self.from, self.until))
    }

    /// Message group of replays and of the webhooks they enqueue. One group of their own keeps them from delaying new
    /// webhooks.
    pub const GROUP: &'static str = "replay";

    /// Returns the job as a queue message.
    ///
    /// # Errors
    /// Never for values of these types; the signature is serde_json's.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&InboundWire::ReplayV1 {
            id: self.id.to_string(),
            tenant: self.tenant.map(|tenant| tenant.to_string()),
            number: self.number.as_ref().map(ToString::to_string),
            message: self.message.as_ref().map(|message| message.as_str().to_owned()),
            from: self.from.as_millisecond(),
            until: self.until.as_millisecond(),
            source: self.source,
            at: self.at.clone(),
            read: self.read,
            queued: self.queued,
        })
    }
}

impl InboundWork {
    /// Reads a queue message.
    ///
    /// # Errors
    /// [`BadJob`] when it is not such a job.
    pub fn decode(body: &str) -> Result<Self, BadJob> {
        match serde_json::from_str(body).map_err(|_| BadJob)? {
            InboundWire::MetaWebhookV1 { app, received_at, base64, gzip_base64, stored_at, done, replayed, kept } => {
                let payload = match (base64, gzip_base64, stored_at) {
                    (Some(base64), None, None) => Payload::Plain(base64),
                    (None, Some(gzip_base64), None) => Payload::Inline(gzip_base64),
                    (None, None, Some(key)) => Payload::Stored(key),
                    _ => return Err(BadJob),
                };
                let app = MetaAppId::parse(&app).map_err(|_| BadJob)?;
                let received_at = at_millis(received_at);
                Ok(Self::Webhook(InboundJob { app, received_at, payload, done, replayed, kept }))
            }
            InboundWire::ReplayV1 { id, tenant, number, message, from, until, source, at, read, queued } => {
                Ok(Self::Replay(ReplayJob {
                    id: ReplayId::parse(&id).map_err(|_| BadJob)?,
                    tenant: tenant.map(|id| TenantId::parse(&id)).transpose().map_err(|_| BadJob)?,
                    number: number.map(|id| NumberId::parse(&id)).transpose().map_err(|_| BadJob)?,
                    message: message.map(|id| ProviderMessageId::parse(&id)).transpose().map_err(|_| BadJob)?,
                    from: at_millis(from),
                    until: at_millis(until),
                    source,
                    at,
                    read,
                    queued,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{OutboundWork, ReleaseJob};

    #[test]
    fn any_bytes_survive_the_queue() {
        for size in [0, 1_000, PLAIN_MAX, PLAIN_MAX + 1, 100_000] {
            let body: Vec<u8> = (0..=255).cycle().take(size).collect();
            let Packed::Fits(payload) = Payload::pack(&body).unwrap() else { panic!() };
            assert_eq!(matches!(payload, Payload::Plain(_)), size <= PLAIN_MAX);
            let app = MetaAppId::parse("main").unwrap();
            let job = InboundJob { app, received_at: at_millis(5), payload, done: 0, replayed: false, kept: None };
            let text = job.encode().unwrap();
            assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "SQS takes every character");
            let InboundWork::Webhook(read) = InboundWork::decode(&text).unwrap() else { panic!() };
            assert_eq!(read, job);
            assert_eq!(read.payload.body(), Ok(Some(body)));
        }
    }

    #[test]
    fn what_is_no_job_is_said_so() {
        for text in
            ["", "{}", "[]", r#"{"job":"meta_webhook.v9"}"#, r#"{"job":"meta_webhook.v1","app":"a","received_at":1}"#]
        {
            assert_eq!(InboundWork::decode(text), Err(BadJob), "{text}");
            assert_eq!(OutboundWork::decode(text), Err(BadJob), "{text}");
            assert_eq!(ReleaseJob::decode(text), Err(BadJob), "{text}");
        }
        let bomb = Payload::gzip(&vec![0; WEBHOOK_BODY_MAX + 1]).unwrap();
        assert_eq!(Payload::gunzip(&bomb), Err(BadJob));
    }
}
