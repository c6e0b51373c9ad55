//! Onboarding: the end of the signup popup, the steps from there to a working number, and the meaning of each failure.

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::{MetaAppId, NumberId, OnboardingId, TenantId, WabaId};

/// Time within which a started onboarding must be finished. Its state is valid for one signup.
pub const STATE_FOR: SignedDuration = SignedDuration::from_mins(15);
/// Longest validity of a link to a signup, in days.
pub const LINK_DAYS_MAX: i64 = 30;
/// Time after which an exchange that was started but not recorded counts as failed. No request lasts that long.
pub const EXCHANGE_TAKES: SignedDuration = SignedDuration::from_secs(60);
/// Time that a hosted signup waits after Meta's report of a shared account. Within it, a signup through our popup may
/// finish and takes precedence.
pub const HOSTED_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// Time for which an account claimed by a signup through a page of ours is closed to hosted signups.
pub const CLAIMED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Time after which a shared credit line that does not show at the account is shared again.
pub const CREDIT_TAKES: SignedDuration = SignedDuration::from_mins(10);
/// Most registrations of a number within [`REGISTERS_WITHIN`]. Meta allows 10 in 72 hours, and others may use some of
/// them.
pub const REGISTERS_MAX: u32 = 5;
/// Period over which registrations are counted.
pub const REGISTERS_WITHIN: SignedDuration = SignedDuration::from_hours(72);

/// Kind of access that the business granted in the popup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A number of the Cloud API, or an account with one.
    CloudApi,
    /// An account without a number.
    AccountOnly,
    /// A number that stays in the WhatsApp Business app.
    Coexistence,
    /// Access to accounts and numbers that the business already has.
    AccessOnly,
    /// A kind unknown to this version.
    Other,
}

impl Shape {
    const ALL: [Self; 5] = [Self::CloudApi, Self::AccountOnly, Self::Coexistence, Self::AccessOnly, Self::Other];

    /// Returns the stable name of the shape.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CloudApi => "cloud_api",
            Self::AccountOnly => "account_only",
            Self::Coexistence => "coexistence",
            Self::AccessOnly => "access_only",
            Self::Other => "other",
        }
    }

    /// Returns the shape with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.as_str() == word)
    }
}

/// End of a popup. A browser reports the ids, so they are unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PopupEnd {
    /// The business completed the signup.
    Finished {
        /// Kind of access granted.
        shape: Shape,
        /// Account that was shared.
        account: Option<WabaId>,
        /// Number that was shared.
        number: Option<NumberId>,
    },
    /// The business left the popup at this screen.
    Cancelled(Option<String>),
    /// The business reported an error from the popup: the provider's error id, and its text.
    Reported(String, Option<String>),
}

/// An onboarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onboarding {
    /// Its id.
    pub id: OnboardingId,
    /// Tenant that connects a number.
    pub tenant: TenantId,
    /// App to which the business grants access.
    pub app: MetaAppId,
    /// Time of the start.
    pub created_at: Timestamp,
    /// Time until which it can be finished.
    pub valid_until: Timestamp,
    /// Time until which its link can be opened, if it has one.
    pub link_until: Option<Timestamp>,
    /// Business that shared an account through Meta's hosted signup, without a popup of ours.
    pub hosted_by: Option<String>,
    /// Kind of access that the business granted.
    pub shape: Option<Shape>,
    /// The account: unverified as the browser reported it, or verified.
    pub account: Option<WabaId>,
    /// The number: unverified as the browser reported it, or verified.
    pub number: Option<NumberId>,
    /// Accounts among which a person must choose.
    pub candidates: Vec<WabaId>,
    /// Reason why the onboarding ended without a number, in words.
    pub ended: Option<String>,
    /// Recorded steps, in their order.
    pub steps: Vec<(Step, StepRecord)>,
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Step of an onboarding, in order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            /// All steps, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the step's stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

steps! {
    /// Exchanges the code for a token, and seals the token.
    Exchange = "exchange",
    /// Checks that the token is for our app, is valid, has the needed permissions and reaches the account.
    Prove = "prove",
    /// Reads the account's numbers, and assigns account and number to the tenant.
    Account = "account",
    /// Subscribes our app to the account's webhooks.
    Subscribe = "subscribe",
    /// Directs the account's webhooks to a callback URL of their own.
    Override = "override",
    /// Shares a Solution Partner's credit line with the account.
    Credit = "credit",
    /// Registers the number with the Cloud API.
    Register = "register",
    /// Requests the address book from the phone, for a number that stays in the WhatsApp Business app.
    Contacts = "contacts",
    /// Requests the past chats from the same phone.
    History = "history",
    /// Checks everything once more at Meta.
    Probe = "probe",
}

impl Step {
    /// Returns the step with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|step| step.as_str() == word)
    }
}

/// State of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// In progress, retried automatically.
    Running,
    /// Done.
    Done,
    /// Not needed.
    Skipped,
    /// Failed; a person must act first.
    Failed,
}

impl StepState {
    const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Skipped, Self::Failed];

    /// Returns the stable name of the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Record of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// State of the step.
    pub state: StepState,
    /// Time of this record.
    pub at: Timestamp,
    /// Number of tries.
    pub tries: u32,
    /// The provider's error code.
    pub code: Option<i64>,
    /// Cause of the failure, or reason why the step was not needed.
    pub cause: Option<String>,
    /// Action to take.
    pub action: Option<String>,
}

impl StepRecord {
    /// Returns a record without code, cause and action.
    #[must_use]
    pub fn new(state: StepState, at: Timestamp, tries: u32) -> Self {
        Self { state, at, tries, code: None, cause: None, action: None }
    }
}

/// State of an onboarding as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The popup has not ended.
    Started,
    /// It was not finished in time.
    Expired,
    /// It ended without a number.
    Cancelled,
    /// A person must choose among several accounts.
    NeedsChoice,
    /// Steps are in progress.
    Running,
    /// A step failed.
    Failed,
    /// The number works.
    Connected,
}

impl Progress {
    /// Returns the stable name of the state.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::NeedsChoice => "needs_choice",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Connected => "connected",
        }
    }
}

impl Onboarding {
    /// Returns the state of the onboarding.
    #[must_use]
    pub fn progress(&self, now: Timestamp) -> Progress {
        let state = |step| self.step(step).map(|record| record.state);
        let died = self
            .step(Step::Exchange)
            .is_some_and(|record| record.state == StepState::Running && now.duration_since(record.at) > EXCHANGE_TAKES);
        if died || Step::ALL.iter().any(|step| state(*step) == Some(StepState::Failed)) {
            return Progress::Failed;
        }
        if matches!(state(Step::Probe), Some(StepState::Done)) {
            return Progress::Connected;
        }
        if self.account.is_none() && !self.candidates.is_empty() {
            return Progress::NeedsChoice;
        }
        if !self.steps.is_empty() {
            return Progress::Running;
        }
        if self.ended.is_some() {
            return Progress::Cancelled;
        }
        if now >= self.link_until.map_or(self.valid_until, |until| until.max(self.valid_until)) {
            Progress::Expired
        } else {
            Progress::Started
        }
    }

    /// Returns the record of a step.
    #[must_use]
    pub fn step(&self, step: Step) -> Option<&StepRecord> {
        self.steps.iter().find(|(known, _)| *known == step).map(|(_, record)| record)
    }

    /// Returns whether a step is done or was skipped.
    #[must_use]
    pub fn is_through(&self, step: Step) -> bool {
        self.step(step).is_some_and(|record| matches!(record.state, StepState::Done | StepState::Skipped))
    }
}
