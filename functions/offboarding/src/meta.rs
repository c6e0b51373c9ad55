//! What Meta is told. All of it may be told twice; what is gone at Meta already is done.

use shared::domain::app::{MetaApp, SignupSettings};
use shared::domain::ids::{MetaAppId, WabaId};
use shared::domain::offboarding::{Offboarding, Why};
use shared::provider::meta::graph::CallFailure;
use shared::storage::TokenRecord;
use shared::vault::Context;

use crate::{Deps, Ended, LeavingError};

/// What Meta says of a token, an account or a share that is gone: there is nothing left to take back.
const GONE: [i64; 6] = [10, 33, 100, 102, 190, 200];

/// The account's webhooks come to our app no more.
pub(crate) async fn unsubscribe(deps: &Deps, offboarding: &Offboarding) -> Result<Ended, LeavingError> {
    if offboarding.why == Why::Disconnected {
        return Ok(Ended::Skipped("The business took the access back itself."));
    }
    for account in &offboarding.accounts {
        let Some(record) = deps.table.token_record(account).await? else { continue };
        let context = Context::GraphToken { tenant: record.tenant, waba: account.clone() };
        let token = deps.vault.open_token(&record.sealed, &context).await?;
        if let Err(failure) = deps.graph.unsubscribe(&token, account).await
            && let Some(ended) = unless_gone(&failure, "Remove the app from the account in Business settings.")
        {
            return Ok(ended);
        }
    }
    Ok(Ended::Done)
}

/// The credit line pays for the business no more.
pub(crate) async fn credit(deps: &Deps, offboarding: &Offboarding) -> Result<Ended, LeavingError> {
    const BY_HAND: &str =
        "Take the share of the credit line back in Meta's Business settings: until then you pay for the business.";
    if offboarding.shares.is_empty() {
        return Ok(Ended::Skipped(
            "No credit line of ours pays for it, or it pays for another account of the business.",
        ));
    }
    for one in &offboarding.shares {
        let app = MetaAppId::parse(&one.app).ok();
        let sealed = match &app {
            Some(app) => deps.table.system_token(app).await?,
            None => None,
        };
        let (Some(app), Some(sealed)) = (app, sealed) else {
            let cause = format!("There is no token of our own system user to take share {} back.", one.share);
            return Ok(Ended::Failed { code: None, cause, action: BY_HAND });
        };
        let system = deps.vault.open_token(&sealed, &Context::SystemToken(app)).await?;
        let known = match deps.graph.credit_share(&system, &one.share).await {
            Ok(share) if share.is_deleted() => continue,
            Ok(_) => deps.graph.revoke_credit(&system, &one.share).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = known {
            // A token that lacks the right and a share that is gone must not be mixed up here: money is at stake.
            let error = failure.error();
            let cause = format!("Meta does not take share {} back: {}", one.share, error.title);
            return Ok(match failure {
                CallFailure::TryLater(_) => Ended::Later { code: code(&failure), cause },
                CallFailure::Refused(_) => Ended::Failed { code: code(&failure), cause, action: BY_HAND },
            });
        }
    }
    Ok(Ended::Done)
}

/// The token is worth nothing, and is forgotten here whatever Meta says.
pub(crate) async fn revoke(deps: &Deps, offboarding: &Offboarding) -> Result<Ended, LeavingError> {
    for account in &offboarding.accounts {
        let Some(record) = deps.table.token_record(account).await? else { continue };
        if record.sealed_at > offboarding.started_at {
            // Connected again meanwhile: that token is not the one that leaves.
            continue;
        }
        if offboarding.why != Why::Disconnected
            && let Some(ended) = revoke_at_meta(deps, offboarding, account, &record).await?
        {
            if matches!(ended, Ended::Failed { .. }) {
                deps.table.forget_token(account, &record).await?;
            }
            return Ok(ended);
        }
        deps.table.forget_token(account, &record).await?;
    }
    Ok(Ended::Done)
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
        // It may be the very token that its other account uses.
        return Ok(None);
    }
    // A token that was stored by hand is its owner's to revoke.
    let Some((app, settings)) = app(deps, record).await? else { return Ok(None) };
    let Some(secret) = app.app_secrets.first() else { return Ok(None) };
    let context = Context::GraphToken { tenant: record.tenant, waba: account.clone() };
    let token = deps.vault.open_token(&record.sealed, &context).await?;
    let revoked = deps.graph.revoke_token(&settings.client_id, secret, &token.value).await;
    let by_hand = "Remove the app under Connected apps in the business's settings.";
    Ok(revoked.err().and_then(|failure| unless_gone(&failure, by_hand)))
}

/// Whether a business shares another account with us that stays.
pub(crate) async fn shares_more(deps: &Deps, offboarding: &Offboarding, business: &str) -> Result<bool, LeavingError> {
    for other in deps.table.accounts_of(business).await? {
        if !offboarding.accounts.contains(&other) && deps.table.token_record(&other).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn app(deps: &Deps, record: &TokenRecord) -> Result<Option<(MetaApp, SignupSettings)>, LeavingError> {
    let Some(id) = &record.app else { return Ok(None) };
    let Some((sealed, settings)) = deps.table.signup_app(id).await? else { return Ok(None) };
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
