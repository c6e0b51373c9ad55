//! Replays: the request and its progress.

use jiff::Timestamp;

use crate::domain::ids::{ReplayId, TenantId};
use crate::storage::table::item::{number, text, time};
use crate::storage::{StorageError, Table, table::keys};

/// Progress of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayProgress {
    /// The tenant; `None` for an operator's replay.
    pub tenant: Option<TenantId>,
    /// Receipt times that the replay covers: from the first until before the second. `None` for dead letters, which are
    /// read whole, and for replays of versions that did not record it.
    pub period: Option<(Timestamp, Timestamp)>,
    /// Archive objects, quarantined items and dead letters read so far.
    pub read: i64,
    /// Webhooks queued again so far.
    pub queued: i64,
    /// When it ended.
    pub done_at: Option<Timestamp>,
}

impl Table {
    /// Records the progress of a replay. The job carries the absolute figures, so recording them twice changes nothing.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn replay_put(&self, id: ReplayId, progress: &ReplayProgress) -> Result<(), StorageError> {
        self.update(keys::replay(id))
            .set_once_if("tenant", progress.tenant.map(|tenant| text(tenant.to_string())))
            .set_once_if("from", progress.period.map(|(from, _)| time(from)))
            .set_once_if("until", progress.period.map(|(_, until)| time(until)))
            .set("read", number(progress.read))
            .set("queued", number(progress.queued))
            .set_once_if("done_at", progress.done_at.map(time))
            .run()
            .await?;
        Ok(())
    }

    /// Returns the progress of a replay.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn replay_get(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StorageError> {
        let Some(item) = self.read(&keys::replay(id)).await? else { return Ok(None) };
        Ok(Some(ReplayProgress {
            tenant: item.parsed_optional("tenant", TenantId::parse)?,
            period: item.time("from").zip(item.time("until")),
            read: item.number("read").unwrap_or(0),
            queued: item.number("queued").unwrap_or(0),
            done_at: item.time("done_at"),
        }))
    }
}
