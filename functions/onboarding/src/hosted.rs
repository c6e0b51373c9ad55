//! Onboarding through Meta's hosted signup, without a page of ours: a business shares its account, and Meta reports
//! that. Our own system user fetches the token (`docs/meta/onboarding.md#section-1-4`). If the business also used our
//! popup, that signup takes precedence.

use shared::domain::ids::WabaId;
use shared::domain::lifecycle::onboarding::{HOSTED_AFTER, Onboarding, Step, StepRecord, StepState};
use shared::vault::Context;

use crate::outcome::{Ended, Next, ended, failed};
use crate::partner::system_token;
use crate::{Deps, NotRecorded, record};

/// Fetches and checks the token.
pub(crate) async fn begin(deps: &Deps, onboarding: &Onboarding) -> Result<Next, NotRecorded> {
    let (Some(account), Some(business)) = (&onboarding.account, &onboarding.hosted_by) else { return Ok(Next::Stop) };
    if onboarding.steps.iter().any(|(_, record)| record.state == StepState::Failed) {
        return Ok(Next::Stop);
    }
    let now = deps.clock.now();
    let begins = shared::clock::after(onboarding.created_at, HOSTED_AFTER);
    if now < begins {
        return Ok(Next::Again(begins.duration_since(now)));
    }
    if !onboarding.is_through(Step::Exchange) {
        // An account that the same tenant removed earlier may return.
        let known = deps.table.account_get(account).await?;
        if known.is_some_and(|known| known.has_token || known.tenant != onboarding.tenant) {
            deps.table.onboarding_end(onboarding.id, "the account was connected by another signup").await?;
            return Ok(Next::Stop);
        }
        if deps.table.account_is_claimed(account, now).await? {
            deps.table.onboarding_end(onboarding.id, "another signup for the account is in progress").await?;
            return Ok(Next::Stop);
        }
        if let Some(failure) = fetch(deps, onboarding, business).await? {
            return record(deps, onboarding, Step::Exchange, failure).await;
        }
    }
    let proved = prove(deps, onboarding, account).await?;
    record(deps, onboarding, Step::Prove, proved).await
}

/// Fetches the business's token for our app, and encrypts and stores it first. Returns `Some` on failure.
async fn fetch(deps: &Deps, onboarding: &Onboarding, business: &str) -> Result<Option<Ended>, NotRecorded> {
    let Some(system) = system_token(deps, onboarding).await? else {
        let action = "Store it in META_SYSTEM_TOKEN with `operator signup`, and retry the step.";
        return Ok(Some(failed("No token of our own system user is stored to fetch the business's token.", action)));
    };
    let Some((_, app)) = app(deps, onboarding).await? else { return Ok(Some(NO_APP)) };
    let Some(secret) = app.app_secrets.first() else { return Ok(Some(NO_APP)) };
    let token = match deps.graph.business_token(secret, &system, business, true).await {
        Ok(token) => token,
        Err(failure) => return Ok(Some(ended(Step::Exchange, &failure))),
    };
    let context = Context::OnboardingToken { tenant: onboarding.tenant, onboarding: onboarding.id };
    let sealed = deps.vault.seal_token(&token, &context).await?;
    let done = StepRecord::new(StepState::Done, deps.clock.now(), 1);
    deps.table.onboarding_put_token(onboarding.id, &sealed, &done).await?;
    Ok(None)
}

const NO_APP: Ended = Ended::Failed {
    code: None,
    cause: "The Meta app has no secret or no settings for signups.",
    action: "Store them again with `operator app` and `operator signup`.",
};

async fn prove(deps: &Deps, onboarding: &Onboarding, account: &WabaId) -> Result<Ended, NotRecorded> {
    let Some((_, keyed)) = deps.table.onboarding_get(onboarding.id).await? else { return Ok(NO_APP) };
    let (Some(sealed), Some((settings, app))) = (keyed.token, app(deps, onboarding).await?) else { return Ok(NO_APP) };
    let Some(secret) = app.app_secrets.first() else { return Ok(NO_APP) };
    let context = Context::OnboardingToken { tenant: onboarding.tenant, onboarding: onboarding.id };
    let token = deps.vault.open_token(&sealed, &context).await?;
    let facts = match deps.graph.debug_token(&settings.client_id, secret, &token.value).await {
        Ok(facts) => facts,
        Err(failure) => return Ok(ended(Step::Prove, &failure)),
    };
    if let Some(user) = &facts.user {
        deps.table.signer_add_account(onboarding.id, user).await?;
    }
    Ok(match facts.check(&settings.client_id, Some(account)) {
        Ok(()) => Ended::Done,
        Err(_) => failed(
            "The token from the business is invalid, lacks a permission, or does not reach the account.",
            "Check the assets and permissions of the hosted signup, and let the business go through it again.",
        ),
    })
}

type App = (shared::domain::accounts::app::SignupSettings, shared::domain::accounts::app::MetaApp);

async fn app(deps: &Deps, onboarding: &Onboarding) -> Result<Option<App>, NotRecorded> {
    let Some((sealed, settings)) = deps.table.signup_app_get(&onboarding.app).await? else { return Ok(None) };
    Ok(Some((settings, deps.vault.open_app(&onboarding.app, &sealed).await?)))
}
