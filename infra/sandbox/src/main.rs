//! Command line of the sandbox: `cargo run -p sandbox`.

mod demo;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sandbox::sandbox::{Options, Ready, Sandbox};
use sandbox::state_file;
use shared::telemetry::{self, Format};
use tracing_subscriber::util::SubscriberInitExt;

/// Switchboard on one machine: the functions, an embedded AWS and a simulated Meta. No account needed.
#[derive(Parser)]
#[command(name = "sandbox")]
struct Arguments {
    /// Port of the gateway. The simulated Meta and embedded AWS use the next two. 0 picks free ports.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Folder for the state. Without it the state is in memory.
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// File for one JSON object with all URLs and keys, written when requests are accepted.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Play a short conversation, print it and stop.
    #[arg(long)]
    demo: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    telemetry::subscriber(Format::Text, telemetry::requested("warn"), std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // No other output is left if this write fails.
            drop(writeln!(std::io::stderr(), "sandbox: {reason}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let stop = stop_signal()?;
    let sandbox = Sandbox::start(&Options { port: arguments.port, folder: arguments.state.clone() }).await?;
    state_file::save(arguments.ready_file.as_deref(), &sandbox.ready)?;
    if arguments.demo {
        let played = demo::play(&sandbox.ready).await;
        return sandbox.stop().await.and(played);
    }
    say(&greeting(&sandbox.ready))?;
    stop.await;
    say("\nStopping …")?;
    sandbox.stop().await
}

/// Returns a future that resolves at Ctrl-C or, on Unix, at SIGTERM.
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| format!("no signals: {error}"))?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        drop(tokio::signal::ctrl_c().await);
    })
}

fn greeting(ready: &Ready) -> String {
    let Ready { gateway, meta, aws, region, api_key, tenant_id, number, app, .. } = ready;
    let (number_id, display) = (&number.phone_number_id, &number.display_phone_number);
    format!(
        r#"Switchboard is running. Ctrl-C stops it.

  gateway         {gateway}      API and webhooks ({gateway}/webhooks/meta/{app_id})
  simulated Meta  {meta}      Graph API and the control API under /_sim/
  embedded AWS    {aws}      DynamoDB, SQS, S3, KMS in {region}

  tenant   {tenant_id}
  number   {number_id} (+{display})
  API key  {api_key}

Try it, in another terminal:

1. A customer writes to the number:

curl -sSw '\n' {meta}/_sim/customers/15550002222/messages -H 'content-type: application/json' -d '{{"to":"{number_id}","message":{{"type":"text","text":{{"body":"Hello! Are you open on Sunday?"}}}}}}'; sleep 1

2. Read the conversation:

curl -sSw '\n' {gateway}/v1/conversations/$(curl -sS {gateway}/v1/conversations -H 'authorization: Bearer {api_key}' | grep -o 'conv_[0-9A-Z_]*' | head -n 1)/messages -H 'authorization: Bearer {api_key}'

3. Answer:

curl -sSw '\n' {gateway}/v1/messages -H 'authorization: Bearer {api_key}' -H 'content-type: application/json' -H 'idempotency-key: first-answer' -d '{{"from":"{number_id}","to":"+15550002222","type":"text","text":{{"body":"Yes, from 10 to 18."}}}}'

Then read it again: the answer's status becomes `read`.

Let a business connect its number (this prints a link for your browser):

echo {gateway}$(curl -sS {gateway}/v1/onboardings -H 'authorization: Bearer {api_key}' -H 'content-type: application/json' -d '{{"app":"{app_id}","link_days":7}}' | grep -o '/signup/[^"]*')
"#,
        app_id = app.id,
    )
}

fn say(text: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}
