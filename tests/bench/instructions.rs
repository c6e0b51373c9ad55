//! Instruction counts of hot paths, which are the same on every machine of a kind. Each path runs n times and 2n times
//! under callgrind; the difference is the cost of n runs. Valgrind does not support SHA instructions, so hashes are
//! counted without them.

use std::hint::black_box;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use shared::clock::{Timestamp, at_millis};
use shared::domain::conversations::phone::PhoneNumber;
use shared::domain::ids::{ContactId, ConversationId, MetaAppId, NumberId, OutboundId, TenantId};
use shared::domain::outgoing::Outgoing;
use shared::domain::sending::outbound::{Intent, OnUnknown, Recipient};
use shared::domain::sending::policy::{Facts, MessageClass, decide};
use shared::keyring::Keyring;
use shared::provider::meta::callback_data::CallbackData;
use shared::provider::meta::signature::{UnverifiedSignature, sign, verify};
use shared::provider::meta::{message, webhook};
use shared::queue::{InboundJob, InboundWork, Packed, Payload};
use shared::secret::Secret;

use crate::webhook::kilobyte;

/// First argument of a run under callgrind. The path and the number of runs follow.
pub(crate) const RUN: &str = "instructions-of";
/// Number of runs; the second measurement doubles it.
const TIMES: u64 = 200;
/// Time from which ids and windows are derived.
const NOW: i64 = 1_795_176_000_000;

/// The paths, and their names in the table.
const PATHS: [(&str, &str); 9] = [
    ("verify", "instructions: signature of a webhook of 1 KB checked"),
    ("pack", "instructions: webhook of 1 KB packed for the queue"),
    ("unpack", "instructions: webhook of 1 KB unpacked from the queue"),
    ("text", "instructions: webhook of 1 KB with a text read"),
    ("status", "instructions: webhook with a status read"),
    ("seal", "instructions: callback data made"),
    ("open", "instructions: callback data opened"),
    ("wire", "instructions: text to send written for Meta"),
    ("decide", "instructions: rules decided about a message"),
];

/// Returns one line per path, or the reason why nothing was counted.
pub(crate) fn measure() -> Vec<(&'static str, String)> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return vec![("instructions", "not counted: there is no valgrind here".to_owned())];
    }
    PATHS
        .into_iter()
        .map(|(path, name)| (name, ((counted(path, 2 * TIMES) - counted(path, TIMES)) / TIMES).to_string()))
        .collect()
}

/// Returns the instructions of a whole run, from callgrind's last line.
fn counted(path: &str, times: u64) -> u64 {
    let mut run = Command::new("valgrind");
    run.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().unwrap());
    let out = run.args([RUN, path, &times.to_string()]).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    line.unwrap_or_else(|| panic!("{said}")).1.trim().parse().unwrap()
}

/// Runs a path this often, in the process that callgrind measures.
pub(crate) fn run(path: &str, times: u64) {
    let now = at_millis(NOW);
    let body = Bytes::from(kilobyte());
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src/provider/meta/webhook/fixtures");
    let status = std::fs::read(fixtures.join("status_foreign.json")).unwrap();
    let status = serde_json::from_slice::<serde_json::Value>(&status).unwrap()["body"].to_string().into_bytes();
    let secret = [Secret::new("0123456789abcdef0123456789abcdef".to_owned())];
    let signature = UnverifiedSignature::parse(sign(&secret[0], &body).as_bytes()).unwrap();
    let keys = Keyring::first(secret[0].clone());
    let tenant = TenantId::generate(now).unwrap();
    let intent = intent(tenant, now);
    let data = CallbackData { conversation: intent.conversation.clone(), message: intent.id, attempt: 1 };
    let sealed = data.seal(&keys, tenant);
    let packed = pack(&body, now);
    let facts = Facts { last_inbound_at: Some(now), ..Facts::default() };
    for _ in 0..times {
        match path {
            "verify" => drop(black_box(verify(&secret, signature, body.clone()))),
            "pack" => drop(black_box(pack(&body, now))),
            "unpack" => drop(black_box(unpack(&packed))),
            "text" => drop(black_box(webhook::parse(&body, now))),
            "status" => drop(black_box(webhook::parse(&status, now))),
            "seal" => drop(black_box(data.seal(&keys, tenant))),
            "open" => drop(black_box(CallbackData::open(&sealed, &keys, tenant))),
            "wire" => drop(black_box(message::body(&intent, &intent.body, &sealed).unwrap())),
            "decide" => drop(black_box(decide(&facts, MessageClass::FreeForm, now))),
            other => panic!("no path {other}"),
        }
    }
}

fn pack(body: &[u8], now: Timestamp) -> String {
    let Packed::Fits(payload) = Payload::pack(body).unwrap() else { panic!("it fits") };
    let app = MetaAppId::parse("main").unwrap();
    InboundJob { app, received_at: now, payload, done: 0, replayed: false, kept: None }.encode().unwrap()
}

fn unpack(text: &str) -> Vec<u8> {
    match InboundWork::decode(text).unwrap() {
        InboundWork::Webhook(InboundJob { payload, .. }) => payload.body().unwrap().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn intent(tenant: TenantId, now: Timestamp) -> Intent {
    let says = r#"{"text":{"body":"Yes, from 10 to 18. Shall I keep two for you?"}}"#;
    let body: Outgoing = serde_json::from_str(says).unwrap();
    let number = NumberId::parse("900100200300501").unwrap();
    Intent {
        id: OutboundId::generate(now).unwrap(),
        conversation: ConversationId::new(number, ContactId::generate(now).unwrap()),
        tenant,
        to: Recipient::Phone(PhoneNumber::parse("+15550002222").unwrap()),
        body,
        quotes: None,
        send_before: now,
        not_before: now,
        on_unknown: OnUnknown::default(),
        category: None,
        broadcast: None,
        keep_until: None,
    }
}
