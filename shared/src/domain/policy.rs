//! What may be sent now, and why not: one pure function, asked by the API before a message is accepted and again by the
//! worker at the moment of sending.

use jiff::{SignedDuration, Timestamp};

use super::account::StoredState;
use super::conversation::CUSTOMER_SERVICE_WINDOW;

/// Free-form messages stop this long before the window closes by our clock: a message on its way must not be late, and
/// Meta's clock is not ours (`facts/errors-and-limits.md` §7).
pub const WINDOW_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// Restrictions of Meta's that forbid templates; the word is the restriction's kind.
const NO_TEMPLATES: &str = "RESTRICTED_BIZ_INITIATED_MESSAGING";
/// Restrictions of Meta's that forbid answers.
const NO_ANSWERS: &str = "RESTRICTED_CUSTOMER_INITIATED_MESSAGING";
/// The word of a state that we record ourselves when Meta refuses everything from a number or account.
pub const STOPPED: &str = "stopped";

/// What a template is for; Meta decides it when the template is approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// Offers, news, anything that is neither of the others.
    Marketing,
    /// What a customer expects: orders, appointments.
    Utility,
    /// One-time codes.
    Authentication,
}

impl Category {
    /// All categories.
    pub const ALL: [Self; 3] = [Self::Marketing, Self::Utility, Self::Authentication];

    /// The category's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Utility => "utility",
            Self::Authentication => "authentication",
        }
    }

    /// The category of that name, in any case: Meta writes upper case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str().eq_ignore_ascii_case(word))
    }
}

/// A message as the rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Anything but a template.
    FreeForm,
    /// A template; of an unknown category until Meta or the caller says so.
    Template(Option<Category>),
}

/// What stops a number, whoever is written to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    /// The number is still connected to this tenant.
    pub connected: bool,
    /// Its tenant lets it send.
    pub active: bool,
    /// The account has a token.
    pub has_token: bool,
    /// What Meta said about the number, and what we recorded.
    pub number: Vec<StoredState>,
    /// What Meta said about the account.
    pub account: Vec<StoredState>,
    /// The number has a template that replaces a message which comes too late.
    pub has_fallback: bool,
}

/// What is known of one template by its name and language.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateFacts {
    /// Meta's word, such as `APPROVED`; `None` if nothing was ever heard of it.
    pub status: Option<String>,
    /// Until when a stop holds that we recorded ourselves.
    pub until: Option<Timestamp>,
    /// Its category.
    pub category: Option<Category>,
}

/// Everything that decides about one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The number.
    pub standing: Standing,
    /// The customer's latest message or call to this number.
    pub last_inbound_at: Option<Timestamp>,
    /// Until when messages are free because the customer came from an advertisement: never opens the window.
    pub entry_point_until: Option<Timestamp>,
    /// The customer stopped marketing.
    pub opted_out: bool,
    /// Meta asked for a pause of marketing to this customer.
    pub cool_down_until: Option<Timestamp>,
    /// We blocked the customer: Meta said so, and is not asked again before.
    pub blocked_until: Option<Timestamp>,
    /// The template, for a template message.
    pub template: TemplateFacts,
}

/// Why a message may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The number is not connected to this tenant any more.
    NumberGone,
    /// Its tenant does not let the number send.
    NumberInactive,
    /// The account has no token.
    NoToken,
    /// Meta withdrew the token.
    TokenWithdrawn,
    /// The business disconnected its account.
    Disconnected,
    /// The account was deleted.
    AccountDeleted,
    /// The account is banned.
    Banned,
    /// The account was rejected.
    Rejected,
    /// Meta restricts what the account may send.
    Restricted,
    /// Meta refused everything from the number a moment ago.
    Stopped,
    /// We blocked the customer.
    ContactBlocked,
    /// The customer stopped marketing.
    OptedOut,
    /// Meta asked for a pause of marketing to this customer.
    CoolDown,
    /// The customer never wrote.
    WindowNeverOpened,
    /// The customer wrote too long ago.
    WindowClosed,
    /// The template is not approved, paused or disabled.
    TemplateStopped,
}

/// What an answer of Meta's means for the messages to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The number sends nothing for this long.
    Pause(SignedDuration),
    /// The number was too fast: it pauses a moment, and its rate is lowered if that happens again and again.
    SlowDown,
    /// Nothing from the number is accepted until somebody acts: it stops, and is tried again after this time.
    Stop(SignedDuration, &'static str, &'static str),
    /// Token, permission or registration is lost: the number waits and somebody is told.
    Reconnect(&'static str, &'static str),
    /// No marketing to the customer for this long; twice as long each further time.
    CoolDown(SignedDuration),
    /// The customer stopped marketing.
    OptedOut,
    /// We blocked the customer.
    Block,
    /// The template is stopped, for this long or until Meta says otherwise, and somebody is told.
    StopTemplate(Option<SignedDuration>, &'static str, &'static str),
    /// A code that this version does not know: somebody is told.
    Unknown,
    /// Meta sent what it had answered with "try again": such answers are no longer believed, and somebody is told.
    Distrust,
}

impl Consequence {
    /// Whether the number itself stands still for a while.
    #[must_use]
    pub fn pauses_number(&self) -> bool {
        matches!(self, Self::Pause(_) | Self::SlowDown | Self::Stop(..) | Self::Reconnect(..))
    }
}

/// What the rules say about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be sent.
    Allowed,
    /// Only a template may be sent.
    TemplateOnly(Reason),
    /// It may not be sent: until then, or until something changes.
    Blocked(Reason, Option<Timestamp>),
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 16] = [
        Self::NumberGone,
        Self::NumberInactive,
        Self::NoToken,
        Self::TokenWithdrawn,
        Self::Disconnected,
        Self::AccountDeleted,
        Self::Banned,
        Self::Rejected,
        Self::Restricted,
        Self::Stopped,
        Self::ContactBlocked,
        Self::OptedOut,
        Self::CoolDown,
        Self::WindowNeverOpened,
        Self::WindowClosed,
        Self::TemplateStopped,
    ];

    /// The reason's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NumberGone => "number_gone",
            Self::NumberInactive => "number_inactive",
            Self::NoToken => "no_token",
            Self::TokenWithdrawn => "token_withdrawn",
            Self::Disconnected => "disconnected",
            Self::AccountDeleted => "account_deleted",
            Self::Banned => "banned",
            Self::Rejected => "rejected",
            Self::Restricted => "restricted",
            Self::Stopped => "stopped",
            Self::ContactBlocked => "contact_blocked",
            Self::OptedOut => "opted_out",
            Self::CoolDown => "cool_down",
            Self::WindowNeverOpened => "window_never_opened",
            Self::WindowClosed => "window_closed",
            Self::TemplateStopped => "template_stopped",
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NumberGone => "Connect the number again.",
            Self::NumberInactive => "Activate the number: `GET /v1/numbers/{id}` says why it is not active.",
            Self::NoToken | Self::TokenWithdrawn => "Connect the account again: it has no token that works.",
            Self::Disconnected => "Ask the business to connect its account again.",
            Self::AccountDeleted => "Connect another account.",
            Self::Banned => "Appeal in Business Support Home.",
            Self::Rejected => "Read the reason in WhatsApp Manager and ask for another review there.",
            Self::Restricted => "Wait until the restriction ends, or appeal in WhatsApp Manager.",
            Self::Stopped => "Read the number's alerts: Meta names what must be settled. It is tried again by itself.",
            Self::ContactBlocked => "Unblock the customer at Meta: it is noticed within an hour.",
            Self::OptedOut => {
                "Send no marketing. A utility or authentication template may be sent: say its `category`."
            }
            Self::CoolDown => "Send no marketing before this ends. Other templates may be sent: say their `category`.",
            Self::WindowNeverOpened => "Send an approved template: the customer has not written to this number.",
            Self::WindowClosed => "Send an approved template: 24 hours have passed since the customer's last message.",
            Self::TemplateStopped => "Use another template, or wait until Meta approves or resumes this one.",
        }
    }
}

/// The rules, the strongest first: what stops the number, the customer's and Meta's wishes, the template, the window.
#[must_use]
pub fn decide(facts: &Facts, class: Class, now: Timestamp) -> Verdict {
    if let Some((reason, until)) = hindrance(&facts.standing, class, now) {
        return Verdict::Blocked(reason, until);
    }
    if facts.blocked_until.is_some_and(|until| now < until) {
        return Verdict::Blocked(Reason::ContactBlocked, None);
    }
    let Class::Template(said) = class else {
        return match facts.last_inbound_at {
            None => Verdict::TemplateOnly(Reason::WindowNeverOpened),
            Some(at) if now < free_form_until(at) => Verdict::Allowed,
            Some(_) => Verdict::TemplateOnly(Reason::WindowClosed),
        };
    };
    if let Some(until) = template_stop(&facts.template, now) {
        return Verdict::Blocked(Reason::TemplateStopped, until);
    }
    // Meta's word counts more than the caller's; of a category that nobody knows the strictest is assumed.
    let category = facts.template.category.or(said).unwrap_or(Category::Marketing);
    if category == Category::Marketing && facts.opted_out {
        return Verdict::Blocked(Reason::OptedOut, None);
    }
    let cooling = facts.cool_down_until.filter(|until| now < *until);
    match cooling {
        // Meta does not count marketing inside an open window.
        Some(until) if category == Category::Marketing && !window_is_open(facts, now) => {
            Verdict::Blocked(Reason::CoolDown, Some(until))
        }
        _ => Verdict::Allowed,
    }
}

/// Until when free-form messages may be sent after the customer wrote at `at`.
#[must_use]
pub fn free_form_until(at: Timestamp) -> Timestamp {
    at.checked_add(CUSTOMER_SERVICE_WINDOW).and_then(|end| end.checked_sub(WINDOW_MARGIN)).unwrap_or(Timestamp::MAX)
}

fn window_is_open(facts: &Facts, now: Timestamp) -> bool {
    facts.last_inbound_at.is_some_and(|at| now < free_form_until(at))
}

/// What stops the number for this class of message, and until when.
#[must_use]
pub fn hindrance(standing: &Standing, class: Class, now: Timestamp) -> Option<(Reason, Option<Timestamp>)> {
    if !standing.connected {
        return Some((Reason::NumberGone, None));
    }
    if !standing.active {
        return Some((Reason::NumberInactive, None));
    }
    if !standing.has_token {
        return Some((Reason::NoToken, None));
    }
    let all = || standing.account.iter().chain(&standing.number);
    let says = |aspect: &str, word: &str| all().any(|state| state.aspect == aspect && state.word == word);
    let lasting = [
        ("deletion", "deleted", Reason::AccountDeleted),
        ("ban", "DISABLE", Reason::Banned),
        ("review", "REJECTED", Reason::Rejected),
        ("partner", "removed", Reason::Disconnected),
        ("partner_app", "uninstalled", Reason::Disconnected),
        ("coexistence", "offboarded", Reason::Disconnected),
        ("token", "withdrawn", Reason::TokenWithdrawn),
    ];
    if let Some((.., reason)) = lasting.into_iter().find(|(aspect, word, _)| says(aspect, word)) {
        return Some((reason, None));
    }
    let kind = if class == Class::FreeForm { NO_ANSWERS } else { NO_TEMPLATES };
    let restricted = |state: &&StoredState| state.aspect == "restriction" && state.key.as_deref() == Some(kind);
    if let Some(state) = all().filter(restricted).find(|state| state.until.is_none_or(|until| now < until)) {
        return Some((Reason::Restricted, state.until));
    }
    let stops =
        all().filter(|state| state.aspect == "trouble" && state.word == STOPPED).filter_map(|state| state.until);
    let stopped = stops.filter(|until| now < *until).max();
    stopped.map(|until| (Reason::Stopped, Some(until)))
}

/// `Some` if the template may not be sent: until then, or until Meta says otherwise.
fn template_stop(template: &TemplateFacts, now: Timestamp) -> Option<Option<Timestamp>> {
    const SENDABLE: [&str; 5] = ["APPROVED", "FLAGGED", "REINSTATED", "UNPAUSED", "ACTIVE"];
    let status = template.status.as_deref()?;
    if SENDABLE.contains(&status) || template.until.is_some_and(|until| until <= now) {
        return None;
    }
    Some(template.until)
}
