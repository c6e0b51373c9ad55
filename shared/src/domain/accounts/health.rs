//! Health of a number as a list of checks, from the settings of the Meta app to the last stored message. Each finding
//! says whether the check passed; each check names the remedy.

use jiff::{SignedDuration, Timestamp};

/// Webhook fields that every number needs (`docs/meta/onboarding.md#section-1-1`).
pub const FIELDS_NEEDED: [&str; 2] = ["messages", "account_update"];
/// Webhook fields that only numbers of the WhatsApp Business app need.
pub const COEXISTENCE_FIELDS: [&str; 3] = ["history", "smb_app_state_sync", "smb_message_echoes"];
/// Age after which a health check no longer counts. A check runs once per day, so this allows one missed run.
pub const LOOK_GOOD_FOR: SignedDuration = SignedDuration::from_hours(49);

macro_rules! hops {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $remedy:literal;)*) => {
        /// A health check.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum HealthCheck { $($(#[$doc])* $name,)* }

        impl HealthCheck {
            /// All checks, in the order in which a message passes the parts that they test.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the check's stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Returns the remedy if the check fails.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

hops! {
    /// The Meta app is subscribed to the webhook fields that the number needs.
    AppFields = "app_fields", "Subscribe the app to these fields in the App Dashboard, under WhatsApp, Configuration.";
    /// The callback URL in force is that of this installation.
    Callback = "callback", "Set the callback URL in the App Dashboard, or remove the override of the account or number.";
    /// The callback URL answers Meta's verification request with our verify token.
    Handshake = "handshake", "Store the app's verify token again with `operator app`, and give Meta the same one.";
    /// The callback URL accepts a request signed with our app secret.
    Signature = "signature", "Store the app's current secret again with `operator app`.";
    /// The account is subscribed to our app, so its webhooks arrive here.
    AccountSubscription = "account_subscription", "Connect the account again: the step `subscribe` subscribes it.";
    /// The token is valid; the finding names its expiry.
    Token = "token", "Let the business go through the signup again.";
    /// The number is registered with the Cloud API.
    Registration = "registration", "Connect the number again: the step `register` registers it.";
    /// The account has a payment method.
    Payment = "payment", "Let the business add a payment method in WhatsApp Manager: paid messages fail with 131042.";
    /// The quality rating is not red and the display name not declined. The finding also lists throughput and limit.
    Limits = "limits", "Look at the number in WhatsApp Manager: Meta limits what it may send.";
    /// No state reported by Meta stops sending.
    Sending = "sending", "Read the states and alerts of the number: one of them stops it.";
    /// Webhooks have arrived; the finding lists the last time per kind.
    Webhooks = "webhooks", "Write a message to the number. If none arrives, a hop before this one is broken.";
    /// Messages typed on the business's phone, and its past chats, have arrived.
    Coexistence = "coexistence", "Open the WhatsApp Business app on the phone and keep it open for some minutes.";
}

/// Kind of webhook of which the last arrival is recorded per number, to the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Customers' messages.
    Messages,
    /// Statuses of sent messages.
    Statuses,
    /// Messages typed on the business's phone.
    Echoes,
    /// Past chats.
    History,
    /// Address book of the phone.
    AddressBook,
}

impl Seen {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Messages, Self::Statuses, Self::Echoes, Self::History, Self::AddressBook];

    /// Returns the stable name of the kind.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Statuses => "statuses",
            Self::Echoes => "echoes",
            Self::History => "history",
            Self::AddressBook => "address_book",
        }
    }
}

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The check passed.
    Ok,
    /// The check failed.
    Broken,
    /// The result is not known.
    Unknown,
}

impl Verdict {
    const ALL: [Self; 3] = [Self::Ok, Self::Broken, Self::Unknown];

    /// Returns the stable name of the verdict.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the verdict with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// Result of a check, with the observation behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check.
    pub hop: HealthCheck,
    /// Whether it passed.
    pub verdict: Verdict,
    /// The observation, or the reason why there is none, in words.
    pub seen: String,
}

impl Finding {
    /// Returns a finding that passed or failed.
    #[must_use]
    pub fn new(hop: HealthCheck, works: bool, seen: impl Into<String>) -> Self {
        Self { hop, verdict: if works { Verdict::Ok } else { Verdict::Broken }, seen: seen.into() }
    }

    /// Returns a finding whose result is not known, with the reason.
    #[must_use]
    pub fn unknown(hop: HealthCheck, why: impl Into<String>) -> Self {
        Self { hop, verdict: Verdict::Unknown, seen: why.into() }
    }
}

/// Results of all checks of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Time when Meta was last queried.
    pub looked_at: Option<Timestamp>,
    /// One finding per check, in the order of [`HealthCheck::ALL`].
    pub findings: Vec<Finding>,
}

impl Health {
    /// Returns the first check that failed. It may be the cause of later failures.
    #[must_use]
    pub fn broken(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.verdict == Verdict::Broken)
    }

    /// Returns the verdict for the number as a whole: broken if one check failed, else unknown if one is unknown.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.broken().is_some() {
            return Verdict::Broken;
        }
        let unknown = self.findings.iter().any(|finding| finding.verdict == Verdict::Unknown);
        if unknown { Verdict::Unknown } else { Verdict::Ok }
    }
}
