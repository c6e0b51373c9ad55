//! States of numbers, accounts, templates and tokens as the provider reports them, and the alerts that ask a person to
//! act.

use jiff::Timestamp;

use crate::domain::ids::{NumberId, WabaId};

/// Subject of a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A business number.
    Number(NumberId),
    /// A business number that the provider identifies only by its digits.
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
        /// Aspect of a subject that a state describes. The latest report per aspect wins.
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
    /// Whether the account is connected to us as its partner.
    Partner = "partner",
    /// Whether the partner's app is installed.
    PartnerApp = "partner_app",
    /// A partner's certification of the client.
    Certification = "certification",
    /// Whether the number is still paired with the WhatsApp Business app.
    Coexistence = "coexistence",
    /// Whether the account was deleted.
    Deletion = "deletion",
    /// A restriction on what the account may send, with its end. One state per restriction.
    Restriction = "restriction",
    /// A policy violation. One state per kind.
    Violation = "violation",
    /// Whether the account is banned.
    Ban = "ban",
    /// Whether the business is verified.
    Verification = "verification",
    /// Whether an ad account is linked.
    AdAccount = "ad_account",
    /// Whether the terms of the marketing endpoint are signed.
    MarketingTerms = "marketing_terms",
    /// Prices of international authentication messages.
    InternationalRates = "international_rates",
    /// The business's country.
    Country = "country",
    /// Volume prices. One state per category and region.
    PricingTier = "pricing_tier",
    /// The review of the account.
    Review = "review",
    /// Number of customers that the business may message first, and number of numbers that it may have.
    Capability = "capability",
    /// Alerts of the provider. One state per kind.
    ProviderAlert = "provider_alert",
    /// The number's quality and messaging limit.
    Quality = "quality",
    /// The number's throughput.
    Throughput = "throughput",
    /// Quality rating of the number, according to the daily health check.
    QualityRating = "quality_rating",
    /// Number of customers that may be messaged first per day, according to the daily health check.
    MessagingLimit = "messaging_limit",
    /// Whether the display name is approved, according to the daily health check.
    NameStatus = "name_status",
    /// The number's display name.
    DisplayName = "display_name",
    /// The number's two-step PIN.
    Security = "security",
    /// The number's settings.
    Settings = "settings",
    /// The business's user name.
    Username = "username",
    /// Identities of the people who write to the number.
    Identity = "identity",
    /// Problems with the number itself: reported by the provider, or recorded by us after refusals.
    Trouble = "trouble",
    /// A multi-partner solution. One state per solution.
    Solution = "solution",
    /// A payment configuration. One state per configuration.
    Payments = "payments",
    /// Status of the business. Meta does not publish the format.
    BusinessStatus = "business_status",
    /// Status of a flow and health of its endpoint. One state per flow and measure.
    Flow = "flow",
    /// The app that currently answers on the number.
    ThreadControl = "thread_control",
    /// Whether the token for sending may still be valid.
    Token = "token",
    /// Whether the business shares its past chats.
    History = "history",
    /// Whether a template may be sent.
    TemplateStatus = "status",
    /// A template's quality.
    TemplateQuality = "template_quality",
    /// A template's content after its last change.
    TemplateComponents = "components",
    /// A template's category.
    TemplateCategory = "category",
    /// The category that Meta will assign to a template.
    TemplateCategoryNext = "category_next",
    /// The category that Meta recommends for a template.
    TemplateCategoryAdvice = "category_advice",
}

/// A state reported by a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Subject of the state.
    pub subject: Subject,
    /// Aspect of the subject.
    pub aspect: Aspect,
    /// Distinguishes several states of one aspect, such as the kind of restriction.
    pub key: Option<String>,
    /// The state in one word; the provider's own if there is one.
    pub word: String,
    /// Time until which the state holds, if the provider reported it.
    pub until: Option<Timestamp>,
    /// The provider's report, as JSON.
    pub detail: String,
    /// Time of the report. Of two reports, the later one wins.
    pub at: Timestamp,
    /// Whether the provider gave the time. Otherwise it is the time of arrival, which differs for a redelivery.
    pub timed: bool,
    /// Alert for people.
    pub alert: Option<Alert>,
}

/// A stored state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredState {
    /// Stable name of the aspect, possibly one of a later version.
    pub aspect: String,
    /// Distinguishes several states of one aspect.
    pub key: Option<String>,
    /// The state in one word.
    pub word: String,
    /// Time until which the state holds.
    pub until: Option<Timestamp>,
    /// The provider's report, as JSON.
    pub detail: String,
    /// Time of the report.
    pub at: Timestamp,
}

/// Severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Messages cannot be sent, or soon cannot.
    Critical,
    /// A person should look into it.
    Warning,
    /// Information only.
    Info,
}

impl Severity {
    /// Returns the severity's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// An event of which a person must know, with the action to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert {
    /// Severity of the alert.
    pub severity: Severity,
    /// The event, in one sentence.
    pub title: &'static str,
    /// Action to take.
    pub remedy: &'static str,
}

/// A stored alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// Id derived from the report, so that a redelivery creates no second alert.
    pub id: String,
    /// Severity of the alert.
    pub severity: String,
    /// The event, in one sentence.
    pub title: String,
    /// Action to take.
    pub remedy: String,
    /// Subject: `number`, `account`, `template` or `portfolio`, and its id.
    pub subject: (String, String),
    /// Aspect of the subject.
    pub aspect: String,
    /// Distinguishes several states of one aspect.
    pub key: Option<String>,
    /// The state in one word.
    pub word: String,
    /// The provider's report, as JSON.
    pub detail: String,
    /// Time of the report.
    pub at: Timestamp,
    /// Time when a person acknowledged the alert.
    pub acknowledged_at: Option<Timestamp>,
}

impl Subject {
    /// Returns the kind of the subject, and its id.
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
