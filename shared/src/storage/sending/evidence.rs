//! Evidence that a message whose outcome is unknown was sent. It names the provider's id of a message but not ours
//! (`docs/reliability.md#section-2-3-5`).
//!
//! Evidence counts only if exactly one message can be meant: of all that we ever sent to the person from this number,
//! those that the provider may have although we do not know its id.

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::{ConversationId, MessageId, OutboundId, ProviderMessageId};
use crate::domain::sending::outbound::{EVIDENCE_WINDOW, SendState};
use crate::storage::conversations::message::Whose;
use crate::storage::sending::attempt::Ending;
use crate::storage::sending::status::in_doubt;
use crate::storage::table::item::Item;
use crate::storage::{StorageError, Table, table::keys};

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

impl Table {
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
