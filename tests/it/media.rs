//! Files to send: told by their bytes, given to Meta once, a tenant's own.

use axum::http::StatusCode;
use serde_json::json;

use crate::harness::App;
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
    assert_eq!(app.api("GET", &format!("/v1/media/{id}"), None).await.json(), file);
    // A voice message goes to Meta as what it is: plain `audio/ogg` would be refused.
    let voice = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13OpusHead\x01\x01\0\0\0\0\0\0";
    let (status, said) = upload(&app, voice, "audio/ogg").await;
    assert_eq!(status, StatusCode::CREATED, "{said}");
    app.api("POST", "/v1/messages", Some(order("audio", &json!({"id": said["id"], "voice": true})))).await;
    app.drain().await;
    assert_eq!(app.messages().await.iter().filter(|message| message["status"] == "read").count(), 1);
    // A picture is no sticker, but may be sent as a document.
    let sent = app.api("POST", "/v1/messages", Some(order("sticker", &json!({"id": id})))).await;
    assert_eq!((sent.status.as_u16(), sent.json()["field"].clone()), (422, "sticker.id".into()));
    assert_eq!(
        app.api("POST", "/v1/messages", Some(order("document", &json!({"id": id})))).await.status,
        StatusCode::ACCEPTED
    );
    let other = app.stack.operator.create_tenant("other").await.unwrap();
    let key = app.stack.operator.create_key(Some(other), &shared::domain::tenant::Scope::ALL).await.unwrap();
    assert_eq!(app.get(key.expose(), &format!("/v1/media/{id}")).await.status, StatusCode::NOT_FOUND);
    app.drain().await;
    // Meta's id dies after thirty days: the file is uploaded again.
    app.advance(30 * 86_400);
    app.customer_writes("still there?");
    app.drain().await;
    app.api("POST", "/v1/messages", Some(order("image", &json!({"id": id})))).await;
    app.drain().await;
    assert_eq!((app.meta.sent().len(), app.meta.files()), (3, 3));
}
