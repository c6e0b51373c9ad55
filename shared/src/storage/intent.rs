//! Intents: accepted once with their idempotency record, claimed conditionally, recorded only by whoever holds the
//! claim. `reliability.md` §2.3.3 is the protocol.

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use jiff::Timestamp;

use super::due::CHECK_ACCEPTED_AFTER;
use super::item::{Item, expiry, number, text, time};
use super::message::{encode, read_content};
use super::update::Updated;
use super::{StorageError, Table, keys, unavailable};
use crate::domain::content::Content;
use crate::domain::event::ProviderError;
use crate::domain::ids::{ClaimId, ConversationId, MessageId, OutboundId, TenantId, Wamid};
use crate::domain::outbound::{Claim, Intent, Recipient, SendFacts, SendState};
use crate::domain::phone::PhoneNumber;
use crate::domain::status::{Status, StatusTimes};
use crate::limits::IDEMPOTENCY_FOR;

/// Tries of the accepting transaction when another one is at work on the same key.
const ACCEPT_TRIES: u32 = 8;

/// A caller's promise that the same key means the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key as the caller gave it.
    pub key: String,
    /// SHA-256 of the request's body, hex.
    pub body_hash: String,
}

/// What became of a request to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// The intent is stored.
    New,
    /// The key was used for the same request before: this is the message it made.
    Replayed {
        /// The message.
        id: OutboundId,
        /// Where it belongs.
        conversation: ConversationId,
    },
    /// The key was used for another request.
    KeyReused,
}

/// Whether a claim was won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The message is ours to send.
    Won,
    /// Somebody else's, or no longer to be sent.
    Lost,
}

/// What a worker found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendResult {
    /// The provider took it.
    Sent(Wamid),
    /// Surely not sent; to be tried again from then on.
    TryAgain {
        /// Not before this.
        not_before: Timestamp,
        /// Why it was not sent.
        error: ProviderError,
        /// Tries in a row, this one included, that did not reach the provider.
        unreached: u32,
    },
    /// It will not be sent.
    Failed(ProviderError),
    /// It may have been sent.
    Unknown(ProviderError),
}

/// What a record did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is written.
    Done,
    /// The claim is no longer ours, or evidence came first: nothing was changed.
    Overtaken,
    /// The provider took the message twice.
    DuplicateSend,
}

impl Table {
    /// Stores an intent, and with it the idempotency record, in one transaction.
    ///
    /// With a key: 4 WRU (a transaction doubles them) and 3 for the indexes; without: 1 and 3.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn accept(
        &self,
        intent: &Intent,
        idempotency: Option<&Idempotency>,
        now: Timestamp,
    ) -> Result<Accepted, StorageError> {
        let Some(idempotency) = idempotency else {
            self.put_intent(intent).await?;
            return Ok(Accepted::New);
        };
        for _ in 0..ACCEPT_TRIES {
            if self.try_accept(intent, idempotency, now).await? {
                return Ok(Accepted::New);
            }
            if let Some(earlier) = self.earlier_request(intent.tenant, idempotency, now).await? {
                return Ok(earlier);
            }
        }
        Err(StorageError::Unavailable { operation: "TransactWriteItems", code: "TransactionConflict".to_owned() })
    }

    async fn put_intent(&self, intent: &Intent) -> Result<(), StorageError> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(intent_item(intent)?.0));
        match put.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => Ok(()),
            // The id is fresh: what stands there is our own write, repeated by the SDK after a lost answer.
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(())
            }
            Err(error) => Err(unavailable("PutItem", &error)),
        }
    }

    /// `false` when another request with this key was first, or is at work now.
    async fn try_accept(
        &self,
        intent: &Intent,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let put = |item: Item, condition: &str| {
            let put = Put::builder().table_name(&self.name).set_item(Some(item.0)).condition_expression(condition);
            if condition.contains(":now") { put.expression_attribute_values(":now", time(now)) } else { put }.build()
        };
        let invalid = |_| StorageError::Corrupt("intent");
        let record = idempotency_item(intent, idempotency, now);
        let record = put(record, "attribute_not_exists(pk) OR valid_until <= :now").map_err(invalid)?;
        let intent = put(intent_item(intent)?, "attribute_not_exists(pk)").map_err(invalid)?;
        let answer = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().put(record).build())
            .transact_items(TransactWriteItem::builder().put(intent).build())
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if lost_the_race(&error) => Ok(false),
            Err(error) => Err(unavailable("TransactWriteItems", &error)),
        }
    }

    async fn earlier_request(
        &self,
        tenant: TenantId,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Accepted>, StorageError> {
        let Some(item) = self.read(&keys::idempotency(tenant, &idempotency.key)).await? else { return Ok(None) };
        if item.required_time("valid_until")? <= now {
            return Ok(None);
        }
        if item.required("body_hash")? != idempotency.body_hash {
            return Ok(Some(Accepted::KeyReused));
        }
        Ok(Some(Accepted::Replayed {
            id: item.parsed("message", OutboundId::parse)?,
            conversation: item.parsed("conversation", ConversationId::parse)?,
        }))
    }

    /// The intent and everything known about its sending.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn intent(
        &self,
        conversation: &ConversationId,
        id: OutboundId,
    ) -> Result<Option<(Intent, SendFacts)>, StorageError> {
        let Some(item) = self.read(&keys::message(conversation, &MessageId::Outbound(id))).await? else {
            return Ok(None);
        };
        Ok(Some((read_intent(conversation.clone(), id, &item)?, read_facts(&item)?)))
    }

    /// Takes the message for one attempt, if it is still to be sent. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer: the claim may or may not be written, and nothing was sent.
    pub async fn claim(&self, intent: &Intent, claim: Claim, now: Timestamp) -> Result<Claimed, StorageError> {
        let written = self
            .update(keys::message(&intent.conversation, &MessageId::Outbound(intent.id)))
            .set("state", text(SendState::InFlight.as_str()))
            .set("claim", text(claim.id.to_string()))
            .set("attempt", number(i64::from(claim.attempt)))
            .set("claimed_at", time(now))
            .set("lease_until", time(claim.lease_until))
            .when("#state = :queued AND #not_before <= :claimed_at AND #send_before > :claimed_at AND attribute_not_exists(#wamid)")
            .value("queued", text(SendState::Queued.as_str()))
            .run()
            .await?;
        Ok(match written {
            Updated::Done(_) => Claimed::Won,
            // The SDK repeated a call whose answer was lost: the claim that stands is our own.
            Updated::Refused(item) if item.text("claim") == Some(claim.id.to_string().as_str()) => Claimed::Won,
            Updated::Refused(_) => Claimed::Lost,
        })
    }

    /// Records what the holder of `claim` found out. A provider id is proof and is recorded whoever holds the claim
    /// by now; anything else only while the claim stands and no evidence has come. 1 WRU and 1 for the due list; 1 more
    /// for the signpost from the provider's id.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn record(&self, intent: &Intent, claim: Claim, result: &SendResult) -> Result<Recorded, StorageError> {
        let update = self.update(keys::message(&intent.conversation, &MessageId::Outbound(intent.id)));
        let (update, overtaken) = match result {
            SendResult::Sent(wamid) => {
                // The record counts more than the signpost: the first status puts up what is missing.
                let pointed = self.point_to(&intent.conversation, wamid, intent.id).await.is_ok();
                let update = update
                    .set_once_if("pointed", pointed.then(|| number(1)))
                    .set("state", text(SendState::Sent.as_str()))
                    .set("wamid", text(wamid.as_str()))
                    .remove(&["list", "list_at"])
                    .when("attribute_not_exists(#wamid) OR #wamid = :wamid");
                (update, Recorded::DuplicateSend)
            }
            SendResult::TryAgain { not_before, error, unreached } => {
                let update = update
                    .set("state", text(SendState::Queued.as_str()))
                    .set("not_before", time(*not_before))
                    .set("unreached", number(i64::from(*unreached)));
                (fenced(with_error(update, error), claim), Recorded::Overtaken)
            }
            SendResult::Failed(error) => {
                let update = update.set("state", text(SendState::Failed.as_str())).remove(&["list", "list_at"]);
                (fenced(with_error(update, error), claim), Recorded::Overtaken)
            }
            SendResult::Unknown(error) => {
                let update = update.set("state", text(SendState::Unknown.as_str()));
                (fenced(with_error(update, error), claim), Recorded::Overtaken)
            }
        };
        Ok(if matches!(update.run().await?, Updated::Done(_)) { Recorded::Done } else { overtaken })
    }

    /// Postpones a message that nobody could try yet, so that it is not taken for stranded.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn postpone(&self, intent: &Intent, not_before: Timestamp) -> Result<(), StorageError> {
        self.update(keys::message(&intent.conversation, &MessageId::Outbound(intent.id)))
            .set("not_before", time(not_before))
            .when("#state = :queued AND #not_before < :not_before")
            .value("queued", text(SendState::Queued.as_str()))
            .run()
            .await?;
        Ok(())
    }

    /// Records that the message's time ran out before anybody tried.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn expire(&self, intent: &Intent) -> Result<(), StorageError> {
        self.update(keys::message(&intent.conversation, &MessageId::Outbound(intent.id)))
            .set("state", text(SendState::Expired.as_str()))
            .remove(&["list", "list_at"])
            .when("#state = :queued AND attribute_not_exists(#wamid)")
            .value("queued", text(SendState::Queued.as_str()))
            .run()
            .await?;
        Ok(())
    }
}

/// Only while `claim` is the latest and still in flight: a stale worker changes nothing.
fn fenced(update: super::update::Update<'_>, claim: Claim) -> super::update::Update<'_> {
    update
        .when("#claim = :held AND #state = :in_flight")
        .value("held", text(claim.id.to_string()))
        .value("in_flight", text(SendState::InFlight.as_str()))
}

pub(super) fn with_error<'a>(update: super::update::Update<'a>, error: &ProviderError) -> super::update::Update<'a> {
    update
        .set("last_error_code", number(error.code))
        .set("last_error_title", text(&error.title))
        .set("last_error_details", text(error.details.clone().unwrap_or_default()))
}

fn lost_the_race<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
            let race = ["ConditionalCheckFailed", "TransactionConflict"];
            canceled.cancellation_reasons().iter().any(|reason| reason.code().is_some_and(|code| race.contains(&code)))
        }
        Some(other) => other.is_transaction_in_progress_exception(),
        None => false,
    }
}

fn intent_item(intent: &Intent) -> Result<Item, StorageError> {
    let key = keys::message(&intent.conversation, &MessageId::Outbound(intent.id));
    let mut item = key.attributes();
    let recipient = match &intent.to {
        Recipient::Phone(phone) => ("to_phone", text(phone.e164())),
        Recipient::UserId(user_id) => ("to_user_id", text(user_id)),
    };
    let check_at = intent.accepted_at.checked_add(CHECK_ACCEPTED_AFTER).unwrap_or(Timestamp::MAX);
    let attributes = [
        ("direction", text("outbound")),
        ("tenant", text(intent.tenant.to_string())),
        ("at", time(intent.accepted_at)),
        ("kind", text("text")),
        ("feed", text(keys::inbox(intent.tenant))),
        ("state", text(SendState::Queued.as_str())),
        ("attempt", number(0)),
        ("not_before", time(intent.not_before)),
        ("send_before", time(intent.send_before)),
        ("list", text(keys::due(keys::due_shard(intent.id)))),
        ("list_at", time(check_at)),
        recipient,
    ];
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    if let Some(quoted) = &intent.quotes {
        item.insert("quotes".to_owned(), text(quoted.as_str()));
    }
    let content = encode(&Content::Text(intent.text.clone()))?;
    item.insert("content".to_owned(), text(content));
    Ok(Item(item))
}

fn idempotency_item(intent: &Intent, idempotency: &Idempotency, now: Timestamp) -> Item {
    let valid_until = now.checked_add(IDEMPOTENCY_FOR).unwrap_or(Timestamp::MAX);
    let mut item = keys::idempotency(intent.tenant, &idempotency.key).attributes();
    let attributes = [
        ("body_hash", text(&idempotency.body_hash)),
        ("message", text(intent.id.to_string())),
        ("conversation", text(intent.conversation.to_string())),
        ("valid_until", time(valid_until)),
        ("expires_at", expiry(valid_until)),
    ];
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    Item(item)
}

fn read_intent(conversation: ConversationId, id: OutboundId, item: &Item) -> Result<Intent, StorageError> {
    let to = match item.parsed_optional("to_phone", PhoneNumber::parse)? {
        Some(phone) => Recipient::Phone(phone),
        None => Recipient::UserId(item.required("to_user_id")?.to_owned()),
    };
    let Some(Content::Text(text)) = read_content(item, "content") else { return Err(StorageError::Corrupt("content")) };
    Ok(Intent {
        id,
        conversation,
        tenant: item.parsed("tenant", TenantId::parse)?,
        to,
        text,
        quotes: item.parsed_optional("quotes", Wamid::parse)?,
        accepted_at: item.required_time("at")?,
        send_before: item.required_time("send_before")?,
        not_before: item.required_time("not_before")?,
    })
}

pub(super) fn read_facts(item: &Item) -> Result<SendFacts, StorageError> {
    let mut times = StatusTimes::default();
    for status in Status::ALL {
        if let Some(at) = item.time(&format!("{}_at", status.as_str())) {
            times.merge(status, at);
        }
    }
    let claim = match (item.parsed_optional("claim", ClaimId::parse)?, item.time("lease_until")) {
        (Some(id), Some(lease_until)) => {
            let attempt = item.number("attempt").and_then(|attempt| u32::try_from(attempt).ok());
            Some(Claim { id, lease_until, attempt: attempt.ok_or(StorageError::Corrupt("attempt"))? })
        }
        _ => None,
    };
    let wamid = item.parsed_optional("wamid", Wamid::parse)?;
    // What went wrong before the provider took it is of no interest afterwards.
    let last_error = if wamid.is_none() { read_error(item, "last_error") } else { None };
    Ok(SendFacts {
        state: item.parsed("state", |word| SendState::from_word(word).ok_or(()))?,
        claim,
        wamid,
        times,
        unreached: item.number("unreached").and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        error: read_error(item, "error").or(last_error),
    })
}

fn read_error(item: &Item, prefix: &str) -> Option<ProviderError> {
    Some(ProviderError {
        code: item.number(&format!("{prefix}_code"))?,
        title: item.owned(&format!("{prefix}_title")).unwrap_or_default(),
        details: item.owned(&format!("{prefix}_details")).filter(|details| !details.is_empty()),
    })
}
