//! A message on its way out: what its sender recorded, and the one word shown for it.
//!
//! `reliability.md` §2.3 is the protocol. The worker's record (`SendState`) says what *we* did; the provider's evidence
//! (a message id, a status) says what is true. Evidence always wins, so a late worker cannot undo it.

use jiff::{SignedDuration, Timestamp};

use super::contact::ContactCard;
use super::event::ProviderError;
use super::ids::{BroadcastId, ClaimId, ConversationId, OutboundId, TenantId, Wamid};
use super::outgoing::Outgoing;
use super::policy::Category;
use super::status::{Status, StatusTimes};
use crate::limits::CLAIM_LEASE;

/// How long a doubtful message waits for a status before it may be tried again (`reliability.md` §2.3.4): statuses come
/// within seconds.
pub const EVIDENCE_WINDOW: SignedDuration = SignedDuration::from_mins(2);
/// How long a doubt may wait for a status before a person is asked (`reliability.md` §2.3.5).
pub const DOUBT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Tries after an answer that said "something went wrong, try again".
pub const SOFT_RETRIES: u32 = 2;

/// What our side recorded last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SendState {
    /// Accepted; nobody has tried yet, or the last try surely did not send.
    Queued,
    /// A worker holds the claim and may be talking to the provider.
    InFlight,
    /// The provider took it.
    Sent,
    /// It will not be sent.
    Failed,
    /// It may or may not have been sent. Never sent again by us; a status settles it.
    Unknown,
    /// In doubt for a day without a word from the provider: a person decides.
    Review,
    /// Its time ran out before anybody tried.
    Expired,
    /// The caller took it back before anybody tried.
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

    /// The state's stable name.
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

    /// The state of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A claim on an intent: who may send it, until when, and for which time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The claim's own id: every record a worker writes is conditional on it.
    pub id: ClaimId,
    /// After this no holder of the claim can still reach the provider.
    pub lease_until: Timestamp,
    /// Which try this is, from 1.
    pub attempt: u32,
}

impl Claim {
    /// When it was made.
    #[must_use]
    pub fn claimed_at(&self) -> Timestamp {
        self.lease_until.checked_sub(CLAIM_LEASE).unwrap_or(self.lease_until)
    }
}

/// A message we were asked to send: the intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Our id of it.
    pub id: OutboundId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// Who asked.
    pub tenant: TenantId,
    /// The recipient, as the provider is to be told.
    pub to: Recipient,
    /// What to say.
    pub body: Outgoing,
    /// The message it answers.
    pub quotes: Option<Wamid>,
    /// From when on it is stale.
    pub send_before: Timestamp,
    /// Not to be tried before.
    pub not_before: Timestamp,
    /// What to do if it stays unknown whether it was sent.
    pub on_unknown: OnUnknown,
    /// What kind of template it is, where the caller said so.
    pub category: Option<Category>,
    /// The broadcast it is part of.
    pub broadcast: Option<BroadcastId>,
    /// Until when it is kept; none: for ever.
    pub keep_until: Option<Timestamp>,
}

impl Intent {
    /// When it was accepted; one of a broadcast with its broadcast.
    #[must_use]
    pub fn accepted_at(&self) -> Timestamp {
        self.id.made_at()
    }
}

/// What to do with a message of which nobody knows whether it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnUnknown {
    /// Nothing: at most once. A status settles it, or after a day a person.
    #[default]
    Hold,
    /// Send it once more after two minutes without a status: for one-time codes, where a double is harmless.
    ResendOnce,
    /// Give it up after two minutes: where a late answer is worse than none.
    Fail,
}

impl OnUnknown {
    /// All choices.
    pub const ALL: [Self; 3] = [Self::Hold, Self::ResendOnce, Self::Fail];

    /// The choice's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::ResendOnce => "resend_once",
            Self::Fail => "fail",
        }
    }

    /// The choice of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.as_str() == word)
    }
}

/// How the provider is told whom to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipient {
    /// By phone number.
    Phone(super::phone::PhoneNumber),
    /// By business-scoped user id.
    UserId(String),
}

impl Recipient {
    /// What naming this recipient tells about the contact.
    #[must_use]
    pub fn card(&self) -> ContactCard {
        match self {
            Self::Phone(phone) => ContactCard { phone: Some(phone.clone()), ..ContactCard::default() },
            Self::UserId(user_id) => ContactCard { user_id: Some(user_id.clone()), ..ContactCard::default() },
        }
    }
}

/// The worker's and the provider's facts about one outbound message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFacts {
    /// What our side recorded last.
    pub state: SendState,
    /// The latest claim.
    pub claim: Option<Claim>,
    /// The provider's id: proof that it took the message.
    pub wamid: Option<Wamid>,
    /// The steps the provider reported.
    pub times: StatusTimes,
    /// Why it failed, or why it is in doubt.
    pub error: Option<ProviderError>,
    /// Tries in a row that did not even reach the provider.
    pub unreached: u32,
    /// The doubt comes from an answer that said "try again": the provider's word that it was not sent.
    pub soft: bool,
    /// Times it was put back after a doubt.
    pub resent: u32,
    /// The template that was sent instead, because the message came too late.
    pub instead: Option<String>,
    /// Meta holds it back to assess its template: silence is normal.
    pub held: bool,
}

/// How it is known what became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The provider reported a status of it.
    Status,
    /// The provider named its id: in its answer, its history, or by what the customer quoted.
    Wamid,
    /// The provider refused it.
    Refusal,
    /// A person settled the doubt.
    Person,
}

impl Evidence {
    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Wamid => "wamid",
            Self::Refusal => "refusal",
            Self::Person => "person",
        }
    }
}

impl SendFacts {
    /// The strongest proof of what became of the message; `None` while that is not known, and where nobody tried.
    #[must_use]
    pub fn evidence(&self) -> Option<Evidence> {
        let failed = self.state == SendState::Failed;
        let error = self.error.as_ref().filter(|_| failed);
        if self.times.furthest().is_some() {
            Some(Evidence::Status)
        } else if self.wamid.is_some() {
            Some(Evidence::Wamid)
        } else if self.state == SendState::Sent || error.is_some_and(|error| error.title == ProviderError::SETTLED) {
            Some(Evidence::Person)
        } else {
            error.filter(|error| error.is_the_providers()).map(|_| Evidence::Refusal)
        }
    }
}

/// The one word shown for an outbound message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownState {
    /// The provider has said nothing: our own record.
    Ours(SendState),
    /// The furthest step the provider reported.
    Provider(Status),
}

impl ShownState {
    /// The word.
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
    /// Of a message that nobody has tried.
    #[must_use]
    pub fn of_new() -> Self {
        Self {
            state: SendState::Queued,
            claim: None,
            wamid: None,
            times: StatusTimes::default(),
            error: None,
            unreached: 0,
            soft: false,
            resent: 0,
            instead: None,
            held: false,
        }
    }

    /// The provider's furthest step if there is any, else `accepted` if it gave an id, else our own record.
    #[must_use]
    pub fn shown(&self) -> ShownState {
        match (self.times.furthest(), &self.wamid) {
            (Some(step), _) => ShownState::Provider(step),
            (None, Some(_)) => ShownState::Ours(SendState::Sent),
            (None, None) => ShownState::Ours(self.state),
        }
    }

    /// What a worker that received the message from the queue must do.
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

    /// What becomes of a doubtful message that nothing has settled. It is never sent again before every worker that
    /// could still hold its claim is dead and [`EVIDENCE_WINDOW`] has passed without a status. `trusted`: whether an
    /// answer that says "try again" is believed to mean "not sent" (`reliability.md` §2.3.4, assumption A).
    #[must_use]
    pub fn after_doubt(&self, intent: &Intent, trusted: bool, now: Timestamp) -> AfterDoubt {
        let in_doubt = matches!(self.state, SendState::Unknown | SendState::Review);
        if !in_doubt || self.wamid.is_some() || self.times.furthest().is_some() {
            return AfterDoubt::Settled;
        }
        let since = self.claim.map_or(intent.accepted_at(), |claim| claim.claimed_at());
        let after = |wait| since.checked_add(wait).unwrap_or(Timestamp::MAX);
        let timely = |step| if now < after(EVIDENCE_WINDOW) { AfterDoubt::Wait(after(EVIDENCE_WINDOW)) } else { step };
        let retries = match intent.on_unknown {
            OnUnknown::Fail => 0,
            _ if self.soft && trusted => SOFT_RETRIES,
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

/// What to do with a doubtful message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterDoubt {
    /// Nothing until then.
    Wait(Timestamp),
    /// Put it back: it is sent once more.
    TryAgain,
    /// Give it up.
    Fail,
    /// Ask a person.
    Review,
    /// It is no longer in doubt, or a person has it.
    Settled,
}

/// What to do with a queued message, decided from its facts alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing is left to do: acknowledge.
    Done,
    /// Prepare, then claim.
    Claim,
    /// Its time ran out: record that.
    Expire,
    /// Come back then.
    WaitUntil(Timestamp),
    /// Its worker died around the wire: record the doubt, never send from here.
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
            proven.wamid = Some(Wamid::parse("wamid.1").unwrap());
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
