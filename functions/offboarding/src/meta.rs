//! Calls to Meta. All are repeatable; an object that is already gone at Meta counts as done.

use std::collections::HashSet;

use shared::domain::accounts::account::{Aspect, StoredState};
use shared::domain::accounts::app::{CreditLine, MetaApp, SignupSettings};
use shared::domain::accounts::states;
use shared::domain::ids::{MetaAppId, WabaId};
use shared::domain::lifecycle::offboarding::{Offboarding, Why};
use shared::provider::meta::graph::CallFailure;
use shared::storage::TokenRecord;
use shared::vault::Context;

use crate::{Deps, Ended, LeavingError};

/// Meta's error codes for a token, account or share that no longer exists, so nothing is left to revoke.
const GONE: [i64; 6] = [10, 33, 100, 102, 190, 200];

/// Unsubscribes our app from the account's webhooks.
pub(crate) async fn unsubscribe(deps: &Deps, offboarding: &Offboarding) -> Result<Ended, LeavingError> {
    if offboarding.why == Why::Disconnected {
        return Ok(Ended::Skipped("Not needed: the business withdrew the access itself."));
    }
    let mut worst: Option<Ended> = None;
    for account in &offboarding.accounts {
        let Some(record) = deps.table.token_get_record(account).await? else { continue };
        let context = Context::GraphToken { tenant: record.tenant, waba: account.clone() };
        let token = deps.vault.open_token(&record.sealed, &context).await?;
        if let Err(failure) = deps.graph.unsubscribe(&token, account).await
            && let Some(ended) = unless_gone(&failure, "Remove the app from the account in Business settings.")
        {
            worst = Some(ended.with(worst));
        }
    }
    Ok(worst.unwrap_or(Ended::Done))
}

/// Revokes all shares of our credit line with the business, regardless of their origin.
pub(crate) async fn credit(deps: &Deps, offboarding: &Offboarding) -> Result<Ended, LeavingError> {
    let (mut worst, mut revoked, mut asked): (Option<Ended>, _, _) = (None, 0, HashSet::new());
    for account in &offboarding.accounts {
        let Some(known) = deps.table.account_get(account).await? else { continue };
        let (Some(business), Some(app)) = (known.business, known.app) else { continue };
        let Some(line) = deps.table.signup_settings_get(&app).await?.and_then(|settings| settings.credit) else {
            continue;
        };
        if !asked.insert(business.clone()) || shares_more(deps, offboarding, &business).await? {
            continue;
        }
        match credit_of(deps, &app, &line, &business).await? {
            Revocation::Shares(shares) => revoked += shares,
            // The other shares are revoked anyway.
            Revocation::Stopped(ended) => worst = Some(ended.with(worst)),
        }
    }
    Ok(match (worst, revoked) {
        (Some(ended), _) => ended,
        (None, 0) => {
            Ended::Skipped("Not needed: no credit line of ours pays for it, or it also pays for other accounts.")
        }
        (None, _) => Ended::Done,
    })
}

/// Result of revoking a business's shares of a credit line.
enum Revocation {
    /// All shares are revoked; contains their number.
    Shares(usize),
    /// A share may remain.
    Stopped(Ended),
}

/// Revokes a business's shares of a credit line.
async fn credit_of(
    deps: &Deps,
    app: &MetaAppId,
    line: &CreditLine,
    business: &str,
) -> Result<Revocation, LeavingError> {
    const BY_HAND: &str =
        "Revoke the share of the credit line in Meta's Business settings. Until then you pay for the business.";
    let Some(sealed) = deps.table.system_token_get(app).await? else {
        let cause = format!("No token of our own system user is stored to revoke the credit of business {business}.");
        return Ok(Revocation::Stopped(Ended::Failed { code: None, cause, action: BY_HAND }));
    };
    let system = deps.vault.open_token(&sealed, &Context::SystemToken(app.clone())).await?;
    let refused = |failure: &CallFailure| {
        // A token without permission must not be mistaken for a share that is gone, because money is at stake.
        let cause = format!("Meta did not revoke the credit of business {business}: {}", failure.error().title);
        match failure {
            CallFailure::TryLater(_) => Ended::Later { code: code(failure), cause },
            CallFailure::Refused(_) => Ended::Failed { code: code(failure), cause, action: BY_HAND },
        }
    };
    let shares = match deps.graph.credit_shares(&system, line, business).await {
        Ok(shares) => shares,
        Err(failure) => return Ok(Revocation::Stopped(refused(&failure))),
    };
    for share in shares.iter().filter(|share| !share.is_deleted()) {
        if let Err(failure) = deps.graph.revoke_credit(&system, &share.id).await {
            return Ok(Revocation::Stopped(refused(&failure)));
        }
    }
    Ok(Revocation::Shares(shares.len()))
}

/// Revokes the tokens at Meta. They are deleted here even if Meta refuses.
pub(crate) async fn revoke(deps: &Deps, offboarding: &Offboarding) -> Result<Ended, LeavingError> {
    let mut worst: Option<Ended> = None;
    for account in &offboarding.accounts {
        let Some(record) = deps.table.token_get_record(account).await? else { continue };
        let refused = match offboarding.why {
            Why::Disconnected => None,
            Why::Requested | Why::DeletionRequested => revoke_at_meta(deps, offboarding, account, &record).await?,
        };
        match refused {
            None => deps.table.graph_token_delete(account, &record).await?,
            Some(refused) => worst = Some(refused.with(worst)),
        }
    }
    Ok(worst.unwrap_or(Ended::Done))
}

/// Deletes the tokens that Meta did not revoke.
pub(crate) async fn forget_tokens(deps: &Deps, offboarding: &Offboarding) -> Result<(), LeavingError> {
    for account in &offboarding.accounts {
        if let Some(record) = deps.table.token_get_record(account).await? {
            deps.table.graph_token_delete(account, &record).await?;
        }
    }
    Ok(())
}

async fn revoke_at_meta(
    deps: &Deps,
    offboarding: &Offboarding,
    account: &WabaId,
    record: &TokenRecord,
) -> Result<Option<Ended>, LeavingError> {
    if let Some(business) = &record.business
        && shares_more(deps, offboarding, business).await?
    {
        // The business's other account may use the same token.
        return Ok(None);
    }
    // The owner must revoke a token that was stored by hand.
    let Some((app, settings)) = app(deps, record).await? else { return Ok(None) };
    let Some(secret) = app.app_secrets.first() else { return Ok(None) };
    let context = Context::GraphToken { tenant: record.tenant, waba: account.clone() };
    let token = deps.vault.open_token(&record.sealed, &context).await?;
    let revoked = deps.graph.revoke_token(&settings.client_id, secret, &token.value).await;
    let by_hand = "Remove the app under Connected apps in the business's settings.";
    Ok(revoked.err().and_then(|failure| unless_gone(&failure, by_hand)))
}

/// Whether the business shares another account with us that stays connected.
pub(crate) async fn shares_more(deps: &Deps, offboarding: &Offboarding, business: &str) -> Result<bool, LeavingError> {
    for other in deps.table.account_list_of_tenant(business).await? {
        // An account with its own offboarding is already stopped and does not stay.
        let stays = deps.table.account_get(&other).await?.is_some_and(|known| known.has_token);
        if stays && !offboarding.accounts.contains(&other) && !is_leaving(deps, &other).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether Meta reported the account as removed, and no later good news ended that.
pub(crate) async fn is_leaving(deps: &Deps, account: &WabaId) -> Result<bool, LeavingError> {
    let (of_account, now) = (deps.table.account_list_states(account).await?, deps.clock.now());
    let removed = |of_number: &[StoredState]| {
        let mut holding = states::in_force(of_number, &of_account, now);
        holding.any(|(_, state)| state.aspect == Aspect::Partner.as_str() && state.word == "removed")
    };
    if removed(&[]) {
        return Ok(true);
    }
    // The report may name the account's only number.
    for number in deps.table.account_list_numbers(account).await? {
        if removed(&deps.table.number_list_states(&number).await?) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn app(deps: &Deps, record: &TokenRecord) -> Result<Option<(MetaApp, SignupSettings)>, LeavingError> {
    let Some(id) = &record.app else { return Ok(None) };
    let Some((sealed, settings)) = deps.table.signup_app_get(id).await? else { return Ok(None) };
    Ok(Some((deps.vault.open_app(id, &sealed).await?, settings)))
}

fn unless_gone(failure: &CallFailure, action: &'static str) -> Option<Ended> {
    let error = failure.error();
    let cause = error.title.clone();
    if error.is_the_providers() && GONE.contains(&error.code) {
        return None;
    }
    match failure {
        CallFailure::TryLater(_) => Some(Ended::Later { code: code(failure), cause }),
        CallFailure::Refused(_) => Some(Ended::Failed { code: code(failure), cause, action }),
    }
}

fn code(failure: &CallFailure) -> Option<i64> {
    let error = failure.error();
    error.is_the_providers().then_some(error.code)
}
