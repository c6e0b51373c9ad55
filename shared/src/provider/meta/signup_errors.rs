//! What Meta's errors mean while a number is being connected: one table, from `facts/onboarding.md` §3, §6, §10 and §11. Only
//! the code and the step decide.

use jiff::SignedDuration;

use crate::domain::event::ProviderError;
use crate::domain::onboarding::Step;

/// Whether a step is tried again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// After this time.
    After(SignedDuration),
    /// Not before somebody acted.
    Never,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct SignupRule {
    /// The first and the last code.
    pub codes: (i64, i64),
    /// In this step only.
    pub step: Option<Step>,
    /// What it means.
    pub cause: &'static str,
    /// What to do.
    pub action: &'static str,
    /// Whether it is tried again by itself.
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

/// Meta's answer to a second request for the same data of a phone.
pub const ASKED_BEFORE: i64 = 2_593_107;
const SOON: Again = Again::After(SignedDuration::from_secs(5));
const SLOWLY: Again = Again::After(SignedDuration::from_mins(1));
const NOTHING: &str = "Nothing: it is tried again by itself.";
const PARTNER_RIGHTS: &str = "Check with Meta that the system user is Admin or Financial Editor of our business and granted the app business_management, and the line's id; then retry the step.";
const SIGN_UP_AGAIN: &str = "Let the business go through the signup again.";

/// Every code that Meta documents for these calls. The first line that fits counts.
// A table is read by its lines.
#[rustfmt::skip]
pub const RULES: &[SignupRule] = &[
    rule((100, 100), Some(Step::Exchange), Again::Never, "Meta did not take the code: it was used before, is older than 30 seconds, or is another app's.", SIGN_UP_AGAIN),
    rule((100, 100), Some(Step::Override), Again::Never, "Meta could not prove the callback URL of the account's own: it must answer Meta's question with the app's verify token.", "Open the URL of the app's override from outside, correct it with `operator signup`, and retry the step."),
    rule((10, 10), Some(Step::Credit), Again::Never, "Our system user may not share the credit line.", PARTNER_RIGHTS),
    rule((200, 299), Some(Step::Credit), Again::Never, "Our system user may not share the credit line.", PARTNER_RIGHTS),
    rule((100, 100), Some(Step::Credit), Again::Never, "Meta does not know the credit line, or our system user does not reach the account.", PARTNER_RIGHTS),
    rule((190, 190), Some(Step::Credit), Again::Never, "The token of our own system user is no longer good, or the business removed the app.", "Store a new token with `operator signup`, and retry the step."),
    rule((33, 33), None, Again::Never, "The number was deleted at Meta.", "Let the business add the number again, and go through the signup."),
    rule((0, 0), None, Again::Never, "The access token was withdrawn.", SIGN_UP_AGAIN),
    rule((102, 104), None, Again::Never, "The access token is no longer valid.", SIGN_UP_AGAIN),
    rule((190, 190), None, Again::Never, "The access token is expired, or the business removed the app.", SIGN_UP_AGAIN),
    rule((3, 3), None, Again::Never, "The app lacks a capability.", "Ask Meta for advanced access to whatsapp_business_management and whatsapp_business_messaging in the App Dashboard."),
    rule((10, 10), None, Again::Never, "The business did not grant a permission, or it was removed.", "Check the assets and permissions of the signup's configuration, and let the business go through it again."),
    rule((200, 299), None, Again::Never, "The token may not do this.", "Check the assets and permissions of the signup's configuration, and let the business go through it again."),
    rule((131_005, 131_005), None, Again::Never, "Access was denied.", "Check the assets and permissions of the signup's configuration, and let the business go through it again."),
    rule((133_005, 133_005), Some(Step::Register), Again::Never, "The number has two-step verification with another PIN.", "Set a new PIN for the number in WhatsApp Manager, or turn two-step verification off there, and retry the step."),
    rule((133_006, 133_006), Some(Step::Register), Again::Never, "The number is not verified yet.", "Let the business verify the number in WhatsApp Manager, and retry the step."),
    rule((133_008, 133_009), Some(Step::Register), Again::Never, "Too many attempts with a wrong PIN.", "Wait the time that Meta names, then set a new PIN in WhatsApp Manager and retry the step."),
    rule((133_015, 133_015), Some(Step::Register), Again::After(SignedDuration::from_mins(5)), "The number was deleted a moment ago.", NOTHING),
    rule((133_016, 133_016), Some(Step::Register), Again::Never, "The number was registered ten times within 72 hours.", "Wait 72 hours, then retry the step."),
    rule((133_000, 133_000), Some(Step::Register), Again::Never, "An earlier deregistration did not end.", "Deregister the number in WhatsApp Manager, then retry the step."),
    rule((133_004, 133_004), None, SLOWLY, "Meta's registration is not available for the moment.", NOTHING),
    rule((133_010, 133_010), None, Again::Never, "The number is not registered.", "Retry the step `register`."),
    rule((131_031, 131_031), None, Again::Never, "The account is locked, or data such as the PIN does not match.", "Look at the account in WhatsApp Manager; settle what it asks for, and retry the step."),
    rule((131_045, 131_045), None, Again::Never, "The number's certificate is not right.", "Check the display name of the number in WhatsApp Manager, and retry the step."),
    rule((131_037, 131_037), None, Again::Never, "The number needs an approved display name.", "Get the display name approved in WhatsApp Manager, and retry the step."),
    rule((131_042, 131_042), None, Again::Never, "The account has no payment method.", "Let the business add a payment method in WhatsApp Manager, and retry the step."),
    rule((130_497, 130_497), None, Again::Never, "The business may not use WhatsApp in that country.", "Read Meta's rules for the country."),
    rule((368, 368), None, Again::Never, "The account is restricted for a violation of Meta's policies.", "Let the business appeal in Business Support Home, and retry the step."),
    rule((100, 100), Some(Step::Register), Again::Never, "Meta does not register this number: it is used in the WhatsApp Business app, or is not the account's.", "Check the number in WhatsApp Manager."),
    rule((100, 100), None, Again::Never, "Meta does not know it, or the token does not reach it.", "Check that the business granted access to this account, and let it go through the signup again."),
    rule((2_593_108, 2_593_108), None, Again::Never, "More than 24 hours have passed since the signup.", "Let the business disconnect in its app and go through the signup again."),
    rule((4, 4), None, SLOWLY, "The app asks Meta too often.", NOTHING),
    rule((17, 17), None, SLOWLY, "The app asks Meta too often.", NOTHING),
    rule((80_007, 80_008), None, SLOWLY, "The account is asked too often.", NOTHING),
    rule((1, 2), None, SOON, "Meta had trouble of its own.", NOTHING),
    rule((131_000, 131_000), None, SOON, "Meta had trouble of its own.", NOTHING),
    rule((131_016, 131_016), None, SLOWLY, "Meta's service is overloaded.", NOTHING),
    rule((131_057, 131_057), None, SLOWLY, "The account is in maintenance.", NOTHING),
];

/// What the provider's or our own error means in a step.
#[must_use]
pub fn meaning(step: Step, error: &ProviderError) -> SignupRule {
    const UNKNOWN: SignupRule = rule(
        (-1, -1),
        None,
        Again::Never,
        "Meta refused, with a code that this version does not know.",
        "Look the code up in Meta's list of error codes, and retry the step.",
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
