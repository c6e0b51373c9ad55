//! What Meta's error codes mean for a send: one table, from `facts/errors-and-limits.md` §3 and §4 and
//! `reliability.md` §2.3.4, rendered into `docs/errors.md`. Only `code` decides; titles and HTTP statuses change.

use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::domain::policy::Consequence;

mod table;

pub use table::RULES;

/// What is slowed down by a throttle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttled {
    /// Everything the app does; the number waits.
    App,
    /// Everything on the account; the number waits.
    Account,
    /// The number.
    Number,
    /// The number towards this one customer.
    Pair,
}

/// How a code is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Surely not sent, Meta's trouble: tried again after a short wait.
    Retry,
    /// Surely not sent, our rate was too high: tried again when what is throttled may go on.
    Throttle(Throttled),
    /// Surely not sent, and possible again after this time.
    Wait(SignedDuration),
    /// "Something went wrong, try again": said to be not sent, but a doubt until two minutes passed without a status.
    Soft,
    /// Wrong or unwanted: never tried again.
    Final,
    /// The customer service window is closed: only a template may be sent.
    WindowClosed,
    /// The customer gets no marketing for now; never tried again, and no other marketing before this time.
    CoolDown(SignedDuration),
    /// The customer stopped marketing.
    OptedOut,
    /// We blocked the customer.
    Blocked,
    /// Token, permission or registration is lost: the number waits until somebody connects it again.
    Reconnect,
    /// Policy, payment or a block: the number stops for this time, somebody must act.
    Account(SignedDuration),
    /// The template cannot be sent now: stopped for this time, or until Meta says that it may be sent.
    Template(Option<SignedDuration>),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct ErrorRule {
    /// The code, or the codes.
    pub codes: RangeInclusive<i64>,
    /// How it is answered.
    pub class: Class,
    /// What it means.
    pub meaning: &'static str,
    /// What a person can do.
    pub remedy: &'static str,
}

impl Class {
    /// The class in a word, for the documents and for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Throttle(Throttled::App) => "throttle: app",
            Self::Throttle(Throttled::Account) => "throttle: account",
            Self::Throttle(Throttled::Number) => "throttle: number",
            Self::Throttle(Throttled::Pair) => "throttle: pair",
            Self::Wait(_) => "wait",
            Self::Soft => "doubt, then retry",
            Self::Final => "final",
            Self::WindowClosed => "template needed",
            Self::CoolDown(_) => "final, cool-down",
            Self::OptedOut => "final, opted out",
            Self::Blocked => "final, blocked",
            Self::Reconnect => "reconnect",
            Self::Account(_) => "account",
            Self::Template(_) => "template",
        }
    }

    /// Whether the same message is tried again by itself.
    #[must_use]
    pub fn tries_again(self) -> bool {
        matches!(self, Self::Retry | Self::Throttle(_) | Self::Wait(_) | Self::Soft | Self::Reconnect)
    }
}

/// The rule for a code; `None` for one that this version does not know, which is final and raises an alert.
#[must_use]
pub fn rule(code: i64) -> Option<&'static ErrorRule> {
    RULES.iter().find(|rule| rule.codes.contains(&code))
}

/// The class of a code; what is not known is final, which never sends twice.
#[must_use]
pub fn class(code: i64) -> Class {
    rule(code).map_or(Class::Final, |rule| rule.class)
}

/// How long a number pauses that makes too many calls in all, or is in maintenance.
const CALLS_PAUSE: SignedDuration = SignedDuration::from_secs(60);
const MAINTENANCE_PAUSE: SignedDuration = SignedDuration::from_secs(15);

/// What the code means for the messages to come.
#[must_use]
pub fn consequence(code: i64) -> Option<Consequence> {
    let Some(rule) = rule(code) else { return Some(Consequence::Unknown) };
    match rule.class {
        Class::Throttle(Throttled::Number) => Some(Consequence::SlowDown),
        Class::Throttle(Throttled::App | Throttled::Account) => Some(Consequence::Pause(CALLS_PAUSE)),
        Class::Retry => Some(Consequence::Pause(MAINTENANCE_PAUSE)),
        Class::Account(wait) => Some(Consequence::Stop(wait, rule.meaning, rule.remedy)),
        Class::Reconnect => Some(Consequence::Reconnect(rule.meaning, rule.remedy)),
        Class::CoolDown(wait) => Some(Consequence::CoolDown(wait)),
        Class::OptedOut => Some(Consequence::OptedOut),
        Class::Blocked => Some(Consequence::Block),
        Class::Template(wait) => Some(Consequence::StopTemplate(wait, rule.meaning, rule.remedy)),
        Class::Throttle(Throttled::Pair) | Class::Wait(_) | Class::Soft | Class::Final | Class::WindowClosed => None,
    }
}

/// Whether the code says that the access token is no longer good, so a cached copy must be dropped.
#[must_use]
pub fn is_token_error(code: i64) -> bool {
    matches!(code, 0 | 102 | 190)
}

/// What a person can do about it, where that is known. Our own reasons have code -1 and their own remedies.
#[must_use]
pub fn remedy(code: i64) -> Option<&'static str> {
    rule(code).map(|rule| rule.remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_has_two_rules_and_every_rule_says_what_to_do() {
        for (place, rule) in RULES.iter().enumerate() {
            assert!(rule.remedy.ends_with('.') && rule.meaning.ends_with('.'), "{:?}", rule.codes);
            for other in &RULES[place + 1..] {
                let apart = rule.codes.end() < other.codes.start() || other.codes.end() < rule.codes.start();
                assert!(apart, "{:?} and {:?}", rule.codes, other.codes);
            }
        }
        assert_eq!(class(999_999), Class::Final);
        assert!(rule(999_999).is_none());
    }
}
