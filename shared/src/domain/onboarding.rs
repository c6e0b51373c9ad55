//! Onboarding: how a signup popup ended, the steps from there to a number that works, and what each failure means.

use jiff::{SignedDuration, Timestamp};

use super::ids::{MetaAppId, OnboardingId, PhoneNumberId, TenantId, WabaId};

/// How long a started onboarding can be finished: its state is good for one signup.
pub const STATE_FOR: SignedDuration = SignedDuration::from_mins(15);
/// Longest time in days that a link to a signup can be opened.
pub const LINK_DAYS_MAX: i64 = 30;
/// After this an exchange that was begun and not recorded has died: longer than a request can last.
pub const EXCHANGE_TAKES: SignedDuration = SignedDuration::from_secs(60);
/// How long after an account was shared the popup's own way is waited for, before the hosted one is taken.
pub const HOSTED_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// How long an account is left to a signup through a page of ours, before a hosted one may be meant.
pub const CLAIMED_FOR: SignedDuration = SignedDuration::from_hours(24);
/// How long a credit line that was shared takes to show at the account, before it is shared again.
pub const CREDIT_TAKES: SignedDuration = SignedDuration::from_mins(10);
/// Registrations of a number that we allow ourselves. Meta's limit is 10 in 72 hours, and others may spend from it.
pub const REGISTERS_MAX: u32 = 5;
/// The time over which registrations are counted.
pub const REGISTERS_WITHIN: SignedDuration = SignedDuration::from_hours(72);

/// What the popup gave a business access to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A number of the Cloud API, or an account that has one.
    CloudApi,
    /// An account without a number.
    AccountOnly,
    /// A number that stays in the WhatsApp Business app.
    Coexistence,
    /// Access to what the business has already.
    AccessOnly,
    /// Something that did not exist when this was written.
    Other,
}

impl Shape {
    const ALL: [Self; 5] = [Self::CloudApi, Self::AccountOnly, Self::Coexistence, Self::AccessOnly, Self::Other];

    /// Its stable name.
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

    /// The shape of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.as_str() == word)
    }
}

/// How a popup ended. The ids are what a browser says: nothing is proved by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PopupEnd {
    /// The business went through with it.
    Finished {
        /// With what.
        shape: Shape,
        /// Its account.
        account: Option<WabaId>,
        /// Its number.
        number: Option<PhoneNumberId>,
    },
    /// The business left at this screen.
    Cancelled(Option<String>),
    /// The business reported an error from the popup: the provider's error id, and its text.
    Reported(String, Option<String>),
}

/// An onboarding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onboarding {
    /// Its id.
    pub id: OnboardingId,
    /// Who connects a number.
    pub tenant: TenantId,
    /// The app that the business gives access to.
    pub app: MetaAppId,
    /// When it was started.
    pub created_at: Timestamp,
    /// Until when it can be finished.
    pub valid_until: Timestamp,
    /// Until when its link can be opened, if it has one.
    pub link_until: Option<Timestamp>,
    /// The business that shared an account through Meta's hosted signup, where there was no popup of ours.
    pub hosted_by: Option<String>,
    /// What the popup gave.
    pub shape: Option<Shape>,
    /// The account, as the browser says or as it was proved.
    pub account: Option<WabaId>,
    /// The number, likewise.
    pub number: Option<PhoneNumberId>,
    /// Accounts among which somebody must choose.
    pub candidates: Vec<WabaId>,
    /// How the popup ended without a number, in words.
    pub ended: Option<String>,
    /// The steps so far, in their order.
    pub steps: Vec<(Step, StepRecord)>,
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A step on the way to a number that works, in the order they are taken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            /// All steps, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The step's stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

steps! {
    /// The code becomes a token, which is sealed.
    Exchange = "exchange",
    /// The token is ours, valid, may what we need, and reaches the account.
    Prove = "prove",
    /// The account's numbers are read; account and number become this tenant's.
    Account = "account",
    /// The account's webhooks come to our app.
    Subscribe = "subscribe",
    /// The account's webhooks go to a callback URL of their own.
    Override = "override",
    /// A Solution Partner's credit line pays for the account.
    Credit = "credit",
    /// The number is registered with the Cloud API.
    Register = "register",
    /// The phone of a number that stays in the WhatsApp Business app is asked for its address book.
    Contacts = "contacts",
    /// The same phone is asked for its past chats.
    History = "history",
    /// Everything is asked for once more.
    Probe = "probe",
}

impl Step {
    /// The step of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|step| step.as_str() == word)
    }
}

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// It is being tried, and is tried again by itself.
    Running,
    /// It is done.
    Done,
    /// It was not needed.
    Skipped,
    /// It is not done; somebody must act first.
    Failed,
}

impl StepState {
    const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Skipped, Self::Failed];

    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What is recorded of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// How far it is.
    pub state: StepState,
    /// When that was recorded.
    pub at: Timestamp,
    /// How often it was tried.
    pub tries: u32,
    /// The provider's code for what went wrong.
    pub code: Option<i64>,
    /// What went wrong, or why it was not needed.
    pub cause: Option<String>,
    /// What to do about it.
    pub action: Option<String>,
}

impl StepRecord {
    /// A record that has nothing to explain.
    #[must_use]
    pub fn new(state: StepState, at: Timestamp, tries: u32) -> Self {
        Self { state, at, tries, code: None, cause: None, action: None }
    }
}

/// Where an onboarding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The popup has not ended yet.
    Started,
    /// Nobody finished it in time.
    Expired,
    /// The popup ended without a number.
    Cancelled,
    /// Somebody must choose among several accounts.
    NeedsChoice,
    /// Steps are being taken.
    Running,
    /// A step failed.
    Failed,
    /// The number works.
    Connected,
}

impl Progress {
    /// Its stable name.
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
    /// Where it stands.
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

    /// What is recorded of a step.
    #[must_use]
    pub fn step(&self, step: Step) -> Option<&StepRecord> {
        self.steps.iter().find(|(known, _)| *known == step).map(|(_, record)| record)
    }

    /// Whether a step is through, one way or the other.
    #[must_use]
    pub fn is_through(&self, step: Step) -> bool {
        self.step(step).is_some_and(|record| matches!(record.state, StepState::Done | StepState::Skipped))
    }
}
