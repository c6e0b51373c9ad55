//! Check of one token: validity, renewal, alerts.

use shared::clock::{SignedDuration, Timestamp};
use shared::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use shared::domain::accounts::states;
use shared::domain::accounts::token::{AccessToken, TokenFacts, warning};
use shared::domain::event::ProviderError;
use shared::domain::ids::WabaId;
use shared::provider::meta::graph::CallFailure;
use shared::provider::meta::oauth::appsecret_proof;
use shared::secret::Secret;
use shared::storage::TokenRecord;
use shared::vault::Context;

use crate::health::{self, App, Credentials};
use crate::{Deps, RefreshError};

/// Interval between two checks of a token.
const EVERY: SignedDuration = SignedDuration::from_hours(24);
/// Period over which the checks are spread, so that they are not all due at once.
const SPREAD: SignedDuration = SignedDuration::from_hours(2);
/// Delay of the next check if Meta does not answer.
const NO_ANSWER: SignedDuration = SignedDuration::from_hours(1);

pub(crate) async fn check_token(deps: &Deps, account: &WabaId, now: Timestamp) -> Result<(), RefreshError> {
    let Some(record) = deps.table.token_get_record(account).await? else { return Ok(()) };
    let context = Context::GraphToken { tenant: record.tenant, waba: account.clone() };
    let token = deps.vault.open_token(&record.sealed, &context).await?;
    // A token stored by hand cannot be checked, because its app is unknown.
    let Some(app) = app(deps, &record).await? else {
        health::check_health(deps, None, account, &token, None, now).await?;
        return Ok(deps.table.token_check_later(account, next(account, now)).await?);
    };
    let (secret, facts) = match debug_token(deps, &app, &token).await {
        Ok(answer) => answer,
        Err(outcome) => {
            log(&outcome, "debug");
            return Ok(deps.table.token_check_later(account, after(now, NO_ANSWER)).await?);
        }
    };
    if facts.check(&app.settings.client_id, Some(account)).is_err() {
        deps.metrics.count("token_refresh", "dead", 1);
        deps.metrics.now_at("token_days_left", 0);
        tell(deps, &record, account, "withdrawn", DEAD, now).await?;
        health::dead(deps, account, now).await?;
        return Ok(deps.table.token_put_end(account, record.version, &facts, next(account, now)).await?);
    }
    let (token, record) = with_proof(deps, account, record, token, &secret, now).await?;
    if states::wait_for_proof(&deps.table.account_list_states(account).await?, now) {
        // The token was invalid for a while, or only seemed so; or the account was connected again without a report.
        deps.table.state_put(&token_state(account, "proved", now)).await?;
    }
    let renewed = if facts.ends_soon(now) {
        renew(deps, Credentials { app: &app, secret: &secret }, account, &record, &token, now).await?
    } else {
        None
    };
    let (facts, version) = renewed.unwrap_or((facts, record.version));
    if let Some(ends) = facts.ends_at() {
        deps.metrics.now_at("token_days_left", ends.duration_since(now).as_hours() / 24);
    }
    if let Some(days) = facts.ends_at().and_then(|ends| warning(ends, now)) {
        deps.metrics.count("token_refresh", "ends_soon", 1);
        tell(deps, &record, account, &format!("ends_in_{days}_days"), ENDS, now).await?;
    }
    health::check_health(deps, Some(&app), account, &token, Some(&facts), now).await?;
    // A token that expires soon is tried again within an hour, not the next day.
    let again = if facts.ends_soon(now) { after(now, NO_ANSWER) } else { next(account, now) };
    Ok(deps.table.token_put_end(account, version, &facts, again).await?)
}

/// Asks Meta for the token's facts (`debug_token`) with each app secret. While a secret is being replaced, either of
/// two may be the one at Meta.
async fn debug_token(deps: &Deps, app: &App, token: &AccessToken) -> Result<(Secret, TokenFacts), CallFailure> {
    let mut refused = CallFailure::Refused(ProviderError::ours("no_app_secret", "the app has no secret"));
    for secret in &app.meta.app_secrets {
        match deps.graph.debug_token(&app.settings.client_id, secret, &token.value).await {
            Ok(facts) => return Ok((secret.clone(), facts)),
            Err(again @ CallFailure::TryLater(_)) => return Err(again),
            Err(failure) => refused = failure,
        }
    }
    Err(refused)
}

/// Returns the token with the `appsecret_proof` of the current app secret. Reseals the token if the proof changed.
async fn with_proof(
    deps: &Deps,
    account: &WabaId,
    record: TokenRecord,
    token: AccessToken,
    secret: &Secret,
    now: Timestamp,
) -> Result<(AccessToken, TokenRecord), RefreshError> {
    let proof = appsecret_proof(secret, &token.value);
    if token.proof.as_ref().is_none_or(|known| known.expose() == proof.expose()) {
        return Ok((token, record));
    }
    let token = AccessToken { proof: Some(proof), ..token };
    let context = Context::GraphToken { tenant: record.tenant, waba: account.clone() };
    let sealed = deps.vault.seal_token(&token, &context).await?;
    deps.table.graph_token_replace(account, &record, &sealed, now).await?;
    deps.metrics.count("token_refresh", "proof_renewed", 1);
    let record = deps.table.token_get_record(account).await?.unwrap_or(record);
    Ok((token, record))
}

const DEAD: Alert = Alert {
    severity: Severity::Critical,
    title: "The access token of the account is no longer valid.",
    remedy: "Let the business go through the signup again. Messages received meanwhile are stored.",
};
const ENDS: Alert = Alert {
    severity: Severity::Warning,
    title: "The access token of the account expires soon and could not be renewed.",
    remedy: "Let the business go through the signup again before the token expires.",
};

/// Replaces the token by a checked one that lasts longer. Returns its facts and version, or `None` if no such token is
/// available.
async fn renew(
    deps: &Deps,
    credentials: Credentials<'_>,
    account: &WabaId,
    record: &TokenRecord,
    token: &AccessToken,
    now: Timestamp,
) -> Result<Option<(TokenFacts, i64)>, RefreshError> {
    let extended =
        match deps.graph.extend_token(&credentials.app.settings.client_id, credentials.secret, &token.value).await {
            Ok(fresh) => proved(deps, credentials, account, fresh, now).await,
            Err(outcome) => {
                log(&outcome, "extend");
                None
            }
        };
    let fresh = match extended {
        Some(fresh) => Some(fresh),
        None => another(deps, credentials, account, record, now).await?,
    };
    let Some((fresh, facts)) = fresh else { return Ok(None) };
    let context = Context::GraphToken { tenant: record.tenant, waba: account.clone() };
    let sealed = deps.vault.seal_token(&fresh, &context).await?;
    let version = deps.table.graph_token_replace(account, record, &sealed, now).await?;
    deps.metrics.count("token_refresh", "renewed", u64::from(version.is_some()));
    // If another process replaced the token meanwhile, these facts match no stored token.
    Ok(Some((facts, version.unwrap_or(record.version))))
}

/// Fetches a new token of the business with our own system user, as the fallback
/// (`docs/meta/onboarding.md#section-10-2`).
async fn another(
    deps: &Deps,
    credentials: Credentials<'_>,
    account: &WabaId,
    record: &TokenRecord,
    now: Timestamp,
) -> Result<Option<(AccessToken, TokenFacts)>, RefreshError> {
    let Some(business) = &record.business else { return Ok(None) };
    let Some(sealed) = deps.table.system_token_get(&credentials.app.meta.id).await? else { return Ok(None) };
    let system = deps.vault.open_token(&sealed, &Context::SystemToken(credentials.app.meta.id.clone())).await?;
    match deps.graph.business_token(credentials.secret, &system, business, false).await {
        Ok(fresh) => Ok(proved(deps, credentials, account, fresh, now).await),
        Err(outcome) => {
            log(&outcome, "another");
            Ok(None)
        }
    }
}

/// Returns the new token with its facts, if it is valid and lasts longer.
async fn proved(
    deps: &Deps,
    credentials: Credentials<'_>,
    account: &WabaId,
    fresh: AccessToken,
    now: Timestamp,
) -> Option<(AccessToken, TokenFacts)> {
    let client = &credentials.app.settings.client_id;
    let facts = match deps.graph.debug_token(client, credentials.secret, &fresh.value).await {
        Ok(facts) => facts,
        Err(outcome) => {
            log(&outcome, "prove");
            return None;
        }
    };
    if facts.ends_soon(now) || facts.check(client, Some(account)).is_err() {
        deps.metrics.count("token_refresh", "no_better", 1);
        return None;
    }
    Some((fresh, facts))
}

/// Returns the app of a token with its secrets, or `None` for a token stored by hand.
async fn app(deps: &Deps, record: &TokenRecord) -> Result<Option<App>, RefreshError> {
    let Some(id) = &record.app else { return Ok(None) };
    let Some((sealed, settings)) = deps.table.signup_app_get(id).await? else { return Ok(None) };
    let meta = deps.vault.open_app(id, &sealed).await?;
    Ok(Some(App { meta, settings }))
}

fn token_state(account: &WabaId, word: &str, now: Timestamp) -> StateChange {
    StateChange {
        subject: Subject::Waba(account.clone()),
        aspect: Aspect::Token,
        key: None,
        word: word.to_owned(),
        until: None,
        detail: "{}".to_owned(),
        at: now,
        timed: false,
        alert: None,
    }
}

async fn tell(
    deps: &Deps,
    record: &TokenRecord,
    account: &WabaId,
    word: &str,
    alert: Alert,
    now: Timestamp,
) -> Result<(), RefreshError> {
    let change = StateChange { alert: Some(alert), ..token_state(account, word, now) };
    deps.table.state_put(&change).await?;
    Ok(deps.table.alert_put(Some(record.tenant), &change).await?)
}

/// Returns the time of the next daily check, at a time specific to the account.
fn next(account: &WabaId, now: Timestamp) -> Timestamp {
    let spread = account.as_str().bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % SPREAD.as_secs());
    after(now, EVERY - SignedDuration::from_secs(spread))
}

fn after(now: Timestamp, wait: SignedDuration) -> Timestamp {
    shared::clock::after(now, wait)
}

/// Logs a failed call to Meta; `what` names the operation.
fn log(outcome: &CallFailure, what: &'static str) {
    let error = outcome.error();
    tracing::warn!(event = "token_refresh.meta_refused", what, code = error.code, title = %error.title);
}
