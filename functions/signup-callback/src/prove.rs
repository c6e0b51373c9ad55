//! Check of the token at Meta: it must belong to our app, be valid and reach the account. The browser's statements are
//! not trusted.

use axum::http::StatusCode;
use shared::clock::Timestamp;
use shared::domain::accounts::token::{AccessToken, TokenFacts, Unfit};
use shared::domain::ids::{OnboardingId, WabaId};
use shared::domain::lifecycle::onboarding::{Onboarding, Step, StepRecord, StepState};
use shared::http::Problem;
use shared::provider::meta::graph::CallFailure;
use shared::provider::meta::signup_errors::{self, Again};
use shared::vault::Context;

use crate::exchange::app;
use crate::{Deps, unavailable};

/// Checks the token, unless that is done already. Returns `true` if the next steps can run.
pub(crate) async fn prove(deps: &Deps, id: OnboardingId, now: Timestamp) -> Result<bool, Problem> {
    let known = deps.table.onboarding_get(id).await.map_err(|error| unavailable("table", &error))?;
    let (onboarding, keyed) = known.ok_or_else(Problem::not_found)?;
    if onboarding.is_through(Step::Prove) {
        return Ok(onboarding.account.is_some());
    }
    let Some(sealed) = keyed.token else { return Ok(false) };
    let context = Context::OnboardingToken { tenant: onboarding.tenant, onboarding: id };
    let token = deps.vault.open_token(&sealed, &context).await.map_err(|error| unavailable("vault", &error))?;
    let (meta_app, settings) = app(deps, &onboarding.app).await?;
    let Some(secret) = meta_app.app_secrets.first() else { return Err(Problem::unavailable()) };
    let facts = match deps.graph.debug_token(&settings.client_id, secret, &token.value).await {
        Ok(facts) => facts,
        Err(outcome) => return failed(deps, &onboarding, &outcome, now).await,
    };
    if let Some(user) = &facts.user {
        deps.table.signer_add_account(id, user).await.map_err(|error| unavailable("table", &error))?;
    }
    let found = match facts.check(&settings.client_id, onboarding.account.as_ref()) {
        Ok(()) => reached(deps, &onboarding, &facts, &token).await,
        Err(unfit) => Err(NotFound::Unfit(unfit)),
    };
    let (account, candidates) = match found {
        Ok(found) => found,
        Err(NotFound::Call(outcome)) => return failed(deps, &onboarding, &outcome, now).await,
        Err(NotFound::Unfit(unfit)) => {
            let (cause, action) = words(&unfit);
            record(deps, id, StepState::Failed, now, None, Some(cause.to_owned()), Some(action)).await?;
            return Ok(false);
        }
    };
    let about: Vec<&WabaId> = account.iter().chain(&candidates).collect();
    deps.table.account_claim_all(&about, now).await.map_err(|error| unavailable("table", &error))?;
    let settled = deps.table.onboarding_settle_account(id, account.as_ref(), &candidates).await;
    settled.map_err(|error| unavailable("table", &error))?;
    record(deps, id, StepState::Done, now, None, None, None).await?;
    Ok(account.is_some())
}

type Found = (Option<WabaId>, Vec<WabaId>);

/// Reason why a token leads to no account.
enum NotFound {
    /// Meta did not answer, or refused.
    Call(CallFailure),
    /// The token does not fit the signup.
    Unfit(Unfit),
}

impl From<CallFailure> for NotFound {
    fn from(failure: CallFailure) -> Self {
        Self::Call(failure)
    }
}

/// Returns the account of the signup, or the candidates for a choice.
async fn reached(
    deps: &Deps,
    onboarding: &Onboarding,
    facts: &TokenFacts,
    token: &AccessToken,
) -> Result<Found, NotFound> {
    match (&onboarding.account, &facts.accounts) {
        (Some(account), Some(_)) => Ok((Some(account.clone()), Vec::new())),
        // The grant names no accounts. Reading the account shows whether the token reaches it.
        (Some(account), None) => {
            let known = deps.graph.account(token, account).await?;
            let same = known.id == account.as_str();
            if same { Ok((Some(account.clone()), Vec::new())) } else { Err(NotFound::Unfit(Unfit::OtherAccount)) }
        }
        (None, Some(accounts)) => only_or_all(accounts.clone()),
        // A grant without accounts covers all accounts managed by its user.
        (None, None) => only_or_all(deps.graph.reachable_accounts(token).await?),
    }
}

fn only_or_all(accounts: Vec<WabaId>) -> Result<Found, NotFound> {
    match accounts.as_slice() {
        [] => Err(NotFound::Unfit(Unfit::OtherAccount)),
        [only] => Ok((Some(only.clone()), Vec::new())),
        _ => Ok((None, accounts)),
    }
}

async fn failed(deps: &Deps, onboarding: &Onboarding, outcome: &CallFailure, now: Timestamp) -> Result<bool, Problem> {
    let error = outcome.error();
    let rule = signup_errors::meaning(Step::Prove, error);
    let action =
        if rule.again == Again::Never { rule.action } else { "Repeat the request with the popup's message and code." };
    let code = error.is_the_providers().then_some(error.code);
    record(deps, onboarding.id, StepState::Failed, now, code, Some(rule.cause.to_owned()), Some(action)).await?;
    if rule.again == Again::Never {
        return Ok(false);
    }
    let title = "Meta could not confirm the token.";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "meta_not_reached", title).remedy("Repeat the same request."))
}

fn words(unfit: &Unfit) -> (&'static str, &'static str) {
    match unfit {
        Unfit::OtherApp => {
            ("The token belongs to another app.", "Start the popup with the app id returned by the onboarding.")
        }
        Unfit::NotValid => ("The token cannot be used.", "Let the business go through the signup again."),
        Unfit::Lacks(_) => (
            "The token lacks whatsapp_business_management or whatsapp_business_messaging.",
            "Select both permissions in the signup's configuration, and let the business go through the signup again.",
        ),
        Unfit::OtherAccount => (
            "The token reaches no account, or not the one named by the page.",
            "Post the popup's message unchanged, and let the business go through the signup again.",
        ),
    }
}

async fn record(
    deps: &Deps,
    id: OnboardingId,
    state: StepState,
    now: Timestamp,
    code: Option<i64>,
    cause: Option<String>,
    action: Option<&'static str>,
) -> Result<(), Problem> {
    let record = StepRecord { code, cause, action: action.map(str::to_owned), ..StepRecord::new(state, now, 1) };
    deps.table.onboarding_record_step(id, Step::Prove, &record).await.map_err(|error| unavailable("table", &error))
}
