//! Evidence that a message whose outcome is unknown was sent. It names the provider's id of a message but not ours
//! (`docs/reliability.md#section-2-3-5`).
//!
//! Evidence counts only if exactly one message can be meant: of all that we ever sent to the person from this number,
//! those that the provider may have although we do not know its id.

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::{ConversationId, MessageId, NumberId, OutboundId, ProviderMessageId};
use crate::domain::sending::outbound::{EVIDENCE_WINDOW, SendState, SentMessage};
use crate::storage::conversations::message::Whose;
use crate::storage::sending::attempt::Ending;
use crate::storage::sending::status::in_doubt;
use crate::storage::table::item::{Item, text};
use crate::storage::{StorageError, Table, table::keys, unavailable};

/// Tolerance for time comparisons: the provider's times are in whole seconds, and clocks differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(2);

/// Evidence that the provider accepted a message, with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryEvidence {
    /// The customer answered the message at this time (`docs/reliability.md#e3`).
    Answered(Timestamp),
    /// The provider's list contains the message, with its first event at this time (`docs/reliability.md#e2`).
    Listed(Timestamp),
}

impl DeliveryEvidence {
    /// Returns whether a message that was claimed at `claimed_at` can be meant.
    #[must_use]
    pub fn covers(self, claimed_at: Timestamp) -> bool {
        let after = |at: Timestamp| at.duration_since(claimed_at);
        match self {
            Self::Answered(at) => after(at) >= -CLOCKS_DIFFER,
            Self::Listed(at) => after(at) >= -CLOCKS_DIFFER && after(at) <= EVIDENCE_WINDOW,
        }
    }

    /// A message that was sent again after an unknown outcome also had earlier claims, whose times are not recorded.
    fn can_be_about(self, item: &Item) -> bool {
        item.count("resent") > 0 || item.time("claimed_at").is_some_and(|at| self.covers(at))
    }
}

/// Returns whether the provider may have the message although we do not know its id: it is being sent, or its outcome
/// was unknown at some time, however that ended.
fn may_have_been_sent(item: &Item) -> bool {
    let in_flight = item.text("state") == Some(SendState::InFlight.as_str());
    item.text("wamid").is_none() && (in_flight || item.number("retryable_answer").is_some())
}

/// The provider's id of a message that a caller names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageName {
    /// The provider knows the message under this id.
    Known(ProviderMessageId),
    /// We have the message, but the provider has not accepted it.
    NotAccepted,
    /// The conversation has no such message.
    Missing,
}

impl Table {
    /// Returns the message that the provider accepted under this id, if this number sent it. The index is eventually
    /// consistent, typically within milliseconds. Half a read unit.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn message_find_accepted(
        &self,
        number: &NumberId,
        wamid: &ProviderMessageId,
    ) -> Result<Option<SentMessage>, StorageError> {
        let query = self.client.query().table_name(&self.name).index_name(keys::LIST);
        let query = query.key_condition_expression("#list = :list").expression_attribute_names("#list", "list");
        let query = query.expression_attribute_values(":list", text(keys::accepted(number, wamid))).limit(1);
        let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
        let Some(item) = answer.items.unwrap_or_default().into_iter().map(Item).next() else { return Ok(None) };
        let (MessageId::Outbound(id), _) = keys::parse_message(item.required("sk")?)? else { return Ok(None) };
        Ok(Some(SentMessage { conversation: keys::parse_conversation(item.required("pk")?)?, id }))
    }

    /// Returns the provider's id of a message in the conversation with any contact of the person. A message that we
    /// sent is read, or found by the index of its wamid; among the messages of others, the latest are read first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn message_get_wamid(
        &self,
        conversation: &ConversationId,
        message: &MessageId,
    ) -> Result<MessageName, StorageError> {
        let parts = self.parts(conversation).await?;
        let wamid = match message {
            MessageId::Outbound(id) => {
                for part in &parts {
                    if let Some(item) = self.read(&keys::ours(part, *id)).await? {
                        let wamid = item.parsed_optional("wamid", ProviderMessageId::parse)?;
                        return Ok(wamid.map_or(MessageName::NotAccepted, MessageName::Known));
                    }
                }
                return Ok(MessageName::Missing);
            }
            MessageId::Inbound(wamid) => wamid,
        };
        let indexed = self.message_find_accepted(conversation.number(), wamid).await?;
        if indexed.is_some_and(|sent| parts.contains(&sent.conversation)) || self.somebody_wrote(&parts, wamid).await? {
            return Ok(MessageName::Known(wamid.clone()));
        }
        // The index may lag behind.
        for part in &parts {
            let is_it = |item: &Item| item.text("wamid") == Some(wamid.as_str());
            if self.written_until(part, Whose::Ours, is_it).await?.1 {
                return Ok(MessageName::Known(wamid.clone()));
            }
        }
        Ok(MessageName::Missing)
    }

    /// Settles the unknown outcome of the message that a customer's answer quotes (`quoted`).
    ///
    /// `false` if the quoted message is known, or if none or several can be meant. Reads what we sent, newest first,
    /// until the quoted message is found: everything only if it is unknown.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn message_settle_answered(
        &self,
        conversation: &ConversationId,
        quoted: &ProviderMessageId,
        answered_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let parts = self.parts(conversation).await?;
        let mut sent = Vec::new();
        for part in &parts {
            let is_quoted = |item: &Item| item.text("wamid") == Some(quoted.as_str());
            let (items, found) = self.written_until(part, Whose::Ours, is_quoted).await?;
            if found {
                return Ok(false);
            }
            sent.extend(items);
        }
        let Some(doubt) = only_one(&sent, DeliveryEvidence::Answered(answered_at))? else { return Ok(false) };
        if self.somebody_wrote(&parts, quoted).await? {
            return Ok(false);
        }
        self.message_end(&doubt.0, doubt.1, &Ending::Proved(quoted.clone()), now).await
    }

    /// Settles the unknown outcome of `message` from the provider's list for its recipient at that time: ids, each with
    /// the time of its first event.
    ///
    /// `false` unless exactly one id is unknown to us and only `message` can be meant. Reads all that we sent to the
    /// person.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn message_settle_listed(
        &self,
        conversation: &ConversationId,
        message: OutboundId,
        listed: &[(ProviderMessageId, Timestamp)],
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let parts = self.parts(conversation).await?;
        let mut sent = Vec::new();
        for part in &parts {
            sent.extend(self.written_until(part, Whose::Ours, |_| false).await?.0);
        }
        let mut unknown = Vec::new();
        for (wamid, at) in listed {
            let ours = sent.iter().any(|item| item.text("wamid") == Some(wamid.as_str()));
            if !ours && !self.somebody_wrote(&parts, wamid).await? {
                unknown.push((wamid, *at));
            }
        }
        let [(wamid, at)] = unknown[..] else { return Ok(false) };
        match only_one(&sent, DeliveryEvidence::Listed(at))? {
            Some(doubt) if doubt.1 == message => {
                self.message_end(&doubt.0, doubt.1, &Ending::Proved(wamid.clone()), now).await
            }
            _ => Ok(false),
        }
    }

    /// Returns whether somebody else wrote the message of this id.
    async fn somebody_wrote(&self, parts: &[ConversationId], wamid: &ProviderMessageId) -> Result<bool, StorageError> {
        for part in parts {
            if self.theirs_named(part, wamid).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns the only message that the evidence can mean, if its outcome is still unknown.
fn only_one(sent: &[Item], proof: DeliveryEvidence) -> Result<Option<(ConversationId, OutboundId)>, StorageError> {
    let possible: Vec<&Item> =
        sent.iter().filter(|item| may_have_been_sent(item) && proof.can_be_about(item)).collect();
    let [one] = possible[..] else { return Ok(None) };
    let (MessageId::Outbound(id), _) = keys::parse_message(one.required("sk")?)? else { return Ok(None) };
    Ok(in_doubt(one).then_some((keys::parse_conversation(one.required("pk")?)?, id)))
}
