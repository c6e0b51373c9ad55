//! What each step does. Each may be taken twice: it asks first, or its call changes nothing the second time.

use shared::clock::SignedDuration;
use shared::domain::ids::{PhoneNumberId, WabaId};
use shared::domain::number::{Number, Settings};
use shared::domain::onboarding::{Onboarding, Shape, Step};
use shared::domain::token::AccessToken;
use shared::provider::meta::accounts::AccountNumber;
use shared::provider::meta::graph::CallFailure;
use shared::provider::meta::signup_errors::{self, ASKED_BEFORE, Again};
use shared::random;
use shared::secret::Secret;
use shared::storage::{Hindrance, Stored};
use shared::vault::Context;

use crate::{Deps, NotRecorded, partner};

/// `featureType` of a popup for numbers that stay in the WhatsApp Business app.
const COEXISTENCE: &str = "whatsapp_business_app_onboarding";
/// Possible PINs: six digits.
const PINS: u32 = 1_000_000;

/// How a step ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Done,
    /// It was not needed.
    Skipped(&'static str),
    /// It is tried again by itself after that time.
    Later {
        code: Option<i64>,
        cause: &'static str,
        wait: SignedDuration,
    },
    /// Something of ours is under way first: that counts as no try.
    Waits {
        cause: &'static str,
        wait: SignedDuration,
    },
    /// Somebody must act.
    Failed {
        code: Option<i64>,
        cause: &'static str,
        action: &'static str,
    },
}

pub(crate) async fn take(
    deps: &Deps,
    onboarding: &Onboarding,
    step: Step,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let Some(account) = &onboarding.account else {
        return Ok(failed("Nobody has said which account it is.", "Choose one of the candidates."));
    };
    if step == Step::Account {
        return take_account(deps, onboarding, account, token).await;
    }
    let Some(number) = &onboarding.number else {
        return Ok(failed("Nobody has said which number it is.", "Retry the step `account`."));
    };
    match step {
        Step::Subscribe => {
            Ok(deps.graph.subscribe(token, account).await.map_or_else(|out| ended(step, &out), |()| Ended::Done))
        }
        Step::Override => partner::override_callback(deps, onboarding, account, token).await,
        Step::Credit => partner::credit(deps, onboarding, account, token).await,
        Step::Register => register(deps, onboarding, number, token).await,
        Step::Contacts => sync(deps, onboarding, (step, "smb_app_state_sync"), number, token).await,
        Step::History => sync(deps, onboarding, (step, "history"), number, token).await,
        Step::Probe => {
            Ok(probe(deps, onboarding, (account, number), token).await?.unwrap_or_else(|out| ended(step, &out)))
        }
        Step::Exchange | Step::Prove | Step::Account => Ok(Ended::Done),
    }
}

/// Account and number become this tenant's: only now, because only now it is proved that they are the business's that signed up.
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
    // A business that hides its name is connected all the same.
    let business = match deps.graph.account(token, account).await {
        Ok(known) => known.owner_business_info.map(|business| business.id),
        Err(CallFailure::Refused(_)) => None,
        Err(failure) => return Ok(ended(Step::Account, &failure)),
    };
    let found = match chosen(onboarding, &numbers) {
        Ok(found) => found,
        Err(ended) => return Ok(ended),
    };
    let Ok(id) = PhoneNumberId::parse(&found.id) else {
        return Ok(failed("Meta names the number by something that is no id.", "Report this to the maintainers."));
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
    if let Some(hindrance) = deps.table.hindrance(&number).await? {
        return Ok(hindered(hindrance));
    }
    let context = Context::GraphToken { tenant: onboarding.tenant, waba: account.clone() };
    let sealed = deps.vault.seal_token(token, &context).await?;
    let stored = (&sealed, Some(&onboarding.app));
    if let Err(hindrance) = deps.table.connect(&number, stored, deps.clock.now()).await? {
        return Ok(hindered(hindrance));
    }
    if let Some(business) = business.or_else(|| onboarding.hosted_by.clone()) {
        deps.table.note_business(account, &business).await?;
    }
    deps.table.put_signer(onboarding.id, &onboarding.app, account).await?;
    deps.table.settle_number(onboarding.id, &id).await?;
    Ok(Ended::Done)
}

fn hindered(hindrance: Hindrance) -> Ended {
    match hindrance {
        Hindrance::BeingErased => {
            let cause = "What was stored of this account when it left is being erased.";
            Ended::Waits { cause, wait: SignedDuration::from_mins(5) }
        }
        Hindrance::TenantLeaves => failed("The tenant is leaving.", "Nothing can be connected for it any more."),
        Hindrance::AccountTaken | Hindrance::NumberTaken => {
            failed("Another tenant has this account or number.", "Let the other tenant release it first.")
        }
    }
}

/// The number that the popup named, if it is the account's; else the only one that it can be.
fn chosen<'a>(onboarding: &Onboarding, numbers: &'a [AccountNumber]) -> Result<&'a AccountNumber, Ended> {
    if let Some(named) = &onboarding.number {
        let found = numbers.iter().find(|number| number.id == named.as_str());
        let action = "Post the popup's message as it came, and let the business go through the signup again.";
        return found.ok_or_else(|| failed("The account has no number of the id that the page named.", action));
    }
    let fits = |number: &&AccountNumber| onboarding.shape != Some(Shape::Coexistence) || number.is_on_biz_app;
    let fitting: Vec<&AccountNumber> = numbers.iter().filter(fits).collect();
    match fitting[..] {
        [only] => Ok(only),
        [] => Err(failed(
            "The account has no number yet.",
            "Let the business add a number in WhatsApp Manager, and retry the step.",
        )),
        _ => Err(failed(
            "The account has several numbers, and the popup named none.",
            "Say which one it is: POST …/choose with its phone_number_id.",
        )),
    }
}

/// Registers the number with a PIN of its own, unless it is registered. A number of the WhatsApp Business app registers itself.
async fn register(
    deps: &Deps,
    onboarding: &Onboarding,
    number: &PhoneNumberId,
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
    // Counted before the call: one that is not answered may have been made.
    if deps.table.take_registration(number, deps.clock.now()).await?.is_some() {
        return Ok(failed(
            "The number was registered five times within 72 hours; Meta allows ten.",
            "Wait 72 hours, then retry the step.",
        ));
    }
    let called = deps.graph.register(token, number, &pin).await;
    Ok(called.map_or_else(|outcome| ended(Step::Register, &outcome), |()| Ended::Done))
}

/// Asks the phone of a coexistence number for what it has; the webhooks go to our app already. Meta takes it once for an
/// onboarding.
async fn sync(
    deps: &Deps,
    onboarding: &Onboarding,
    (step, what): (Step, &str),
    number: &PhoneNumberId,
    token: &AccessToken,
) -> Result<Ended, NotRecorded> {
    let known = deps.table.number(number).await?;
    if known.is_none_or(|known| !known.coexistence) {
        // Meta does not refuse a popup that it no longer knows: it shows the usual one (`facts/onboarding.md` §0).
        let asked = partner::settings(deps, onboarding).await?.feature_type.as_deref() == Some(COEXISTENCE);
        return Ok(Ended::Skipped(match asked {
            true => {
                "The number is not in the WhatsApp Business app, although the popup was asked for one that is: check the configuration's products."
            }
            false => "The number is not in the WhatsApp Business app.",
        }));
    }
    Ok(match deps.graph.sync(token, number, what).await {
        Ok(()) => Ended::Done,
        Err(failure) if failure.error().code == ASKED_BEFORE => {
            Ended::Skipped("The phone was asked for this before, perhaps by a try whose answer was lost.")
        }
        Err(outcome) => ended(step, &outcome),
    })
}

/// The number's PIN: random, sealed before it is used, the same for every try.
async fn pin(deps: &Deps, onboarding: &Onboarding, number: &PhoneNumberId) -> Result<Secret, NotRecorded> {
    let context = Context::Pin { tenant: onboarding.tenant, number: number.clone() };
    if let Some(sealed) = deps.table.pin(number).await? {
        return Ok(deps.vault.open(&sealed, &context).await?);
    }
    let drawn = u32::from_be_bytes(random::bytes::<4>()?) % PINS;
    let pin = Secret::new(format!("{drawn:06}"));
    let sealed = deps.vault.seal(&pin, &context).await?;
    if deps.table.put_pin_once(number, &sealed).await? == Stored::New {
        return Ok(pin);
    }
    // Another worker was first: its PIN is the number's.
    match deps.table.pin(number).await? {
        Some(sealed) => Ok(deps.vault.open(&sealed, &context).await?),
        None => Ok(pin),
    }
}

/// Asks for everything once more: only then the number is called connected.
async fn probe(
    deps: &Deps,
    onboarding: &Onboarding,
    (account, number): (&WabaId, &PhoneNumberId),
    token: &AccessToken,
) -> Result<Result<Ended, CallFailure>, NotRecorded> {
    let settings = partner::settings(deps, onboarding).await?;
    match deps.graph.subscription(token, account, &settings.client_id).await {
        Ok(Some(callback)) if settings.override_url.is_none() || callback == settings.override_url => {}
        Ok(Some(_)) => {
            let cause = "The account's webhooks do not go to the callback URL of its own.";
            return Ok(Ok(failed(cause, "Start a new onboarding, or set the override in WhatsApp Manager.")));
        }
        Ok(None) => {
            let cause = "The account's webhooks do not come to the app.";
            return Ok(Ok(failed(cause, "Start a new onboarding.")));
        }
        Err(outcome) => return Ok(Err(outcome)),
    }
    match deps.graph.account_number(token, number).await {
        Ok(known) if known.is_registered() => Ok(Ok(Ended::Done)),
        Ok(_) => Ok(Ok(Ended::Later {
            code: None,
            cause: "Meta does not say yet that the number is connected.",
            wait: SignedDuration::from_secs(5),
        })),
        Err(outcome) => Ok(Err(outcome)),
    }
}

/// What an error of Meta's means for the step.
pub(crate) fn ended(step: Step, outcome: &CallFailure) -> Ended {
    let error = outcome.error();
    let rule = signup_errors::meaning(step, error);
    let code = error.is_the_providers().then_some(error.code);
    match rule.again {
        Again::After(wait) => Ended::Later { code, cause: rule.cause, wait },
        Again::Never => Ended::Failed { code, cause: rule.cause, action: rule.action },
    }
}

pub(crate) fn failed(cause: &'static str, action: &'static str) -> Ended {
    Ended::Failed { code: None, cause, action }
}
