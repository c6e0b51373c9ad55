//! Meta's hosted signup has no page of ours: a business shares its account, and Meta reports that. The token is fetched by our own system user
//! (`facts/onboarding.md` §1.4). Where the business came through a popup of ours too, that way is the right one.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::ids::WabaId;
use shared::domain::onboarding::{HOSTED_AFTER, Onboarding, Step, StepRecord, StepState};
use shared::vault::Context;

use crate::partner::system_token;
use crate::steps::{Ended, ended, failed};
use crate::{Deps, NotRecorded, record};

/// Fetches and proves the token. `Some`: that is not done, and how it goes on.
pub(crate) async fn begin(deps: &Deps, onboarding: &Onboarding) -> Result<Option<Option<SignedDuration>>, NotRecorded> {
    let (Some(account), Some(business)) = (&onboarding.account, &onboarding.hosted_by) else { return Ok(Some(None)) };
    if onboarding.steps.iter().any(|(_, record)| record.state == StepState::Failed) {
        return Ok(Some(None));
    }
    let now = deps.clock.now();
    let begins = onboarding.created_at.checked_add(HOSTED_AFTER).unwrap_or(Timestamp::MAX);
    if now < begins {
        return Ok(Some(Some(begins.duration_since(now))));
    }
    if !onboarding.is_through(Step::Exchange) {
        // One of the same tenant's that left comes back.
        let known = deps.table.account(account).await?;
        if known.is_some_and(|known| known.has_token || known.tenant != onboarding.tenant) {
            deps.table.end_onboarding(onboarding.id, "the account was connected by a signup of its own").await?;
            return Ok(Some(None));
        }
        if deps.table.is_claimed(account, now).await? {
            deps.table.end_onboarding(onboarding.id, "a signup of its own is about the account").await?;
            return Ok(Some(None));
        }
        if let Some(failure) = fetch(deps, onboarding, business).await? {
            return record(deps, onboarding, Step::Exchange, failure).await;
        }
    }
    let proved = prove(deps, onboarding, account).await?;
    record(deps, onboarding, Step::Prove, proved).await
}

/// The token that the business gave our app, sealed before anything else. `Some`: how it failed.
async fn fetch(deps: &Deps, onboarding: &Onboarding, business: &str) -> Result<Option<Ended>, NotRecorded> {
    let Some(system) = system_token(deps, onboarding).await? else {
        let action = "Store it in META_SYSTEM_TOKEN with `operator signup`, and retry the step.";
        return Ok(Some(failed("There is no token of our own system user, which fetches the business's.", action)));
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
    deps.table.put_onboarding_token(onboarding.id, &sealed, &done).await?;
    Ok(None)
}

const NO_APP: Ended = Ended::Failed {
    code: None,
    cause: "The Meta app has no secret or no settings for signups.",
    action: "Store them again with `operator app` and `operator signup`.",
};

async fn prove(deps: &Deps, onboarding: &Onboarding, account: &WabaId) -> Result<Ended, NotRecorded> {
    let Some((_, keyed)) = deps.table.onboarding(onboarding.id).await? else { return Ok(NO_APP) };
    let (Some(sealed), Some((settings, app))) = (keyed.token, app(deps, onboarding).await?) else { return Ok(NO_APP) };
    let Some(secret) = app.app_secrets.first() else { return Ok(NO_APP) };
    let context = Context::OnboardingToken { tenant: onboarding.tenant, onboarding: onboarding.id };
    let token = deps.vault.open_token(&sealed, &context).await?;
    let facts = match deps.graph.debug_token(&settings.client_id, secret, &token.value).await {
        Ok(facts) => facts,
        Err(failure) => return Ok(ended(Step::Prove, &failure)),
    };
    if let Some(user) = &facts.user {
        deps.table.note_signer(onboarding.id, user).await?;
    }
    Ok(match facts.check(&settings.client_id, Some(account)) {
        Ok(()) => Ended::Done,
        Err(_) => failed(
            "The token that the business gave is not valid, lacks a permission, or does not reach the account.",
            "Check the assets and permissions of the hosted signup, and let the business go through it again.",
        ),
    })
}

type App = (shared::domain::app::SignupSettings, shared::domain::app::MetaApp);

async fn app(deps: &Deps, onboarding: &Onboarding) -> Result<Option<App>, NotRecorded> {
    let Some((sealed, settings)) = deps.table.signup_app(&onboarding.app).await? else { return Ok(None) };
    Ok(Some((settings, deps.vault.open_app(&onboarding.app, &sealed).await?)))
}
