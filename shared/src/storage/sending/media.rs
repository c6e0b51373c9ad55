//! Files to send and files received: media type, size, key in the bucket, and Meta's ids of them.

use jiff::{SignedDuration, Timestamp};

use crate::domain::accounts::number::Number;
use crate::domain::ids::{MediaId, MetaFileId, NumberId, TenantId};
use crate::domain::lifecycle::erasure::SUPPRESSED_FOR;
use crate::domain::sending::media::MediaType;
use crate::storage::table::item::{Item, expiry, number, text, time};
use crate::storage::{StorageError, Table, table::keys};

/// How long an upload id of Meta's is reused. Such an id lives 30 days (`docs/meta/messages.md#section-9`); a day less
/// leaves time for messages that wait.
const META_ID_FOR: SignedDuration = SignedDuration::from_hours(29 * 24);

/// How long the copy of a received file is recorded: one day less than the bucket's lifecycle keeps the object.
const COPY_FOR: SignedDuration = SignedDuration::from_hours(89 * 24);

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMedia {
    /// Its id.
    pub id: MediaId,
    /// The owner.
    pub tenant: TenantId,
    /// Media type, detected from the bytes.
    pub media_type: MediaType,
    /// Size in bytes.
    pub size: i64,
    /// Its key in the bucket.
    pub stored_at: String,
    /// When the tenant uploaded it.
    pub created_at: Timestamp,
}

/// A copy of a file that a customer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// MIME type as Meta reports it.
    pub mime_type: String,
    /// Size in bytes.
    pub size: i64,
    /// Its key in the bucket.
    pub stored_at: String,
}

impl StoredFile {
    /// Returns the bucket key of a received file's copy. Tenant and number are in the key, so the copy can be erased
    /// with either.
    #[must_use]
    pub fn place(tenant: TenantId, number: &NumberId, id: &MetaFileId) -> String {
        format!("media/{tenant}/{number}/{id}")
    }
}

impl Table {
    /// Records the copy of a file that a customer sent. It expires with the number's retention period, after 89 days at
    /// most. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn file_put(
        &self,
        of: &Number,
        id: &MetaFileId,
        file: &StoredFile,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let copied = crate::clock::after(now, COPY_FOR);
        let until = of.keeps_until(now).map_or(copied, |kept| kept.min(copied));
        self.update(keys::file(&of.id, id))
            .set("mime_type", text(&file.mime_type))
            .set("size", number(file.size))
            .set("stored_at", text(&file.stored_at))
            .set("expires_at", expiry(until))
            .run()
            .await?;
        Ok(())
    }

    /// Replaces the record of a file by a tombstone, because its sender is erased. While the tombstone exists (15
    /// days), the file is not copied from Meta again. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(in crate::storage) async fn forget_file(
        &self,
        of: &NumberId,
        id: &MetaFileId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let until = expiry(crate::clock::after(now, SUPPRESSED_FOR));
        let stone = self.update(keys::file(of, id)).set("gone_at", time(now)).set("expires_at", until);
        stone.remove(&["stored_at", "mime_type", "size"]).run().await?;
        Ok(())
    }

    /// Returns the copy of a file that a customer sent, until it expires.
    ///
    /// # Errors
    /// [`StorageError::Erased`] if the sender was erased; otherwise when DynamoDB does not answer or the item is
    /// damaged.
    pub async fn file_get(
        &self,
        of: &NumberId,
        id: &MetaFileId,
        now: Timestamp,
    ) -> Result<Option<StoredFile>, StorageError> {
        let item = self.read(&keys::file(of, id)).await?;
        let lives = |item: &Item| item.number("expires_at").is_some_and(|ends| now.as_second() < ends);
        let Some(item) = item.filter(lives) else { return Ok(None) };
        if item.0.contains_key("gone_at") {
            return Err(StorageError::Erased);
        }
        Ok(Some(StoredFile {
            mime_type: item.required("mime_type")?.to_owned(),
            size: item.number("size").unwrap_or(0),
            stored_at: item.required("stored_at")?.to_owned(),
        }))
    }

    /// Records a file. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn media_put(&self, media: &StoredMedia) -> Result<(), StorageError> {
        self.update(keys::media(media.id))
            .set("tenant", text(media.tenant.to_string()))
            .set("mime_type", text(media.media_type.mime()))
            .set("size", number(media.size))
            .set("stored_at", text(&media.stored_at))
            .set("created_at", time(media.created_at))
            .run()
            .await?;
        Ok(())
    }

    /// Returns a file, and Meta's id of it for this number unless the id has expired.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn media_get(
        &self,
        id: MediaId,
        number: Option<&NumberId>,
        now: Timestamp,
    ) -> Result<Option<(StoredMedia, Option<String>)>, StorageError> {
        let Some(item) = self.read(&keys::media(id)).await? else { return Ok(None) };
        let good = number.filter(|number| item.time(&format!("until_{number}")).is_some_and(|until| now < until));
        let at_meta = good.and_then(|number| item.owned(&format!("meta_{number}")));
        let media = StoredMedia {
            id,
            tenant: item.parsed("tenant", TenantId::parse)?,
            media_type: item.parsed("mime_type", |mime| MediaType::from_mime(mime).ok_or(()))?,
            size: item.number("size").unwrap_or(0),
            stored_at: item.required("stored_at")?.to_owned(),
            created_at: item.required_time("created_at")?,
        };
        Ok(Some((media, at_meta)))
    }

    /// Records Meta's id of a file. The id is valid only for the number that uploaded the file. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn media_put_meta_id(
        &self,
        id: MediaId,
        number: &NumberId,
        meta_id: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.update(keys::media(id))
            .set(&format!("meta_{number}"), text(meta_id))
            .set(&format!("until_{number}"), time(crate::clock::after(now, META_ID_FOR)))
            .run()
            .await?;
        Ok(())
    }
}
