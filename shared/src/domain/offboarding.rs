//! Offboarding: a business leaves. Sending stops, Meta is told, the credit line is taken back, the token is worth nothing, what was stored is
//! erased, and that nothing is left is proved.

use jiff::{SignedDuration, Timestamp};

use super::ids::{OffboardingId, PhoneNumberId, TenantId, WabaId};
use super::number::Number;
use super::onboarding::{StepRecord, StepState};

/// How long what was stored is kept for a business that disconnected at Meta: it may have been a mistake, and connecting again in that time
/// loses nothing.
pub const KEPT_FOR_RETURN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Longest time in days that an offboarding by the API may wait before it erases.
pub const ERASE_AFTER_MAX: i64 = 90;
/// How long functions may still write for a number that is gone: what they remember of it, and one invocation.
pub const SETTLES_IN: SignedDuration = SignedDuration::from_mins(15);
/// Tries of a step that Meta does not answer, before the rest is done without it: a day of one every five minutes.
pub const META_TRIES: u32 = 288;
/// How long a number or account that is gone is remembered as such: longer than anything of it can come again.
pub const TOMBSTONE_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Why a number that is being removed sends nothing.
pub const BEING_REMOVED: &str = "It is being removed.";

/// Why a business leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The tenant or the operator asked.
    Asked,
    /// The business disconnected at Meta.
    Disconnected,
    /// A user asked Meta to have their data deleted.
    DeletionRequested,
}

impl Why {
    const ALL: [Self; 3] = [Self::Asked, Self::Disconnected, Self::DeletionRequested];

    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Disconnected => "disconnected",
            Self::DeletionRequested => "deletion_requested",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == word)
    }
}

/// A step of an offboarding, in the order they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaving {
    /// Nothing is sent any more.
    Stop,
    /// The account's webhooks come to our app no more.
    Unsubscribe,
    /// The credit line is taken back.
    Credit,
    /// The token is worth nothing, and is forgotten.
    Revoke,
    /// What was stored is erased: table, bucket.
    Erase,
    /// Everything is looked through once more.
    Prove,
}

impl Leaving {
    /// All steps, in order.
    pub const ALL: [Self; 6] = [Self::Stop, Self::Unsubscribe, Self::Credit, Self::Revoke, Self::Erase, Self::Prove];

    /// The step's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Unsubscribe => "unsubscribe",
            Self::Credit => "credit",
            Self::Revoke => "revoke",
            Self::Erase => "erase",
            Self::Prove => "prove",
        }
    }
}

/// An offboarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offboarding {
    /// Its id.
    pub id: OffboardingId,
    /// Whose account it is; `None` once a whole tenant is erased.
    pub tenant: Option<TenantId>,
    /// Everything of the tenant goes, the tenant itself included.
    pub whole: bool,
    /// The accounts that leave.
    pub accounts: Vec<WabaId>,
    /// Only this number leaves: its account stays, with its token, its webhooks and its other numbers.
    pub number: Option<PhoneNumberId>,
    /// The account of that number: without numbers it leaves too.
    pub number_of: Option<WabaId>,
    /// Their numbers, once they were looked up.
    pub numbers: Vec<PhoneNumberId>,
    /// Businesses that share nothing else with us.
    pub businesses: Vec<String>,
    /// Why.
    pub why: Why,
    /// When it began.
    pub started_at: Timestamp,
    /// From when on it erases.
    pub erase_at: Timestamp,
    /// When the numbers were marked as gone.
    pub marked_at: Option<Timestamp>,
    /// Where erasing or proving goes on.
    pub cursor: Option<String>,
    /// Items and objects erased so far.
    pub erased: u64,
    /// What was found in the proof that is under way.
    pub found: u64,
    /// Why it ended before it erased anything.
    pub cancelled: Option<String>,
    /// The steps so far.
    pub steps: Vec<(Leaving, StepRecord)>,
}

/// Where an offboarding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Steps are being taken.
    Running,
    /// Everything but erasing is done; it erases later.
    Waiting,
    /// Nothing is left.
    Done,
    /// Nothing is left here; what Meta did not do somebody must.
    DoneWithFailures,
    /// The business came back in time.
    Cancelled,
}

impl Departure {
    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::DoneWithFailures => "done_with_failures",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Offboarding {
    /// One of this account that begins at that moment and erases after that time.
    #[must_use]
    pub fn of_account(
        id: OffboardingId,
        (tenant, account): (TenantId, WabaId),
        why: Why,
        (started_at, erase_after): (Timestamp, SignedDuration),
    ) -> Self {
        Self { whole: false, accounts: vec![account], ..Self::of_tenant(id, tenant, why, (started_at, erase_after)) }
    }

    /// One of this number alone, which begins and erases at that moment.
    #[must_use]
    pub fn of_number(id: OffboardingId, number: &Number, now: Timestamp) -> Self {
        let whole = Self::of_tenant(id, number.tenant, Why::Asked, (now, SignedDuration::ZERO));
        Self { whole: false, number: Some(number.id.clone()), number_of: Some(number.waba.clone()), ..whole }
    }

    /// One of everything that a tenant has.
    #[must_use]
    pub fn of_tenant(
        id: OffboardingId,
        tenant: TenantId,
        why: Why,
        (started_at, erase_after): (Timestamp, SignedDuration),
    ) -> Self {
        Self {
            id,
            tenant: Some(tenant),
            whole: true,
            accounts: Vec::new(),
            number: None,
            number_of: None,
            numbers: Vec::new(),
            businesses: Vec::new(),
            why,
            started_at,
            erase_at: started_at.checked_add(erase_after).unwrap_or(Timestamp::MAX),
            marked_at: None,
            cursor: None,
            erased: 0,
            found: 0,
            cancelled: None,
            steps: Vec::new(),
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn departure(&self, now: Timestamp) -> Departure {
        if self.cancelled.is_some() {
            return Departure::Cancelled;
        }
        let failed = self.steps.iter().any(|(_, record)| record.state == StepState::Failed);
        match self.next_step() {
            None if failed => Departure::DoneWithFailures,
            None => Departure::Done,
            Some(Leaving::Erase) if self.marked_at.is_none() && now < self.erase_at => Departure::Waiting,
            Some(_) => Departure::Running,
        }
    }

    /// What is recorded of a step.
    #[must_use]
    pub fn step(&self, step: Leaving) -> Option<&StepRecord> {
        self.steps.iter().find(|(known, _)| *known == step).map(|(_, record)| record)
    }

    /// The first step that is not over. One that failed is over: erasing does not wait for Meta.
    #[must_use]
    pub fn next_step(&self) -> Option<Leaving> {
        let over = |step| self.step(step).is_some_and(|record| record.state != StepState::Running);
        Leaving::ALL.into_iter().find(|step| !over(*step))
    }
}
