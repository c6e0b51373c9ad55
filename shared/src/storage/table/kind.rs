//! Kinds of items. Code that must know all of them, such as the erasure of an account, matches exhaustively.

/// Form of a sort key.
enum Sort {
    /// Exactly this text.
    Is(&'static str),
    /// Begins with this text.
    Begins(&'static str),
    /// Any text.
    Any,
}

/// Declares the kinds, each with the first part of its partition key and the form of its sort key.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $partition:literal, $form:ident $(($sort:literal))?;)+) => {
        /// Kind of an item, as its key shows it. The module `keys` has the whole keys.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ItemKind {
            $($(#[$doc])* $name,)+
        }

        impl ItemKind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            fn form(self) -> (&'static str, Sort) {
                match self {
                    $(Self::$name => ($partition, Sort::$form$(($sort))?),)+
                }
            }
        }
    };
}

kinds! {
    /// Tenant.
    Tenant = "TENANT", Is("TENANT");
    /// Accounts that a tenant ever connected.
    TenantAccounts = "TENANT", Is("ACCOUNTS");
    /// Offboarding.
    Offboarding = "OFFBOARDING", Any;
    /// Request to delete data.
    Deletion = "DELETION", Any;
    /// API key.
    ApiKey = "KEY", Any;
    /// Audit entry.
    Audit = "AUDIT", Any;
    /// Meta app.
    MetaApp = "APP", Any;
    /// Secret of the installation.
    SystemSecret = "SECRET", Any;
    /// Number.
    Number = "NUMBER", Is("NUMBER");
    /// PIN of a number.
    Pin = "NUMBER", Is("PIN");
    /// Health of a number.
    Health = "NUMBER", Is("HEALTH");
    /// Progress of a number's history sync.
    History = "NUMBER", Begins("HISTORY#");
    /// State of a number.
    NumberState = "NUMBER", Begins("STATE#");
    /// Copy of a file that a customer sent.
    File = "NUMBER", Begins("FILE#");
    /// Access token of an account.
    Token = "WABA", Begins("TOKEN#");
    /// Number of an account, by its digits.
    AccountNumber = "WABA", Begins("NUMBER#");
    /// State of an account.
    AccountState = "WABA", Begins("STATE#");
    /// State of a template.
    TemplateState = "WABA", Begins("TEMPLATE#");
    /// Template by name and language.
    Template = "WABA", Begins("NAMED#");
    /// Time of the last fetch of an account's templates.
    TemplateMirror = "WABA", Is("MIRROR");
    /// Mark of an account that left.
    AccountGone = "WABA", Is("GONE");
    /// Mark of an account that a signup is about.
    AccountClaim = "WABA", Is("CLAIM");
    /// State of a portfolio.
    PortfolioState = "PORTFOLIO", Any;
    /// Alert.
    Alert = "ALERT", Any;
    /// Alias of a contact.
    Alias = "ALIAS", Any;
    /// Contact, with the other contacts of the person.
    Contact = "CONTACT", Is("CONTACT");
    /// Preference of a contact.
    Preference = "CONTACT", Begins("WANTS#");
    /// Restraint that Meta requires towards a contact.
    Restraint = "CONTACT", Begins("RESTRAINT#");
    /// Merge of two contacts.
    Merge = "MERGE", Any;
    /// Conversation.
    Conversation = "CONV", Is("CONV");
    /// Note about a conversation.
    Note = "CONV", Begins("NOTE#");
    /// Message that we sent.
    OutMessage = "CONV", Begins("OUT#");
    /// Message that somebody else wrote.
    InMessage = "CONV", Begins("IN#");
    /// Annotations of a message.
    Annotation = "CONV", Begins("ANNOTATION#");
    /// Search entry.
    SearchEntry = "NAMES", Any;
    /// Activity in a tenant's conversations.
    Activity = "INBOX", Any;
    /// Idempotency record.
    Idempotency = "IDEM", Any;
    /// Quarantined item.
    Quarantined = "QUARANTINE", Any;
    /// Replay.
    Replay = "REPLAY", Any;
    /// Erasure of a contact.
    Erasure = "ERASURE", Any;
    /// Usage.
    Usage = "USAGE", Any;
    /// Pace of a number.
    Pace = "RATE", Any;
    /// Pace of a number towards one contact.
    Pair = "PAIR", Any;
    /// Onboarding.
    Onboarding = "ONBOARDING", Any;
    /// Accounts that a business shares with us.
    Business = "BUSINESS", Any;
    /// Accounts that a user gave an app access to.
    Signer = "SIGNER", Any;
    /// Broadcast.
    Broadcast = "BROADCAST", Any;
    /// File to send.
    Media = "MEDIA", Any;
    /// Lease of a job.
    Lease = "LEASE", Any;
    /// Stranded messages.
    Ledger = "LEDGER", Any;
}

impl ItemKind {
    /// Returns the kind of the item with this key; `None` for a key that this version does not write.
    #[must_use]
    pub fn of(pk: &str, sk: &str) -> Option<Self> {
        let partition = pk.split('#').next().unwrap_or_default();
        Self::ALL.iter().copied().find(|kind| {
            let (first, sort) = kind.form();
            first == partition
                && match sort {
                    Sort::Is(text) => sk == text,
                    Sort::Begins(text) => sk.starts_with(text),
                    Sort::Any => true,
                }
        })
    }
}
