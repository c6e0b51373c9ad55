//! Decides with one pure function whether a message may be sent now. The API calls it before a message is accepted, and
//! the worker again at the moment of sending.

use jiff::{SignedDuration, Timestamp};

use crate::domain::accounts::account::StoredState;
use crate::domain::accounts::states;
use crate::domain::conversations::conversation::CUSTOMER_SERVICE_WINDOW;

/// Time before the end of the customer service window at which free-form messages stop.
///
/// It covers the time until Meta receives the message, and the difference to Meta's clock
/// (`docs/meta/errors.md#section-7`).
pub const WINDOW_MARGIN: SignedDuration = SignedDuration::from_mins(5);

/// Key of Meta's restriction that forbids templates.
const NO_TEMPLATES: &str = "RESTRICTED_BIZ_INITIATED_MESSAGING";
/// Key of Meta's restriction that forbids free-form messages.
const NO_ANSWERS: &str = "RESTRICTED_CUSTOMER_INITIATED_MESSAGING";
/// Word of the state that we record when Meta refuses every message of a number or account.
pub const STOPPED: &str = "stopped";

/// Category of a template. Meta decides it at approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// Offers, news, and anything that fits neither of the other categories.
    Marketing,
    /// Messages that a customer expects, about orders or appointments.
    Utility,
    /// One-time codes.
    Authentication,
}

impl Category {
    /// All categories.
    pub const ALL: [Self; 3] = [Self::Marketing, Self::Utility, Self::Authentication];

    /// Returns the category's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marketing => "marketing",
            Self::Utility => "utility",
            Self::Authentication => "authentication",
        }
    }

    /// Returns the category with this name, in upper or lower case: Meta writes upper case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str().eq_ignore_ascii_case(word))
    }
}

/// Class of a message in the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageClass {
    /// Any message other than a template.
    FreeForm,
    /// A template; `None` until Meta or the caller names the category.
    Template(Option<Category>),
}

/// Status of a number, independent of the recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NumberStatus {
    /// Whether the number is still connected to this tenant.
    pub connected: bool,
    /// Whether the tenant allows the number to send.
    pub active: bool,
    /// Whether the account has a token.
    pub has_token: bool,
    /// States of the number, reported by Meta or recorded by us.
    pub number: Vec<StoredState>,
    /// States of the account, reported by Meta or recorded by us.
    pub account: Vec<StoredState>,
    /// Whether the number has a fallback template, which replaces a message after the customer service window closed.
    pub has_fallback: bool,
}

/// Known state of one template, identified by name and language.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TemplateFacts {
    /// Meta's status, such as `APPROVED`; `None` if none was ever reported.
    pub status: Option<String>,
    /// End of a stop that we recorded.
    pub until: Option<Timestamp>,
    /// Category of the template.
    pub category: Option<Category>,
}

/// Way in which a conversation's contact can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reach {
    /// By phone number.
    #[default]
    Phone,
    /// By user id only.
    UserId,
    /// The contact is a group.
    Group,
    /// The phone number belongs to another person by now, and no user id is known.
    Lost,
}

/// Facts on which the decision about a message is based.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Way to reach the contact.
    pub reach: Reach,
    /// Status of the number.
    pub standing: NumberStatus,
    /// Time of the customer's latest message or call to this number.
    pub last_inbound_at: Option<Timestamp>,
    /// End of the period in which messages are free because the customer came from an advertisement. It does not open
    /// the customer service window.
    pub entry_point_until: Option<Timestamp>,
    /// Whether the customer opted out of marketing.
    pub opted_out: bool,
    /// End of a pause of marketing to this customer, requested by Meta.
    pub cool_down_until: Option<Timestamp>,
    /// End of a block: Meta reported that we block this customer, and is not asked again before then.
    pub blocked_until: Option<Timestamp>,
    /// State of the template, for a template message.
    pub template: TemplateFacts,
}

/// Reason why a message may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The number is no longer connected to this tenant.
    NumberGone,
    /// The tenant deactivated the number.
    NumberInactive,
    /// The account has no token.
    NoToken,
    /// Meta reported the token as withdrawn.
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
    /// Meta recently refused every message of the number.
    Stopped,
    /// The number blocks the customer.
    ContactBlocked,
    /// The customer opted out of marketing.
    OptedOut,
    /// Meta requested a pause of marketing to this customer.
    CoolDown,
    /// The customer never wrote or called, so the customer service window never opened.
    WindowNeverOpened,
    /// The customer service window is closed.
    WindowClosed,
    /// The template is not approved, or it is paused or disabled.
    TemplateStopped,
    /// The contact is a group, to which this API does not send.
    Group,
    /// The contact's phone number belongs to another person by now.
    ContactMoved,
    /// An authentication template needs a phone number, and only the contact's user id is known.
    PhoneRequired,
}

/// Consequence of an answer of Meta for later messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The number sends nothing for this long.
    Pause(SignedDuration),
    /// The number exceeded its rate. It pauses briefly, and repeated refusals lower its rate.
    SlowDown,
    /// The number stops for this long and is then tried again. Until a person acts, Meta is expected to refuse. The
    /// texts are title and remedy of an alert.
    Stop(SignedDuration, &'static str, &'static str),
    /// Token, permission or registration is lost. The number pauses, and an alert with this title and remedy is raised.
    Reconnect(&'static str, &'static str),
    /// No marketing to the customer for this long, doubled at each repetition.
    CoolDown(SignedDuration),
    /// The customer opted out of marketing.
    OptedOut,
    /// The customer is blocked by us.
    Block,
    /// The template is stopped for this long, or until Meta reports otherwise. An alert with this title and remedy is
    /// raised.
    StopTemplate(Option<SignedDuration>, &'static str, &'static str),
    /// The error code is unknown to this version. An alert is raised.
    Unknown,
    /// Meta sent a message that it had answered with "try again". Such answers are no longer trusted, and an alert is
    /// raised.
    Distrust,
}

impl Consequence {
    /// Returns whether the number pauses.
    #[must_use]
    pub fn pauses_number(&self) -> bool {
        matches!(self, Self::Pause(_) | Self::SlowDown | Self::Stop(..) | Self::Reconnect(..))
    }
}

/// Decision about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It may be sent.
    Allowed,
    /// Only a template may be sent.
    TemplateOnly(Reason),
    /// The message may not be sent. The time is the end of the obstacle, if known.
    Blocked(Reason, Option<Timestamp>),
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 19] = [
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
        Self::Group,
        Self::ContactMoved,
        Self::PhoneRequired,
    ];

    /// Returns the reason's stable name.
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
            Self::Group => "group",
            Self::ContactMoved => "contact_moved",
            Self::PhoneRequired => "phone_required",
        }
    }

    /// Returns what a person can do about it.
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
            Self::Group => "Answer a member of the group in a conversation of their own.",
            Self::ContactMoved => "Ask the customer for the new phone number: somebody else has the known one.",
            Self::PhoneRequired => "Send another template, or ask the customer to share the phone number.",
        }
    }
}

/// Decides whether a message may be sent.
///
/// The rules apply in this order: status of the number, block of the customer, customer service window (free-form
/// messages), stop of the template, opt-out, pause of marketing.
#[must_use]
pub fn decide(facts: &Facts, class: MessageClass, now: Timestamp) -> Verdict {
    if let Some((reason, until)) = hindrance(&facts.standing, class, now) {
        return Verdict::Blocked(reason, until);
    }
    if facts.blocked_until.is_some_and(|until| now < until) {
        return Verdict::Blocked(Reason::ContactBlocked, None);
    }
    match facts.reach {
        Reach::Group => return Verdict::Blocked(Reason::Group, None),
        Reach::Lost => return Verdict::Blocked(Reason::ContactMoved, None),
        Reach::Phone | Reach::UserId => {}
    }
    let MessageClass::Template(said) = class else {
        return match facts.last_inbound_at {
            None => Verdict::TemplateOnly(Reason::WindowNeverOpened),
            Some(at) if now < free_form_until(at) => Verdict::Allowed,
            Some(_) => Verdict::TemplateOnly(Reason::WindowClosed),
        };
    };
    if let Some(stopped) = template_stop(&facts.template, now) {
        return stopped;
    }
    // Meta's category takes precedence over the caller's. An unknown category is treated as marketing, the strictest.
    let category = facts.template.category.or(said).unwrap_or(Category::Marketing);
    if category == Category::Authentication && facts.reach == Reach::UserId {
        return Verdict::Blocked(Reason::PhoneRequired, None);
    }
    if category == Category::Marketing && facts.opted_out {
        return Verdict::Blocked(Reason::OptedOut, None);
    }
    let cooling = facts.cool_down_until.filter(|until| now < *until);
    match cooling {
        // Meta does not count marketing inside an open customer service window.
        Some(until) if category == Category::Marketing && !window_is_open(facts, now) => {
            Verdict::Blocked(Reason::CoolDown, Some(until))
        }
        _ => Verdict::Allowed,
    }
}

/// Returns until when free-form messages may be sent after the customer wrote at `at`.
#[must_use]
pub fn free_form_until(at: Timestamp) -> Timestamp {
    at.checked_add(CUSTOMER_SERVICE_WINDOW).and_then(|end| end.checked_sub(WINDOW_MARGIN)).unwrap_or(Timestamp::MAX)
}

fn window_is_open(facts: &Facts, now: Timestamp) -> bool {
    facts.last_inbound_at.is_some_and(|at| now < free_form_until(at))
}

/// Returns the reason why the number may not send a message of this class, and the end of the obstacle if known.
#[must_use]
pub fn hindrance(standing: &NumberStatus, class: MessageClass, now: Timestamp) -> Option<(Reason, Option<Timestamp>)> {
    if !standing.connected {
        return Some((Reason::NumberGone, None));
    }
    if !standing.active {
        return Some((Reason::NumberInactive, None));
    }
    if !standing.has_token {
        return Some((Reason::NoToken, None));
    }
    let holding: Vec<&StoredState> =
        states::in_force(&standing.number, &standing.account, now).map(|(_, state)| state).collect();
    let says = |aspect: &str, word: &str| holding.iter().any(|state| state.aspect == aspect && state.word == word);
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
    let kind = if class == MessageClass::FreeForm { NO_ANSWERS } else { NO_TEMPLATES };
    let restricted = |state: &&StoredState| state.aspect == "restriction" && state.key.as_deref() == Some(kind);
    if let Some(state) = holding.iter().copied().find(restricted) {
        return Some((Reason::Restricted, state.until));
    }
    let stops = holding.iter().filter(|state| state.aspect == "trouble" && state.word == STOPPED);
    let stopped = stops.filter_map(|state| state.until).max();
    stopped.map(|until| (Reason::Stopped, Some(until)))
}

/// Returns the verdict if the template may not be sent.
fn template_stop(template: &TemplateFacts, now: Timestamp) -> Option<Verdict> {
    const SENDABLE: [&str; 5] = ["APPROVED", "FLAGGED", "REINSTATED", "UNPAUSED", "ACTIVE"];
    let status = template.status.as_deref()?;
    if SENDABLE.contains(&status) || template.until.is_some_and(|until| until <= now) {
        return None;
    }
    Some(Verdict::Blocked(Reason::TemplateStopped, template.until))
}
