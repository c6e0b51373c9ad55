//! No secret appears in any log line, queue body or table attribute of a full run (`docs/reliability.md#k1`). The scan
//! looks for each secret raw, in hex, in base 64 at its three alignments, and inside gzip. It must find planted leaks.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sandbox::meta::ScriptedFault;
use shared::queue::{InboundJob, InboundWork};
use shared::telemetry::{self, Format};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::harness::App;

/// Everything that left the functions: place and bytes.
type Tape = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

#[derive(Clone)]
struct Log(Tape);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().push(("log".to_owned(), bytes.to_vec()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Records requests to AWS, except to KMS, which must receive secrets.
fn tape_aws(app: &App, tape: &Tape) {
    let tape = tape.clone();
    app.stack.aws.set_tap(Some(Arc::new(move |target, body| {
        if !target.starts_with("TrentService") {
            tape.lock().unwrap().push((target.to_owned(), body.to_vec()));
        }
        body
    })));
}

/// Minimum length of a base 64 fragment that does not occur by chance.
const CERTAIN: usize = 12;

/// Returns the encodings of a secret that the scan looks for.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let bytes = secret.as_bytes();
    let mut forms = vec![bytes.to_vec(), hex::encode(bytes).into_bytes(), hex::encode_upper(bytes).into_bytes()];
    for shift in 0..3 {
        let padded = [vec![b' '; shift], bytes.to_vec()].concat();
        let encoded = STANDARD.encode(padded);
        // The first and last few characters depend on the neighbouring bytes.
        let certain = encoded.as_bytes()[4..encoded.len() - 4].to_vec();
        // A PIN leaves only four characters, which occur by chance.
        forms.extend((certain.len() >= CERTAIN).then_some(certain));
    }
    forms
}

/// Returns the places where `secret` was found.
fn leaks(tape: &Tape, secret: &str) -> Vec<String> {
    let forms = forms(secret);
    let tape = tape.lock().unwrap();
    let mut found = Vec::new();
    for (place, bytes) in tape.iter() {
        let unpacked = unpack(bytes);
        let hit = forms.iter().any(|form| contains(bytes, form) || contains(&unpacked, form));
        if hit {
            found.push(place.clone());
        }
    }
    found
}

/// Returns the webhook inside an inbound job; nothing for other bytes.
fn unpack(bytes: &[u8]) -> Vec<u8> {
    let body = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let body = body.and_then(|json| json["MessageBody"].as_str().map(str::to_owned));
    match body.and_then(|body| InboundWork::decode(&body).ok()) {
        Some(InboundWork::Webhook(InboundJob { payload, .. })) => payload.body().unwrap().unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn contains(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

/// Runs every path that uses a secret, failures included.
async fn full_run(app: &App) {
    app.customer_writes("hello");
    app.drain().await;
    let faults = [
        ScriptedFault::Error { http: 401, code: 190, message: "token".to_owned() },
        ScriptedFault::Html502,
        ScriptedFault::DropAfter,
        ScriptedFault::Truncated,
    ];
    app.meta.script(faults);
    for index in 0..6 {
        assert_eq!(app.send(&format!("answer {index}"), Some(&index.to_string())).await.status, StatusCode::ACCEPTED);
        app.drain().await;
    }
    app.webhook("not json").await;
    app.post_webhook(b"{}".to_vec(), &[("x-hub-signature-256", b"sha256=00")]).await;
    for service in ["DynamoDB", "TrentService", "AmazonSQS", "S3."] {
        app.stack.faults.take_down(service);
        app.send("down", None).await;
        app.customer_writes("down");
        app.drain().await;
        app.functions.tick().await.ok();
        app.stack.faults.clear();
    }
    app.recover().await;
}

/// Connects a number, with a failure on the way. Returns the secrets created for it.
async fn connected(app: &App) -> Vec<(&'static str, String)> {
    app.meta.script_call("debug_token", [ScriptedFault::Html502]);
    app.meta.script_call("subscribe", [ScriptedFault::Error { http: 400, code: 2, message: "x".to_owned() }]);
    crate::partner::with_credit(app).await;
    let (started, code) = crate::onboarding::connect(app).await;
    let account = app.meta.business_account(crate::onboarding::ACCOUNT).unwrap();
    let token = app.meta.tokens().into_iter().find(|token| *token != app.seed.access_token).unwrap();
    // Opens a link, checks the health, and offboards the business, with failures on the way.
    let request = serde_json::json!({"app": "sandbox", "link_days": 1});
    let linked = app.api("POST", "/v1/onboardings", Some(request)).await.json();
    let link = linked["link"]["path"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    let open = axum::http::Request::post(format!("/v1/onboardings/{}/open", linked["id"].as_str().unwrap()));
    let opened = app.request(open.body(serde_json::json!({"link": link}).to_string().into()).unwrap()).await.json();
    Box::pin(app.functions.visit_tokens()).await.ok();
    for call in ["unsubscribe", "revoke", "credit_revoke"] {
        app.meta.script_call(call, [ScriptedFault::Error { http: 400, code: 9_999, message: "no".to_owned() }]);
    }
    let leaves = serde_json::json!({"waba_id": crate::onboarding::ACCOUNT});
    assert_eq!(app.api("POST", "/v1/offboardings", Some(leaves)).await.status, StatusCode::ACCEPTED);
    for _ in 0..8 {
        Box::pin(app.functions.offboard()).await.ok();
        app.advance(900);
    }
    vec![
        ("signup state", started["state"].as_str().unwrap().to_owned()),
        ("state of a link", opened["state"].as_str().unwrap().to_owned()),
        ("link", link),
        ("signup code", code),
        ("business token", token),
        ("system user's token", "EAAsystemusertoken".to_owned()),
        // Six digits occur in every timestamp, so look for the quoted PIN.
        ("PIN", format!("\"{}\"", account.numbers[0].pin.clone().unwrap())),
    ]
}

#[tokio::test]
async fn no_secret_leaves_the_functions_and_planted_leaks_are_found() {
    let tape = Tape::default();
    let log = Log(tape.clone());
    // The production log format, at the most verbose level.
    let subscriber = telemetry::subscriber(Format::Json, EnvFilter::new("trace"), move || log.clone());
    let _logging = subscriber.set_default();
    let mut app = App::start().await;
    tape_aws(&app, &tape);
    // Cold starts, so that every secret is read and opened while the log is recorded.
    app.restart();
    full_run(&app).await;
    let connected = connected(&app).await;
    for item in app.table_items().await {
        tape.lock().unwrap().push(("table".to_owned(), item.to_string().into_bytes()));
    }

    let mut secrets = vec![
        ("access token", app.seed.access_token.clone()),
        ("app secret", app.seed.app_secret.clone()),
        ("verify token", app.seed.verify_token.clone()),
        ("API key", app.seed.api_key.split('_').next_back().unwrap()[..64].to_owned()),
    ];
    secrets.extend(connected);
    let (entries, bytes) = {
        let tape = tape.lock().unwrap();
        (tape.len(), tape.iter().map(|(_, bytes)| bytes.len()).sum::<usize>())
    };
    assert!(entries > 300, "{entries}");
    for (name, secret) in &secrets {
        assert_eq!(leaks(&tape, secret), Vec::<String>::new(), "the {name}");
    }
    println!("canary: {} secrets, {entries} entries, {bytes} bytes, 0 leaks", secrets.len());

    // Planted leaks: a message that contains the token (queue, table), a log line, and encoded forms.
    let token = app.seed.access_token.clone();
    app.customer_writes(&format!("is {token} yours?"));
    app.drain().await;
    tracing_subscriber_leak(&token);
    let found = leaks(&tape, &token);
    for place in ["AmazonSQS.SendMessage", "DynamoDB_20120810.UpdateItem", "log"] {
        assert!(found.iter().any(|found| found == place), "the leak in {place} was not found: {found:?}");
    }
    for disguise in [
        hex::encode(&token),
        STANDARD.encode(&token),
        STANDARD.encode(format!("x{token}")),
        STANDARD.encode(format!("xy{token}")),
    ] {
        let planted = Tape::default();
        planted.lock().unwrap().push(("planted".to_owned(), format!("a {disguise} b").into_bytes()));
        assert_eq!(leaks(&planted, &token), ["planted"], "{disguise}");
    }
}

fn tracing_subscriber_leak(token: &str) {
    tracing::info!(token, "a careless log line");
}
