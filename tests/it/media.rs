//! Files to send: type detected from their bytes, uploaded to Meta once, owned by a tenant.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, App, CUSTOMER, NUMBER, WABA, ask};
use crate::kinds::{JPEG, order, upload};

#[tokio::test]
async fn a_file_is_what_its_bytes_say_and_belongs_to_its_tenant() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let (status, problem) = upload(&app, b"MZ\x90\0\x03\0\0\0\x04\0\0\0", "image/jpeg").await;
    assert_eq!((status.as_u16(), problem["meta_code"].as_i64()), (422, Some(131_053)), "{problem}");
    let (status, problem) = upload(&app, JPEG, "video/mp4").await;
    assert_eq!((status.as_u16(), problem["field"].as_str()), (422, Some("Content-Type")), "{problem}");
    let (status, _) = upload(&app, b"", "image/jpeg").await;
    assert_eq!(status.as_u16(), 422);
    let (status, _) = upload(&app, &vec![0; 4_400_001], "application/pdf").await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (_, file) = upload(&app, JPEG, "image/jpeg").await;
    let id = file["id"].as_str().unwrap();
    let shown = app.api("GET", &format!("/v1/media/{id}"), None).await.json();
    assert_eq!((&shown["id"], &shown["mime_type"]), (&file["id"], &file["mime_type"]));
    // A voice message is uploaded with its codec; Meta refuses plain `audio/ogg`.
    let voice = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01\x01\0\0\0\0\0\0";
    let (status, said) = upload(&app, voice, "audio/ogg").await;
    assert_eq!(status, StatusCode::CREATED, "{said}");
    app.api("POST", "/v1/messages", Some(order("audio", &json!({"id": said["id"], "voice": true})))).await;
    app.drain().await;
    assert_eq!(app.messages().await.iter().filter(|message| message["status"] == "read").count(), 1);
    // A picture cannot be sent as a sticker, but as a document.
    let sent = app.api("POST", "/v1/messages", Some(order("sticker", &json!({"id": id})))).await;
    assert_eq!((sent.status.as_u16(), sent.json()["field"].clone()), (422, "sticker.id".into()));
    assert_eq!(
        app.api("POST", "/v1/messages", Some(order("document", &json!({"id": id})))).await.status,
        StatusCode::ACCEPTED
    );
    let other = app.stack.operator.create_tenant("other").await.unwrap();
    let key = app.stack.operator.create_key(Some(other), &shared::domain::accounts::tenant::Scope::ALL).await.unwrap();
    assert_eq!(app.get(key.expose(), &format!("/v1/media/{id}")).await.status, StatusCode::NOT_FOUND);
    app.drain().await;
    // Meta's file id expires after thirty days; the file is uploaded again.
    app.advance(30 * 86_400);
    app.customer_writes("still there?");
    app.drain().await;
    app.api("POST", "/v1/messages", Some(order("image", &json!({"id": id})))).await;
    app.drain().await;
    assert_eq!((app.meta.sent().len(), app.meta.files()), (3, 3));
}

/// Returns the status and content behind a download link, without a key.
async fn download(app: &App, link: &Value) -> (u16, Vec<u8>) {
    let url = link["download_url"].as_str().unwrap_or_else(|| panic!("{link}"));
    let request = Request::get(url).header("host", "aws.embedded").body(bytes::Bytes::new()).unwrap();
    let answer = app.stack.aws.answer(request).await;
    (answer.status().as_u16(), answer.body().to_vec())
}

async fn file(app: &App, number: &str, id: &str) -> Answer {
    app.api("GET", &format!("/v1/numbers/{number}/files/{id}"), None).await
}

#[tokio::test]
async fn what_a_customer_sent_can_be_downloaded_long_after_meta_forgot_it() {
    let app = App::start().await;
    app.connect_number("900100200300502", false).await;
    let Value::Object(image) = json!({"type": "image", "image": {"caption": "look"}}) else { unreachable!() };
    app.meta.customer_writes(CUSTOMER, NUMBER, image).unwrap();
    app.drain().await;
    let message = &app.messages().await[0];
    let id = message["image"]["id"].as_str().unwrap_or_else(|| panic!("{message}")).to_owned();
    let link = file(&app, NUMBER, &id).await;
    assert_eq!(link.status, StatusCode::OK, "{}", link.text);
    let link = link.json();
    assert_eq!(link["mime_type"], "image/jpeg");
    let (status, bytes) = download(&app, &link).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(bytes.len(), usize::try_from(link["file_size"].as_u64().unwrap()).unwrap());
    assert!(bytes.starts_with(b"\xFF\xD8"));

    // A changed link is refused.
    let url = link["download_url"].as_str().unwrap();
    for forged in
        [url.replace("Expires=300", "Expires=301"), url.replace(&id, "7001003"), url[..url.len() - 1].to_owned()]
    {
        assert_ne!(download(&app, &json!({"download_url": forged})).await.0, 200, "{forged}");
    }
    assert_eq!(file(&app, "900100200300502", &id).await.status, StatusCode::NOT_FOUND, "another number's");
    for no_file in ["70010039999", NUMBER, WABA] {
        assert_eq!(file(&app, NUMBER, no_file).await.status, StatusCode::NOT_FOUND, "{no_file}");
    }
    let other = app.stack.operator.create_tenant("Other").await.unwrap();
    let key =
        app.stack.operator.create_key(Some(other), &[shared::domain::accounts::tenant::Scope::Read]).await.unwrap();
    let foreign = ask(&app, key.expose(), "GET", &format!("/v1/numbers/{NUMBER}/files/{id}"), Value::Null).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);

    // Meta stores the file for seven days; the copy lasts longer.
    app.advance(30 * 86_400);
    let later = file(&app, NUMBER, &id).await;
    assert_eq!(later.status, StatusCode::OK, "{}", later.text);
    assert_eq!(download(&app, &later.json()).await, (200, bytes));
    let late = app.meta.put_sent_file(NUMBER, "application/pdf", b"%PDF-1.4");
    app.advance(8 * 86_400);
    assert_eq!(file(&app, NUMBER, &late).await.status, StatusCode::NOT_FOUND, "asked for too late");
}

#[tokio::test]
async fn any_kind_of_file_of_any_size_is_copied_whole() {
    let app = App::start().await;
    for (mime, size) in [("application/zip", 0), ("application/pdf", 1), ("video/mp4", 3_000_000)] {
        let sent: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let id = app.meta.put_sent_file(NUMBER, mime, &sent);
        let link = file(&app, NUMBER, &id).await.json();
        assert_eq!((&link["mime_type"], &link["file_size"]), (&json!(mime), &json!(size)));
        assert!(download(&app, &link).await == (200, sent), "{mime}");
    }
}

#[tokio::test]
async fn an_uploaded_file_has_a_link_too() {
    let app = App::start().await;
    let upload = Request::post("/v1/media").header("authorization", format!("Bearer {}", app.seed.api_key));
    let uploaded = app.request(upload.body(Body::from(JPEG)).unwrap()).await.json();
    let path = format!("/v1/media/{}", uploaded["id"].as_str().unwrap());
    let shown = app.api("GET", &path, None).await.json();
    for link in [uploaded, shown] {
        assert_eq!(download(&app, &link).await, (200, JPEG.to_vec()));
    }
}
