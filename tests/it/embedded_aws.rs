//! Embedded AWS follows AWS's rules, on which all other tests depend. The same SDK calls can be run against an emulator
//! or an account.

use std::collections::HashMap;

use aws_sdk_sqs::error::ProvideErrorMetadata;
use sandbox::aws::sqs::Sqs;
use sandbox::stack::{INBOUND, KEY, OUTBOUND};
use shared::aws::{AwsConfig, DirectError, Service};
use shared::domain::ids::{MetaAppId, NumberId, OnboardingId, TenantId, WabaId};
use shared::secret::Secret;
use shared::vault::{Context, VaultError};

use crate::harness::App;

fn aws(app: &App) -> AwsConfig {
    app.stack.aws.config()
}

#[tokio::test]
async fn a_sealed_secret_opens_only_in_its_own_context() {
    let app = App::start().await;
    let vault = &app.stack.operator.vault;
    let now = app.clock.now();
    let (tenant, other) = (TenantId::generate(now).unwrap(), TenantId::generate(now).unwrap());
    let (waba, second) = (WabaId::parse("1").unwrap(), WabaId::parse("2").unwrap());
    let context = Context::GraphToken { tenant, waba: waba.clone() };
    let sealed = vault.seal(&Secret::new("EAAtoken".to_owned()), &context).await.unwrap();
    assert_eq!(vault.open(&sealed, &context).await.unwrap().expose(), "EAAtoken");
    for wrong in [
        Context::GraphToken { tenant: other, waba: waba.clone() },
        Context::GraphToken { tenant, waba: second },
        Context::MetaApp(MetaAppId::parse("a").unwrap()),
        Context::ApiKeyPepper,
        Context::CallbackMac,
    ] {
        assert_eq!(vault.open(&sealed, &wrong).await.err(), Some(VaultError::WrongContext), "{wrong:?}");
    }
    assert!(!sealed.bytes().windows(8).any(|window| window == b"EAAtoken"));
    let kms = aws(&app).direct();
    let ask = |target, ask: serde_json::Value| kms.call(Service::Kms, target, ask.to_string(), None);
    let blob = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sealed.bytes());
    let missing = ask("TrentService.Decrypt", serde_json::json!({"KeyId": KEY, "CiphertextBlob": blob}));
    assert!(missing.await.is_err(), "no context is not any context");
    let unknown = ask("TrentService.Encrypt", serde_json::json!({"KeyId": "nokey", "Plaintext": "eA=="})).await;
    assert_eq!(unknown.unwrap_err(), DirectError::Refused("NotFoundException".to_owned()));
}

#[tokio::test]
async fn every_purpose_and_owner_is_a_context_of_its_own() {
    let app = App::start().await;
    let vault = &app.stack.operator.vault;
    let now = app.clock.now();
    let mut contexts = vec![Context::ApiKeyPepper, Context::CallbackMac];
    for owner in ["1", "2"] {
        let tenant = TenantId::generate(now).unwrap();
        // The same ids in every position: the purpose alone must separate the contexts.
        let (waba, number) = (WabaId::parse(owner).unwrap(), NumberId::parse(owner).unwrap());
        let meta_app = MetaAppId::parse(owner).unwrap();
        for tenant in [tenant, TenantId::generate(now).unwrap()] {
            contexts.push(Context::GraphToken { tenant, waba: waba.clone() });
            contexts.push(Context::Pin { tenant, number: number.clone() });
            let onboarding = OnboardingId::generate(now).unwrap();
            contexts.push(Context::OnboardingToken { tenant, onboarding });
        }
        contexts.push(Context::MetaApp(meta_app.clone()));
        contexts.push(Context::SystemToken(meta_app));
    }
    let mut refused = 0;
    for context in &contexts {
        let sealed = vault.seal(&Secret::new("secret".to_owned()), context).await.unwrap();
        for other in &contexts {
            let opened = vault.open(&sealed, other).await;
            match context == other {
                true => assert_eq!(opened.unwrap().expose(), "secret"),
                false => {
                    assert_eq!(opened.err(), Some(VaultError::WrongContext), "{context:?} opened as {other:?}");
                    refused += 1;
                }
            }
        }
    }
    println!("vault: {} contexts, {refused} wrong ones refused", contexts.len());
}

#[tokio::test]
async fn a_token_that_was_moved_to_another_row_sends_nothing() {
    let app = crate::onboarding::business().await;
    crate::onboarding::connect(&app).await;
    let table = &app.stack.operator.table;
    let ours = WabaId::parse(crate::harness::WABA).unwrap();
    let theirs = table.token_get_record(&WabaId::parse(crate::onboarding::ACCOUNT).unwrap()).await.unwrap().unwrap();
    // Simulates an attacker with write access to the table, who replaces our token by another account's.
    let tenant = TenantId::parse(&app.seed.tenant_id).unwrap();
    table.graph_token_put(tenant, &ours, &theirs.sealed, None, app.clock.now()).await.unwrap();
    app.customer_writes("hello");
    app.drain().await;
    app.send("hi", None).await;
    app.recover().await;
    assert_eq!(app.meta.sent_count(), 0);
}

#[tokio::test]
async fn a_standard_queue_hides_counts_and_gives_up() {
    let app = App::start().await;
    let (sqs, client, url) = (app.stack.aws.sqs(), aws(&app).sqs(), Sqs::url(INBOUND));
    client.send_message().queue_url(&url).message_body("a").message_group_id("g").send().await.unwrap();
    let first = sqs.receive(INBOUND, 10, None).remove(0);
    assert!(sqs.receive(INBOUND, 10, None).is_empty(), "hidden");
    app.advance(360);
    let second = sqs.receive(INBOUND, 10, None).remove(0);
    assert_eq!((first.id.clone(), second.receive_count), (second.id.clone(), 2));
    sqs.delete(INBOUND, &first.receipt);
    assert_eq!(sqs.depth(INBOUND), 1, "an old receipt deletes nothing");
    for _ in 0..4 {
        app.advance(360);
        sqs.receive(INBOUND, 10, None).clear();
    }
    assert_eq!((sqs.depth(INBOUND), sqs.depth("inbound-dead-letters")), (0, 1), "after five receives");
}

#[tokio::test]
async fn a_fifo_queue_keeps_groups_in_order_and_remembers_for_five_minutes() {
    let app = App::start().await;
    let (sqs, client, url) = (app.stack.aws.sqs(), aws(&app).sqs(), Sqs::url(OUTBOUND));
    let send = async |body: &str, group: &str, deduplication: &str| {
        let send = client.send_message().queue_url(&url).message_body(body).message_group_id(group);
        send.message_deduplication_id(deduplication).send().await.unwrap()
    };
    for (body, group) in [("a1", "a"), ("a2", "a"), ("b1", "b")] {
        send(body, group, body).await;
    }
    let bodies = |received: &[sandbox::aws::sqs::Message]| -> Vec<String> {
        received.iter().map(|message| message.body.clone()).collect()
    };
    let first = sqs.receive(OUTBOUND, 1, None);
    assert_eq!(bodies(&first), ["a1"]);
    assert_eq!(bodies(&sqs.receive(OUTBOUND, 10, None)), ["b1"], "group a is blocked while a1 is in flight");
    sqs.delete(OUTBOUND, &first[0].receipt);
    assert_eq!(bodies(&sqs.receive(OUTBOUND, 10, None)), ["a2"]);
    // A repeated de-duplication id is dropped for five minutes, although its message was deleted.
    send("a1 again", "c", "a1").await;
    assert!(sqs.receive(OUTBOUND, 10, None).is_empty());
    app.advance(300);
    send("a1 again", "c", "a1").await;
    assert!(bodies(&sqs.receive(OUTBOUND, 10, None)).contains(&"a1 again".to_owned()));
    let missing = client.send_message().queue_url(&url).message_body("x").message_group_id("g").send().await;
    assert!(missing.is_err(), "a FIFO queue needs a de-duplication id");
}

#[tokio::test]
async fn sqs_takes_one_mebibyte_of_permitted_characters() {
    let app = App::start().await;
    let (client, url) = (aws(&app).sqs(), Sqs::url(INBOUND));
    let send = async |body: String| client.send_message().queue_url(&url).message_body(body).send().await;
    assert!(send("x".repeat(1_048_576)).await.is_ok());
    for refused in
        ["x".repeat(1_048_577), "\u{ffff}".to_owned(), "\u{fffe}".to_owned(), "\u{0}".to_owned(), String::new()]
    {
        assert!(send(refused).await.is_err());
    }
    let unknown = client.send_message().queue_url(Sqs::url("nothing")).message_body("x").send().await.unwrap_err();
    assert!(unknown.into_service_error().is_queue_does_not_exist());
}

#[tokio::test]
async fn what_it_does_not_do_it_refuses_by_name() {
    let app = App::start().await;
    let error = aws(&app).sqs().purge_queue().queue_url(Sqs::url(INBOUND)).send().await.unwrap_err();
    assert_eq!(error.message(), Some("embedded AWS does not do SQS PurgeQueue"));
    let key = HashMap::from([("pk".to_owned(), aws_sdk_dynamodb::types::AttributeValue::S("x".to_owned()))]);
    let error = aws(&app).dynamodb().get_item().table_name("nothing").set_key(Some(key)).send().await.unwrap_err();
    assert_eq!(error.code(), Some("ResourceNotFoundException"));
}

#[tokio::test]
async fn state_in_a_folder_survives_a_restart() {
    use sandbox::sandbox::{Options, Sandbox};
    let folder = tempfile::tempdir().unwrap();
    let options = Options { port: 0, folder: Some(folder.path().to_owned()) };
    let http = reqwest_client();
    let get = async |sandbox: &Sandbox| -> serde_json::Value {
        let request = http.get(format!("{}/v1/conversations", sandbox.ready.gateway));
        let request = request.header("authorization", format!("Bearer {}", sandbox.ready.api_key));
        serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap()
    };
    let first = Sandbox::start(&options).await.unwrap();
    let url = format!("{}/_sim/customers/15550002222/messages", first.ready.meta);
    let body = r#"{"to":"900100200300501","message":{"type":"text","text":{"body":"hi"}}}"#;
    let written = http.post(url).header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(written.status(), 200);
    // The message may be at Meta, in a queue or in the table at the stop. It must not be lost.
    let key = first.ready.api_key.clone();
    first.stop().await.unwrap();
    let second = Sandbox::start(&options).await.unwrap();
    assert_eq!(second.ready.api_key, key);
    let mut conversations = get(&second).await;
    for _ in 0..2_400 {
        if conversations["data"][0]["id"].is_string() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        conversations = get(&second).await;
    }
    assert_eq!(conversations["data"][0]["contact"]["phone"], "+15550002222");
    second.stop().await.unwrap();
}

fn reqwest_client() -> reqwest::Client {
    shared::provider::meta::graph::plain_client().unwrap()
}
