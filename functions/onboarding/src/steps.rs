//! The onboarding steps. Each is repeatable: it checks first, or its call has no effect the second time.

use shared::clock::SignedDuration;
use shared::domain::accounts::number::{Number, Settings};
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::{NumberId, WabaId};
use shared::domain::lifecycle::onboarding::{Onboarding, Shape, Step};
use shared::provider::meta::accounts::{AccountNumber, Subscription};
use shared::provider::meta::graph::CallFailure;
use shared::provider::meta::signup_errors::ASKED_BEFORE;
use shared::random;
use shared::secret::Secret;
use shared::storage::{ConnectError, ConnectFailure, Stored};
use shared::vault::Context;

use crate::outcome::{Ended, ended, failed};
use crate::{Deps, NotRecorded, partner};

/// `featureType` of a popup for numbers that stay in the WhatsApp Business app (coexistence).
const COEXISTENCE: &str = "whatsapp_business_app_onboarding";
/// Number of possible PINs with six digits.
const PINS: u32 = 1_000_000;

pub(crate) async fn take(
    deps: &Deps,
    onboarding: &Onboarding,
    step: Step,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let Some(account) = &onboarding.account else {
        return Ok(failed("No account has been chosen yet.", "Choose one of the candidates."));
    };
    if step == Step::Account {
        return take_account(deps, onboarding, account, token).await;
    }
    let Some(number) = &onboarding.number else {
        return Ok(failed("No number has been chosen yet.", "Retry the step `account`."));
    };
    match step {
        Step::Subscribe => {
            Ok(deps.graph.subscribe(token, account).await.map_or_else(|out| ended(step, &out), |()| Ended::Done))
        }
        Step::Override => partner::override_callback(deps, onboarding, account, token).await,
        Step::Credit => partner::credit(deps, onboarding, account, token).await,
        Step::Register => register(deps, onboarding, number, token).await,
        Step::Contacts => sync(deps, onboarding, step, "smb_app_state_sync", number, token).await,
        Step::History => sync(deps, onboarding, step, "history", number, token).await,
        Step::Probe => probe(deps, onboarding, account, number, token).await,
        Step::Exchange | Step::Prove | Step::Account => Ok(Ended::Done),
    }
}

/// Assigns account and number to the tenant. Not earlier, because only the checked token shows that they belong to the
/// business that signed up.
async fn take_account(
    deps: &Deps,
    onboarding: &Onboarding,
    account: &WabaId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let numbers = match deps.graph.account_numbers(token, account).await {
        Ok(numbers) => numbers,
        Err(outcome) => return Ok(ended(Step::Account, &outcome)),
    };
    // A business that hides its identity is connected too.
    let business = match deps.graph.account(token, account).await {
        Ok(known) => known.owner_business_info.map(|business| business.id),
        Err(CallFailure::Refused(_)) => None,
        Err(failure) => return Ok(ended(Step::Account, &failure)),
    };
    let found = match chosen(onboarding, &numbers) {
        Ok(found) => found,
        Err(ended) => return Ok(ended),
    };
    let Ok(id) = NumberId::parse(&found.id) else {
        return Ok(failed("Meta returned an invalid id for the number.", "Report this to the maintainers."));
    };
    let number = Number {
        id: id.clone(),
        tenant: onboarding.tenant,
        waba: account.clone(),
        display_phone_number: found.display_phone_number.clone(),
        coexistence: found.is_on_biz_app,
        fallback: None,
        settings: Settings::default(),
    };
    if let Some(hindrance) = deps.table.account_check_connectable(&number).await? {
        return Ok(hindered(hindrance));
    }
    let context = Context::GraphToken { tenant: onboarding.tenant, waba: account.clone() };
    let sealed = deps.vault.seal_token(token, &context).await?;
    match deps.table.account_connect(&number, &sealed, Some(&onboarding.app), deps.clock.now()).await {
        Ok(()) => {}
        Err(ConnectFailure::Refused(error)) => return Ok(hindered(error)),
        Err(ConnectFailure::Storage(error)) => return Err(error.into()),
    }
    if let Some(business) = business.or_else(|| onboarding.hosted_by.clone()) {
        deps.table.account_put_business(account, &business).await?;
    }
    deps.table.signer_put(onboarding.id, &onboarding.app, account).await?;
    deps.table.onboarding_settle_number(onboarding.id, &id).await?;
    Ok(Ended::Done)
}

fn hindered(hindrance: ConnectError) -> Ended {
    match hindrance {
        ConnectError::BeingErased => {
            let cause = "Old data of this account is still being erased after its removal.";
            Ended::Wait { cause, wait: SignedDuration::from_mins(5) }
        }
        ConnectError::TenantLeaves => failed("The tenant is being offboarded.", "No number can be connected for it."),
        ConnectError::AccountTaken | ConnectError::NumberTaken => {
            failed("This account or number belongs to another tenant.", "The other tenant must remove it first.")
        }
    }
}

/// Returns the number named by the popup if it belongs to the account, or the only possible number.
fn chosen<'a>(onboarding: &Onboarding, numbers: &'a [AccountNumber]) -> Result<&'a AccountNumber, Ended> {
    if let Some(named) = &onboarding.number {
        let found = numbers.iter().find(|number| number.id == named.as_str());
        let action = "Post the popup's message unchanged, and let the business go through the signup again.";
        return found.ok_or_else(|| failed("The account has no number with the id sent by the page.", action));
    }
    let fits = |number: &&AccountNumber| onboarding.shape != Some(Shape::Coexistence) || number.is_on_biz_app;
    let fitting: Vec<&AccountNumber> = numbers.iter().filter(fits).collect();
    match fitting[..] {
        [only] => Ok(only),
        [] => Err(failed(
            "The account has no number yet.",
            "Ask the business to add a number in WhatsApp Manager, and retry the step.",
        )),
        _ => Err(failed(
            "The account has several numbers, and the popup named none.",
            "Choose one: POST …/choose with its phone_number_id.",
        )),
    }
}

/// Registers the number with its own PIN, unless it is registered already. A number in the WhatsApp Business app is
/// registered by that app.
async fn register(
    deps: &Deps,
    onboarding: &Onboarding,
    number: &NumberId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let known = match deps.graph.account_number(token, number).await {
        Ok(known) => known,
        Err(outcome) => return Ok(ended(Step::Register, &outcome)),
    };
    if known.is_on_biz_app {
        return Ok(Ended::Skipped("The number stays in the WhatsApp Business app, which registers it."));
    }
    if known.is_registered() {
        return Ok(Ended::Skipped("The number is registered already."));
    }
    let pin = pin(deps, onboarding, number).await?;
    // Counted before the call, because a call without an answer may have had effect.
    if deps.table.pin_take_registration(number, deps.clock.now()).await?.is_some() {
        return Ok(failed(
            "The number was registered five times within 72 hours; Meta allows ten.",
            "Wait 72 hours, then retry the step.",
        ));
    }
    let called = deps.graph.register(token, number, &pin).await;
    Ok(called.map_or_else(|outcome| ended(Step::Register, &outcome), |()| Ended::Done))
}

/// Requests the data of a coexistence number's phone (contacts or history). The webhooks already go to our app. Meta
/// accepts one request per onboarding.
async fn sync(
    deps: &Deps,
    onboarding: &Onboarding,
    step: Step,
    what: &str,
    number: &NumberId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let known = deps.table.number_get(number).await?;
    if known.is_none_or(|known| !known.coexistence) {
        // Meta shows the usual popup for an unknown configuration instead of refusing it
        // (`docs/meta/onboarding.md#section-0`).
        let asked = partner::settings(deps, onboarding).await?.feature_type.as_deref() == Some(COEXISTENCE);
        return Ok(Ended::Skipped(match asked {
            true => {
                "The number is not in the WhatsApp Business app, although the popup was set up for that: check the \
                 configuration's products."
            }
            false => "The number is not in the WhatsApp Business app.",
        }));
    }
    Ok(match deps.graph.sync(token, number, what).await {
        Ok(()) => Ended::Done,
        Err(failure) if failure.error().code == ASKED_BEFORE => {
            Ended::Skipped("This was requested from the phone before, perhaps by an attempt whose answer was lost.")
        }
        Err(outcome) => ended(step, &outcome),
    })
}

/// Returns the number's PIN, which is random, stored encrypted before its first use, and the same in every attempt.
async fn pin(deps: &Deps, onboarding: &Onboarding, number: &NumberId) -> Result<Secret, NotRecorded> {
    let context = Context::Pin { tenant: onboarding.tenant, number: number.clone() };
    if let Some(sealed) = deps.table.pin_get(number).await? {
        return Ok(deps.vault.open(&sealed, &context).await?);
    }
    let drawn = u32::from_be_bytes(random::bytes::<4>()?) % PINS;
    let pin = Secret::new(format!("{drawn:06}"));
    let sealed = deps.vault.seal(&pin, &context).await?;
    if deps.table.pin_put_once(number, &sealed).await? == Stored::New {
        return Ok(pin);
    }
    // Another worker stored a PIN first; that one is valid.
    match deps.table.pin_get(number).await? {
        Some(sealed) => Ok(deps.vault.open(&sealed, &context).await?),
        None => Ok(pin),
    }
}

/// Checks subscription and registration again before the number is reported as connected.
async fn probe(
    deps: &Deps,
    onboarding: &Onboarding,
    account: &WabaId,
    number: &NumberId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let settings = partner::settings(deps, onboarding).await?;
    match deps.graph.subscription(token, account, &settings.client_id).await {
        Ok(Subscription::ToApp | Subscription::ToUrl(_)) if settings.override_url.is_none() => {}
        Ok(Subscription::ToUrl(url)) if settings.override_url.as_ref() == Some(&url) => {}
        Ok(Subscription::ToApp | Subscription::ToUrl(_)) => {
            let cause = "The account's webhooks do not go to the configured callback URL.";
            return Ok(failed(cause, "Start a new onboarding, or set the override in WhatsApp Manager."));
        }
        Ok(Subscription::Missing) => {
            let cause = "The account's webhooks do not go to the app.";
            return Ok(failed(cause, "Start a new onboarding."));
        }
        Err(outcome) => return Ok(ended(Step::Probe, &outcome)),
    }
    match deps.graph.account_number(token, number).await {
        Ok(known) if known.is_registered() => Ok(Ended::Done),
        Ok(_) => Ok(Ended::Later {
            code: None,
            cause: "Meta does not report the number as connected yet.",
            wait: SignedDuration::from_secs(5),
        }),
        Err(outcome) => Ok(ended(Step::Probe, &outcome)),
    }
}
