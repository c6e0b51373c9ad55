//! The operator's command line. Secrets are read from environment variables, never from arguments, because arguments
//! appear in process lists and shell histories.

mod arguments;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
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

use crate::arguments::{Arguments, Command, OwnSecret, ReplayArguments, SignupArguments, Source};

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

/// Result of a command: the lines to print.
type Printed = Result<String, Box<dyn std::error::Error>>;

async fn run(command: Command) -> Printed {
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
        Command::Setup { app, tenant } => setup(&operator, &app, &tenant).await,
        Command::Rotate { secret, drop_previous } => rotate(&operator, secret, drop_previous).await,
        Command::Tenant { name } => Ok(operator.create_tenant(&name).await?.to_string()),
        Command::Key { tenant, scopes } => key(&operator, tenant.as_deref(), &scopes).await,
        Command::App { name } => put_app(&operator, &name).await,
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
        Command::Doctor { number } => doctor(&operator, &aws, &number).await,
        Command::PauseBroadcasts => {
            let paused = operator.pause_broadcasts().await?;
            let lines = paused.iter().map(|broadcast| format!("{} {}", broadcast.tenant, broadcast.id));
            Ok(lines.chain([format!("{} paused", paused.len())]).collect::<Vec<_>>().join("\n"))
        }
        Command::CopyItems { from, begins, replace } => copy(&aws, &from, &begins, replace).await,
        Command::Replay(arguments) => {
            let job = replay_job(arguments, operator.clock.now())?;
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

async fn setup(operator: &Operator, app: &str, tenant: &str) -> Printed {
    let verify_token = match optional("META_VERIFY_TOKEN") {
        Some(token) => Secret::new(token),
        None => shared::vault::random_secret()?,
    };
    let app = MetaApp {
        id: MetaAppId::parse(app)?,
        app_secrets: vec![Secret::new(required("META_APP_SECRET")?)],
        verify_tokens: vec![verify_token],
    };
    let url = optional("WEBHOOK_URL").map_or_else(|| required("PUBLIC_URL"), Ok)?;
    let made = operator.setup(&app, tenant).await?;
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

async fn rotate(operator: &Operator, secret: OwnSecret, drop_previous: bool) -> Printed {
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

async fn key(operator: &Operator, tenant: Option<&str>, scopes: &[String]) -> Printed {
    let Some(tenant) = tenant else {
        return Ok(operator.create_key(None, &[Scope::Operator]).await?.expose().to_owned());
    };
    let tenant = TenantId::parse(tenant)?;
    let scope = |word: &String| match Scope::from_word(word) {
        Some(scope) if scope != Scope::Operator => Ok(scope),
        _ => Err(format!("--scopes: `{word}` is not one of read, send, manage")),
    };
    let scopes = scopes.iter().map(scope).collect::<Result<Vec<_>, _>>()?;
    Ok(operator.create_key(Some(tenant), &scopes).await?.expose().to_owned())
}

async fn put_app(operator: &Operator, name: &str) -> Printed {
    let id = MetaAppId::parse(name)?;
    let known = operator.app(&id).await?;
    // A secret that is not given stays as it is.
    let pair = |current, previous, known: Option<Vec<Secret>>| match (optional(current), known) {
        (None, Some(known)) => Ok(known),
        (None, None) => required(current).map(|given| vec![Secret::new(given)]),
        (Some(given), _) => Ok([Some(given), optional(previous)].into_iter().flatten().map(Secret::new).collect()),
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

async fn doctor(operator: &Operator, aws: &AwsConfig, number: &str) -> Printed {
    let number = operator.table.number_get(&NumberId::parse(number)?).await?;
    let number = number.ok_or("the number is not connected")?;
    let config = token_refresh::Config::from_env()?;
    let deps = token_refresh::Deps::new(aws, &config, Metrics::in_memory("operator"))?;
    let now = operator.clock.now();
    token_refresh::check_account(&deps, &number.waba, now).await?;
    Ok(report(&operator.table.health_get(&number, now).await?))
}

async fn copy(aws: &AwsConfig, from: &str, begins: &str, replace: bool) -> Printed {
    let to = required("TABLE_NAME")?;
    if from == to {
        return Err("--from: must not be the table in use (TABLE_NAME)".into());
    }
    if begins.is_empty() {
        return Err("--begins: must not be empty".into());
    }
    let copied = copy_items(&aws.dynamodb(), from, &to, begins, replace).await?;
    Ok(format!("{} copied, {} left unchanged", copied.written, copied.stood))
}

fn replay_job(arguments: ReplayArguments, now: Timestamp) -> Result<ReplayJob, Box<dyn std::error::Error>> {
    let ReplayArguments { source, number, message, from, until } = arguments;
    let source = match source {
        Source::Archive => ReplaySource::Archive,
        Source::Quarantine => ReplaySource::Quarantine,
        Source::DeadLetters => ReplaySource::DeadLetters,
    };
    let narrowed = [&number, &message, &from, &until].into_iter().any(Option::is_some);
    if source == ReplaySource::DeadLetters && narrowed {
        return Err("--source dead-letters takes no filter: all dead letters are replayed".into());
    }
    let all = ReplayJob::of(source, ReplayId::generate(now)?, now);
    let job = ReplayJob {
        number: number.map(|id| NumberId::parse(&id)).transpose()?,
        message: message.map(|id| ProviderMessageId::parse(&id)).transpose()?,
        from: moment("--from", from.as_deref())?.unwrap_or(all.from).max(all.from),
        until: moment("--until", until.as_deref())?.unwrap_or(all.until).min(all.until),
        ..all
    };
    if job.until <= job.from {
        return Err("--until: must be later than --from and within the archive's retention".into());
    }
    Ok(job)
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
