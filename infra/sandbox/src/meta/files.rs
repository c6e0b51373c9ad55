//! Files sent by customers. The links to them expire after five minutes and require the number's token
//! (`docs/meta/messages.md#section-9`).

use axum::Router;
use axum::routing::get;
use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::error;
use super::graph::authorised;
use super::{Meta, State as World};

/// Lifetime of a link to a file, in seconds (Meta).
const LINK_SECONDS: i64 = 300;
/// Retention of a file, in seconds (Meta): seven days.
const FILE_SECONDS: i64 = 7 * 86_400;

/// Message kinds that carry a file: MIME type and a small sample.
const SAMPLES: [(&str, &str, &[u8]); 5] = [
    ("image", "image/jpeg", b"\xFF\xD8\xFF\xE0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xFF\xD9"),
    ("video", "video/mp4", b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"),
    ("audio", "audio/ogg; codecs=opus", b"OggS\x00\x02OpusHead"),
    ("document", "application/pdf", b"%PDF-1.4\n%%EOF\n"),
    ("sticker", "image/webp", b"RIFF\x04\x00\x00\x00WEBP"),
];

/// A file that a customer sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SentFile {
    to: String,
    mime_type: String,
    /// Content in base 64.
    bytes: String,
    sent_at: i64,
}

/// Adds the id of a sample file to a message of such a kind, unless it names a file.
pub(super) fn attach(state: &mut World, to: &str, message: &mut Map<String, Value>, now: i64) {
    let kind = message.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some((_, mime, sample)) = SAMPLES.iter().find(|(name, ..)| *name == kind) else { return };
    let file = message.entry(kind).or_insert_with(|| json!({}));
    let Some(file) = file.as_object_mut().filter(|file| !file.contains_key("id")) else { return };
    let mime = file.get("mime_type").and_then(Value::as_str).unwrap_or(mime).to_owned();
    let id = put(state, to, &mime, sample, now);
    file.insert("id".to_owned(), json!(id));
    file.insert("mime_type".to_owned(), json!(mime));
    file.insert("sha256".to_owned(), json!(STANDARD.encode(digest(&SHA256, sample))));
}

fn put(state: &mut World, to: &str, mime: &str, bytes: &[u8], now: i64) -> String {
    state.serial += 1;
    let id = format!("7001003{:08}", state.serial);
    let bytes = STANDARD.encode(bytes);
    state
        .sent_files
        .insert(id.clone(), SentFile { to: to.to_owned(), mime_type: mime.to_owned(), bytes, sent_at: now });
    id
}

impl Meta {
    /// Stores a file that a customer sent to a number, and returns Meta's id of it.
    pub fn put_sent_file(&self, to: &str, mime: &str, bytes: &[u8]) -> String {
        put(&mut self.lock(), to, mime, bytes, self.clock.now().as_second())
    }

    pub(super) fn has_sent_file(&self, id: &str) -> bool {
        self.lock().sent_files.contains_key(id)
    }

    fn sent_file(&self, id: &str) -> Option<SentFile> {
        let now = self.clock.now().as_second();
        self.lock().sent_files.get(id).filter(|file| now < file.sent_at + FILE_SECONDS).cloned()
    }
}

fn unknown() -> Response {
    error(StatusCode::BAD_REQUEST, 100, "Invalid parameter", "Object with this id does not exist")
}

/// Answers `GET /{file}`: metadata and link of a file.
pub(super) fn node(meta: &Meta, id: &str, headers: &HeaderMap, asked_for: Option<&String>) -> Response {
    let Some(file) = meta.sent_file(id).filter(|file| asked_for.is_none_or(|number| *number == file.to)) else {
        return unknown();
    };
    if let Err(refused) = authorised(meta, &file.to, headers) {
        return *refused;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let until = meta.clock.now().as_second() + LINK_SECONDS;
    let bytes = STANDARD.decode(&file.bytes).unwrap_or_default();
    Json(json!({
        "messaging_product": "whatsapp", "id": id, "mime_type": file.mime_type,
        "url": format!("http://{host}/_files/{id}?until={until}"),
        "sha256": hex::encode(digest(&SHA256, &bytes)), "file_size": bytes.len().to_string(),
    }))
    .into_response()
}

/// Route of the files that messages carry.
pub(super) fn file_routes(meta: Arc<Meta>) -> Router {
    Router::new().route("/_files/{id}", get(download)).with_state(meta)
}

/// Answers the link: the file's content.
async fn download(
    State(meta): State<Arc<Meta>>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let until = query.get("until").and_then(|until| until.parse::<i64>().ok()).unwrap_or(0);
    let Some(file) = meta.sent_file(&id).filter(|_| meta.clock.now().as_second() < until) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if authorised(&meta, &file.to, &headers).is_err() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let bytes = STANDARD.decode(&file.bytes).unwrap_or_default();
    ([(header::CONTENT_TYPE, file.mime_type)], bytes).into_response()
}
