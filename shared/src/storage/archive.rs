//! The S3 bucket: bodies too large for a queue message, and the raw archive from which everything can be replayed.

use bytes::Bytes;
use jiff::SignedDuration;

use crate::aws::{Direct, DirectError};
use crate::storage::table::keys::digest;

/// S3's code for an object that is missing.
const NO_SUCH_KEY: &str = "NoSuchKey";

/// Validity of a link to an object: long enough to start a download, too short to pass the link on.
pub const LINK_FOR: SignedDuration = SignedDuration::from_mins(5);

/// Objects in S3. The bucket's lifecycle removes `raw/` after 8 days, `large/` after 16, `quarantine/` after 35, and
/// `broadcasts/` and `media/` after 90.
#[derive(Debug, Clone)]
pub struct Archive {
    aws: Direct,
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
    pub fn new(aws: Direct, bucket: String) -> Self {
        Self { aws, bucket }
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
        Ok(self.aws.put_object(&self.bucket, key, bytes).await?)
    }

    /// Returns a link with which anybody can read the object for [`LINK_FOR`]. Browsers save the object as a file and
    /// never show it as a page. Makes no call to S3.
    ///
    /// # Errors
    /// When the link cannot be signed.
    pub fn link(&self, key: &str, mime: &str) -> Result<String, ArchiveError> {
        Ok(self.aws.link(&self.bucket, key, mime, LINK_FOR.unsigned_abs())?)
    }

    /// Returns the keys of up to `limit` objects of a folder, in key order, starting after `after`.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub async fn list(&self, folder: &str, after: Option<&str>, limit: i32) -> Result<Vec<String>, ArchiveError> {
        Ok(self.aws.list_objects(&self.bucket, &format!("{folder}/"), after, limit).await?)
    }

    /// Deletes an object. Succeeds if the object does not exist.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub async fn delete(&self, key: &str) -> Result<(), ArchiveError> {
        Ok(self.aws.delete_object(&self.bucket, key).await?)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`ArchiveError::Gone`] when there is none, [`ArchiveError::Unavailable`] when S3 does not answer.
    pub async fn get(&self, key: &str) -> Result<Bytes, ArchiveError> {
        Ok(self.aws.get_object(&self.bucket, key).await?)
    }
}

/// Returns the key under which [`Archive::put`] stores these bytes.
#[must_use]
pub fn content_key(folder: &str, bytes: &[u8]) -> String {
    format!("{folder}/{}", digest(bytes))
}

impl From<DirectError> for ArchiveError {
    fn from(error: DirectError) -> Self {
        match error {
            DirectError::Refused(code) if code == NO_SUCH_KEY => Self::Gone,
            DirectError::Refused(code) | DirectError::Unavailable(code) => Self::Unavailable(code),
        }
    }
}
