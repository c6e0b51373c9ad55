//! What the provider says about numbers, accounts, templates and tokens: each a state, and where a person must act, an
//! alert.

use jiff::Timestamp;

use super::ids::{PhoneNumberId, WabaId};

/// What a state is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A business number.
    Number(PhoneNumberId),
    /// A business number that the provider names by its digits only.
    NumberNamed(WabaId, String),
    /// A WhatsApp Business account.
    Waba(WabaId),
    /// A message template of an account, by the provider's id.
    Template(WabaId, String),
    /// A business portfolio, which owns accounts.
    Portfolio(String),
}

macro_rules! aspects {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// Which side of a subject a state describes. The latest word on each side counts.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Aspect { $($(#[$doc])* $name,)* }

        impl Aspect {
            /// All aspects.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The aspect's stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

aspects! {
    /// Whether the account is connected to a partner: us.
    Partner = "partner",
    /// Whether the partner's app is installed.
    PartnerApp = "partner_app",
    /// A partner's certification of the client.
    Certification = "certification",
    /// Whether the number is still paired with the WhatsApp Business app.
    Coexistence = "coexistence",
    /// Whether the account was deleted.
    Deletion = "deletion",
    /// What the account may not do, until when; one state a restriction.
    Restriction = "restriction",
    /// A policy violation; one state a kind.
    Violation = "violation",
    /// Whether the account is banned.
    Ban = "ban",
    /// Whether the business is verified.
    Verification = "verification",
    /// Whether an ad account is linked.
    AdAccount = "ad_account",
    /// Whether the terms of the marketing endpoint are signed.
    MarketingTerms = "marketing_terms",
    /// Prices of international authentication.
    InternationalRates = "international_rates",
    /// The business's country.
    Country = "country",
    /// Volume prices; one state a category and region.
    PricingTier = "pricing_tier",
    /// The review of the account.
    Review = "review",
    /// How many people may be written to first, how many numbers there may be.
    Capability = "capability",
    /// Alerts of the provider; one state a kind.
    ProviderAlert = "provider_alert",
    /// The number's quality and messaging limit.
    Quality = "quality",
    /// The number's throughput.
    Throughput = "throughput",
    /// What the provider thinks of the number, as its daily look shows it.
    QualityRating = "quality_rating",
    /// How many people may be written to first in a day, as the daily look shows it.
    MessagingLimit = "messaging_limit",
    /// Whether the name that customers see is approved, as the daily look shows it.
    NameStatus = "name_status",
    /// The number's display name.
    DisplayName = "display_name",
    /// The number's two-step PIN.
    Security = "security",
    /// The number's settings.
    Settings = "settings",
    /// The business's user name.
    Username = "username",
    /// Trouble that the provider reports with the number itself.
    Trouble = "trouble",
    /// A multi-partner solution; one state a solution.
    Solution = "solution",
    /// A configuration of payments; one state a configuration.
    Payments = "payments",
    /// The status of the business; its shape is not published.
    BusinessStatus = "business_status",
    /// A flow's status and the health of its endpoint; one state a flow and measure.
    Flow = "flow",
    /// Which app answers on the number.
    ThreadControl = "thread_control",
    /// Whether the token that sends can still be good.
    Token = "token",
    /// Whether past chats are shared.
    History = "history",
    /// Whether a template may be sent.
    TemplateStatus = "status",
    /// A template's quality.
    TemplateQuality = "template_quality",
    /// A template's content as it was last changed.
    TemplateComponents = "components",
    /// A template's category.
    TemplateCategory = "category",
    /// The category a template will get.
    TemplateCategoryNext = "category_next",
    /// The category the provider would choose.
    TemplateCategoryAdvice = "category_advice",
}

/// One state that a webhook reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// What it is about.
    pub subject: Subject,
    /// Which side of it.
    pub aspect: Aspect,
    /// Tells several states of one side apart, such as the kind of restriction.
    pub key: Option<String>,
    /// The state in one word, the provider's where it has one.
    pub word: String,
    /// Until when it holds, where the provider says so.
    pub until: Option<Timestamp>,
    /// Everything the provider said, JSON.
    pub detail: String,
    /// When: of two reports the later one counts.
    pub at: Timestamp,
    /// Whether the provider said when; else it is when the report came, and a repetition has another time.
    pub timed: bool,
    /// What a person must know or do.
    pub alert: Option<Alert>,
}

/// A state as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// The stable name of its aspect, or one of a later version.
    pub aspect: String,
    /// Tells several states of one side apart.
    pub key: Option<String>,
    /// The state in one word.
    pub word: String,
    /// Until when it holds.
    pub until: Option<Timestamp>,
    /// Everything the provider said, JSON.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// How bad an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Messages stop, or will.
    Critical,
    /// Somebody should look.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The severity's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What a person must know or do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert {
    /// How bad it is.
    pub severity: Severity,
    /// What happened, in a sentence.
    pub title: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// An alert as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// Its id: the same report makes the same alert.
    pub id: String,
    /// How bad it is.
    pub severity: String,
    /// What happened.
    pub title: String,
    /// What to do about it.
    pub remedy: String,
    /// What it is about: `number`, `account`, `template` or `portfolio`, and its id.
    pub subject: (String, String),
    /// Which side of it.
    pub aspect: String,
    /// Tells several states of one side apart.
    pub key: Option<String>,
    /// The state in one word.
    pub word: String,
    /// Everything the provider said, JSON.
    pub detail: String,
    /// When.
    pub at: Timestamp,
    /// When somebody said that it is seen to.
    pub acknowledged_at: Option<Timestamp>,
}

impl Subject {
    /// What kind of thing it is, and its id.
    #[must_use]
    pub fn name(&self) -> (&'static str, &str) {
        match self {
            Self::Number(id) => ("number", id.as_str()),
            Self::NumberNamed(_, digits) => ("number", digits),
            Self::Waba(id) => ("account", id.as_str()),
            Self::Template(_, id) => ("template", id),
            Self::Portfolio(id) => ("portfolio", id),
        }
    }
}
