//! Replays: what was asked for and how far it has come.

use jiff::Timestamp;

use super::item::{number, text, time};
use super::{StorageError, Table, keys};
use crate::domain::ids::{ReplayId, TenantId};

/// How far a replay has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayProgress {
    /// Whose it is; `None` for an operator's.
    pub tenant: Option<TenantId>,
    /// What it reads was received from the first time on, until before the second. `None` for dead letters, which are read whole, and for replays
    /// that were begun before this was noted.
    pub period: Option<(Timestamp, Timestamp)>,
    /// Archive objects, kept items and dead letters read so far.
    pub read: i64,
    /// Webhooks queued again so far.
    pub queued: i64,
    /// When it ended.
    pub done_at: Option<Timestamp>,
}

impl Table {
    /// Records how far a replay has come. The figures come with its job, so recording them twice changes nothing.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn put_replay(&self, id: ReplayId, progress: &ReplayProgress) -> Result<(), StorageError> {
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

    /// How far a replay has come.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StorageError> {
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
