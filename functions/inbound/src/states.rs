//! State changes of numbers, accounts and templates: stored at their subject, with an alert for the tenant.

use shared::domain::accounts::account::{Aspect, StateChange, Subject};
use shared::domain::event::QuarantineReason;
use shared::domain::ids::{MetaAppId, OffboardingId, OnboardingId, TenantId, WabaId};
use shared::domain::lifecycle::offboarding::{KEPT_FOR_RETURN, Offboarding, Why};
use shared::domain::lifecycle::onboarding::Onboarding;
use shared::provider::meta::webhook;
use shared::queue::OnboardingJob;

use crate::Deps;
use crate::contacts::known_number;
use crate::outcome::{Disposition, NotStored};

/// Aspects stored even for an account that is not connected yet, because onboarding reads them.
const BEFORE_CONNECTED: [Aspect; 4] = [Aspect::Partner, Aspect::PartnerApp, Aspect::Certification, Aspect::Token];

/// Stores a state change and its alert.
pub(crate) async fn record(deps: &Deps, app: &MetaAppId, change: StateChange) -> Result<Disposition, NotStored> {
    let (change, tenant) = located(deps, change).await?;
    if tenant.is_none() && has_left(deps, &change).await? {
        deps.metrics.count("gone", change.aspect.as_str(), 1);
        return Ok(Disposition::Stored);
    }
    if matches!(change.subject, Subject::NumberNamed(..)) {
        // The state of a number that is not connected here must not stop the account's other numbers.
        let what = change.aspect.as_str().to_owned();
        return Ok(Disposition::Quarantine(QuarantineReason::UnknownNumber, what));
    }
    let nobodys = tenant.is_none() && !matches!(change.subject, Subject::Portfolio(_));
    if nobodys && !BEFORE_CONNECTED.contains(&change.aspect) {
        let reason = match change.subject {
            Subject::Number(_) => QuarantineReason::UnknownNumber,
            _ => QuarantineReason::UnknownAccount,
        };
        return Ok(Disposition::Quarantine(reason, change.aspect.as_str().to_owned()));
    }
    if let (Aspect::Partner, "added", Subject::Waba(account)) = (change.aspect, change.word.as_str(), &change.subject)
        && deps.table.account_get(account).await?.is_none_or(|known| !known.has_token)
    {
        begin_hosted(deps, app, tenant, account, &change).await?;
    }
    // Before the offboarding, which ends if the state does not show the account as removed.
    deps.table.state_put(&change).await?;
    if let (Some(tenant), Aspect::Partner, "removed") = (tenant, change.aspect, change.word.as_str()) {
        begin_offboarding(deps, tenant, &change).await?;
    }
    deps.table.template_put_state(&change).await?;
    if let Subject::Template(account, _) = &change.subject {
        // The template's text may have changed, so the templates are fetched again within minutes.
        deps.table.token_check_now(account, change.at).await?;
    }
    deps.table.alert_put(tenant, &change).await?;
    deps.metrics.count("account_event", change.aspect.as_str(), 1);
    if let Some(alert) = change.alert {
        deps.metrics.count("account_alert", alert.severity.as_str(), 1);
    }
    Ok(Disposition::Stored)
}

/// Resolves a number named by its digits, and finds the tenant.
async fn located(deps: &Deps, change: StateChange) -> Result<(StateChange, Option<TenantId>), NotStored> {
    let tenant = match &change.subject {
        Subject::Number(id) => known_number(deps, Some(id)).await?.map(|number| number.tenant),
        Subject::NumberNamed(waba, digits) => {
            let tenant = deps.table.account_get_tenant(waba).await?;
            if let Some(id) = deps.table.account_get_number(waba, digits).await? {
                return Ok((StateChange { subject: Subject::Number(id), ..change }, tenant));
            }
            tenant
        }
        Subject::Waba(waba) | Subject::Template(waba, _) => deps.table.account_get_tenant(waba).await?,
        Subject::Portfolio(_) => None,
    };
    Ok((change, tenant))
}

/// Handles an account without a token that a business shared, including one that was connected earlier. If the app uses
/// hosted signup, starts an onboarding. Its id derives from the report, so a repetition starts nothing.
async fn begin_hosted(
    deps: &Deps,
    app: &MetaAppId,
    owner: Option<TenantId>,
    account: &WabaId,
    change: &StateChange,
) -> Result<(), NotStored> {
    let settings = deps.table.signup_settings_get(app).await?;
    let Some(tenant) = settings.and_then(|settings| settings.hosted_for) else { return Ok(()) };
    if owner.is_some_and(|owner| owner != tenant) {
        return Ok(());
    }
    let Some(business) = webhook::owner_in(&change.detail) else { return Ok(()) };
    let id = OnboardingId::of_shared(account, change.at);
    let onboarding = Onboarding {
        id,
        tenant,
        app: app.clone(),
        created_at: change.at,
        valid_until: change.at,
        link_until: None,
        hosted_by: Some(business),
        shape: None,
        account: Some(account.clone()),
        number: None,
        candidates: Vec::new(),
        ended: None,
        steps: Vec::new(),
    };
    // The empty state hash matches nothing: without a signup page, no request may finish this onboarding.
    deps.table.onboarding_put(&onboarding, "", None).await?;
    let job = OnboardingJob { id }.encode().map_err(|_| NotStored::BadJob)?;
    Ok(deps.onboarding.send(job, &id.to_string()).await?)
}

/// Whether the change concerns a removed number or account and does not start its return.
async fn has_left(deps: &Deps, change: &StateChange) -> Result<bool, NotStored> {
    let returns = matches!(change.aspect, Aspect::Partner | Aspect::PartnerApp | Aspect::Token)
        && matches!(change.word.as_str(), "added" | "installed" | "to_be_proved");
    Ok(match &change.subject {
        _ if returns => false,
        Subject::Number(number) => deps.table.number_is_gone(number).await?,
        Subject::Waba(account) | Subject::Template(account, _) | Subject::NumberNamed(account, _) => {
            deps.table.account_is_gone(account).await?
        }
        Subject::Portfolio(_) => false,
    })
}

/// Starts an offboarding after a business withdrew access. The data is erased after `KEPT_FOR_RETURN` (a month) unless
/// the business returns. If one of several numbers of an account is withdrawn, nothing is erased.
async fn begin_offboarding(deps: &Deps, tenant: TenantId, change: &StateChange) -> Result<(), NotStored> {
    let account = match &change.subject {
        Subject::Waba(account) => account.clone(),
        Subject::Number(number) => {
            let Some(known) = known_number(deps, Some(number)).await? else { return Ok(()) };
            if deps.table.account_list_numbers(&known.waba).await?.len() > 1 {
                return Ok(());
            }
            known.waba
        }
        _ => return Ok(()),
    };
    // A late report older than the current connection concerns an earlier connection.
    let known = deps.table.account_get(&account).await?;
    if known.is_none_or(|known| known.connected_at > change.at) {
        return Ok(());
    }
    let offboarding = Offboarding::of_account(
        OffboardingId::of_report(&account, change.at),
        tenant,
        account,
        Why::Disconnected,
        change.at,
        KEPT_FOR_RETURN,
    );
    Ok(deps.table.offboarding_put(&offboarding).await?)
}
