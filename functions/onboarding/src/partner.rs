//! What only some installations need: a callback URL of the account's own, and a Solution Partner's credit line.

use shared::clock::Timestamp;
use shared::domain::app::SignupSettings;
use shared::domain::ids::WabaId;
use shared::domain::onboarding::{CREDIT_TAKES, Onboarding, Step};
use shared::domain::token::AccessToken;
use shared::provider::meta::graph::CallFailure;
use shared::vault::Context;

use crate::steps::{Ended, ended, failed};
use crate::{Deps, NotRecorded};

const NOT_ATTACHED: Ended = Ended::Later {
    code: None,
    cause: "The credit line was shared; Meta does not say yet that it pays for the account.",
    wait: shared::clock::SignedDuration::from_secs(10),
};

/// What signups through the onboarding's app need.
pub(crate) async fn settings(deps: &Deps, onboarding: &Onboarding) -> Result<SignupSettings, NotRecorded> {
    Ok(deps.table.signup_settings(&onboarding.app).await?.unwrap_or_default())
}

/// The token of our own system user, if one is stored.
pub(crate) async fn system_token(deps: &Deps, onboarding: &Onboarding) -> Result<Option<AccessToken>, NotRecorded> {
    let Some(sealed) = deps.table.system_token(&onboarding.app).await? else { return Ok(None) };
    Ok(Some(deps.vault.open_token(&sealed, &Context::SystemToken(onboarding.app.clone())).await?))
}

/// The account's webhooks go to the callback URL that the settings name. Meta asks that URL at once.
pub(crate) async fn override_callback(
    deps: &Deps,
    onboarding: &Onboarding,
    account: &WabaId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let known = deps.table.signup_app(&onboarding.app).await?;
    let Some((sealed, url)) = known.and_then(|(sealed, settings)| Some((sealed, settings.override_url?))) else {
        return Ok(Ended::Skipped("The app's own callback URL gets the account's webhooks."));
    };
    let app = deps.vault.open_app(&onboarding.app, &sealed).await?;
    let Some(verify_token) = app.verify_tokens.first() else {
        return Ok(failed("The Meta app has no verify token.", "Store it again with `operator app`."));
    };
    let called = deps.graph.override_callback(token, account, (&url, verify_token)).await;
    Ok(called.map_or_else(|failure| ended(Step::Override, &failure), |()| Ended::Done))
}

/// Our credit line pays for the account: looked at first, shared once, looked at again.
pub(crate) async fn credit(
    deps: &Deps,
    onboarding: &Onboarding,
    account: &WabaId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let Some(line) = settings(deps, onboarding).await?.credit else {
        return Ok(Ended::Skipped("The business pays Meta itself: the app has no credit line."));
    };
    let Some(system) = system_token(deps, onboarding).await? else {
        let action = "Store it in META_SYSTEM_TOKEN with `operator signup`, and retry the step.";
        return Ok(failed("The app has a credit line, but no token of our own system user.", action));
    };
    let known = deps.table.token_record(account).await?;
    let Some(business) = known.and_then(|known| known.business) else {
        let action = "Let the business go through the signup again, and check that it shares its account.";
        return Ok(failed("Meta does not say which business owns the account.", action));
    };
    let look = async || -> Result<bool, CallFailure> {
        let paid_by = deps.graph.account(token, account).await?.primary_funding_id;
        let shares = deps.graph.credit_shares(&system, &line, &business).await?;
        Ok(shares.iter().any(|share| share.pays(paid_by.as_deref())))
    };
    let attached = async {
        deps.graph.assign_user(&system, account, &line.system_user).await?;
        look().await
    };
    match attached.await {
        Ok(true) => return Ok(Ended::Done),
        Ok(false) => {
            let now = deps.clock.now();
            // Asked for, and not attached yet: asked again only after Meta had time to show it.
            if let Some(asked) = deps.table.take_credit_share(account, now).await? {
                return Ok(not_attached(asked, now));
            }
            if let Err(failure) = deps.graph.share_credit(&system, &line, account).await {
                return Ok(ended(Step::Credit, &failure));
            }
        }
        Err(failure) => return Ok(ended(Step::Credit, &failure)),
    }
    Ok(match look().await {
        Ok(true) => Ended::Done,
        Ok(false) => NOT_ATTACHED,
        Err(failure) => ended(Step::Credit, &failure),
    })
}

fn not_attached(asked: Timestamp, now: Timestamp) -> Ended {
    let Ended::Later { code, cause, wait } = NOT_ATTACHED else { return NOT_ATTACHED };
    let left = CREDIT_TAKES - now.duration_since(asked);
    Ended::Later {
        code,
        cause,
        wait: if left > wait { wait } else { left.max(shared::clock::SignedDuration::from_secs(1)) },
    }
}
