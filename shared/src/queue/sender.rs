//! An SQS queue.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use jiff::Timestamp;

use crate::queue::outbound::{OutboundWork, ReleaseJob};
use crate::random;

/// Longest visibility timeout, in seconds (SQS: 12 hours).
const VISIBILITY_MAX: i64 = 43_200;

/// Most messages per call (SQS).
const SEND_BATCH_MAX: usize = 10;
/// Longest delay of a message, in seconds (SQS: 15 minutes).
const DELAY_MAX: i64 = 900;

/// A client for one queue.
#[derive(Debug, Clone)]
pub struct Queue {
    client: aws_sdk_sqs::Client,
    url: String,
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The body.
    pub body: String,
    /// The message group; empty if it has none.
    pub group: String,
    /// The receipt handle, needed to delete the message.
    pub receipt: String,
}

/// An SQS call failed. After a failed send, the work that the message stands for must not be acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the queue call failed: {0}")]
pub struct QueueError(String);

impl Queue {
    /// Creates a client for the queue at this URL.
    #[must_use]
    pub fn new(client: aws_sdk_sqs::Client, url: String) -> Self {
        Self { client, url }
    }

    /// Reads one attribute of the queue: the cheapest call that opens the connection.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub async fn touch(&self) -> Result<(), QueueError> {
        let ask = self.client.get_queue_attributes().queue_url(&self.url);
        ask.attribute_names(aws_sdk_sqs::types::QueueAttributeName::QueueArn)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Sends to a standard queue. The message group makes it a fair queue: one busy group does not delay the others.
    ///
    /// # Errors
    /// When SQS did not confirm the message.
    pub async fn send(&self, body: String, group: &str) -> Result<(), QueueError> {
        let send = self.client.send_message().queue_url(&self.url).message_body(body).message_group_id(group);
        send.send().await.map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Receives up to ten messages.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub async fn receive(&self) -> Result<Vec<Received>, QueueError> {
        let group = aws_sdk_sqs::types::MessageSystemAttributeName::MessageGroupId;
        let ask = self.client.receive_message().queue_url(&self.url).max_number_of_messages(10);
        let answer = ask.message_system_attribute_names(group.clone()).send().await.map_err(|error| failed(&error))?;
        let read = |message: aws_sdk_sqs::types::Message| {
            let group = message.attributes.as_ref().and_then(|attributes| attributes.get(&group).cloned());
            Some(Received { body: message.body?, group: group.unwrap_or_default(), receipt: message.receipt_handle? })
        };
        Ok(answer.messages.unwrap_or_default().into_iter().filter_map(read).collect())
    }

    /// Returns the approximate number of messages that can be received.
    ///
    /// # Errors
    /// When SQS does not answer.
    pub async fn depth(&self) -> Result<u64, QueueError> {
        let name = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessages;
        let ask = self.client.get_queue_attributes().queue_url(&self.url).attribute_names(name.clone());
        let answer = ask.send().await.map_err(|error| failed(&error))?;
        let depth = answer.attributes.and_then(|attributes| attributes.get(&name)?.parse().ok());
        Ok(depth.unwrap_or(0))
    }

    /// Deletes a received message.
    ///
    /// # Errors
    /// When SQS does not answer: the message will be delivered again.
    pub async fn delete(&self, receipt: &str) -> Result<(), QueueError> {
        let delete = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt);
        delete.send().await.map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Sends jobs to the outbound FIFO queue, ten per call, each in its message group. The deduplication id is always
    /// new: SQS remembers an id for five minutes even after its message is deleted, so a repeated job would be dropped.
    ///
    /// # Errors
    /// When SQS did not confirm all jobs, or no randomness is available for the ids.
    pub async fn send_work(&self, work: &[OutboundWork], now: Timestamp) -> Result<(), QueueError> {
        let failure = |error: &dyn std::fmt::Display| QueueError(error.to_string());
        for ten in work.chunks(SEND_BATCH_MAX) {
            let mut batch = self.client.send_message_batch().queue_url(&self.url);
            for (place, one) in ten.iter().enumerate() {
                let fresh = random::ulid(now).map_err(|error| failure(&error))?;
                let entry = SendMessageBatchRequestEntry::builder()
                    .id(place.to_string())
                    .message_body(one.encode().map_err(|error| failure(&error))?)
                    .message_group_id(one.group())
                    .message_deduplication_id(fresh.to_string());
                batch = batch.entries(entry.build().map_err(|error| failure(&error))?);
            }
            let answer = batch.send().await.map_err(|error| failed(&error))?;
            if let Some(refused) = answer.failed().first() {
                return Err(QueueError(refused.code().to_owned()));
            }
        }
        Ok(())
    }

    /// Requests the release of a number's bulk lane after `delay` seconds (at most 15 minutes).
    ///
    /// # Errors
    /// When SQS did not confirm the message.
    pub async fn send_release(&self, job: &ReleaseJob, delay: i64) -> Result<(), QueueError> {
        let body = job.encode().map_err(|error| QueueError(error.to_string()))?;
        let delay = i32::try_from(delay.clamp(0, DELAY_MAX)).unwrap_or(i32::MAX);
        let send = self.client.send_message().queue_url(&self.url).message_body(body).delay_seconds(delay);
        send.send().await.map_err(|error| failed(&error))?;
        Ok(())
    }

    /// Hides a received message for `seconds` more; the queue then delivers it again.
    ///
    /// # Errors
    /// When SQS does not answer: the message returns after the queue's own visibility timeout.
    pub async fn delay(&self, receipt_handle: &str, seconds: i64) -> Result<(), QueueError> {
        let seconds = i32::try_from(seconds.clamp(0, VISIBILITY_MAX)).unwrap_or(i32::MAX);
        self.client
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(receipt_handle)
            .visibility_timeout(seconds)
            .send()
            .await
            .map_err(|error| failed(&error))?;
        Ok(())
    }
}

fn failed<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> QueueError {
    QueueError(error.code().unwrap_or("no answer").to_owned())
}
