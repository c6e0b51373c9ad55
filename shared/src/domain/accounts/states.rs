//! Which of the states reported for a number and its account still hold.
//!
//! A state is over when its end has passed, or when later good news replaces it. Good news about the whole account also
//! ends a state of one of its numbers; good news about a number ends a state of the account for that number.

use jiff::Timestamp;

use crate::domain::accounts::account::{Aspect, StoredState};

/// Subject of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One number.
    Number,
    /// The whole account, with all of its numbers.
    Account,
}

/// An aspect with one of its words.
type Word = (Aspect, &'static str);

/// States that stop an account or a number, each with the good news that ends it.
const ENDED_BY: [(Word, &[Word]); 8] = [
    (
        (Aspect::Partner, "removed"),
        &[(Aspect::Partner, "added"), (Aspect::Coexistence, "reconnected"), (Aspect::Token, "proved")],
    ),
    (
        (Aspect::PartnerApp, "uninstalled"),
        &[(Aspect::PartnerApp, "installed"), (Aspect::Partner, "added"), (Aspect::Token, "proved")],
    ),
    (
        (Aspect::Token, "withdrawn"),
        &[
            (Aspect::Token, "proved"),
            (Aspect::Token, "to_be_proved"),
            (Aspect::Partner, "added"),
            (Aspect::PartnerApp, "installed"),
            (Aspect::Coexistence, "reconnected"),
        ],
    ),
    ((Aspect::Coexistence, "offboarded"), &[(Aspect::Coexistence, "reconnected"), (Aspect::Partner, "added")]),
    ((Aspect::Coexistence, "disconnected"), &[(Aspect::Coexistence, "reconnected"), (Aspect::Partner, "added")]),
    ((Aspect::Ban, "DISABLE"), &[(Aspect::Ban, "REINSTATE")]),
    ((Aspect::Review, "REJECTED"), &[(Aspect::Review, "APPROVED")]),
    ((Aspect::Deletion, "deleted"), &[(Aspect::Partner, "added")]),
];

/// Returns the states that hold at `now`, each with its subject.
pub fn in_force<'s>(
    number: &'s [StoredState],
    account: &'s [StoredState],
    now: Timestamp,
) -> impl Iterator<Item = (Scope, &'s StoredState)> {
    all(number, account).filter(move |(scope, state)| !is_over(*scope, state, number, account, now))
}

/// Returns whether a state of this subject is over.
#[must_use]
pub fn is_over(
    scope: Scope,
    state: &StoredState,
    number: &[StoredState],
    account: &[StoredState],
    now: Timestamp,
) -> bool {
    state.until.is_some_and(|until| until <= now)
        || all(number, account).any(|(of, news)| state.at < news.at && ends(of, news, scope, state))
}

/// Returns whether a proof that the account's token works would end one of these states of the account.
#[must_use]
pub fn wait_for_proof(account: &[StoredState], now: Timestamp) -> bool {
    let stops = |state: &StoredState| {
        [Aspect::Partner, Aspect::PartnerApp, Aspect::Token].iter().any(|aspect| {
            aspect.as_str() == state.aspect && ["removed", "uninstalled", "withdrawn"].contains(&state.word.as_str())
        })
    };
    in_force(&[], account, now).any(|(_, state)| stops(state))
}

fn all<'s>(number: &'s [StoredState], account: &'s [StoredState]) -> impl Iterator<Item = (Scope, &'s StoredState)> {
    let of_number = number.iter().map(|state| (Scope::Number, state));
    of_number.chain(account.iter().map(|state| (Scope::Account, state)))
}

/// Returns whether the news ends the state, if the news is later.
fn ends(of: Scope, news: &StoredState, scope: Scope, state: &StoredState) -> bool {
    // The token of an account that lost one of its numbers still works.
    if (of, scope) == (Scope::Account, Scope::Number) && news.word == "proved" && state.aspect != news.aspect {
        return false;
    }
    let rule = ENDED_BY.iter().find(|((aspect, word), _)| aspect.as_str() == state.aspect && *word == state.word);
    rule.is_some_and(|(_, good)| good.iter().any(|(aspect, word)| aspect.as_str() == news.aspect && *word == news.word))
}
