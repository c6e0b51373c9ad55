//! Rate limit per key: a token bucket in the table. An instance takes several requests at once from it, so that a busy
//! key costs one write for many requests.

use std::collections::HashMap;
use std::sync::Mutex;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::{SignedDuration, Timestamp};

use crate::domain::accounts::tenant::{ApiKeyRecord, BURST_SECONDS};
use crate::limits::CACHE_ENTRIES_MAX;
use crate::storage::{RequestsTaken, StorageError, Table};

/// Batches per second: an instance takes the requests of a fifth of a second at once.
const BATCHES_A_SECOND: u32 = 5;
/// Life of a batch in an instance; the rest of it then expires unused.
const BATCH_FOR: SignedDuration = SignedDuration::from_secs(5);
/// Header names of draft-ietf-httpapi-ratelimit-headers.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Batches of requests that this instance holds, by key.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<String, Batch>>);

#[derive(Debug, Clone, Copy)]
struct Batch {
    left: u32,
    in_table: u32,
    until: Timestamp,
}

/// State of a key's rate limit after a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateStatus {
    rate: u32,
    left: u32,
    wait: Option<SignedDuration>,
}

impl Rates {
    /// Counts one request. Costs no write while the instance's batch lasts, else one or two.
    pub(super) async fn take(
        &self,
        table: &Table,
        key: &ApiKeyRecord,
        now: Timestamp,
    ) -> Result<RateStatus, StorageError> {
        let rate = key.requests_per_second.max(1);
        if let Some(left) = self.one_more(&key.id, now) {
            return Ok(RateStatus { rate, left, wait: None });
        }
        let batch = (rate / BATCHES_A_SECOND).max(1);
        let mut taken = table.api_key_take_requests(&key.id, batch, rate, now).await?;
        let mut count = batch;
        if batch > 1 && matches!(taken, RequestsTaken::Wait(_)) {
            (taken, count) = (table.api_key_take_requests(&key.id, 1, rate, now).await?, 1);
        }
        Ok(match taken {
            RequestsTaken::Taken { left: in_table } => {
                self.keep(
                    &key.id,
                    Batch { left: count - 1, in_table, until: now.checked_add(BATCH_FOR).unwrap_or(now) },
                );
                RateStatus { rate, left: in_table + count - 1, wait: None }
            }
            RequestsTaken::Wait(wait) => RateStatus { rate, left: 0, wait: Some(wait) },
        })
    }

    fn one_more(&self, key: &str, now: Timestamp) -> Option<u32> {
        let mut batches = self.0.lock().ok()?;
        let batch = batches.get_mut(key).filter(|batch| batch.left > 0 && now < batch.until)?;
        batch.left -= 1;
        Some(batch.left + batch.in_table)
    }

    fn keep(&self, key: &str, batch: Batch) {
        let Ok(mut batches) = self.0.lock() else { return };
        if batches.len() >= CACHE_ENTRIES_MAX {
            batches.clear();
        }
        batches.insert(key.to_owned(), batch);
    }
}

impl RateStatus {
    /// Whether the request must be refused.
    pub(super) fn is_spent(self) -> bool {
        self.wait.is_some()
    }

    /// Sets the rate-limit headers of a response.
    pub(super) fn head(self, headers: &mut HeaderMap) {
        let burst = self.rate.saturating_mul(BURST_SECONDS);
        let reset = burst.saturating_sub(self.left).div_ceil(self.rate);
        let mut set = |name: HeaderName, text: String| {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        };
        set(POLICY, format!("\"key\";q={burst};w={BURST_SECONDS}"));
        set(LIMIT, format!("\"key\";r={};t={reset}", self.left));
        if let Some(wait) = self.wait {
            set(header::RETRY_AFTER, (wait.as_secs() + 1).to_string());
        }
    }
}
