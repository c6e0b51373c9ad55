//! An outbound message: the request of its sender, the facts recorded about it, and the one word shown for it.
//!
//! The protocol is described in `docs/reliability.md#section-2-3`. The worker's record (`SendState`) says what *we*
//! did. The provider's evidence (a message id, a status) says what really happened. Evidence always wins, so a late
//! worker cannot undo it.

use jiff::{SignedDuration, Timestamp};

use crate::domain::conversations::contact::ContactIdentity;
use crate::domain::event::ProviderError;
use crate::domain::ids::{BroadcastId, ClaimId, ConversationId, OutboundId, ProviderMessageId, TenantId};
use crate::domain::outgoing::Outgoing;
use crate::domain::sending::policy::{Category, Reach};
use crate::domain::sending::status::{Status, StatusTimes};
use crate::limits::CLAIM_LEASE;

/// Time that a message with outcome unknown waits for a status before it may be sent again
/// (`docs/reliability.md#section-2-3-4`). Statuses arrive within seconds.
pub const EVIDENCE_WINDOW: SignedDuration = SignedDuration::from_mins(2);
/// Time that a message with outcome unknown waits for a status before a person must decide
/// (`docs/reliability.md#section-2-3-5`).
pub const DOUBT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Retries after the provider's answer "something went wrong, try again".
pub const RETRYABLE_ANSWER_RETRIES: u32 = 2;

/// State of an outbound message according to our own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendState {
    /// Accepted. No attempt was made yet, or the last one certainly did not send the message.
    Queued,
    /// A worker holds the claim and may be calling the provider.
    InFlight,
    /// The provider accepted it.
    Sent,
    /// It will not be sent.
    Failed,
    /// It may or may not have been sent. A status settles this; [`OnUnknown`] governs any resend.
    Unknown,
    /// Outcome unknown for a day, without evidence from the provider. A person decides.
    Review,
    /// Its deadline passed before an attempt was made.
    Expired,
    /// The caller cancelled it before an attempt was made.
    Cancelled,
}

impl SendState {
    /// All states.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::InFlight,
        Self::Sent,
        Self::Failed,
        Self::Unknown,
        Self::Review,
        Self::Expired,
        Self::Cancelled,
    ];

    /// Returns the state's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InFlight => "in_flight",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Review => "review",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Exclusive right of one worker to send an intent, limited by a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Id of the claim. Every write of the worker is conditional on this id.
    pub id: ClaimId,
    /// End of the lease. From then on no holder of the claim can still reach the provider.
    pub lease_until: Timestamp,
    /// Number of the attempt, from 1.
    pub attempt: u32,
}

impl Claim {
    /// Returns when the claim was made.
    #[must_use]
    pub fn claimed_at(&self) -> Timestamp {
        self.lease_until.checked_sub(CLAIM_LEASE).unwrap_or(self.lease_until)
    }
}

/// A message that we were asked to send: the intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Our id of the message.
    pub id: OutboundId,
    /// The conversation of the message.
    pub conversation: ConversationId,
    /// Tenant that requested the message.
    pub tenant: TenantId,
    /// Recipient, as addressed in the request to the provider.
    pub to: Recipient,
    /// Content of the message.
    pub body: Outgoing,
    /// The quoted message.
    pub quotes: Option<ProviderMessageId>,
    /// Deadline: the message expires if it was not attempted before.
    pub send_before: Timestamp,
    /// Earliest time of an attempt.
    pub not_before: Timestamp,
    /// Action if the outcome stays unknown.
    pub on_unknown: OnUnknown,
    /// Category of the template, if the caller named it.
    pub category: Option<Category>,
    /// The broadcast that the message belongs to.
    pub broadcast: Option<BroadcastId>,
    /// Expiry of the stored message; `None`: never.
    pub keep_until: Option<Timestamp>,
}

impl Intent {
    /// Returns when the message was accepted. For a message of a broadcast, that is when the broadcast was accepted.
    #[must_use]
    pub fn accepted_at(&self) -> Timestamp {
        self.id.made_at()
    }
}

/// Action for a message whose outcome stays unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnUnknown {
    /// Do not send it again (at most once). A status settles it, or a person after one day. After a trusted "try again"
    /// answer, which means "not sent", it is retried.
    #[default]
    Hold,
    /// Send it once more after two minutes without a status. For one-time codes, where a duplicate is harmless.
    ResendOnce,
    /// Give up after two minutes. For messages where a late delivery is worse than none.
    Fail,
}

impl OnUnknown {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Hold, Self::ResendOnce, Self::Fail];

    /// Returns the choice's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::ResendOnce => "resend_once",
            Self::Fail => "fail",
        }
    }

    /// Returns the choice with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == word)
    }
}

/// Address of the recipient in a request to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// By phone number.
    Phone(crate::domain::conversations::phone::PhoneNumber),
    /// By business-scoped user id.
    UserId(String),
}

impl Recipient {
    /// Returns the way in which the recipient is reached.
    #[must_use]
    pub fn reach(&self) -> Reach {
        match self {
            Self::Phone(_) => Reach::Phone,
            Self::UserId(_) => Reach::UserId,
        }
    }

    /// Returns the recipient as a contact identity.
    #[must_use]
    pub fn card(&self) -> ContactIdentity {
        match self {
            Self::Phone(phone) => ContactIdentity { phone: Some(phone.clone()), ..ContactIdentity::default() },
            Self::UserId(user_id) => ContactIdentity { user_id: Some(user_id.clone()), ..ContactIdentity::default() },
        }
    }
}

/// A message that we sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMessage {
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its id.
    pub id: OutboundId,
}

/// Facts recorded by the worker and reported by the provider about one outbound message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFacts {
    /// State according to our own record.
    pub state: SendState,
    /// The latest claim.
    pub claim: Option<Claim>,
    /// The provider's id of the message, which proves that the provider accepted it.
    pub wamid: Option<ProviderMessageId>,
    /// Earliest time of each status that the provider reported.
    pub times: StatusTimes,
    /// Reason of the failure, or of the unknown outcome.
    pub error: Option<ProviderError>,
    /// Attempts in a row that did not reach the provider.
    pub unreached: u32,
    /// Whether the provider answered "try again", which normally means that it did not send the message.
    pub retryable_answer: bool,
    /// Times that the message was requeued after an unknown outcome.
    pub resent: u32,
    /// Template that was sent instead, because the customer service window had closed.
    pub instead: Option<String>,
    /// Whether Meta holds the message while it assesses the template. No status is expected meanwhile.
    pub held: bool,
}

/// Kind of evidence of a message's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The provider reported a status.
    Status,
    /// The provider named the message's id: in its answer, in the history, or in a quotation by the customer.
    ProviderMessageId,
    /// The provider refused the message.
    Refusal,
    /// A person decided the outcome.
    Person,
}

impl Evidence {
    /// Returns the stable name of the kind.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::ProviderMessageId => "wamid",
            Self::Refusal => "refusal",
            Self::Person => "person",
        }
    }
}

impl SendFacts {
    /// Returns the strongest evidence of the outcome; `None` while the outcome is not known, or without an attempt.
    #[must_use]
    pub fn evidence(&self) -> Option<Evidence> {
        let failed = self.state == SendState::Failed;
        let error = self.error.as_ref().filter(|_| failed);
        if self.times.furthest().is_some() {
            Some(Evidence::Status)
        } else if self.wamid.is_some() {
            Some(Evidence::ProviderMessageId)
        } else if self.state == SendState::Sent || error.is_some_and(|error| error.title == ProviderError::SETTLED) {
            Some(Evidence::Person)
        } else {
            error.filter(|error| error.is_the_providers()).map(|_| Evidence::Refusal)
        }
    }
}

/// State shown for an outbound message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownState {
    /// Our own record, because the provider reported no status.
    Ours(SendState),
    /// The furthest status that the provider reported.
    Provider(Status),
}

impl ShownState {
    /// Returns the word shown for the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours(SendState::Sent) => "accepted",
            Self::Ours(state) => state.as_str(),
            Self::Provider(status) => status.as_str(),
        }
    }
}

impl SendFacts {
    /// Returns the facts of a message without an attempt.
    #[must_use]
    pub fn of_new() -> Self {
        Self {
            state: SendState::Queued,
            claim: None,
            wamid: None,
            times: StatusTimes::default(),
            error: None,
            unreached: 0,
            retryable_answer: false,
            resent: 0,
            instead: None,
            held: false,
        }
    }

    /// Returns the furthest status if there is one, else `accepted` if the provider gave an id, else our own record.
    #[must_use]
    pub fn shown(&self) -> ShownState {
        match (self.times.furthest(), &self.wamid) {
            (Some(step), _) => ShownState::Provider(step),
            (None, Some(_)) => ShownState::Ours(SendState::Sent),
            (None, None) => ShownState::Ours(self.state),
        }
    }

    /// Returns what a worker must do with the message that it received from the queue.
    #[must_use]
    pub fn next_step(&self, now: Timestamp, not_before: Timestamp, send_before: Timestamp) -> NextStep {
        let taken = self.wamid.is_some() || self.times.furthest().is_some();
        match (self.state, self.claim) {
            _ if taken => NextStep::Done,
            (SendState::Queued, _) if now >= send_before => NextStep::Expire,
            (SendState::Queued, _) if now < not_before => NextStep::WaitUntil(not_before),
            (SendState::Queued, _) => NextStep::Claim,
            (SendState::InFlight, Some(claim)) if now < claim.lease_until => NextStep::WaitUntil(claim.lease_until),
            (SendState::InFlight, claim) => NextStep::Doubt(claim),
            _ => NextStep::Done,
        }
    }

    /// Returns what to do with a message whose outcome is unknown. It is never sent again before every worker that
    /// could still hold its claim has ended and [`EVIDENCE_WINDOW`] has passed without a status. `trusted`: whether the
    /// answer "try again" is taken to mean "not sent" (`docs/reliability.md#section-2-3-4`, assumption A).
    #[must_use]
    pub fn after_doubt(&self, intent: &Intent, trusted: bool, now: Timestamp) -> AfterDoubt {
        let in_doubt = matches!(self.state, SendState::Unknown | SendState::Review);
        if !in_doubt || self.wamid.is_some() || self.times.furthest().is_some() {
            return AfterDoubt::Settled;
        }
        let since = self.claim.map_or(intent.accepted_at(), |claim| claim.claimed_at());
        let after = |wait| crate::clock::after(since, wait);
        let timely = |step| if now < after(EVIDENCE_WINDOW) { AfterDoubt::Wait(after(EVIDENCE_WINDOW)) } else { step };
        let retries = match intent.on_unknown {
            OnUnknown::Fail => 0,
            _ if self.retryable_answer && trusted => RETRYABLE_ANSWER_RETRIES,
            choice => u32::from(choice == OnUnknown::ResendOnce),
        };
        let in_time = now.max(after(EVIDENCE_WINDOW)) < intent.send_before;
        match intent.on_unknown {
            _ if self.state == SendState::Review => AfterDoubt::Settled,
            _ if self.resent < retries && in_time => timely(AfterDoubt::TryAgain),
            OnUnknown::Fail => timely(AfterDoubt::Fail),
            _ if now < after(DOUBT_FOR) => AfterDoubt::Wait(after(DOUBT_FOR)),
            _ => AfterDoubt::Review,
        }
    }
}

/// Action for a message with outcome unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDoubt {
    /// Wait until this time.
    Wait(Timestamp),
    /// Requeue the message, so that it is sent once more.
    TryAgain,
    /// Record a failure.
    Fail,
    /// Let a person decide.
    Review,
    /// Nothing: the outcome is known, or a person is deciding.
    Settled,
}

/// Action for a queued message, decided from its facts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing is left to do; acknowledge the job.
    Done,
    /// Prepare the request, then claim the message.
    Claim,
    /// Record that the deadline passed.
    Expire,
    /// Receive the job again at this time.
    WaitUntil(Timestamp),
    /// Record outcome unknown: the worker stopped between its claim and its record. Do not send.
    Doubt(Option<Claim>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::at_millis;

    fn facts(state: SendState) -> SendFacts {
        SendFacts { state, ..SendFacts::of_new() }
    }

    fn step(facts: &SendFacts, now: i64) -> NextStep {
        facts.next_step(at_millis(now), at_millis(100), at_millis(1_000))
    }

    #[test]
    fn a_queued_message_waits_is_claimed_or_expires() {
        let queued = facts(SendState::Queued);
        assert_eq!(step(&queued, 99), NextStep::WaitUntil(at_millis(100)));
        assert_eq!(step(&queued, 100), NextStep::Claim);
        assert_eq!(step(&queued, 1_000), NextStep::Expire);
    }

    #[test]
    fn a_claim_is_respected_until_its_lease_is_over_and_then_doubted() {
        let claim = Claim { id: ClaimId::generate(at_millis(1)).unwrap(), lease_until: at_millis(500), attempt: 1 };
        let claimed = SendFacts { claim: Some(claim), ..facts(SendState::InFlight) };
        assert_eq!(step(&claimed, 499), NextStep::WaitUntil(at_millis(500)));
        assert_eq!(step(&claimed, 500), NextStep::Doubt(Some(claim)));
    }

    #[test]
    fn evidence_ends_every_state() {
        for state in SendState::ALL {
            let mut proven = facts(state);
            proven.wamid = Some(ProviderMessageId::parse("wamid.1").unwrap());
            assert_eq!(step(&proven, 100), NextStep::Done);
            assert_eq!(proven.shown().as_str(), "accepted");
            proven.times.merge(Status::Read, at_millis(1));
            assert_eq!(proven.shown().as_str(), "read", "{state:?}");
        }
    }

    #[test]
    fn doubt_is_never_sent_again() {
        let over = [SendState::Failed, SendState::Expired, SendState::Sent, SendState::Cancelled];
        for state in [SendState::Unknown, SendState::Review].into_iter().chain(over) {
            assert_eq!(step(&facts(state), 100), NextStep::Done);
        }
    }
}
