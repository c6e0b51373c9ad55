//! Exchange of the signup code for a token. The attempt is recorded before and after, so that no code is exchanged
//! twice.

use axum::http::StatusCode;
use sha2::{Digest, Sha256};
use shared::clock::Timestamp;
use shared::domain::accounts::app::{MetaApp, SignupSettings};
use shared::domain::accounts::token::AccessToken;
use shared::domain::event::ProviderError;
use shared::domain::ids::MetaAppId;
use shared::domain::lifecycle::onboarding::{EXCHANGE_TAKES, Onboarding, Step, StepRecord, StepState};
use shared::http::Problem;
use shared::provider::meta::graph::CallFailure;
use shared::provider::meta::oauth::Exchange;
use shared::provider::meta::signup_errors;
use shared::secret::Secret;
use shared::storage::{Begun, Keyed};
use shared::vault::Context;

use crate::{Deps, unavailable};

/// Credential returned by the popup.
pub(crate) enum Given {
    /// A code, as documented by Meta for Embedded Signup.
    Code(Secret),
    /// A short-lived user token, from a popup configuration without codes.
    UserToken(Secret),
}

/// Exchanges the credential for a long-lived token, unless that is done already. Returns `false` if there is no token;
/// the recorded step contains the cause.
pub(crate) async fn exchange(
    deps: &Deps,
    onboarding: &Onboarding,
    keyed: &Keyed,
    given: &Given,
    now: Timestamp,
) -> Result<bool, Problem> {
    let (Given::Code(secret) | Given::UserToken(secret)) = given;
    let hash = hex::encode(Sha256::digest(secret.expose().as_bytes()));
    if keyed.token.is_some() {
        return Ok(true);
    }
    let failed = onboarding.step(Step::Exchange).is_some_and(|record| record.state == StepState::Failed);
    let instead = match &keyed.code {
        Some((known, _)) if failed && *known != hash => Some(known.as_str()),
        // The same code again: its recorded failure stays.
        Some(_) if failed => return Ok(false),
        Some((_, begun)) if now.duration_since(*begun) <= EXCHANGE_TAKES => {
            let title = "The code is already being exchanged.";
            return Err(
                Problem::conflict("exchange_in_progress", title).remedy("Read the onboarding in a few seconds.")
            );
        }
        Some(_) => {
            let died = ProviderError::ours("exchange_died", "it is unknown whether the code was exchanged");
            record(deps, onboarding, &died, now).await?;
            return Ok(false);
        }
        None => None,
    };
    let (app, settings) = app(deps, &onboarding.app).await?;
    let Some(secret) = app.app_secrets.first() else { return Err(Problem::unavailable()) };
    let begun = deps.table.onboarding_begin_exchange(onboarding.id, &hash, instead, now).await;
    if begun.map_err(|error| unavailable("table", &error))? == Begun::Another {
        let title = "Another request is finishing this signup.";
        return Err(Problem::conflict("exchange_in_progress", title).remedy("Read the onboarding in a few seconds."));
    }
    let exchanged = match given {
        Given::Code(code) => deps.graph.exchange_code(&settings.client_id, secret, code).await,
        Given::UserToken(token) => extended(deps.graph.extend_token(&settings.client_id, secret, token).await),
    };
    match exchanged {
        Exchange::Done(token) => {
            let context = Context::OnboardingToken { tenant: onboarding.tenant, onboarding: onboarding.id };
            let sealed = deps.vault.seal_token(&token, &context).await.map_err(|error| unavailable("vault", &error))?;
            let done = StepRecord::new(StepState::Done, now, 1);
            let stored = deps.table.onboarding_put_token(onboarding.id, &sealed, &done).await;
            stored.map_err(|error| unavailable("table", &error))?;
            deps.metrics.count("onboarding", "exchanged", 1);
            Ok(true)
        }
        Exchange::NotReached(error) => {
            deps.table
                .onboarding_free_code(onboarding.id, &hash)
                .await
                .map_err(|error| unavailable("table", &error))?;
            tracing::warn!(event = "signup.meta_not_reached", title = %error.title);
            let title = "Meta could not be reached.";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "meta_not_reached", title)
                .remedy("Repeat the same request at once: a code is valid for 30 seconds."))
        }
        Exchange::Refused(error) | Exchange::Unknown(error) => {
            record(deps, onboarding, &error, now).await?;
            Ok(false)
        }
    }
}

/// Maps the result of extending a token. Extending is repeatable, so a lost response counts as "not reached".
fn extended(answer: Result<AccessToken, CallFailure>) -> Exchange {
    match answer {
        Ok(token) => Exchange::Done(token),
        Err(CallFailure::Refused(error)) => Exchange::Refused(error),
        Err(CallFailure::TryLater(error)) if error.is_the_providers() => Exchange::Refused(error),
        Err(CallFailure::TryLater(error)) => Exchange::NotReached(error),
    }
}

/// Records that no token exists and that the code cannot be used again.
async fn record(deps: &Deps, onboarding: &Onboarding, error: &ProviderError, now: Timestamp) -> Result<(), Problem> {
    deps.metrics.count("onboarding", "exchange_failed", 1);
    let rule = signup_errors::meaning(Step::Exchange, error);
    let provider = error.is_the_providers();
    let cause =
        if provider { rule.cause } else { "It is unknown whether Meta accepted the code, which is valid only once." };
    let failed = StepRecord {
        code: provider.then_some(error.code),
        cause: Some(cause.to_owned()),
        action: Some(if provider { rule.action } else { "Let the business go through the signup again." }.to_owned()),
        ..StepRecord::new(StepState::Failed, now, 1)
    };
    let recorded = deps.table.onboarding_record_step(onboarding.id, Step::Exchange, &failed).await;
    recorded.map_err(|error| unavailable("table", &error))
}

/// Loads the app with its secrets and its signup settings.
pub(crate) async fn app(deps: &Deps, id: &MetaAppId) -> Result<(MetaApp, SignupSettings), Problem> {
    let known = deps.table.signup_app_get(id).await.map_err(|error| unavailable("table", &error))?;
    let (sealed, settings) = known.ok_or_else(Problem::not_found)?;
    let app = deps.vault.open_app(id, &sealed).await.map_err(|error| unavailable("vault", &error))?;
    Ok((app, settings))
}
