//! Proofs that a message in doubt was sent, which name the provider's id of a message but not ours (`reliability.md` §2.3.5).
//! One counts only where it can be about a single message: of all that we ever sent to the person under this number, what
//! the provider may have without our knowing its id.

use jiff::{SignedDuration, Timestamp};

use super::attempt::Ending;
use super::item::Item;
use super::status::in_doubt;
use super::thread::Whose;
use super::{StorageError, Table, keys};
use crate::domain::ids::{ConversationId, MessageId, OutboundId, Wamid};
use crate::domain::outbound::{EVIDENCE_WINDOW, SendState};

/// The provider's times are in whole seconds, and clocks differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(2);

/// What shows that the provider took a message, and when that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// E3: the customer answered it then.
    Answered(Timestamp),
    /// E2: the provider's list has it, and this was the first that happened to it.
    Listed(Timestamp),
}

impl Proof {
    /// Whether it can be about a message that was claimed at `claimed_at`.
    #[must_use]
    pub fn covers(self, claimed_at: Timestamp) -> bool {
        let after = |at: Timestamp| at.duration_since(claimed_at);
        match self {
            Self::Answered(at) => after(at) >= -CLOCKS_DIFFER,
            Self::Listed(at) => after(at) >= -CLOCKS_DIFFER && after(at) <= EVIDENCE_WINDOW,
        }
    }

    /// A message that was put back after a doubt was also claimed earlier, and nobody knows when.
    fn can_be_about(self, item: &Item) -> bool {
        item.count("resent") > 0 || item.time("claimed_at").is_some_and(|at| self.covers(at))
    }
}

/// Whether the provider may have it although we do not know its id: it is being sent, or was in doubt at some time, however
/// that ended.
fn may_have_been_sent(item: &Item) -> bool {
    let in_flight = item.text("state") == Some(SendState::InFlight.as_str());
    item.text("wamid").is_none() && (in_flight || item.number("soft").is_some())
}

impl Table {
    /// Settles the doubt that a customer's answer to `quoted` is about. `false` if the message is known, or it can be about
    /// none or several. Reads what we sent until it finds the message, newest first: all of it only where it is unknown.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn settle_answered(
        &self,
        conversation: &ConversationId,
        quoted: &Wamid,
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
        let Some(doubt) = only_one(&sent, Proof::Answered(answered_at))? else { return Ok(false) };
        if self.somebody_wrote(&parts, quoted).await? {
            return Ok(false);
        }
        self.end(&doubt.0, doubt.1, &Ending::Proved(quoted.clone()), now).await
    }

    /// Settles the doubt about `message` by what the provider's list has for its recipient at that time: ids, each with the
    /// moment of its first event. `false` if not exactly one id is unknown to us, or it can be about several messages. Reads all that we
    /// sent to the person.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn settle_listed(
        &self,
        conversation: &ConversationId,
        message: OutboundId,
        listed: &[(Wamid, Timestamp)],
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
        match only_one(&sent, Proof::Listed(at))? {
            Some(doubt) if doubt.1 == message => self.end(&doubt.0, doubt.1, &Ending::Proved(wamid.clone()), now).await,
            _ => Ok(false),
        }
    }

    /// Whether somebody else wrote the message of this id.
    async fn somebody_wrote(&self, parts: &[ConversationId], wamid: &Wamid) -> Result<bool, StorageError> {
        for part in parts {
            if self.theirs_named(part, wamid).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The only message that the proof can be about, if it is in doubt now.
fn only_one(sent: &[Item], proof: Proof) -> Result<Option<(ConversationId, OutboundId)>, StorageError> {
    let possible: Vec<&Item> =
        sent.iter().filter(|item| may_have_been_sent(item) && proof.can_be_about(item)).collect();
    let [one] = possible[..] else { return Ok(None) };
    let (MessageId::Outbound(id), _) = keys::parse_message(one.required("sk")?)? else { return Ok(None) };
    Ok(in_doubt(one).then_some((keys::parse_conversation(one.required("pk")?)?, id)))
}
