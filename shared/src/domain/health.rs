//! The way of a message, hop by hop, from the settings of the Meta app to the last message stored: which hop is broken, and what to do.

use jiff::{SignedDuration, Timestamp};

/// Fields of webhooks without which something is missing (`facts/onboarding.md` §1.1).
pub const FIELDS_NEEDED: [&str; 2] = ["messages", "account_update"];
/// Fields that only numbers of the WhatsApp Business app need.
pub const COEXISTENCE_FIELDS: [&str; 3] = ["history", "smb_app_state_sync", "smb_message_echoes"];
/// A look older than this says little: a look is taken each day.
pub const LOOK_GOOD_FOR: SignedDuration = SignedDuration::from_hours(49);

macro_rules! hops {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $remedy:literal;)*) => {
        /// A hop.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Hop { $($(#[$doc])* $name,)* }

        impl Hop {
            /// All hops, in the order that a message takes them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The hop's stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What to do if it is broken.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

hops! {
    /// The Meta app is subscribed to the fields that are needed.
    AppFields = "app_fields", "Subscribe the app to these fields in the App Dashboard, under WhatsApp, Configuration.";
    /// The callback URL that wins is this installation's.
    Callback = "callback", "Set the callback URL in the App Dashboard, or remove the override of the account or number.";
    /// That URL answers Meta's question with our verify token.
    Handshake = "handshake", "Store the app's verify token again with `operator app`, and give Meta the same one.";
    /// That URL takes what is signed with our app secret.
    Signature = "signature", "Store the app's current secret again with `operator app`.";
    /// The account's webhooks come to our app.
    AccountSubscription = "account_subscription", "Connect the account again: the step `subscribe` subscribes it.";
    /// The token is good, and for how long.
    Token = "token", "Let the business go through the signup again.";
    /// The number is registered with the Cloud API.
    Registration = "registration", "Connect the number again: the step `register` registers it.";
    /// Somebody pays.
    Payment = "payment", "Let the business add a payment method in WhatsApp Manager: paid messages fail with 131042.";
    /// Quality, throughput, limits, display name.
    Limits = "limits", "Look at the number in WhatsApp Manager: Meta limits what it may send.";
    /// Nothing that Meta said stops sending.
    Sending = "sending", "Read the states and alerts of the number: one of them stops it.";
    /// Webhooks arrived, by field.
    Webhooks = "webhooks", "Write a message to the number. If none arrives, a hop before this one is broken.";
    /// What the business types on its phone, and its past chats, arrived.
    Coexistence = "coexistence", "Open the WhatsApp Business app on the phone and keep it open for some minutes.";
}

/// What is received for a number, and noted when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Customers' messages.
    Messages,
    /// Statuses of what was sent.
    Statuses,
    /// What the business types on its phone.
    Echoes,
    /// Past chats.
    History,
    /// The phone's address book.
    AddressBook,
}

impl Seen {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Messages, Self::Statuses, Self::Echoes, Self::History, Self::AddressBook];

    /// Its stable name.
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

/// What is known of a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Ok,
    /// It does not.
    Broken,
    /// Nobody knows.
    Unknown,
}

impl Verdict {
    const ALL: [Self; 3] = [Self::Ok, Self::Broken, Self::Unknown];

    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Broken => "broken",
            Self::Unknown => "unknown",
        }
    }

    /// The verdict of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// A hop as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The hop.
    pub hop: Hop,
    /// Whether it works.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
}

impl Finding {
    /// A hop that works or does not.
    #[must_use]
    pub fn new(hop: Hop, works: bool, seen: impl Into<String>) -> Self {
        Self { hop, verdict: if works { Verdict::Ok } else { Verdict::Broken }, seen: seen.into() }
    }

    /// A hop of which nobody knows.
    #[must_use]
    pub fn unknown(hop: Hop, why: impl Into<String>) -> Self {
        Self { hop, verdict: Verdict::Unknown, seen: why.into() }
    }
}

/// All hops of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// When Meta was asked last.
    pub looked_at: Option<Timestamp>,
    /// Each hop once, in their order.
    pub findings: Vec<Finding>,
}

impl Health {
    /// The first hop that is broken: what comes after it may be broken because of it.
    #[must_use]
    pub fn broken(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.verdict == Verdict::Broken)
    }

    /// Whether the number works, as far as anybody knows.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.broken().is_some() {
            return Verdict::Broken;
        }
        let unknown = self.findings.iter().any(|finding| finding.verdict == Verdict::Unknown);
        if unknown { Verdict::Unknown } else { Verdict::Ok }
    }
}
