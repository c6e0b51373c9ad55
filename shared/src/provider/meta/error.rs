//! Meaning of Meta's error codes for a send: one table, from `docs/meta/errors.md#section-3`,
//! `docs/meta/errors.md#section-4` and `docs/reliability.md#section-2-3-4`, rendered into `docs/errors.md`.
//!
//! Only `code` decides, because titles and HTTP statuses change.

use std::ops::RangeInclusive;

use jiff::SignedDuration;

use crate::domain::event::ProviderError;
use crate::domain::sending::policy::Consequence;

mod table;

pub use table::RULES;

/// The scope of a throttle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttled {
    /// All calls of the app; the number that sends pauses.
    App,
    /// All calls for the account; the number that sends pauses.
    Account,
    /// The number.
    Number,
    /// The number, towards this customer only.
    Pair,
}

/// Reaction to an error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Not sent because of a temporary problem at Meta: retried after a short wait.
    Retry,
    /// Not sent because our rate was too high: retried when the throttled scope may send again.
    Throttle(Throttled),
    /// Not sent; retried after this time.
    Wait(SignedDuration),
    /// Meta reports that something went wrong and suggests another try. The outcome counts as unknown until two minutes
    /// have passed without a status.
    RetryableAnswer,
    /// Wrong or unwanted: never retried.
    Final,
    /// The customer service window is closed: only a template may be sent.
    WindowClosed,
    /// The customer receives no marketing for now. The message is never retried, and no other marketing goes out before
    /// this time has passed.
    CoolDown(SignedDuration),
    /// The customer opted out of marketing.
    OptedOut,
    /// The business blocked the customer.
    Blocked,
    /// Token, permission or registration is lost: the number waits until somebody connects it again.
    Reconnect,
    /// Policy, payment or a block: the number stops for this time, and a person must act.
    Account(SignedDuration),
    /// The template cannot be sent: stopped for this time, or with `None` until Meta reports that it may be sent.
    Template(Option<SignedDuration>),
}

/// A row of the table.
#[derive(Debug, Clone)]
pub struct ErrorRule {
    /// The error codes of this row.
    pub codes: RangeInclusive<i64>,
    /// Reaction to the codes.
    pub class: ErrorClass,
    /// Meaning of the codes, one sentence.
    pub meaning: &'static str,
    /// Action that a person can take, one sentence.
    pub remedy: &'static str,
}

impl ErrorClass {
    /// Returns the class's name in the documents and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Throttle(Throttled::App) => "throttle: app",
            Self::Throttle(Throttled::Account) => "throttle: account",
            Self::Throttle(Throttled::Number) => "throttle: number",
            Self::Throttle(Throttled::Pair) => "throttle: pair",
            Self::Wait(_) => "wait",
            Self::RetryableAnswer => "doubt, then retry",
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

    /// Whether the same message is retried automatically.
    #[must_use]
    pub fn tries_again(self) -> bool {
        matches!(self, Self::Retry | Self::Throttle(_) | Self::Wait(_) | Self::RetryableAnswer | Self::Reconnect)
    }
}

/// Returns the rule of a code; `None` for an unknown code, which is final and raises an alert.
#[must_use]
pub fn rule(code: i64) -> Option<&'static ErrorRule> {
    RULES.iter().find(|rule| rule.codes.contains(&code))
}

/// Returns the class of a code. An unknown code is final, so its message is never sent twice.
#[must_use]
pub fn class(code: i64) -> ErrorClass {
    rule(code).map_or(ErrorClass::Final, |rule| rule.class)
}

/// Pause of a number after too many calls of its app or account.
const CALLS_PAUSE: SignedDuration = SignedDuration::from_secs(60);
/// Pause of a number in maintenance.
const MAINTENANCE_PAUSE: SignedDuration = SignedDuration::from_secs(15);

/// Returns the effect of a code on later messages.
#[must_use]
pub fn consequence(code: i64) -> Option<Consequence> {
    let Some(rule) = rule(code) else { return Some(Consequence::Unknown) };
    match rule.class {
        ErrorClass::Throttle(Throttled::Number) => Some(Consequence::SlowDown),
        ErrorClass::Throttle(Throttled::App | Throttled::Account) => Some(Consequence::Pause(CALLS_PAUSE)),
        ErrorClass::Retry => Some(Consequence::Pause(MAINTENANCE_PAUSE)),
        ErrorClass::Account(wait) => Some(Consequence::Stop(wait, rule.meaning, rule.remedy)),
        ErrorClass::Reconnect => Some(Consequence::Reconnect(rule.meaning, rule.remedy)),
        ErrorClass::CoolDown(wait) => Some(Consequence::CoolDown(wait)),
        ErrorClass::OptedOut => Some(Consequence::OptedOut),
        ErrorClass::Blocked => Some(Consequence::Block),
        ErrorClass::Template(wait) => Some(Consequence::StopTemplate(wait, rule.meaning, rule.remedy)),
        ErrorClass::Throttle(Throttled::Pair)
        | ErrorClass::Wait(_)
        | ErrorClass::RetryableAnswer
        | ErrorClass::Final
        | ErrorClass::WindowClosed => None,
    }
}

/// Whether the code means that the access token is invalid, so that a cached copy must be dropped.
#[must_use]
pub fn is_token_error(code: i64) -> bool {
    matches!(code, 0 | 102 | 190)
}

/// Returns the action that a person can take, if the code is known. Our own errors have code -1 and are not in the
/// table.
#[must_use]
pub fn remedy(code: i64) -> Option<&'static str> {
    rule(code).map(|rule| rule.remedy)
}

/// Returns whether Meta rejected the `appsecret_proof` because it was made with a replaced app secret. token-refresh
/// reseals the token within minutes.
///
/// Format of the error: `docs/meta/onboarding.md#section-10-3`.
#[must_use]
pub fn is_stale_proof(error: &ProviderError) -> bool {
    let names_it = |text: &str| text.contains("appsecret_proof");
    error.code == 100 && (names_it(&error.title) || error.details.as_deref().is_some_and(names_it))
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
        assert_eq!(class(999_999), ErrorClass::Final);
        assert!(rule(999_999).is_none());
    }
}
