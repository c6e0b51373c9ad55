//! Uploads of our files to Meta. Meta's file id is reused while it is valid.

use shared::domain::accounts::number::Number;
use shared::domain::accounts::token::AccessToken;
use shared::domain::event::ProviderError;
use shared::domain::ids::MediaId;
use shared::domain::outgoing::Outgoing;
use shared::provider::meta::graph::CallFailure;
use shared::storage::ArchiveError;

use crate::Deps;
use crate::not_ready::Missing;

/// Replaces our file ids by Meta's. Two workers may upload the same file at once, which costs one extra upload.
pub(crate) async fn at_meta(
    deps: &Deps,
    number: &Number,
    token: &AccessToken,
    says: &mut Outgoing,
) -> Result<(), Missing> {
    for file in says.files() {
        if let Ok(ours) = MediaId::parse(file.id) {
            *file.id = id_at_meta(deps, number, token, ours).await?;
        }
    }
    Ok(())
}

async fn id_at_meta(deps: &Deps, number: &Number, token: &AccessToken, id: MediaId) -> Result<String, Missing> {
    let gone = || Missing::Refused(ProviderError::ours("file_gone", "the file is no longer stored: upload it again"));
    let now = deps.clock.now();
    let found = deps.table.media_get(id, Some(&number.id), now).await?;
    let (media, known) = found.filter(|(media, _)| media.tenant == number.tenant).ok_or_else(gone)?;
    if let Some(known) = known {
        deps.metrics.count("media", "reused", 1);
        return Ok(known);
    }
    let bytes = match deps.files.get(&media.stored_at).await {
        Ok(bytes) => bytes,
        Err(ArchiveError::Gone) => return Err(gone()),
        Err(error) => return Err(error.into()),
    };
    match deps.graph.upload(token, &number.id, media.media_type.wire(), bytes.to_vec()).await {
        Ok(meta_id) => {
            deps.table.media_put_meta_id(id, &number.id, &meta_id, now).await?;
            deps.metrics.count("media", "uploaded", 1);
            Ok(meta_id)
        }
        Err(CallFailure::TryLater(error)) => Err(Missing::NotUploaded(error)),
        Err(CallFailure::Refused(error)) => Err(Missing::Refused(error)),
    }
}
