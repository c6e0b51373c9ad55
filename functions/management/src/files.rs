//! Files sent by customers: copied from Meta into the bucket on the first request, then served from there.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::api::{Caller, Ids, Moment, Read};
use shared::clock::Timestamp;
use shared::domain::accounts::number::Number;
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::{MetaFileId, NumberId, TenantId};
use shared::http::Problem;
use shared::provider::meta::graph::CallFailure;
use shared::storage::{LINK_FOR, StoredFile};
use utoipa::ToSchema;

use crate::Deps;
use crate::account::refused;
use crate::described::AtMeta;

/// Meta's error codes for a file that does not belong to the number or is older than seven days.
const UNKNOWN_AT_META: [i64; 2] = [100, 131_053];

#[derive(Serialize, ToSchema)]
#[schema(as = ReceivedFile)]
pub(crate) struct FileJson {
    /// Meta's id of the file, as in the message.
    id: String,
    mime_type: String,
    file_size: i64,
    /// Link for downloading the file. It is valid for five minutes and needs no API key.
    download_url: String,
    download_url_expires_at: Moment,
}

/// Returns a file sent by a customer, with a download link.
///
/// The file is copied from Meta on the first request, which must happen within seven days. The copy is kept for 89
/// days.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}/files/{file}",
    tag = "Media",
    operation_id = "getReceivedFile",
    params(("id" = String, Path), ("file" = String, Path, description = "Meta's id of the file, as in the message.")),
    responses((status = 200, body = FileJson), AtMeta),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Ids(number, id): Ids<NumberId, MetaFileId>,
) -> Result<Json<FileJson>, Problem> {
    let now = deps.clock.now();
    let number = deps.access.number_of(tenant, &number).await?;
    let file = match deps.table.file_get(&number.id, &id, now).await? {
        Some(file) => file,
        None => copied(&deps, tenant, &number, &id, now).await?,
    };
    Ok(Json(FileJson {
        id: id.to_string(),
        download_url: deps.files.link(&file.stored_at, &file.mime_type)?,
        download_url_expires_at: Moment(now.checked_add(LINK_FOR).unwrap_or(now)),
        mime_type: file.mime_type,
        file_size: file.size,
    }))
}

async fn copied(
    deps: &Deps,
    tenant: TenantId,
    number: &Number,
    id: &MetaFileId,
    now: Timestamp,
) -> Result<StoredFile, Problem> {
    let token: AccessToken = deps.token_of(tenant, &number.waba).await?;
    let at_meta = deps.graph.file(&token, &number.id, id).await.map_err(|failure| match failure {
        CallFailure::Refused(error) if UNKNOWN_AT_META.contains(&error.code) => Problem::not_found(),
        failure => refused(failure),
    })?;
    let at_meta = at_meta.ok_or_else(Problem::not_found)?;
    let bytes = deps.graph.download(&token, &at_meta).await.map_err(refused)?;
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let stored_at = StoredFile::place(tenant, &number.id, id);
    deps.files.put_at(&stored_at, bytes).await?;
    let file = StoredFile { mime_type: at_meta.mime_type, size, stored_at };
    deps.table.file_put(number, id, &file, now).await?;
    Ok(file)
}
