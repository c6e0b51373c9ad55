//! Offboarding of a business. Sending stops, Meta is informed, the credit line is revoked, the token is invalidated,
//! and all stored data is erased. A last walk confirms that nothing is left.

use jiff::{SignedDuration, Timestamp};

use crate::domain::accounts::number::Number;
use crate::domain::ids::{NumberId, OffboardingId, TenantId, WabaId};
use crate::domain::lifecycle::onboarding::{StepRecord, StepState};

/// Delay before the data of a business that disconnected at Meta is erased. The disconnection may have been a mistake;
/// reconnecting within this time loses nothing.
pub const KEPT_FOR_RETURN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Longest delay before erasing that an API call may request, in days.
pub const ERASE_AFTER_MAX: i64 = 90;
/// Time during which functions may still write for a removed number: the lifetime of their caches, plus one invocation.
pub const SETTLES_IN: SignedDuration = SignedDuration::from_mins(15);
/// Tries of a step at Meta before the offboarding continues without it. One try every five minutes makes 24 hours.
pub const META_TRIES: u32 = 288;
/// Lifetime of the tombstone of a removed number or account. Nothing of it can arrive again after that time.
pub const TOMBSTONE_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Reason recorded on a number that is being removed and therefore sends nothing.
pub const BEING_REMOVED: &str = "It is being removed.";

/// Reason of an offboarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The tenant or the operator requested it.
    Requested,
    /// The business disconnected at Meta.
    Disconnected,
    /// A user requested at Meta that their data be deleted.
    DeletionRequested,
}

impl Why {
    const ALL: [Self; 3] = [Self::Requested, Self::Disconnected, Self::DeletionRequested];

    /// Returns the stable name of the reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "asked",
            Self::Disconnected => "disconnected",
            Self::DeletionRequested => "deletion_requested",
        }
    }

    /// Returns the reason with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == word)
    }
}

/// Step of an offboarding, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaving {
    /// Sending stops.
    Stop,
    /// The account is unsubscribed from our app, so no more webhooks arrive.
    Unsubscribe,
    /// The credit line is revoked.
    Credit,
    /// The token is invalidated at Meta and deleted here.
    Revoke,
    /// Stored data is erased from the table and the bucket.
    Erase,
    /// Table and bucket are walked once more, to confirm that everything is erased.
    Prove,
}

impl Leaving {
    /// All steps, in order.
    pub const ALL: [Self; 6] = [Self::Stop, Self::Unsubscribe, Self::Credit, Self::Revoke, Self::Erase, Self::Prove];

    /// Returns the step's stable name.
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
    /// Owner of the accounts; `None` once the whole tenant is erased.
    pub tenant: Option<TenantId>,
    /// Whether everything of the tenant is erased, including the tenant itself.
    pub whole: bool,
    /// The accounts to remove.
    pub accounts: Vec<WabaId>,
    /// Set if only this number is removed. Its account keeps its token, its webhooks and its other numbers.
    pub number: Option<NumberId>,
    /// Account of that number. It is removed as well if no other number is left in it.
    pub number_of: Option<WabaId>,
    /// Numbers to remove, once looked up.
    pub numbers: Vec<NumberId>,
    /// Businesses whose accounts here are all being removed.
    pub businesses: Vec<String>,
    /// Reason of the offboarding.
    pub why: Why,
    /// Time of the request.
    pub started_at: Timestamp,
    /// Earliest time of erasing.
    pub erase_at: Timestamp,
    /// Time when the numbers were marked as gone.
    pub marked_at: Option<Timestamp>,
    /// Position at which erasing or confirming continues.
    pub cursor: Option<String>,
    /// Number of items and objects erased so far.
    pub erased: u64,
    /// Number of items and objects that the current confirming walk found.
    pub found: u64,
    /// Reason why the offboarding ended before anything was erased.
    pub cancelled: Option<String>,
    /// Steps recorded so far.
    pub steps: Vec<(Leaving, StepRecord)>,
}

/// State of an offboarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Steps are in progress.
    Running,
    /// Every step before erasing is over; erasing starts later.
    Waiting,
    /// All steps succeeded.
    Done,
    /// Nothing is left here, but a step at Meta failed and a person must complete it.
    DoneWithFailures,
    /// The business reconnected in time.
    Cancelled,
}

impl Departure {
    /// Returns the stable name of the state.
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
    /// Returns the offboarding of one account that starts at `started_at` and erases `erase_after` later.
    #[must_use]
    pub fn of_account(
        id: OffboardingId,
        tenant: TenantId,
        account: WabaId,
        why: Why,
        started_at: Timestamp,
        erase_after: SignedDuration,
    ) -> Self {
        Self { whole: false, accounts: vec![account], ..Self::of_tenant(id, tenant, why, started_at, erase_after) }
    }

    /// Returns the offboarding of a single number that starts and erases at once.
    #[must_use]
    pub fn of_number(id: OffboardingId, number: &Number, now: Timestamp) -> Self {
        let whole = Self::of_tenant(id, number.tenant, Why::Requested, now, SignedDuration::ZERO);
        Self { whole: false, number: Some(number.id.clone()), number_of: Some(number.waba.clone()), ..whole }
    }

    /// Returns the offboarding of a whole tenant that starts at `started_at` and erases `erase_after` later.
    #[must_use]
    pub fn of_tenant(
        id: OffboardingId,
        tenant: TenantId,
        why: Why,
        started_at: Timestamp,
        erase_after: SignedDuration,
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
            erase_at: crate::clock::after(started_at, erase_after),
            marked_at: None,
            cursor: None,
            erased: 0,
            found: 0,
            cancelled: None,
            steps: Vec::new(),
        }
    }

    /// Returns the state of the offboarding.
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

    /// Returns the record of a step.
    #[must_use]
    pub fn step(&self, step: Leaving) -> Option<&StepRecord> {
        self.steps.iter().find(|(known, _)| *known == step).map(|(_, record)| record)
    }

    /// Returns the first step that is not over. A failed step counts as over: erasing does not wait for Meta.
    #[must_use]
    pub fn next_step(&self) -> Option<Leaving> {
        let over = |step| self.step(step).is_some_and(|record| record.state != StepState::Running);
        Leaving::ALL.into_iter().find(|step| !over(*step))
    }
}
