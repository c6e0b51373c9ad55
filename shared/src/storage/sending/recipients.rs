//! Recipients of broadcasts: objects in the bucket, a thousand recipients each.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::BroadcastId;
use crate::domain::sending::broadcast::BroadcastRecipient;
use crate::storage::{Archive, ArchiveError};

#[derive(Serialize, Deserialize)]
struct Wire {
    to: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<String>,
}

impl Archive {
    /// Stores the `page`-th thousand recipients of a broadcast.
    ///
    /// # Errors
    /// When S3 does not answer.
    pub async fn put_recipients(
        &self,
        broadcast: BroadcastId,
        page: usize,
        recipients: &[BroadcastRecipient],
    ) -> Result<(), ArchiveError> {
        let wires: Vec<Wire> =
            recipients.iter().map(|one| Wire { to: one.to.e164().to_owned(), values: one.values.clone() }).collect();
        let json = serde_json::to_vec(&wires).map_err(|error| ArchiveError::Unavailable(error.to_string()))?;
        self.put_at(&key(broadcast, page), Bytes::from(json)).await
    }

    /// Returns the `page`-th thousand recipients of a broadcast.
    ///
    /// # Errors
    /// When S3 does not answer, has no such page, or the page is damaged.
    pub async fn recipients(
        &self,
        broadcast: BroadcastId,
        page: usize,
    ) -> Result<Vec<BroadcastRecipient>, ArchiveError> {
        let json = self.get(&key(broadcast, page)).await?;
        let wires: Vec<Wire> = serde_json::from_slice(&json).map_err(|_| ArchiveError::Gone)?;
        let read = |wire: Wire| {
            let to = PhoneNumber::parse_wa_id(&wire.to).map_err(|_| ArchiveError::Gone)?;
            Ok(BroadcastRecipient { to, values: wire.values })
        };
        wires.into_iter().map(read).collect()
    }
}

fn key(broadcast: BroadcastId, page: usize) -> String {
    format!("broadcasts/{broadcast}/{page:03}")
}
