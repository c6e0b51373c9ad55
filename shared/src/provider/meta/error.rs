//! What Meta's error codes mean for a send. Only `code` decides; titles and HTTP statuses change
//! (`facts/errors-and-limits.md` §2 and §4, `reliability.md` §2.3.4). The complete table comes with the send issue;
//! until then a code that is not here is permanent, which never sends twice.

/// What to do after Meta refused a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Surely not sent; the same call may succeed later.
    TryLater,
    /// Meta says it failed, but similar answers were seen for messages that arrived: doubt.
    Doubt,
    /// Surely not sent and never will be.
    GiveUp,
}

/// The reaction to an error code.
#[must_use]
pub fn reaction(code: i64) -> Reaction {
    match code {
        // Throttled: app, WABA, number, pair; number in maintenance for a minute.
        4 | 80_007 | 130_429 | 131_056 | 131_057 => Reaction::TryLater,
        // Token or permission lost: the message waits for a reconnection until its time runs out.
        0 | 3 | 10 | 102 | 190 | 200..=299 | 131_005 => Reaction::TryLater,
        // "Something went wrong, try again."
        1 | 2 | 131_000 | 131_016 => Reaction::Doubt,
        _ => Reaction::GiveUp,
    }
}

/// Whether the code says that the access token is no longer good, so a cached copy must be dropped.
#[must_use]
pub fn is_token_error(code: i64) -> bool {
    matches!(code, 0 | 102 | 190)
}

/// What a person can do about it, where that is known.
#[must_use]
pub fn remedy(code: i64) -> Option<&'static str> {
    Some(match code {
        0 | 102 | 190 => "Reconnect the number: its access token is no longer valid.",
        3 | 10 | 200..=299 | 131_005 => "Reconnect the number and grant the permission that was removed.",
        4 | 80_007 | 130_429 => "Nothing: it is tried again when Meta's rate limit allows.",
        131_056 => "Nothing: it is tried again when this customer may be written again.",
        131_021 => "Choose a recipient that is not the sending number itself.",
        131_026 => "Check the number: it may not be on WhatsApp, or use a version that cannot receive this.",
        131_030 => "Add the recipient to the test number's allow list, or use a real number.",
        131_042 => "Fix the payment method of the WhatsApp Business account.",
        131_047 => "Send an approved template: 24 hours have passed since the customer's last message.",
        131_050 => "Do not send marketing to this customer: they opted out.",
        _ => return None,
    })
}
