//! The operator's command line. Secrets are read from environment variables, never from arguments, because arguments
//! appear in process lists and shell histories.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use operator::Operator;
use operator::copy::copy_items;
use shared::aws::AwsConfig;
use shared::clock::{Clock, Timestamp};
use shared::config::{optional, required};
use shared::domain::accounts::app::{CreditLine, MetaApp, SignupSettings};
use shared::domain::accounts::health::{Health, Verdict};
use shared::domain::accounts::number::{Number, Settings};
use shared::domain::accounts::tenant::Scope;
use shared::domain::ids::{MetaAppId, NumberId, ProviderMessageId, ReplayId, TenantId, WabaId};
use shared::keyring::SystemSecretName;
use shared::queue::{Queue, ReplayJob, ReplaySource};
use shared::secret::Secret;
use shared::storage::Table;
use shared::telemetry::Metrics;
use shared::vault::Vault;

/// Prepare an installation; create tenants, keys, Meta apps and numbers; replay received webhooks.
///
/// Reads TABLE_NAME, KEY_ID, AWS_REGION and AWS credentials from the environment, and AWS_ENDPOINT_URL if it is set.
#[derive(Parser)]
#[command(name = "operator")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
    Replay {
        /// archive: everything received in the last 8 days; quarantine: webhooks of the last 35 days that could not be
        /// processed; dead-letters: records that failed 5 times.
        #[arg(long)]
        source: Source,
        /// Only webhooks about this number (Meta's phone number id).
        #[arg(long)]
        number: Option<String>,
        /// Only webhooks about this message (its wamid).
        #[arg(long)]
        message: Option<String>,
        /// Only webhooks received at or after this time, such as 2026-11-20T12:00:00Z.
        #[arg(long)]
        from: Option<String>,
        /// Only webhooks received before this time.
        #[arg(long)]
        until: Option<String>,
    },
    /// Print the progress of a replay.
    ReplayStatus {
        /// The id that `replay` printed.
        id: String,
    },
}

#[derive(clap::Args)]
struct SignupArguments {
    /// Name of the Meta app, as given to `app`.
    #[arg(long)]
    app: String,
    /// The app's id at Meta.
    #[arg(long)]
    client_id: String,
    /// Id of the configuration of Facebook Login for Business that the popup uses.
    #[arg(long)]
    config_id: String,
    /// `featureType` of the popup, if the configuration needs one, such as whatsapp_business_app_onboarding.
    #[arg(long)]
    feature_type: Option<String>,
    /// Origin of your page that posts the popup's result from the browser, such as https://app.example.com. May be
    /// repeated.
    #[arg(long = "origin")]
    origins: Vec<String>,
    /// Callback URL set on the accounts instead of the app's own. At most 200 bytes.
    #[arg(long)]
    override_url: Option<String>,
    /// Id of the tenant that gets the accounts from Meta's hosted signup.
    #[arg(long)]
    hosted_for: Option<String>,
    /// Id of the credit line that pays for the accounts, if you are a Solution Partner.
    #[arg(long, requires_all = ["currency", "system_user"])]
    credit_line: Option<String>,
    /// Currency of those accounts: AUD, EUR, GBP, IDR, INR or USD.
    #[arg(long, requires = "credit_line")]
    currency: Option<String>,
    /// Id of your system user, which manages the accounts shared with you.
    #[arg(long, requires = "credit_line")]
    system_user: Option<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum OwnSecret {
    Pepper,
    CallbackMac,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Source {
    Archive,
    Quarantine,
    DeadLetters,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(answer) => {
            let written = writeln!(std::io::stdout(), "{answer}");
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            if writeln!(std::io::stderr(), "operator: {error}").is_err() {
                return ExitCode::from(2);
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<String, Box<dyn std::error::Error>> {
    let aws = AwsConfig::from_env()?;
    let operator = Operator {
        table: Table::new(aws.dynamodb(), required("TABLE_NAME")?),
        vault: Vault::new(aws.direct(), required("KEY_ID")?),
        clock: Clock::system(),
    };
    match command {
        Command::Init => {
            operator.init().await?;
            Ok("ready".to_owned())
        }
        Command::Setup { app, tenant } => {
            let verify_token = match optional("META_VERIFY_TOKEN") {
                Some(token) => Secret::new(token),
                None => shared::vault::random_secret()?,
            };
            let app = MetaApp {
                id: MetaAppId::parse(&app)?,
                app_secrets: vec![Secret::new(required("META_APP_SECRET")?)],
                verify_tokens: vec![verify_token],
            };
            let url = optional("WEBHOOK_URL").map_or_else(|| required("PUBLIC_URL"), Ok)?;
            let made = operator.setup(&app, &tenant).await?;
            let verify_token = app.verify_tokens.first().map(Secret::expose).unwrap_or_default();
            let lines = [
                ("webhook URL", format!("{}/webhooks/meta/{}", url.trim_end_matches('/'), app.id)),
                ("verify token", verify_token.to_owned()),
                ("operator's key", made.operator_key.expose().to_owned()),
                ("tenant", made.tenant.to_string()),
                ("tenant's key", made.tenant_key.expose().to_owned()),
            ];
            Ok(lines.map(|(name, value)| format!("{name:16}{value}")).join("\n"))
        }
        Command::Rotate { secret, drop_previous } => {
            let name = match secret {
                OwnSecret::Pepper => SystemSecretName::ApiKeyPepper,
                OwnSecret::CallbackMac => SystemSecretName::CallbackMac,
            };
            if drop_previous {
                operator.drop_previous(name).await?;
                return Ok("dropped".to_owned());
            }
            Ok(operator.rotate(name).await?.to_string())
        }
        Command::Tenant { name } => Ok(operator.create_tenant(&name).await?.to_string()),
        Command::Key { tenant: None, .. } => {
            Ok(operator.create_key(None, &[Scope::Operator]).await?.expose().to_owned())
        }
        Command::Key { tenant: Some(tenant), scopes } => {
            let tenant = TenantId::parse(&tenant)?;
            let scope = |word: &String| match Scope::from_word(word) {
                Some(scope) if scope != Scope::Operator => Ok(scope),
                _ => Err(format!("--scopes: `{word}` is not one of read, send, manage")),
            };
            let scopes = scopes.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
            Ok(operator.create_key(Some(tenant), &scopes).await?.expose().to_owned())
        }
        Command::App { name } => {
            let id = MetaAppId::parse(&name)?;
            let known = operator.app(&id).await?;
            // A secret that is not given stays as it is.
            let pair = |current, previous, known: Option<Vec<Secret>>| match (optional(current), known) {
                (None, Some(known)) => Ok(known),
                (None, None) => required(current).map(|given| vec![Secret::new(given)]),
                (Some(given), _) => {
                    Ok([Some(given), optional(previous)].into_iter().flatten().map(Secret::new).collect())
                }
            };
            let (secrets, tokens) = known.map(|app| (app.app_secrets, app.verify_tokens)).unzip();
            let app = MetaApp {
                id,
                app_secrets: pair("META_APP_SECRET", "META_APP_SECRET_PREVIOUS", secrets)?,
                verify_tokens: pair("META_VERIFY_TOKEN", "META_VERIFY_TOKEN_PREVIOUS", tokens)?,
            };
            operator.put_app(&app).await?;
            Ok(format!("/webhooks/meta/{}", app.id))
        }
        Command::Signup(arguments) => {
            let app = MetaAppId::parse(&arguments.app)?;
            let token = optional("META_SYSTEM_TOKEN").map(Secret::new);
            operator.put_signup(&app, &settings(arguments)?, token.as_ref()).await?;
            Ok(app.to_string())
        }
        Command::Number { tenant, id, waba, display, app, coexistence } => {
            let app = app.map(|name| MetaAppId::parse(&name)).transpose()?;
            let number = Number {
                id: NumberId::parse(&id)?,
                tenant: TenantId::parse(&tenant)?,
                waba: WabaId::parse(&waba)?,
                display_phone_number: display,
                coexistence,
                fallback: None,
                settings: Settings::default(),
            };
            operator.put_number(&number, &Secret::new(required("META_ACCESS_TOKEN")?), app.as_ref()).await?;
            Ok(number.id.to_string())
        }
        Command::Doctor { number } => {
            let number = operator.table.number_get(&NumberId::parse(&number)?).await?;
            let number = number.ok_or("the number is not connected")?;
            let config = token_refresh::Config::from_env()?;
            let deps = token_refresh::Deps::new(&aws, &config, Metrics::in_memory("operator"))?;
            let now = operator.clock.now();
            token_refresh::visit_now(&deps, &number.waba, now).await?;
            Ok(report(&operator.table.health_get(&number, now).await?))
        }
        Command::PauseBroadcasts => {
            let paused = operator.pause_broadcasts().await?;
            let lines = paused.iter().map(|broadcast| format!("{} {}", broadcast.tenant, broadcast.id));
            Ok(lines.chain([format!("{} paused", paused.len())]).collect::<Vec<_>>().join("\n"))
        }
        Command::CopyItems { from, begins, replace } => {
            let to = required("TABLE_NAME")?;
            if from == to {
                return Err("--from: must not be the table in use (TABLE_NAME)".into());
            }
            if begins.is_empty() {
                return Err("--begins: must not be empty".into());
            }
            let copied = copy_items(&aws.dynamodb(), (&from, &to), &begins, replace).await?;
            Ok(format!("{} copied, {} left unchanged", copied.written, copied.stood))
        }
        Command::Replay { source, number, message, from, until } => {
            let source = match source {
                Source::Archive => ReplaySource::Archive,
                Source::Quarantine => ReplaySource::Quarantine,
                Source::DeadLetters => ReplaySource::DeadLetters,
            };
            let narrowed = [&number, &message, &from, &until].into_iter().any(Option::is_some);
            let now = operator.clock.now();
            let all = ReplayJob::of(source, ReplayId::generate(now)?, now);
            let job = ReplayJob {
                number: number.map(|id| NumberId::parse(&id)).transpose()?,
                message: message.map(|id| ProviderMessageId::parse(&id)).transpose()?,
                from: moment("--from", from.as_deref())?.unwrap_or(all.from).max(all.from),
                until: moment("--until", until.as_deref())?.unwrap_or(all.until).min(all.until),
                ..all
            };
            if source == ReplaySource::DeadLetters && narrowed {
                return Err("--source dead-letters takes no filter: all dead letters are replayed".into());
            }
            if job.until <= job.from {
                return Err("--until: must be later than --from and within the archive's retention".into());
            }
            let inbound = Queue::new(aws.sqs(), required("INBOUND_QUEUE_URL")?);
            operator.start_replay(&inbound, &job).await?;
            Ok(job.id.to_string())
        }
        Command::ReplayStatus { id } => {
            let progress = operator.replay(ReplayId::parse(&id)?).await?.ok_or("the replay does not exist")?;
            let state = if progress.done_at.is_some() { "done" } else { "running" };
            let of =
                progress.period.map_or(String::new(), |(from, until)| format!(", received from {from} until {until}"));
            Ok(format!("{state}: {} read, {} requeued{of}", progress.read, progress.queued))
        }
    }
}

fn report(health: &Health) -> String {
    let mut lines = Vec::new();
    for finding in &health.findings {
        lines.push(format!("{:8}{:22}{}", finding.verdict.as_str(), finding.hop.as_str(), finding.seen));
        if finding.verdict == Verdict::Broken {
            lines.push(format!("{:8}{:22}-> {}", "", "", finding.hop.remedy()));
        }
    }
    lines.join("\n")
}

fn settings(arguments: SignupArguments) -> Result<SignupSettings, Box<dyn std::error::Error>> {
    let credit = arguments.credit_line.zip(arguments.currency).zip(arguments.system_user);
    let credit = credit.map(|((id, currency), system_user)| CreditLine { id, currency, system_user });
    let settings = SignupSettings {
        client_id: arguments.client_id,
        config_id: arguments.config_id,
        feature_type: arguments.feature_type,
        override_url: arguments.override_url,
        origins: arguments.origins,
        hosted_for: arguments.hosted_for.map(|id| TenantId::parse(&id)).transpose()?,
        credit,
    };
    settings.check()?;
    Ok(settings)
}

fn moment(flag: &str, text: Option<&str>) -> Result<Option<Timestamp>, String> {
    let parse = |text: &str| text.parse().map_err(|_| format!("{flag}: must be a time like 2026-11-20T12:00:00Z"));
    text.map(parse).transpose()
}
