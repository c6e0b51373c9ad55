//! Commands and arguments of the command line. Their documentation comments are the help texts.

use clap::{Parser, Subcommand};

/// Prepare an installation; create tenants, keys, Meta apps and numbers; replay received webhooks.
///
/// Reads TABLE_NAME, KEY_ID, AWS_REGION and AWS credentials from the environment, and AWS_ENDPOINT_URL if it is set.
#[derive(Parser)]
#[command(name = "operator")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create the installation's own secrets. Run it once after each deployment; existing secrets are never replaced.
    Init,
    /// Prepare a new installation for its first number: `init`, `app`, a tenant, an operator's key and a key of the
    /// tenant. Prints them with the webhook URL and the verify token to enter at Meta. Reads META_APP_SECRET and
    /// META_VERIFY_TOKEN; without the latter a verify token is generated. Reads PUBLIC_URL (the stack's output ApiUrl),
    /// or WEBHOOK_URL if the stack has a function URL (output WebhookBaseUrl).
    Setup {
        /// Name of the app: the last part of the webhook URL.
        #[arg(long, default_value = "main")]
        app: String,
        /// A name for people to read.
        #[arg(long)]
        tenant: String,
    },
    /// Replace one of the installation's own secrets with a new one and print its version. The previous secret is
    /// accepted until it is dropped.
    Rotate {
        /// pepper: hashes API keys; callback-mac: signs the callback data of sent messages.
        secret: OwnSecret,
        /// Do not rotate; stop accepting the previous secret instead.
        #[arg(long)]
        drop_previous: bool,
    },
    /// Create a tenant and print its id.
    Tenant {
        /// A name for people to read.
        #[arg(long)]
        name: String,
    },
    /// Create an API key and print it. It cannot be shown again.
    Key {
        /// The tenant's id. Without it the key is an operator's.
        #[arg(long)]
        tenant: Option<String>,
        /// Scopes of a tenant's key: read, send, manage.
        #[arg(long, value_delimiter = ',', default_value = "read,send,manage")]
        scopes: Vec<String>,
    },
    /// Store a Meta app's secrets: META_APP_SECRET and META_VERIFY_TOKEN, and during a rotation also
    /// META_APP_SECRET_PREVIOUS and META_VERIFY_TOKEN_PREVIOUS. For an app that is already stored, a secret that is not
    /// given stays as it is.
    App {
        /// Name of the app: the last part of the webhook URL.
        #[arg(long)]
        name: String,
    },
    /// Store the settings for signups through a Meta app, replacing the stored ones. With META_SYSTEM_TOKEN the token
    /// of your own system user is stored too; credit lines and hosted signups need it.
    Signup(SignupArguments),
    /// Connect a number to a tenant. Reads the access token from META_ACCESS_TOKEN.
    Number {
        /// The tenant's id.
        #[arg(long)]
        tenant: String,
        /// Meta's phone number id.
        #[arg(long)]
        id: String,
        /// Meta's WhatsApp Business account id.
        #[arg(long)]
        waba: String,
        /// The number as people write it, for example "+1 555 000 1111".
        #[arg(long)]
        display: String,
        /// Name of the Meta app that issued the token, as given to `app`. Required for the daily check of the token.
        #[arg(long)]
        app: Option<String>,
        /// The number is also used in the WhatsApp Business app, so it may send 20 messages per second instead of 80.
        #[arg(long)]
        coexistence: bool,
    },
    /// Check a number at Meta and print each step of the path from the app's settings to the last stored message. Reads
    /// PUBLIC_URL and WEBHOOK_URL (the stack's outputs ApiUrl and WebhookBaseUrl) to decide whether callback URLs
    /// belong to this installation.
    Doctor {
        /// Meta's phone number id.
        #[arg(long)]
        number: String,
    },
    /// Pause every running broadcast. Needed after a restore, because the table no longer knows which recipients were
    /// sent to since. Prints tenant and broadcast of each.
    PauseBroadcasts,
    /// Copy items from another table into the one in use (TABLE_NAME): from a restored table, or newer items into a
    /// restored table. Scans the whole of the other table. Erasures are not considered: erased items come back and must
    /// be erased again.
    CopyItems {
        /// Name of the other table.
        #[arg(long)]
        from: String,
        /// Prefix of the items' partition keys, such as `CONV#900100200300501#`.
        #[arg(long)]
        begins: String,
        /// Overwrite items that exist in the table in use.
        #[arg(long)]
        replace: bool,
    },
    /// Process received webhooks again. Everything that was already processed stays unchanged. Reads INBOUND_QUEUE_URL.
    /// Prints the replay's id.
    Replay(ReplayArguments),
    /// Print the progress of a replay.
    ReplayStatus {
        /// The id that `replay` printed.
        id: String,
    },
}

#[derive(clap::Args)]
pub(crate) struct ReplayArguments {
    /// archive: everything received in the last 8 days; quarantine: webhooks of the last 35 days that could not be
    /// processed; dead-letters: records that failed 5 times.
    #[arg(long)]
    pub(crate) source: Source,
    /// Only webhooks about this number (Meta's phone number id).
    #[arg(long)]
    pub(crate) number: Option<String>,
    /// Only webhooks about this message (its wamid).
    #[arg(long)]
    pub(crate) message: Option<String>,
    /// Only webhooks received at or after this time, such as 2026-11-20T12:00:00Z.
    #[arg(long)]
    pub(crate) from: Option<String>,
    /// Only webhooks received before this time.
    #[arg(long)]
    pub(crate) until: Option<String>,
}

#[derive(clap::Args)]
pub(crate) struct SignupArguments {
    /// Name of the Meta app, as given to `app`.
    #[arg(long)]
    pub(crate) app: String,
    /// The app's id at Meta.
    #[arg(long)]
    pub(crate) client_id: String,
    /// Id of the configuration of Facebook Login for Business that the popup uses.
    #[arg(long)]
    pub(crate) config_id: String,
    /// `featureType` of the popup, if the configuration needs one, such as whatsapp_business_app_onboarding.
    #[arg(long)]
    pub(crate) feature_type: Option<String>,
    /// Origin of your page that posts the popup's result from the browser, such as https://app.example.com. May be
    /// repeated.
    #[arg(long = "origin")]
    pub(crate) origins: Vec<String>,
    /// Callback URL set on the accounts instead of the app's own. At most 200 bytes.
    #[arg(long)]
    pub(crate) override_url: Option<String>,
    /// Id of the tenant that gets the accounts from Meta's hosted signup.
    #[arg(long)]
    pub(crate) hosted_for: Option<String>,
    /// Id of the credit line that pays for the accounts, if you are a Solution Partner.
    #[arg(long, requires_all = ["currency", "system_user"])]
    pub(crate) credit_line: Option<String>,
    /// Currency of those accounts: AUD, EUR, GBP, IDR, INR or USD.
    #[arg(long, requires = "credit_line")]
    pub(crate) currency: Option<String>,
    /// Id of your system user, which manages the accounts shared with you.
    #[arg(long, requires = "credit_line")]
    pub(crate) system_user: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum OwnSecret {
    Pepper,
    CallbackMac,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Source {
    Archive,
    Quarantine,
    DeadLetters,
}
