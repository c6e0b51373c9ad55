//! The table of error codes, in the order of `docs/meta/errors.md#section-4`.

use jiff::SignedDuration;

use crate::provider::meta::error::{
    ErrorClass::{self, *},
    ErrorRule, Throttled,
};

const fn one(code: i64, class: ErrorClass, meaning: &'static str, remedy: &'static str) -> ErrorRule {
    ErrorRule { codes: code..=code, class, meaning, remedy }
}

const fn range(codes: (i64, i64), class: ErrorClass, meaning: &'static str, remedy: &'static str) -> ErrorRule {
    ErrorRule { codes: codes.0..=codes.1, class, meaning, remedy }
}

/// All error codes that Meta documents.
// One row per line, so that the table can be read as one.
#[rustfmt::skip]
pub const RULES: &[ErrorRule] = &[
    // Authorisation (`docs/meta/errors.md#section-4-1`)
    one(0, Reconnect, "The access token has expired or was revoked.", "Reconnect the number: its access token is no longer valid."),
    one(3, Reconnect, "The app lacks a capability or a permission.", "Reconnect the number and grant the missing permission."),
    one(10, Reconnect, "A permission was not granted or was removed.", "Reconnect the number and grant the permission again."),
    one(102, Reconnect, "The session of the access token is invalid.", "Reconnect the number: its access token is no longer valid."),
    one(190, Reconnect, "The access token has expired or is invalid.", "Reconnect the number: its access token is no longer valid."),
    range((200, 299), Reconnect, "A permission is missing or was removed.", "Reconnect the number and grant the permission again."),
    one(131_005, Reconnect, "Meta denied access, usually for a missing permission.", "Reconnect the number and grant the permission again."),
    // Integrity and account (`docs/meta/errors.md#section-4-2`)
    one(33, Account(SignedDuration::from_hours(1)), "The number was deleted, or Meta does not know an id in the call.", "Check in WhatsApp Manager that the number still exists."),
    one(368, Account(SignedDuration::from_hours(1)), "The account is restricted or disabled for a policy violation.", "Read about the violation in Meta's Business Support Home and appeal there."),
    one(130_497, Account(SignedDuration::from_hours(1)), "The business may not message users of that country.", "Do not send to this country, and read Meta's rules for it."),
    one(131_031, Account(SignedDuration::from_hours(1)), "The account is locked or restricted, or data such as the PIN does not match.", "Open the account in WhatsApp Manager and follow the instructions there."),
    one(131_037, Account(SignedDuration::from_hours(1)), "The number needs an approved display name.", "Get the display name approved in WhatsApp Manager."),
    one(131_042, Account(SignedDuration::from_hours(1)), "Payment failed: there is no payment method, the credit limit is exceeded, or a setting is missing.", "Correct the payment method of the WhatsApp Business account."),
    one(131_044, Account(SignedDuration::from_hours(1)), "Payment failed (variant of code 131042).", "Correct the payment method of the WhatsApp Business account."),
    one(131_045, Reconnect, "The number's certificate or registration is invalid.", "Register the number again."),
    one(131_057, Retry, "The account is in maintenance for up to a minute, for example for a throughput upgrade.", "Nothing to do: the message is retried automatically."),
    one(131_064, Wait(SignedDuration::from_hours(1)), "Meta lowered the messaging limit because utility templates were in the wrong category.", "Wait: Meta removes the limit by itself. Check the categories of your utility templates."),
    one(131_070, Final, "Another app has control of this conversation.", "Hand the conversation over in the other app, or answer there."),
    one(134_011, Account(SignedDuration::from_hours(1)), "The business has not accepted Meta's payment terms.", "Accept the terms in WhatsApp Manager."),
    one(2_494_100, Retry, "The number is in maintenance, for example for a migration.", "Nothing to do: the message is retried automatically."),
    // Throttling (`docs/meta/errors.md#section-4-3`)
    one(4, Throttle(Throttled::App), "The app is over its limit of calls.", "Nothing to do: the message is retried when Meta's rate limit allows."),
    one(613, Throttle(Throttled::Number), "This kind of call is over its rate limit.", "Nothing to do: the message is retried when Meta's rate limit allows."),
    one(80_007, Throttle(Throttled::Account), "The account is over its limit of calls.", "Nothing to do: the message is retried when Meta's rate limit allows."),
    one(80_008, Throttle(Throttled::Account), "The account is over its limit of calls.", "Nothing to do: the message is retried when Meta's rate limit allows."),
    one(130_429, Throttle(Throttled::Number), "The number sends faster than its throughput limit.", "Nothing to do: the message is retried when Meta's rate limit allows."),
    one(131_048, Account(SignedDuration::from_hours(4)), "The number is over Meta's spam limit: too many people blocked or reported it.", "Send fewer unexpected messages. The number sends nothing for some hours."),
    one(131_056, Throttle(Throttled::Pair), "Too many messages were sent to this customer in a short time.", "Nothing to do: the message is retried when the limit for this customer allows."),
    one(131_208, Throttle(Throttled::Number), "Too many calls about groups were made.", "Nothing to do: the message is retried when Meta's rate limit allows."),
    one(133_016, Wait(SignedDuration::from_hours(72)), "The number was registered too often.", "Wait 72 hours before registering it again."),
    one(138_002, Throttle(Throttled::Number), "Too many calls were made.", "Nothing to do: the message is retried when Meta's rate limit allows."),
    one(138_005, Throttle(Throttled::Number), "Too many calls were made.", "Nothing to do: the message is retried when Meta's rate limit allows."),
    // Sending (`docs/meta/errors.md#section-4-4`)
    one(1, RetryableAnswer, "An unknown error occurred at Meta.", "Wait: a status decides the outcome. Without one the message is retried after two minutes, at most twice."),
    one(2, RetryableAnswer, "Meta's service was briefly unavailable.", "Wait: a status decides the outcome. Without one the message is retried after two minutes, at most twice."),
    one(100, Final, "A parameter is invalid or not supported.", "Read the error details, correct the message and send it again."),
    one(803, Final, "Meta does not know an id in the call.", "Check the ids in the message."),
    one(1_005, Final, "The customer cannot receive this message (legacy code).", "Send another kind of message."),
    one(1_026, Final, "The customer cannot receive this message (legacy code).", "Send another kind of message."),
    one(130_403, Blocked, "The business blocked this customer.", "Unblock the customer before sending."),
    one(130_472, Final, "The customer is in an experiment of Meta's: the marketing message is neither delivered nor billed.", "Do not send the message again. Messages other than marketing are not affected."),
    one(131_000, RetryableAnswer, "Something went wrong at Meta.", "Wait: a status decides the outcome. Without one the message is retried after two minutes, at most twice."),
    one(131_008, Final, "A required parameter is missing.", "Read the error details, correct the message and send it again."),
    one(131_009, Final, "A parameter value is invalid, or a reaction is to a message older than 30 days.", "Read the error details, correct the message and send it again."),
    one(131_016, RetryableAnswer, "Meta's service was unavailable.", "Wait: a status decides the outcome. Without one the message is retried after two minutes, at most twice."),
    one(131_021, Final, "The recipient is the sending number itself.", "Send to another number than the sending number."),
    one(131_026, Final, "The message is undeliverable: the recipient is not on WhatsApp, has an old version, or has not accepted the current terms.", "Check the number. If it is correct, contact the customer in another way."),
    one(131_030, Final, "A test number may send only to the recipients on its allow list.", "Add the recipient to the test number's allow list, or send from a real number."),
    one(131_047, WindowClosed, "The customer service window is closed: the customer's last message is more than 24 hours old.", "Send an approved template."),
    one(131_049, CoolDown(SignedDuration::from_hours(24)), "Meta did not deliver the message, because the customer receives much marketing.", "Send no marketing to this customer for at least a day. Meta lengthens the pause each time."),
    one(131_050, OptedOut, "The customer opted out of marketing from this business.", "Send no marketing to this customer."),
    one(131_051, Final, "This type of message is not supported.", "Choose another type of message."),
    one(131_052, Final, "A file could not be downloaded: Meta could not fetch a link, or a customer's file is too large.", "Check that the link is public and its file within Meta's limits; ask a customer to send the file again."),
    one(131_053, Final, "Meta could not download or accept the file: wrong type or size, dead link, or redirect.", "Check that the link opens without a redirect, and that type and size are within Meta's limits."),
    one(131_055, Final, "The marketing endpoint accepts marketing templates only.", "Send the message through the ordinary messages endpoint."),
    one(131_060, Final, "The content cannot be shown on companion devices.", "Nothing to do: the message can be opened on the phone."),
    one(131_061, Final, "The marketing endpoint refused the message because of a restriction.", "Read the error details."),
    one(131_062, Final, "This kind of message cannot be addressed to a user id.", "Send it to the customer's phone number."),
    one(131_063, Template(Some(SignedDuration::from_hours(1))), "Marketing templates through the Cloud API are switched off for this account.", "Switch them on again in WhatsApp Manager, or send a utility template."),
    one(131_065, Final, "The maximum price given with the message is not available in the recipient's country.", "Send the message without a maximum price."),
    one(135_000, Final, "Meta could not read the parameters.", "Read the error details, correct the message and send it again."),
    one(137_000, Final, "The customer's identity key changed.", "Verify the customer again before sending."),
    one(134_100, Final, "The marketing endpoint accepts marketing templates only.", "Send the message through the ordinary messages endpoint."),
    one(134_101, Wait(SignedDuration::from_mins(10)), "The template is still being copied to the marketing endpoint.", "Nothing to do: the message is retried automatically after ten minutes."),
    one(134_102, Account(SignedDuration::from_hours(1)), "The account has not joined the marketing endpoint, or the template is not available there.", "Accept the terms of the marketing endpoint in WhatsApp Manager."),
    // Templates and flows (`docs/meta/errors.md#section-4-5`)
    one(132_000, Final, "The number of parameters differs from the template's number of variables.", "Send one parameter for each variable of the template."),
    one(132_001, Template(Some(SignedDuration::from_mins(10))), "There is no approved template with this name and language.", "Check name and language, or wait until the template is approved."),
    one(132_005, Final, "The template's text is too long with these parameter values.", "Shorten the parameter values."),
    one(132_007, Template(Some(SignedDuration::from_hours(24))), "The template violates one of Meta's content policies.", "Change the template and submit it for approval again."),
    one(132_008, Final, "A parameter value is invalid.", "Read the error details, correct the values and send the message again."),
    one(132_012, Final, "A parameter does not have the format that the template requires.", "Compare the parameters with the template's definition."),
    one(132_015, Template(Some(SignedDuration::from_hours(3))), "Meta paused the template for low quality, or stopped it during its pacing phase.", "Change the template, or wait until the pause ends."),
    one(132_016, Template(None), "Meta disabled the template permanently.", "Create a new template."),
    one(132_068, Template(Some(SignedDuration::from_hours(1))), "The flow is blocked.", "Correct the flow in WhatsApp Manager."),
    one(132_069, Wait(SignedDuration::from_hours(1)), "The flow is throttled to ten messages per hour.", "Correct the flow's endpoint. The message is retried automatically after an hour."),
    range((139_000, 139_004), Final, "The flow cannot be used.", "Correct the flow in WhatsApp Manager."),
    // Registration and phone (`docs/meta/errors.md#section-4-7`)
    one(133_000, Reconnect, "An earlier deregistration of the number is not complete.", "Deregister the number again, then register it."),
    one(133_004, Retry, "Meta's server is briefly unavailable.", "Nothing to do: the message is retried automatically."),
    one(133_005, Reconnect, "The PIN of the two-step verification is wrong.", "Set a new PIN and register the number again."),
    one(133_006, Reconnect, "The number is not verified.", "Verify the number, then register it."),
    one(133_008, Wait(SignedDuration::from_hours(1)), "A wrong PIN was entered too often.", "Wait for the time given in the error details, then register the number again."),
    one(133_009, Wait(SignedDuration::from_hours(1)), "PINs were entered in too short a time.", "Wait for the time given in the error details, then register the number again."),
    one(133_010, Reconnect, "The number is not registered.", "Register the number."),
    one(133_015, Wait(SignedDuration::from_mins(5)), "The number was deleted a moment ago.", "Nothing to do: the message is retried automatically after five minutes."),
    one(136_024, Final, "The number is already verified.", "Nothing to do: continue with the next step."),
    one(2_388_001, Account(SignedDuration::from_hours(1)), "The number's migration is not complete.", "Finish the migration in WhatsApp Manager."),
    one(2_388_012, Account(SignedDuration::from_hours(1)), "The number's migration is not complete.", "Finish the migration in WhatsApp Manager."),
    one(2_388_091, Account(SignedDuration::from_hours(1)), "The number's migration is not complete.", "Finish the migration in WhatsApp Manager."),
    one(2_388_093, Account(SignedDuration::from_hours(1)), "The number's migration is not complete.", "Finish the migration in WhatsApp Manager."),
    one(2_388_103, Account(SignedDuration::from_hours(1)), "The number's migration is not complete.", "Finish the migration in WhatsApp Manager."),
    one(1_752_041, Final, "The partner request was already made.", "Nothing to do: the first request is valid."),
    one(2_593_079, Final, "The migration of the account's ownership is not complete.", "Finish the migration in WhatsApp Manager."),
    one(2_593_085, Final, "The migration of the account's ownership is not complete.", "Finish the migration in WhatsApp Manager."),
    one(2_593_107, Final, "The history of past chats was already requested.", "Nothing to do: Meta allows one request per onboarding."),
    one(2_593_108, Final, "The history of past chats can be requested only within 24 hours of the onboarding.", "Connect the number again to share its past chats."),
    one(2_593_109, Final, "The business does not share its past chats.", "Nothing to do: the business can share them when it connects again."),
    // Creation and edits of templates (`docs/meta/errors.md#section-4-6`)
    range((200_005, 200_007), Final, "Template insights are unavailable or not switched on.", "Switch template insights on in WhatsApp Manager."),
    one(2_388_019, Final, "The account has reached its limit of templates.", "Delete templates that are no longer used."),
    range((2_388_023, 2_388_024), Final, "A template with this name and language exists or is being deleted.", "Choose another name."),
    range((2_388_039, 2_388_040), Final, "A part of the template is too long.", "Shorten that part."),
    one(2_388_047, Final, "The format of the template's header is invalid.", "Correct the header."),
    range((2_388_072, 2_388_073), Final, "The format of the template's body or footer is invalid.", "Correct the body and the footer."),
    one(2_388_293, Final, "The template has too many variables for its text.", "Write more text, or use fewer variables."),
    one(2_388_299, Final, "The template's text begins or ends with a variable.", "Add words before and after the variable."),
    // Others (`docs/meta/errors.md#section-4-8`)
    one(131_020, Final, "The group is invalid.", "Check the group's id."),
    one(131_041, Final, "Meta does not know the group.", "Check the group's id."),
    one(131_059, Final, "The cursor of a list is no longer valid.", "Read the list from its beginning."),
    range((131_201, 131_204), Final, "Not all changes of the group's participants succeeded.", "Read the list in the error details."),
    one(131_207, Account(SignedDuration::from_hours(1)), "The group is suspended.", "Check the group in WhatsApp Manager."),
    range((131_209, 131_215), Final, "The group does not allow this action.", "Read the error details."),
    range((138_000, 138_001), Final, "Calls are switched off, or this customer cannot be called.", "Switch calls on, or send a message."),
    range((138_003, 138_004), Final, "The call could not be made.", "Try again, or send a message."),
    range((138_006, 138_007), Final, "The customer did not permit the call, or the permission expired.", "Ask the customer for permission first."),
    range((138_009, 138_021), Final, "The limit of calls or permission requests is reached, or calls are unavailable.", "Wait a day, or send a message."),
    range((139_100, 139_103), Final, "Some customers could not be blocked or unblocked.", "Read the list in the error details and repeat the call for the customers in it."),
    range((147_001, 147_005), Final, "The user name is unavailable.", "Choose another user name, or link the accounts that Meta names."),
];
