//! `/v1/media`: files to send. The type is detected from the bytes. Meta receives the file when it is first sent.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde::Serialize;
use shared::api::{Caller, Id, Moment, Read, Refusals, Send, Upload};
use shared::domain::ids::MediaId;
use shared::domain::sending::media::MediaType;
use shared::http::Problem;
use shared::storage::{LINK_FOR, StoredMedia};
use utoipa::ToSchema;

use crate::Deps;

/// Meta's error code for media that cannot be used.
const MEDIA: i64 = 131_053;

#[derive(Serialize, ToSchema)]
pub(crate) struct FileJson {
    id: String,
    mime_type: &'static str,
    kind: &'static str,
    file_size: i64,
    created_at: Moment,
    /// Link for downloading the file. It is valid for five minutes and needs no API key.
    download_url: String,
    download_url_expires_at: Moment,
}

impl FileJson {
    async fn new(deps: &Deps, media: &StoredMedia) -> Result<Self, Problem> {
        let now = deps.clock.now();
        Ok(Self {
            download_url: deps.files.link(&media.stored_at, media.media_type.mime())?,
            download_url_expires_at: Moment(now.checked_add(LINK_FOR).unwrap_or(now)),
            id: media.id.to_string(),
            mime_type: media.media_type.mime(),
            kind: media.media_type.kind().as_str(),
            file_size: media.size,
            created_at: Moment(media.created_at),
        })
    }
}

/// Stores a file to send, up to 4.4 MB. Its type is detected from its content.
#[utoipa::path(
    post,
    path = "/v1/media",
    tag = "Media",
    operation_id = "uploadMedia",
    request_body(
        content = Vec<u8>,
        content_type = "application/octet-stream",
        description = "The content of the file.",
    ),
    responses((status = 201, body = FileJson), Refusals),
    security(("key" = ["send"])),
)]
pub(crate) async fn upload(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Send>,
    headers: HeaderMap,
    Upload(body): Upload,
) -> Result<(StatusCode, Json<FileJson>), Problem> {
    if body.is_empty() {
        return Err(Problem::violates("body", "must be the file", MEDIA));
    }
    let media_type = MediaType::of(&body).map_err(|rule| Problem::violates("body", &rule.to_string(), MEDIA))?;
    declared(&headers, media_type)?;
    let now = deps.clock.now();
    let id = MediaId::generate(now)?;
    let size = i64::try_from(body.len()).unwrap_or(i64::MAX);
    let stored_at = deps.files.put(&format!("media/{tenant}"), body).await?;
    let media = StoredMedia { id, tenant, media_type, size, stored_at, created_at: now };
    deps.table.media_put(&media).await?;
    Ok((StatusCode::CREATED, Json(FileJson::new(&deps, &media).await?)))
}

/// Checks the declared `Content-Type`: a mismatch with the file points to a mistake of the caller.
fn declared(headers: &HeaderMap, found: MediaType) -> Result<(), Problem> {
    const ANYTHING: [&str; 2] = ["application/octet-stream", ""];
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // MP4 is both an audio and a video type, and curl declares every body as a form by default.
    let alike =
        MediaType::from_declared(&said) == Some(found) || said.ends_with("/mp4") && found.mime().ends_with("/mp4");
    if alike || ANYTHING.contains(&said.as_str()) || said == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    Err(Problem::violates("Content-Type", &format!("must match the content of the file: {}", found.mime()), MEDIA))
}

/// Returns a file to send, with a download link.
#[utoipa::path(
    get,
    path = "/v1/media/{id}",
    tag = "Media",
    operation_id = "getMedia",
    params(("id" = String, Path)),
    responses((status = 200, body = FileJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<MediaId>,
) -> Result<Json<FileJson>, Problem> {
    let found = deps.table.media_get(id, None, deps.clock.now()).await?;
    let (media, _) = found.filter(|(media, _)| media.tenant == tenant).ok_or_else(Problem::not_found)?;
    Ok(Json(FileJson::new(&deps, &media).await?))
}
