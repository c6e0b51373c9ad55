//! The S3 bucket: bodies too large for a queue message, and the raw archive from which everything can be replayed.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use jiff::SignedDuration;

use super::keys::digest;

/// Validity of a link to an object: long enough to start a download, too short to pass the link on.
pub const LINK_FOR: SignedDuration = SignedDuration::from_mins(5);

/// Objects in S3. The bucket's lifecycle removes `raw/` after 8 days, `large/` after 16, `kept/` after 35, and
/// `broadcasts/` and `media/` after 90.
#[derive(Debug, Clone)]
pub struct Archive {
    client: aws_sdk_s3::Client,
    bucket: String,
}

/// Error of a call to the bucket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// S3 did not answer or rejected the call; try again.
    #[error("S3 did not answer: {0}")]
    Unavailable(String),
    /// The object does not exist; the bucket's lifecycle may have removed it.
    #[error("the object is gone")]
    Gone,
}

impl Archive {
    /// Creates a client for the bucket with this name.
    #[must_use]
    pub fn new(client: aws_sdk_s3::Client, bucket: String) -> Self {
        Self { client, bucket }
    }

    /// Stores `bytes` under `folder`, keyed by their hash, and returns the key. Equal bytes share one object.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub async fn put(&self, folder: &str, bytes: Bytes) -> Result<String, ArchiveError> {
        let key = content_key(folder, &bytes);
        self.put_at(&key, bytes).await?;
        Ok(key)
    }

    /// Stores `bytes` under `key`.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub async fn put_at(&self, key: &str, bytes: Bytes) -> Result<(), ArchiveError> {
        let put = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes));
        put.send().await.map_err(|error| unavailable(&error))?;
        Ok(())
    }

    /// Returns a link with which anybody can read the object for [`LINK_FOR`]. Browsers save the object as a file and
    /// never show it as a page. Makes no call to S3.
    ///
    /// # Errors
    /// When the link cannot be signed.
    pub async fn link(&self, key: &str, mime: &str) -> Result<String, ArchiveError> {
        let unsigned = |_| ArchiveError::Unavailable("the link cannot be signed".to_owned());
        let until = PresigningConfig::expires_in(LINK_FOR.unsigned_abs()).map_err(unsigned)?;
        let get = self.client.get_object().bucket(&self.bucket).key(key);
        let get = get.response_content_type(mime).response_content_disposition("attachment");
        let signed = get.presigned(until).await.map_err(|error| unavailable(&error))?;
        Ok(signed.uri().to_owned())
    }

    /// Returns the keys of up to `limit` objects of a folder, in key order, starting after `after`.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub async fn list(&self, folder: &str, after: Option<&str>, limit: i32) -> Result<Vec<String>, ArchiveError> {
        let list = self.client.list_objects_v2().bucket(&self.bucket).prefix(format!("{folder}/"));
        let answer = list.set_start_after(after.map(str::to_owned)).max_keys(limit).send().await;
        let answer = answer.map_err(|error| unavailable(&error))?;
        Ok(answer.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect())
    }

    /// Deletes an object. Succeeds if the object does not exist.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        let deleted = self.client.delete_object().bucket(&self.bucket).key(key).send().await;
        deleted.map_err(|error| unavailable(&error))?;
        Ok(())
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`ArchiveError::Gone`] when there is none, [`ArchiveError::Unavailable`] when S3 does not answer.
    pub async fn get(&self, key: &str) -> Result<Bytes, ArchiveError> {
        let answer = self.client.get_object().bucket(&self.bucket).key(key).send().await.map_err(|error| {
            let gone =
                error.as_service_error().is_some_and(aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key);
            if gone { ArchiveError::Gone } else { unavailable(&error) }
        })?;
        let body = answer.body.collect().await.map_err(|_| ArchiveError::Unavailable("body broke off".to_owned()))?;
        Ok(body.into_bytes())
    }
}

/// Returns the key under which [`Archive::put`] stores these bytes.
#[must_use]
pub fn content_key(folder: &str, bytes: &[u8]) -> String {
    format!("{folder}/{}", digest(bytes))
}

fn unavailable<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> ArchiveError {
    ArchiveError::Unavailable(error.code().unwrap_or("no answer").to_owned())
}
