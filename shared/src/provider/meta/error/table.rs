//! The table itself, in the order of the facts.

use jiff::SignedDuration;

use super::{
    Class::{self, *},
    ErrorRule, Throttled,
};

const fn one(code: i64, class: Class, meaning: &'static str, remedy: &'static str) -> ErrorRule {
    ErrorRule { codes: code..=code, class, meaning, remedy }
}

const fn range(codes: (i64, i64), class: Class, meaning: &'static str, remedy: &'static str) -> ErrorRule {
    ErrorRule { codes: codes.0..=codes.1, class, meaning, remedy }
}

/// Every code that Meta documents.
// A table is read by its lines.
#[rustfmt::skip]
pub const RULES: &[ErrorRule] = &[
    // Authorisation (§4.1)
    one(0, Reconnect, "The access token is expired or was withdrawn.", "Reconnect the number: its access token is no longer valid."),
    one(3, Reconnect, "The app lacks a capability or a permission.", "Reconnect the number and grant the permission that is missing."),
    one(10, Reconnect, "A permission was not granted or was removed.", "Reconnect the number and grant the permission that was removed."),
    one(102, Reconnect, "The session behind the token is invalid.", "Reconnect the number: its access token is no longer valid."),
    one(190, Reconnect, "The access token is expired or invalid.", "Reconnect the number: its access token is no longer valid."),
    range((200, 299), Reconnect, "A permission is missing or was removed.", "Reconnect the number and grant the permission that was removed."),
    one(131_005, Reconnect, "Access was denied.", "Reconnect the number and grant the permission that was removed."),
    // Integrity and account (§4.2)
    one(33, Account(SignedDuration::from_hours(1)), "The number was deleted, or a value is not known.", "Check in WhatsApp Manager that the number still exists."),
    one(368, Account(SignedDuration::from_hours(1)), "The account is restricted or disabled for a policy violation.", "Read the violation in Business Support Home and appeal there."),
    one(130_497, Account(SignedDuration::from_hours(1)), "The business may not message users of that country.", "Do not write to this country; read Meta's country rules."),
    one(131_031, Account(SignedDuration::from_hours(1)), "The account is locked or restricted, or data such as the PIN does not match.", "Look at the account in WhatsApp Manager; settle what it asks for."),
    one(131_037, Account(SignedDuration::from_hours(1)), "The number needs an approved display name.", "Get the display name approved in WhatsApp Manager."),
    one(131_042, Account(SignedDuration::from_hours(1)), "Payment: no method, over the credit limit, or a missing setting.", "Fix the payment method of the WhatsApp Business account."),
    one(131_044, Account(SignedDuration::from_hours(1)), "Payment: a variant of 131042.", "Fix the payment method of the WhatsApp Business account."),
    one(131_045, Reconnect, "The number's certificate or registration is not right.", "Register the number again."),
    one(131_057, Retry, "The account is in maintenance, such as a throughput upgrade: up to a minute.", "Nothing: it is tried again by itself."),
    one(131_064, Wait(SignedDuration::from_hours(1)), "The messaging limit is lowered because utility templates were misclassified.", "Nothing: it lifts by itself. Check the category of your utility templates."),
    one(131_070, Final, "Another app answers on this conversation now.", "Take the conversation over in the other app, or answer there."),
    one(134_011, Account(SignedDuration::from_hours(1)), "The terms of payments are not accepted.", "Accept the terms in WhatsApp Manager."),
    one(2_494_100, Retry, "The number is in maintenance, such as a migration.", "Nothing: it is tried again by itself."),
    // Throttling (§4.3)
    one(4, Throttle(Throttled::App), "The app makes too many calls.", "Nothing: it is tried again when Meta's rate limit allows."),
    one(613, Throttle(Throttled::Number), "A rate limit of this kind of call.", "Nothing: it is tried again when Meta's rate limit allows."),
    one(80_007, Throttle(Throttled::Account), "The account makes too many calls.", "Nothing: it is tried again when Meta's rate limit allows."),
    one(80_008, Throttle(Throttled::Account), "The account makes too many calls.", "Nothing: it is tried again when Meta's rate limit allows."),
    one(130_429, Throttle(Throttled::Number), "The number sends faster than it may.", "Nothing: it is tried again when Meta's rate limit allows."),
    one(131_048, Account(SignedDuration::from_hours(4)), "Spam limit: too many people blocked or reported the number.", "Send fewer unexpected messages; the number rests for some hours."),
    one(131_056, Throttle(Throttled::Pair), "Too many messages to this customer in a short time.", "Nothing: it is tried again when this customer may be written again."),
    one(131_208, Throttle(Throttled::Number), "Too many group calls.", "Nothing: it is tried again when Meta's rate limit allows."),
    one(133_016, Wait(SignedDuration::from_hours(72)), "Too many registrations of this number.", "Wait 72 hours before registering it again."),
    one(138_002, Throttle(Throttled::Number), "Too many calls.", "Nothing: it is tried again when Meta's rate limit allows."),
    one(138_005, Throttle(Throttled::Number), "Too many calls.", "Nothing: it is tried again when Meta's rate limit allows."),
    // Sending (§4.4)
    one(1, Soft, "Meta had an unknown error.", "Wait: a status settles it, else it is tried again after two minutes, twice at most."),
    one(2, Soft, "Meta was down for a moment.", "Wait: a status settles it, else it is tried again after two minutes, twice at most."),
    one(100, Final, "A parameter is invalid or not supported.", "Read the details, correct the message, send it anew."),
    one(803, Final, "An id is not known to Meta.", "Check the ids in the message."),
    one(1_005, Final, "The customer cannot receive this (legacy code).", "Try another kind of message."),
    one(1_026, Final, "The customer cannot receive this (legacy code).", "Try another kind of message."),
    one(130_403, Blocked, "The business blocked this customer.", "Unblock the customer before writing."),
    one(130_472, Final, "The customer is part of an experiment of Meta's: marketing is not delivered, and not billed.", "Do not send it again; another kind of message may be delivered."),
    one(131_000, Soft, "Something went wrong at Meta.", "Wait: a status settles it, else it is tried again after two minutes, twice at most."),
    one(131_008, Final, "A required parameter is missing.", "Read the details, correct the message, send it anew."),
    one(131_009, Final, "A value is not valid, or the message reacted to is older than 30 days.", "Read the details, correct the message, send it anew."),
    one(131_016, Soft, "The service was not available.", "Wait: a status settles it, else it is tried again after two minutes, twice at most."),
    one(131_021, Final, "The recipient is the sending number itself.", "Choose a recipient that is not the sending number itself."),
    one(131_026, Final, "Undeliverable: not on WhatsApp, an old version, or terms not accepted.", "Check the number: it may not be on WhatsApp, or use a version that cannot receive this."),
    one(131_030, Final, "A test number may only write to its allow list.", "Add the recipient to the test number's allow list, or use a real number."),
    one(131_047, WindowClosed, "More than 24 hours have passed since the customer's last message.", "Send an approved template: 24 hours have passed since the customer's last message."),
    one(131_049, CoolDown(SignedDuration::from_hours(24)), "Not delivered to keep the ecosystem healthy: the customer gets much marketing.", "Do not send marketing to this customer before a day has passed; the gap grows each time."),
    one(131_050, OptedOut, "The customer stopped marketing from this business.", "Do not send marketing to this customer: they opted out."),
    one(131_051, Final, "This type of message is not supported.", "Choose another type."),
    one(131_052, Final, "A customer's file could not be fetched, for example because it is too large.", "Ask the customer to send it again."),
    one(131_053, Final, "Our file could not be fetched or uploaded: type, size, dead link, redirect.", "Check that the link opens without a redirect, and type and size against Meta's limits."),
    one(131_055, Final, "The marketing endpoint takes marketing templates only.", "Send it as an ordinary message."),
    one(131_060, Final, "The content is not available to companion devices.", "Nothing: it can be opened on the phone."),
    one(131_061, Final, "A restriction of the marketing endpoint.", "Read the details."),
    one(131_062, Final, "This message cannot be addressed by user id.", "Address the customer by phone number."),
    one(131_063, Template(Some(SignedDuration::from_hours(1))), "Marketing templates are switched off for the Cloud API on this account.", "Use Meta's marketing endpoint, or switch them on again in WhatsApp Manager."),
    one(131_065, Final, "A restriction of marketing or direct sends.", "Read the details."),
    one(135_000, Final, "A generic error: Meta could not read the parameters.", "Read the details, correct the message, send it anew."),
    one(137_000, Final, "The customer's identity key changed.", "Verify the customer again before sending."),
    one(134_100, Final, "The marketing endpoint takes marketing templates only.", "Send it as an ordinary message."),
    one(134_101, Wait(SignedDuration::from_mins(10)), "The template is still being copied to the marketing endpoint.", "Nothing: it is tried again after ten minutes."),
    one(134_102, Account(SignedDuration::from_hours(1)), "The account is not onboarded to the marketing endpoint, or the template is not available there.", "Accept the terms of the marketing endpoint in WhatsApp Manager."),
    // Templates and flows (§4.5)
    one(132_000, Final, "The number of parameters differs from the template's.", "Give as many parameters as the template has variables."),
    one(132_001, Template(Some(SignedDuration::from_mins(10))), "There is no approved template of this name and language.", "Check name and language; wait until the template is approved."),
    one(132_005, Final, "The text is too long once filled in.", "Shorten the values."),
    one(132_007, Template(Some(SignedDuration::from_hours(24))), "The template violates a content policy.", "Change the template and have it approved again."),
    one(132_008, Final, "A parameter value is not valid.", "Read the details, correct the values, send it anew."),
    one(132_012, Final, "A parameter has another format than the template's.", "Compare the parameters with the template's."),
    one(132_015, Template(Some(SignedDuration::from_hours(3))), "The template is paused for low quality, or was dropped by pacing.", "Change the template, or wait until Meta's pause ends."),
    one(132_016, Template(None), "The template is disabled for good.", "Make a new template."),
    one(132_068, Template(Some(SignedDuration::from_hours(1))), "The flow is blocked.", "Repair the flow in WhatsApp Manager."),
    one(132_069, Wait(SignedDuration::from_hours(1)), "The flow is throttled: ten an hour.", "Nothing: it is tried again after an hour. Repair the flow's endpoint."),
    range((139_000, 139_004), Final, "The flow cannot be used.", "Repair the flow in WhatsApp Manager."),
    // Registration and phone (§4.7)
    one(133_000, Reconnect, "An earlier deregistration is not complete.", "Deregister the number again, then register it."),
    one(133_004, Retry, "Meta's server is not available for a moment.", "Nothing: it is tried again by itself."),
    one(133_005, Reconnect, "The two-step PIN is wrong.", "Set a new PIN and register the number again."),
    one(133_006, Reconnect, "The number must be verified first.", "Verify the number, then register it."),
    one(133_008, Wait(SignedDuration::from_hours(1)), "Too many wrong PINs.", "Wait for the time in the details, then register the number again."),
    one(133_009, Wait(SignedDuration::from_hours(1)), "PINs were tried too fast.", "Wait for the time in the details, then register the number again."),
    one(133_010, Reconnect, "The number is not registered.", "Register the number."),
    one(133_015, Wait(SignedDuration::from_mins(5)), "The number was deleted moments ago.", "Nothing: it is tried again after five minutes."),
    one(136_024, Final, "The number is verified already.", "Nothing: go on with the next step."),
    one(2_388_001, Account(SignedDuration::from_hours(1)), "A migration problem.", "Finish the migration in WhatsApp Manager."),
    one(2_388_012, Account(SignedDuration::from_hours(1)), "A migration problem.", "Finish the migration in WhatsApp Manager."),
    one(2_388_091, Account(SignedDuration::from_hours(1)), "A migration problem.", "Finish the migration in WhatsApp Manager."),
    one(2_388_093, Account(SignedDuration::from_hours(1)), "A migration problem.", "Finish the migration in WhatsApp Manager."),
    one(2_388_103, Account(SignedDuration::from_hours(1)), "A migration problem.", "Finish the migration in WhatsApp Manager."),
    one(1_752_041, Final, "A partner request was made twice.", "Nothing: the first one stands."),
    one(2_593_079, Final, "An ownership migration problem.", "Finish the migration in WhatsApp Manager."),
    one(2_593_085, Final, "An ownership migration problem.", "Finish the migration in WhatsApp Manager."),
    one(2_593_107, Final, "The history was asked for already.", "Nothing: it is asked for once."),
    one(2_593_108, Final, "The history can only be asked for within 24 hours.", "Connect the number again to share its history."),
    one(2_593_109, Final, "The business does not share its history.", "Nothing: it may share it when it connects again."),
    // Templates when made or edited (§4.6)
    range((200_005, 200_007), Final, "Template insights cannot be had, or are not switched on.", "Switch template insights on in WhatsApp Manager."),
    one(2_388_019, Final, "The account has as many templates as it may.", "Delete templates that are not used."),
    range((2_388_023, 2_388_024), Final, "A template of this name and language exists, or is being deleted.", "Choose another name."),
    range((2_388_039, 2_388_040), Final, "A part of the template is too long.", "Shorten it."),
    one(2_388_047, Final, "The template's header has a wrong format.", "Correct the header."),
    range((2_388_072, 2_388_073), Final, "The template's body or footer has a wrong format.", "Correct body and footer."),
    one(2_388_293, Final, "The template has too many variables for its text.", "Write more text, or use fewer variables."),
    one(2_388_299, Final, "A variable stands at the beginning or the end of the text.", "Put words before and after it."),
    // Others (§4.8)
    one(131_020, Final, "The group is not valid.", "Check the group's id."),
    one(131_041, Final, "The group is not known.", "Check the group's id."),
    one(131_059, Final, "The position in a list is no longer valid.", "Read the list from its beginning."),
    range((131_201, 131_204), Final, "Group participants could not all be changed.", "Read the list in the details."),
    one(131_207, Account(SignedDuration::from_hours(1)), "The group is suspended.", "Look at the group in WhatsApp Manager."),
    range((131_209, 131_215), Final, "The group cannot do this.", "Read the details."),
    range((138_000, 138_001), Final, "Calls are off, or this customer cannot be called.", "Switch calls on, or write instead."),
    range((138_003, 138_004), Final, "The call could not be made.", "Try again, or write instead."),
    range((138_006, 138_007), Final, "The customer did not permit the call, or it timed out.", "Ask for permission first."),
    range((138_009, 138_021), Final, "A limit of calls and permission requests is reached, or calls are not available.", "Wait a day, or write instead."),
    range((139_100, 139_103), Final, "Some customers could not be blocked or unblocked.", "Read the list in the details; repeat what is missing."),
    range((147_001, 147_005), Final, "The user name cannot be had.", "Choose another one, or link the accounts Meta names."),
];
