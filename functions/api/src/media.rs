//! `POST /v1/media`: a file to send. Its type is told by its bytes; Meta gets it when it is first sent.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use shared::domain::ids::MediaId;
use shared::domain::media::MediaType;
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::storage::{StorageError, StoredMedia};

use crate::auth::Caller;
use crate::json::time;
use crate::{Deps, storage_problem};

/// Meta's "media could not be had".
const MEDIA: i64 = 131_053;

#[derive(Serialize)]
pub(crate) struct MediaJson {
    id: String,
    mime_type: &'static str,
    kind: &'static str,
    file_size: i64,
    created_at: String,
}

impl MediaJson {
    fn new(media: &StoredMedia) -> Self {
        Self {
            id: media.id.to_string(),
            mime_type: media.media_type.mime(),
            kind: media.media_type.kind().as_str(),
            file_size: media.size,
            created_at: time(media.created_at),
        }
    }
}

pub(crate) async fn upload(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<MediaJson>), Problem> {
    let tenant = caller.tenant(Scope::Send)?;
    let body = body.map_err(|_| file_too_large())?;
    if body.is_empty() {
        return Err(Problem::violates("body", "must be the file", MEDIA));
    }
    let media_type = MediaType::of(&body).map_err(|rule| Problem::violates("body", &rule.to_string(), MEDIA))?;
    declared(&headers, media_type)?;
    let now = deps.clock.now();
    let id = MediaId::generate(now).map_err(|error| storage_problem(&StorageError::from(error)))?;
    let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
    let stored_at = deps.files.put(&format!("media/{tenant}"), body).await.map_err(|error| {
        tracing::error!(event = "api.file_not_stored", %error);
        Problem::unavailable()
    })?;
    let media = StoredMedia { id, tenant, media_type, size, stored_at, created_at: now };
    deps.table.put_media(&media).await.map_err(|error| storage_problem(&error))?;
    Ok((StatusCode::CREATED, Json(MediaJson::new(&media))))
}

/// A caller who says what the file is must be right: a film named as a picture is a mistake somewhere.
fn declared(headers: &HeaderMap, found: MediaType) -> Result<(), Problem> {
    const ANYTHING: [&str; 2] = ["application/octet-stream", ""];
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // The same container is called audio and video, and curl calls every body a form.
    let alike = said == found.mime() || said.ends_with("/mp4") && found.mime().ends_with("/mp4");
    if alike || ANYTHING.contains(&said.as_str()) || said == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    Err(Problem::violates("Content-Type", &format!("must be what the file is: {}", found.mime()), MEDIA))
}

fn file_too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The file is larger than 4.4 MB.")
        .remedy("Send a larger file by `link`: Meta fetches it.")
}

pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<MediaJson>, Problem> {
    let tenant = caller.tenant(Scope::Read)?;
    let id = path.ok().and_then(|Path(id)| MediaId::parse(&id).ok()).ok_or_else(Problem::not_found)?;
    let found = deps.table.media(id, None, deps.clock.now()).await.map_err(|error| storage_problem(&error))?;
    let (media, _) = found.filter(|(media, _)| media.tenant == tenant).ok_or_else(Problem::not_found)?;
    Ok(Json(MediaJson::new(&media)))
}
