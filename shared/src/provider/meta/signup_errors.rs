//! Meaning of Meta's errors while a number is being connected: one table, from sections 3, 6, 10 and 11 of
//! `docs/meta/onboarding.md`. Only the code and the step decide.

use jiff::SignedDuration;

use crate::domain::event::ProviderError;
use crate::domain::lifecycle::onboarding::Step;

/// Whether a step is retried automatically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Retried after this time.
    After(SignedDuration),
    /// Not retried until a person acted.
    Never,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct SignupRule {
    /// First and last error code.
    pub codes: (i64, i64),
    /// The step to which the rule applies; `None` for all.
    pub step: Option<Step>,
    /// Cause of the error, one sentence.
    pub cause: &'static str,
    /// Action that a person should take, one sentence.
    pub action: &'static str,
    /// Whether the step is retried automatically.
    pub again: Again,
}

const fn rule(
    codes: (i64, i64),
    step: Option<Step>,
    again: Again,
    cause: &'static str,
    action: &'static str,
) -> SignupRule {
    SignupRule { codes, step, cause, action, again }
}

/// Error code of a second request for the same data of a phone.
pub const ASKED_BEFORE: i64 = 2_593_107;
const SOON: Again = Again::After(SignedDuration::from_secs(5));
const SLOWLY: Again = Again::After(SignedDuration::from_mins(1));
const NOTHING: &str = "Nothing to do: the step is retried automatically.";
const PARTNER_RIGHTS: &str = "Check at Meta that our system user is Admin or Financial Editor of our business and granted the app business_management. Check the id of the credit line. Then retry the step.";
const SIGN_UP_AGAIN: &str = "Let the business go through the signup again.";

/// All error codes that Meta documents for these calls. The first matching row applies.
// One row per line, so that the table can be read as one.
#[rustfmt::skip]
pub const RULES: &[SignupRule] = &[
    rule((100, 100), Some(Step::Exchange), Again::Never, "Meta refused the code: it was used before, is older than 30 seconds, or belongs to another app.", SIGN_UP_AGAIN),
    rule((100, 100), Some(Step::Override), Again::Never, "Meta could not verify the account's callback URL: the URL must answer Meta's request with the app's verify token.", "Check that the callback URL can be reached from the internet, correct it with `operator signup`, and retry the step."),
    rule((10, 10), Some(Step::Credit), Again::Never, "Our system user may not share the credit line.", PARTNER_RIGHTS),
    rule((200, 299), Some(Step::Credit), Again::Never, "Our system user may not share the credit line.", PARTNER_RIGHTS),
    rule((100, 100), Some(Step::Credit), Again::Never, "Meta does not know the credit line, or our system user has no access to the account.", PARTNER_RIGHTS),
    rule((190, 190), Some(Step::Credit), Again::Never, "The token of our own system user is invalid, or the business removed the app.", "Store a new token with `operator signup`, and retry the step."),
    rule((33, 33), None, Again::Never, "The number was deleted at Meta.", "Let the business add the number again and go through the signup again."),
    rule((0, 0), None, Again::Never, "The access token was revoked.", SIGN_UP_AGAIN),
    rule((102, 104), None, Again::Never, "The access token is no longer valid.", SIGN_UP_AGAIN),
    rule((190, 190), None, Again::Never, "The access token has expired, or the business removed the app.", SIGN_UP_AGAIN),
    rule((3, 3), None, Again::Never, "The app lacks a capability.", "In Meta's App Dashboard, request advanced access to whatsapp_business_management and whatsapp_business_messaging."),
    rule((10, 10), None, Again::Never, "The business did not grant a permission, or removed it.", "Check the assets and permissions of the signup's configuration, and let the business go through the signup again."),
    rule((200, 299), None, Again::Never, "The access token lacks a permission for this call.", "Check the assets and permissions of the signup's configuration, and let the business go through the signup again."),
    rule((131_005, 131_005), None, Again::Never, "Meta denied access, usually for a missing permission.", "Check the assets and permissions of the signup's configuration, and let the business go through the signup again."),
    rule((133_005, 133_005), Some(Step::Register), Again::Never, "The number has two-step verification with another PIN.", "In WhatsApp Manager, set a new PIN for the number or turn two-step verification off. Then retry the step."),
    rule((133_006, 133_006), Some(Step::Register), Again::Never, "The number is not verified yet.", "Let the business verify the number in WhatsApp Manager, and retry the step."),
    rule((133_008, 133_009), Some(Step::Register), Again::Never, "A wrong PIN was entered too often.", "Wait for the time that Meta names, then set a new PIN in WhatsApp Manager and retry the step."),
    rule((133_015, 133_015), Some(Step::Register), Again::After(SignedDuration::from_mins(5)), "The number was deleted a moment ago.", NOTHING),
    rule((133_016, 133_016), Some(Step::Register), Again::Never, "The number was registered ten times within 72 hours.", "Wait 72 hours, then retry the step."),
    rule((133_000, 133_000), Some(Step::Register), Again::Never, "An earlier deregistration of the number is not complete.", "Deregister the number in WhatsApp Manager, then retry the step."),
    rule((133_004, 133_004), None, SLOWLY, "Meta's registration is briefly unavailable.", NOTHING),
    rule((133_010, 133_010), None, Again::Never, "The number is not registered.", "Retry the step `register`."),
    rule((131_031, 131_031), None, Again::Never, "The account is locked, or data such as the PIN does not match.", "Open the account in WhatsApp Manager, follow the instructions there, and retry the step."),
    rule((131_045, 131_045), None, Again::Never, "The number's certificate is invalid.", "Check the display name of the number in WhatsApp Manager, and retry the step."),
    rule((131_037, 131_037), None, Again::Never, "The number needs an approved display name.", "Get the display name approved in WhatsApp Manager, and retry the step."),
    rule((131_042, 131_042), None, Again::Never, "The account has no payment method.", "Let the business add a payment method in WhatsApp Manager, and retry the step."),
    rule((130_497, 130_497), None, Again::Never, "The business may not use WhatsApp in that country.", "Read Meta's rules for the country."),
    rule((368, 368), None, Again::Never, "The account is restricted for a violation of Meta's policies.", "Let the business appeal in Business Support Home, and retry the step."),
    rule((100, 100), Some(Step::Register), Again::Never, "Meta refuses to register this number: it is used in the WhatsApp Business app, or belongs to another account.", "Check the number in WhatsApp Manager."),
    rule((100, 100), None, Again::Never, "Meta does not know the account or number, or the access token has no access to it.", "Check that the business granted access to this account, and let it go through the signup again."),
    rule((2_593_108, 2_593_108), None, Again::Never, "More than 24 hours have passed since the signup.", "Let the business disconnect in its WhatsApp Business app and go through the signup again."),
    rule((4, 4), None, SLOWLY, "The app is over its limit of calls to Meta.", NOTHING),
    rule((17, 17), None, SLOWLY, "The app is over its limit of calls to Meta.", NOTHING),
    rule((80_007, 80_008), None, SLOWLY, "The account is over its limit of calls to Meta.", NOTHING),
    rule((1, 2), None, SOON, "A temporary error occurred at Meta.", NOTHING),
    rule((131_000, 131_000), None, SOON, "A temporary error occurred at Meta.", NOTHING),
    rule((131_016, 131_016), None, SLOWLY, "Meta's service is overloaded.", NOTHING),
    rule((131_057, 131_057), None, SLOWLY, "The account is in maintenance.", NOTHING),
];

/// Returns the rule for an error of the provider's, or of our own, in a step.
#[must_use]
pub fn meaning(step: Step, error: &ProviderError) -> SignupRule {
    const UNKNOWN: SignupRule = rule(
        (-1, -1),
        None,
        Again::Never,
        "Meta refused the call with an error code that this version does not know.",
        "Look up the code in Meta's list of error codes, correct the cause, and retry the step.",
    );
    const NO_ANSWER: SignupRule = rule((-1, -1), None, SOON, "Meta did not answer.", NOTHING);
    if !error.is_the_providers() {
        return NO_ANSWER;
    }
    let fits = |one: &&SignupRule| {
        (one.codes.0..=one.codes.1).contains(&error.code) && one.step.is_none_or(|only| only == step)
    };
    RULES.iter().find(fits).copied().unwrap_or(UNKNOWN)
}
