//! Optional steps: a callback URL of the account's own, and a Solution Partner's credit line.

use shared::clock::Timestamp;
use shared::domain::accounts::app::SignupSettings;
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::WabaId;
use shared::domain::lifecycle::onboarding::{CREDIT_TAKES, Onboarding, Step};
use shared::provider::meta::graph::CallFailure;
use shared::vault::Context;

use crate::outcome::{Ended, ended, failed};
use crate::{Deps, NotRecorded};

const NOT_ATTACHED: Ended = Ended::Later {
    code: None,
    cause: "The credit line was shared, but Meta does not yet show it as the account's payment method.",
    wait: shared::clock::SignedDuration::from_secs(10),
};

/// Returns the signup settings of the onboarding's app.
pub(crate) async fn settings(deps: &Deps, onboarding: &Onboarding) -> Result<SignupSettings, NotRecorded> {
    Ok(deps.table.signup_settings_get(&onboarding.app).await?.unwrap_or_default())
}

/// Returns the token of our own system user, if one is stored.
pub(crate) async fn system_token(deps: &Deps, onboarding: &Onboarding) -> Result<Option<AccessToken>, NotRecorded> {
    let Some(sealed) = deps.table.system_token_get(&onboarding.app).await? else { return Ok(None) };
    Ok(Some(deps.vault.open_token(&sealed, &Context::SystemToken(onboarding.app.clone())).await?))
}

/// Directs the account's webhooks to the callback URL in the settings. Meta verifies that URL immediately.
pub(crate) async fn override_callback(
    deps: &Deps,
    onboarding: &Onboarding,
    account: &WabaId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let known = deps.table.signup_app_get(&onboarding.app).await?;
    let Some((sealed, url)) = known.and_then(|(sealed, settings)| Some((sealed, settings.override_url?))) else {
        return Ok(Ended::Skipped("Not needed: the account's webhooks go to the app's callback URL."));
    };
    let app = deps.vault.open_app(&onboarding.app, &sealed).await?;
    let Some(verify_token) = app.verify_tokens.first() else {
        return Ok(failed("The Meta app has no verify token.", "Store it again with `operator app`."));
    };
    let called = deps.graph.override_callback(token, account, &url, verify_token).await;
    Ok(called.map_or_else(|failure| ended(Step::Override, &failure), |()| Ended::Done))
}

/// Makes our credit line pay for the account: checks, shares the line once, checks again.
pub(crate) async fn credit(
    deps: &Deps,
    onboarding: &Onboarding,
    account: &WabaId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let Some(line) = settings(deps, onboarding).await?.credit else {
        return Ok(Ended::Skipped("Not needed: the business pays Meta itself, because the app has no credit line."));
    };
    let Some(system) = system_token(deps, onboarding).await? else {
        let action = "Store it in META_SYSTEM_TOKEN with `operator signup`, and retry the step.";
        return Ok(failed("The app has a credit line, but no stored token of our own system user.", action));
    };
    let known = deps.table.token_get_record(account).await?;
    let Some(business) = known.and_then(|known| known.business) else {
        let action = "Let the business go through the signup again, and check that it shares its account.";
        return Ok(failed("Meta does not show which business owns the account.", action));
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
            // Already requested but not attached yet. It is requested again only after Meta had time to show it.
            if let Some(asked) = deps.table.account_take_credit_share(account, now).await? {
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
