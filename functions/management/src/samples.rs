//! Files stored at Meta under a handle: profile pictures, and samples for the review of templates.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::api::{Caller, Id, Manage, Upload};
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::{TenantId, WabaId};
use shared::domain::sending::media::MediaType;
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;
use crate::account::{app_not_known, refused};
use crate::described::AtMeta;

/// File types allowed in a template's header (Meta: template components, media headers).
const SAMPLES: [&str; 4] = ["image/jpeg", "image/png", "video/mp4", "application/pdf"];

#[derive(Serialize, ToSchema)]
pub(crate) struct SampleJson {
    /// Value for `example.header_handle` of a template's header.
    handle: String,
    mime_type: &'static str,
}

/// Uploads a sample file for a template's header.
///
/// JPEG, PNG, MP4 or PDF. Meta requires a sample before it reviews a template with a media header.
#[utoipa::path(
    post,
    path = "/v1/accounts/{id}/templates/samples",
    tag = "Templates",
    operation_id = "uploadTemplateSample",
    params(("id" = String, Path)),
    request_body(
        content = Vec<u8>,
        content_type = "application/octet-stream",
        description = "The content of the file.",
    ),
    responses((status = 201, body = SampleJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn upload(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<WabaId>,
    Upload(file): Upload,
) -> Result<(StatusCode, Json<SampleJson>), Problem> {
    let token = deps.token_of(tenant, &id).await?;
    let mime_type =
        kind_of(&file, &SAMPLES).ok_or_else(|| Problem::invalid("body", "must be JPEG, PNG, MP4 or PDF"))?;
    let handle = deps.handle_of(tenant, &id, &token, mime_type, file).await?;
    deps.access.note(Some(tenant), &key, "template.sample_uploaded", id.as_str()).await?;
    Ok((StatusCode::CREATED, Json(SampleJson { handle, mime_type })))
}

/// Returns the MIME type detected from the file's content, if it is one of `allowed`.
pub(crate) fn kind_of(file: &[u8], allowed: &[&str]) -> Option<&'static str> {
    MediaType::of(file).ok().map(MediaType::mime).filter(|mime| allowed.contains(mime))
}

impl Deps {
    /// Uploads a file to Meta with an account's token and returns Meta's handle.
    pub(crate) async fn handle_of(
        &self,
        tenant: TenantId,
        account: &WabaId,
        token: &AccessToken,
        mime: &str,
        file: Bytes,
    ) -> Result<String, Problem> {
        let account = self.access.account_of(tenant, account).await?;
        let app = match account.app {
            Some(app) => self.table.signup_settings_get(&app).await?.map(|settings| settings.client_id),
            None => None,
        };
        let app = app.ok_or_else(app_not_known)?;
        self.graph.upload_handle(token, &app, mime, file.to_vec()).await.map_err(refused)
    }
}
