//! Intents: each is accepted once per idempotency key. The later state changes are in `attempt`.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use jiff::{SignedDuration, Timestamp};

use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::event::ProviderError;
use crate::domain::ids::{BroadcastId, ClaimId, ConversationId, OutboundId, ProviderMessageId, TenantId};
use crate::domain::outgoing::Outgoing;
use crate::domain::sending::outbound::{Claim, Intent, OnUnknown, Recipient, SendFacts, SendState};
use crate::domain::sending::policy::Category;
use crate::domain::sending::status::{Status, StatusTimes};
use crate::limits::IDEMPOTENCY_FOR;
use crate::storage::table::item::{Item, expiry, number, text, time};
use crate::storage::{StorageError, Table, table::keys, unavailable};

/// Time after which an accepted message that was not sent is checked: its queue message may never have been written
/// (`docs/reliability.md#h8`).
pub(in crate::storage) const CHECK_ACCEPTED_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// Tries of the accepting transaction while another one with the same key is in progress.
const ACCEPT_TRIES: u32 = 8;

/// Idempotency key: the caller's promise that the same key means the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key as the caller sent it.
    pub key: String,
    /// SHA-256 of the request body, in hex.
    pub body_hash: String,
}

/// Result of a request that creates something with an id of type `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted<T> {
    /// It is recorded as new.
    New,
    /// The key was used for the same request before, which created this.
    Replayed(T),
    /// The key was used for another request.
    KeyReused,
}

/// Component that handles an accepted message next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handoff {
    /// The sender: the outbound queue already has the message.
    InQueue,
    /// The sweep: the message could not be queued.
    ForSweep,
    /// The releaser: the message is in the bulk lane of its number.
    InLine,
}

impl Table {
    /// Stores an intent, unless it is already stored. 1 WRU per KB and 1 for the inbox feed; 1 more if it waits on a
    /// list.
    ///
    /// # Errors
    /// When DynamoDB does not answer. The intent may or may not be stored.
    pub async fn message_accept(&self, intent: &Intent, waits: Handoff) -> Result<(), StorageError> {
        self.put_fresh(queued_item(intent, waits)?).await
    }

    /// Records which message an idempotency key creates, before the message is stored. A request that finds the key but
    /// no message stores it under the recorded id. `instead` is a recorded message that was never stored because its
    /// request crashed; its id is replaced. Returns `Replayed` also if the SDK repeated this very call. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn message_remember(
        &self,
        intent: &Intent,
        idempotency: &Idempotency,
        instead: Option<OutboundId>,
        now: Timestamp,
    ) -> Result<Accepted<(OutboundId, ConversationId)>, StorageError> {
        let free = "attribute_not_exists(pk) OR valid_until <= :now OR message = :dead";
        let dead = instead.map_or_else(String::new, |dead| dead.to_string());
        let mut record = idempotency_item(intent.tenant, idempotency, now);
        record.0.insert("message".to_owned(), text(intent.id.to_string()));
        record.0.insert("conversation".to_owned(), text(intent.conversation.to_string()));
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(record.0))
            .condition_expression(free)
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":dead", text(dead))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(Accepted::New),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(refused)) => {
                    let known = refused.item.clone().map(Item).unwrap_or_default();
                    let earlier = earlier(&known, idempotency, now, read_accepted)?;
                    earlier.ok_or(StorageError::Corrupt("valid_until"))
                }
                _ => Err(unavailable("PutItem", &error)),
            },
        }
    }

    /// Returns the earlier result of an idempotency key, while the key is valid. 1 read unit.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn message_by_idempotency_key(
        &self,
        tenant: TenantId,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Accepted<(OutboundId, ConversationId)>>, StorageError> {
        let item = self.read(&keys::idempotency(tenant, &idempotency.key)).await?;
        item.map_or(Ok(None), |item| earlier(&item, idempotency, now, read_accepted))
    }

    /// Stores an item under a new id.
    pub(in crate::storage) async fn put_fresh(&self, item: Item) -> Result<(), StorageError> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item.0));
        match put.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => Ok(()),
            // The stored item is this same write: the SDK repeated it after a lost answer, or another request has the
            // same key.
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(())
            }
            Err(error) => Err(unavailable("PutItem", &error)),
        }
    }

    /// Stores an item once per idempotency key, together with the record of the key in one transaction. `record` are
    /// the attributes of the result in that record; `read` reads them.
    pub(in crate::storage) async fn accept_once<T>(
        &self,
        tenant: TenantId,
        item: Item,
        record: &[(&str, AttributeValue)],
        idempotency: &Idempotency,
        now: Timestamp,
        read: impl Fn(&Item) -> Result<T, StorageError>,
    ) -> Result<Accepted<T>, StorageError> {
        let mut key = idempotency_item(tenant, idempotency, now);
        key.0.extend(record.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        for _ in 0..ACCEPT_TRIES {
            if self.try_accept(key.clone(), item.clone(), now).await? {
                return Ok(Accepted::New);
            }
            let Some(known) = self.read(&keys::idempotency(tenant, &idempotency.key)).await? else { continue };
            if let Some(earlier) = earlier(&known, idempotency, now, &read)? {
                return Ok(earlier);
            }
        }
        Err(StorageError::Unavailable { operation: "TransactWriteItems", code: "TransactionConflict".to_owned() })
    }

    /// Returns `false` if another request with this key was first, or is in progress.
    async fn try_accept(&self, record: Item, item: Item, now: Timestamp) -> Result<bool, StorageError> {
        let put = |item: Item, condition: &str| {
            let put = Put::builder().table_name(&self.name).set_item(Some(item.0)).condition_expression(condition);
            if condition.contains(":now") { put.expression_attribute_values(":now", time(now)) } else { put }.build()
        };
        let invalid = |_| StorageError::Corrupt("intent");
        let record = put(record, "attribute_not_exists(pk) OR valid_until <= :now").map_err(invalid)?;
        let item = put(item, "attribute_not_exists(pk)").map_err(invalid)?;
        let parts = [record, item].map(|put| TransactWriteItem::builder().put(put).build());
        self.transact(parts.to_vec()).await
    }

    /// Returns the intent and everything known about its sending.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn intent_get(
        &self,
        conversation: &ConversationId,
        id: OutboundId,
    ) -> Result<Option<(Intent, SendFacts)>, StorageError> {
        let Some(item) = self.read(&keys::ours(conversation, id)).await? else {
            return Ok(None);
        };
        Ok(Some((read_intent(conversation.clone(), id, &item)?, read_facts(&item)?)))
    }
}

fn read_accepted(item: &Item) -> Result<(OutboundId, ConversationId), StorageError> {
    Ok((item.parsed("message", OutboundId::parse)?, item.parsed("conversation", ConversationId::parse)?))
}

/// Returns the earlier result in an idempotency record; `None` if the record has expired.
pub(in crate::storage) fn earlier<T>(
    record: &Item,
    idempotency: &Idempotency,
    now: Timestamp,
    read: impl Fn(&Item) -> Result<T, StorageError>,
) -> Result<Option<Accepted<T>>, StorageError> {
    if record.required_time("valid_until")? <= now {
        return Ok(None);
    }
    if record.required("body_hash")? != idempotency.body_hash {
        return Ok(Some(Accepted::KeyReused));
    }
    // The same key and body for another kind of resource is another request.
    Ok(Some(read(record).map_or(Accepted::KeyReused, Accepted::Replayed)))
}

/// Returns the item of an accepted intent, listed in its tenant's inbox.
fn queued_item(intent: &Intent, waits: Handoff) -> Result<Item, StorageError> {
    let mut item = intent_item(intent)?;
    let listed = match waits {
        Handoff::InQueue => None,
        Handoff::ForSweep => {
            let at = crate::clock::after(intent.accepted_at(), CHECK_ACCEPTED_AFTER);
            Some((keys::due(keys::due_shard(intent.id)), at))
        }
        Handoff::InLine => Some((keys::line(intent.conversation.number()), intent.accepted_at())),
    };
    let attributes = [
        ("feed", text(keys::inbox(intent.tenant))),
        ("feed_at", time(intent.accepted_at())),
        ("state", text(SendState::Queued.as_str())),
        ("attempt", number(0)),
    ];
    item.0.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    if let Some((list, at)) = listed {
        item.0.extend([("list".to_owned(), text(list)), ("list_at".to_owned(), time(at))]);
    }
    Ok(item)
}

/// Returns the item of an intent, without its state.
pub(in crate::storage) fn intent_item(intent: &Intent) -> Result<Item, StorageError> {
    let mut item = keys::ours(&intent.conversation, intent.id).attributes();
    let recipient = match &intent.to {
        Recipient::Phone(phone) => ("to_phone", text(phone.e164())),
        Recipient::UserId(user_id) => ("to_user_id", text(user_id)),
    };
    let content =
        serde_json::to_string(&intent.body).map_err(|_| StorageError::Refused("a message that is no JSON"))?;
    let attributes = [
        ("direction", text("outbound")),
        ("tenant", text(intent.tenant.to_string())),
        ("kind", text(intent.body.kind().as_str())),
        ("content", text(content)),
        ("not_before", time(intent.not_before)),
        ("send_before", time(intent.send_before)),
        recipient,
    ];
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    let optional: [(&str, Option<AttributeValue>); 5] = [
        ("expires_at", intent.keep_until.map(expiry)),
        ("quotes", intent.quotes.as_ref().map(|quoted| text(quoted.as_str()))),
        ("on_unknown", (intent.on_unknown != OnUnknown::Hold).then(|| text(intent.on_unknown.as_str()))),
        ("category", intent.category.map(|category| text(category.as_str()))),
        ("broadcast", intent.broadcast.map(|broadcast| text(broadcast.to_string()))),
    ];
    item.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    Ok(Item(item))
}

fn idempotency_item(tenant: TenantId, idempotency: &Idempotency, now: Timestamp) -> Item {
    let valid_until = crate::clock::after(now, IDEMPOTENCY_FOR);
    let mut item = keys::idempotency(tenant, &idempotency.key).attributes();
    let attributes = [
        ("body_hash", text(&idempotency.body_hash)),
        ("valid_until", time(valid_until)),
        ("expires_at", expiry(valid_until)),
    ];
    item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
    Item(item)
}

pub(in crate::storage) fn read_intent(
    conversation: ConversationId,
    id: OutboundId,
    item: &Item,
) -> Result<Intent, StorageError> {
    let to = match item.parsed_optional("to_phone", PhoneNumber::parse_wa_id)? {
        Some(phone) => Recipient::Phone(phone),
        None => Recipient::UserId(item.required("to_user_id")?.to_owned()),
    };
    let body: Outgoing =
        serde_json::from_str(item.required("content")?).map_err(|_| StorageError::Corrupt("content"))?;
    Ok(Intent {
        id,
        conversation,
        tenant: item.parsed("tenant", TenantId::parse)?,
        to,
        body,
        quotes: item.parsed_optional("quotes", ProviderMessageId::parse)?,
        send_before: item.required_time("send_before")?,
        not_before: item.required_time("not_before")?,
        on_unknown: item.text("on_unknown").and_then(OnUnknown::from_word).unwrap_or_default(),
        category: item.text("category").and_then(Category::from_word),
        broadcast: item.parsed_optional("broadcast", BroadcastId::parse)?,
        keep_until: item.number("expires_at").and_then(|at| Timestamp::from_second(at).ok()),
    })
}

pub(in crate::storage) fn read_facts(item: &Item) -> Result<SendFacts, StorageError> {
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
    let wamid = item.parsed_optional("wamid", ProviderMessageId::parse)?;
    // An error from before the provider accepted the message is irrelevant afterwards.
    let last_error = if wamid.is_none() { read_error(item, "last_error") } else { None };
    Ok(SendFacts {
        state: item.parsed("state", |word| SendState::from_word(word).ok_or(()))?,
        claim,
        wamid,
        times,
        unreached: item.count("unreached"),
        retryable_answer: item.number("retryable_answer") == Some(1),
        resent: item.count("resent"),
        instead: item.owned("instead"),
        held: item.number("held") == Some(1),
        error: read_error(item, "error").or(last_error),
    })
}

fn read_error(item: &Item, prefix: &str) -> Option<ProviderError> {
    Some(ProviderError {
        code: item.number(&format!("{prefix}_code"))?,
        title: item.owned(&format!("{prefix}_title")).unwrap_or_default(),
        details: item.owned(&format!("{prefix}_details")).filter(|details| !details.is_empty()),
        trace: item.owned(&format!("{prefix}_trace")).filter(|trace| !trace.is_empty()),
    })
}
