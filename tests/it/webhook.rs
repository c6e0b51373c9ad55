//! The webhook function: verification request, signature, limits (`docs/reliability.md#i2`, `docs/reliability.md#i3`,
//! `docs/reliability.md#i5`, `docs/reliability.md#i8`, `docs/reliability.md#i10`).

use axum::body::Body;
use axum::http::{Request, StatusCode};
use sandbox::aws::faults::Fault;
use shared::domain::accounts::app::MetaApp;
use shared::domain::ids::MetaAppId;
use shared::provider::meta::signature::{HEADER, sign};
use shared::secret::Secret;

use crate::harness::{APP, App, CUSTOMER, NUMBER, change, text_message, webhook_body};

/// Number of random MACs tried for one body.
const RANDOM_MACS: u32 = 100_000;

async fn handshake(app: &App, path: &str) -> (StatusCode, String) {
    let answer = app.request(Request::get(path).body(Body::empty()).unwrap()).await;
    (answer.status, answer.text)
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// Returns a body of about 1 KB with a text message.
fn one_kilobyte() -> Vec<u8> {
    let said = "x".repeat(700);
    let body =
        webhook_body(&[change(NUMBER, serde_json::json!({"messages": [text_message(CUSTOMER, "wamid.A", &said)]}))]);
    assert!((900..1_100).contains(&body.len()), "{}", body.len());
    body.into_bytes()
}

#[tokio::test]
async fn the_handshake_echoes_the_challenge_for_the_right_token_only() {
    let app = App::start().await;
    let token = &app.seed.verify_token;
    let url = |mode: &str, token: &str, challenge: &str| {
        format!("/webhooks/meta/{APP}?hub.mode={mode}&hub.verify_token={token}&hub.challenge={challenge}")
    };
    let answer = app.request(Request::get(url("subscribe", token, "1158201444")).body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, "1158201444"));
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain"));

    for (mode, token, challenge, status) in [
        ("subscribe", "wrong", "1", StatusCode::FORBIDDEN),
        ("subscribe", "", "1", StatusCode::FORBIDDEN),
        ("subscribe", &token[1..], "1", StatusCode::FORBIDDEN),
        ("unsubscribe", token, "1", StatusCode::FORBIDDEN),
        ("subscribe", token, "%3Cscript%3E", StatusCode::BAD_REQUEST),
        ("subscribe", token, "", StatusCode::BAD_REQUEST),
        ("subscribe", token, &"1".repeat(65), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(handshake(&app, &url(mode, token, challenge)).await.0, status, "{mode} {challenge}");
    }
    assert_eq!(handshake(&app, &format!("/webhooks/meta/{APP}")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(handshake(&app, &format!("/webhooks/meta/{APP}?%ff=%")).await.0, StatusCode::FORBIDDEN);
    let other = url("subscribe", token, "1").replace(APP, "another");
    assert_eq!(handshake(&app, &other).await.0, StatusCode::FORBIDDEN);
    for method in ["HEAD", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri(url("subscribe", token, "1"));
        let status = app.request(request.body(Body::empty()).unwrap()).await.status;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
}

#[tokio::test]
async fn sig_matrix_no_changed_bit_is_accepted() {
    let app = App::start().await;
    let body = one_kilobyte();
    let good = sign(&secret(&app.seed.app_secret), &body);
    let mut tried = 0;
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let status = app.post_webhook(flipped, &[(HEADER, good.as_bytes())]).await.status;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "bit {bit} of the body");
        tried += 1;
    }
    let mac = hex::decode(&good[7..]).unwrap();
    for bit in 0..mac.len() * 8 {
        let mut flipped = mac.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let header = format!("sha256={}", hex::encode(flipped));
        assert_eq!(
            app.post_webhook(body.clone(), &[(HEADER, header.as_bytes())]).await.status,
            StatusCode::UNAUTHORIZED
        );
        tried += 1;
    }
    println!("sig_matrix: {tried} single-bit changes, 0 accepted");
    assert_eq!(app.depth().0, 0, "nothing was enqueued");
    assert_eq!(app.webhook(body).await, StatusCode::OK);
}

#[tokio::test]
async fn sig_matrix_no_random_mac_is_accepted() {
    let app = App::start().await;
    let body = one_kilobyte();
    for _ in 0..RANDOM_MACS {
        let mac: [u8; 32] = shared::random::bytes().unwrap();
        let header = format!("sha256={}", hex::encode(mac));
        let status = app.post_webhook(body.clone(), &[(HEADER, header.as_bytes())]).await.status;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    println!("sig_matrix: {RANDOM_MACS} random MACs, 0 accepted");
    assert_eq!(app.depth().0, 0, "nothing was enqueued");
}

#[tokio::test]
async fn sig_matrix_header_shapes() {
    let app = App::start().await;
    let body = one_kilobyte();
    let good = sign(&secret(&app.seed.app_secret), &body);
    let hex = &good[7..];
    let mut shapes = vec![
        String::new(),
        "sha256=".to_owned(),
        hex.to_owned(),
        format!("sha1={hex}"),
        format!("SHA256={hex}"),
        format!("sha256={}", hex.to_uppercase()),
        format!("{good}{good}"),
        format!("{good},{good}"),
        format!("{good}0"),
        format!("sha256= {hex}"),
        format!("sha256={hex} "),
        format!("\"{good}\""),
        sign(&secret("another app's secret"), &body),
        sign(&secret(""), &body),
        sign(&secret(&app.seed.verify_token), &body),
    ];
    shapes.extend((0..64).map(|length| format!("sha256={}", &hex[..length])));
    for shape in &shapes {
        let status = app.post_webhook(body.clone(), &[(HEADER, shape.as_bytes())]).await.status;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{shape}");
    }
    let two: [(&str, &[u8]); 2] = [(HEADER, good.as_bytes()), (HEADER, good.as_bytes())];
    for headers in
        [&[][..], &two[..], &[("x-hub-signature", good.as_bytes())][..], &[(HEADER, b"\xff\xfe".as_slice())][..]]
    {
        assert_eq!(app.post_webhook(body.clone(), headers).await.status, StatusCode::UNAUTHORIZED, "{headers:?}");
    }
    assert_eq!(app.depth().0, 0, "nothing was enqueued");

    for name in ["X-Hub-Signature-256", "x-hub-signature-256", "X-HUB-SIGNATURE-256", "x-Hub-sIgnature-256"] {
        assert_eq!(app.post_webhook(body.clone(), &[(name, good.as_bytes())]).await.status, StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn the_signature_is_over_the_bytes_and_not_over_their_meaning() {
    let app = App::start().await;
    let escaped = webhook_body(&[]).replace("whatsapp", "what\\u0073app");
    let plain = webhook_body(&[]);
    let signed = sign(&secret(&app.seed.app_secret), escaped.as_bytes());
    let status = app.post_webhook(plain.into_bytes(), &[(HEADER, signed.as_bytes())]).await.status;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(app.webhook(escaped).await, StatusCode::OK);
}

#[tokio::test]
async fn another_apps_secret_opens_only_its_own_door_and_old_secrets_stay_good_while_kept() {
    let app = App::start().await;
    let keep = |id: &str, secrets: &[&str], tokens: &[&str]| MetaApp {
        id: MetaAppId::parse(id).unwrap(),
        app_secrets: secrets.iter().map(|text| secret(text)).collect(),
        verify_tokens: tokens.iter().map(|text| secret(text)).collect(),
    };
    app.stack.operator.put_app(&keep("second", &["new", "old"], &["t-new", "t-old"])).await.unwrap();
    let post = async |path: &str, key: &str| {
        let body = webhook_body(&[]);
        let request = Request::post(path).header(HEADER, sign(&secret(key), body.as_bytes()));
        app.request(request.body(Body::from(body)).unwrap()).await.status
    };
    for (path, key, status) in [
        ("/webhooks/meta/second", "new", StatusCode::OK),
        ("/webhooks/meta/second", "old", StatusCode::OK),
        ("/webhooks/meta/second", "older", StatusCode::UNAUTHORIZED),
        ("/webhooks/meta/sandbox", "new", StatusCode::UNAUTHORIZED),
        ("/webhooks/meta/unknown", "new", StatusCode::UNAUTHORIZED),
        ("/webhooks/meta/%20", "new", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(post(path, key).await, status, "{path} {key}");
    }
    for token in ["t-new", "t-old"] {
        let url = format!("/webhooks/meta/second?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=7");
        assert_eq!(handshake(&app, &url).await, (StatusCode::OK, "7".to_owned()));
    }
    // After the old secret is dropped, it is refused within five minutes.
    app.stack.operator.put_app(&keep("second", &["new"], &["t-new"])).await.unwrap();
    app.advance(300);
    assert_eq!(post("/webhooks/meta/second", "old").await, StatusCode::UNAUTHORIZED);
    assert_eq!(post("/webhooks/meta/second", "new").await, StatusCode::OK);
}

#[tokio::test]
async fn bodies_up_to_three_megabytes_are_taken_and_larger_ones_refused() {
    const MIB: usize = 1024 * 1024;
    let app = App::start().await;
    for (size, status) in [(0, StatusCode::OK), (3 * MIB, StatusCode::OK), (3 * MIB + 1, StatusCode::PAYLOAD_TOO_LARGE)]
    {
        assert_eq!(app.webhook(vec![b' '; size]).await, status, "{size} bytes");
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_that_is_not_durable() {
    let app = App::start().await;
    // The first webhook puts the app's record into the cache.
    assert_eq!(app.webhook(webhook_body(&[])).await, StatusCode::OK);
    app.drain().await;
    for service in ["AmazonSQS.", "S3."] {
        app.stack.faults.take_down(service);
        // Random bytes do not compress, so this webhook needs S3.
        let noise: Vec<u8> = (0..1_000_000).flat_map(|_| shared::random::bytes::<1>().unwrap()).collect();
        let status = app.webhook(noise).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{service}");
        app.stack.faults.clear();
    }
    assert_eq!(app.depth().0, 0);
    assert_eq!(app.functions.metrics.total("webhook_received"), 1);
}

#[tokio::test]
async fn a_known_app_is_served_while_the_table_and_kms_are_away() {
    let app = App::start().await;
    assert_eq!(app.webhook(webhook_body(&[])).await, StatusCode::OK);
    app.advance(3_600);
    app.stack.faults.take_down("DynamoDB");
    app.stack.faults.take_down("TrentService");
    assert_eq!(app.webhook(webhook_body(&[])).await, StatusCode::OK);
    let mut cold = app;
    cold.restart();
    assert_eq!(cold.webhook(webhook_body(&[])).await, StatusCode::SERVICE_UNAVAILABLE, "fail closed");
}

#[tokio::test]
async fn one_call_of_sqs_is_all_that_stands_between_meta_and_its_answer() {
    let app = App::start().await;
    assert_eq!(app.webhook(webhook_body(&[])).await, StatusCode::OK);
    app.stack.faults.order(usize::MAX, Fault::Unavailable);
    assert_eq!(app.webhook(one_kilobyte()).await, StatusCode::OK);
    assert_eq!(app.stack.faults.calls(), ["AmazonSQS.SendMessage"]);
    // A request without a signature causes no call at all.
    app.stack.faults.order(usize::MAX, Fault::Unavailable);
    app.post_webhook(one_kilobyte(), &[]).await;
    assert!(app.stack.faults.calls().is_empty());
}
