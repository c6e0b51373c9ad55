//! A function's cache between invocations: bounded, and timed by the injected clock.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::limits::{CACHE_ENTRIES_MAX, UNKNOWN_CACHE_FOR};

/// Longest wait for a refresh while a stale value is available.
const REFRESH_PATIENCE: Duration = Duration::from_secs(1);

/// Values that were looked up elsewhere. That a key does *not* exist is cached too, but for a shorter time
/// ([`UNKNOWN_CACHE_FOR`]).
#[derive(Debug)]
pub struct Cache<K, V> {
    clock: Clock,
    fresh_for: SignedDuration,
    keep_stale: bool,
    entries: Mutex<HashMap<K, Entry<V>>>,
}

#[derive(Debug, Clone)]
struct Entry<V> {
    value: Option<V>,
    fetched_at: Timestamp,
}

impl<K: Eq + Hash + Clone, V: Clone> Cache<K, V> {
    /// Creates a cache that looks a value up again after `fresh_for` and never returns it beyond that time.
    #[must_use]
    pub fn strict(clock: Clock, fresh_for: SignedDuration) -> Self {
        Self { clock, fresh_for, keep_stale: false, entries: Mutex::default() }
    }

    /// Creates a cache that continues with the stale value while the look-up fails or takes longer than a second.
    #[must_use]
    pub fn keeping_stale(clock: Clock, fresh_for: SignedDuration) -> Self {
        Self { keep_stale: true, ..Self::strict(clock, fresh_for) }
    }

    /// Returns the value of `key`, from the cache or from `fetch`.
    ///
    /// # Errors
    /// The error of `fetch`, when no stale value can be returned.
    pub async fn get<E>(&self, key: &K, fetch: impl Future<Output = Result<Option<V>, E>>) -> Result<Option<V>, E> {
        let now = self.clock.now();
        let known = self.entries.lock().ok().and_then(|entries| entries.get(key).cloned());
        let fetched = match known {
            Some(entry) if self.is_fresh(&entry, now) => return Ok(entry.value),
            Some(Entry { value: Some(old), .. }) if self.keep_stale => {
                match tokio::time::timeout(REFRESH_PATIENCE, fetch).await {
                    Ok(Ok(fetched)) => fetched,
                    // The stale value counts as fresh a little longer, so that not every caller waits for a service
                    // that is down.
                    Ok(Err(_)) | Err(_) => {
                        let almost_stale =
                            now.checked_sub(self.fresh_for).and_then(|at| at.checked_add(UNKNOWN_CACHE_FOR));
                        self.remember(key.clone(), Some(old.clone()), almost_stale.unwrap_or(now));
                        return Ok(Some(old));
                    }
                }
            }
            _ => fetch.await?,
        };
        self.remember(key.clone(), fetched.clone(), now);
        Ok(fetched)
    }

    /// Removes `key`, so that the next look-up fetches it.
    pub fn forget(&self, key: &K) {
        if let Ok(mut entries) = self.entries.lock() {
            entries.remove(key);
        }
    }

    fn is_fresh(&self, entry: &Entry<V>, now: Timestamp) -> bool {
        let fresh_for = if entry.value.is_some() { self.fresh_for } else { self.fresh_for.min(UNKNOWN_CACHE_FOR) };
        now.duration_since(entry.fetched_at) < fresh_for
    }

    fn remember(&self, key: K, value: Option<V>, now: Timestamp) {
        let Ok(mut entries) = self.entries.lock() else { return };
        if entries.len() >= CACHE_ENTRIES_MAX && !entries.contains_key(&key) {
            let fresh: HashMap<K, Entry<V>> =
                entries.drain().filter(|(_, entry)| entry.value.is_some() && self.is_fresh(entry, now)).collect();
            // Still full of fresh values: empty the cache rather than let it grow.
            *entries = if fresh.len() < CACHE_ENTRIES_MAX { fresh } else { HashMap::new() };
        }
        entries.insert(key, Entry { value, fetched_at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::at_millis;

    async fn ask(cache: &Cache<u32, u32>, key: u32, answer: Result<Option<u32>, ()>) -> Result<Option<u32>, ()> {
        cache.get(&key, async { answer }).await
    }

    #[tokio::test]
    async fn asks_again_when_stale_and_goes_on_with_the_old_when_told_to() {
        let clock = Clock::manual(at_millis(0));
        let strict = Cache::strict(clock.clone(), SignedDuration::from_mins(5));
        let lenient = Cache::keeping_stale(clock.clone(), SignedDuration::from_mins(5));
        for cache in [&strict, &lenient] {
            assert_eq!(ask(cache, 1, Ok(Some(10))).await, Ok(Some(10)));
            assert_eq!(ask(cache, 1, Err(())).await, Ok(Some(10)));
        }
        clock.advance(SignedDuration::from_mins(5));
        assert_eq!(ask(&strict, 1, Err(())).await, Err(()));
        assert_eq!(ask(&lenient, 1, Err(())).await, Ok(Some(10)));
        assert_eq!(ask(&lenient, 1, Ok(Some(11))).await, Ok(Some(10)), "it does not ask again at once");
        clock.advance(UNKNOWN_CACHE_FOR);
        assert_eq!(ask(&lenient, 1, Ok(Some(11))).await, Ok(Some(11)));
    }

    #[tokio::test]
    async fn absence_is_remembered_for_less_and_memory_is_bounded() {
        let clock = Clock::manual(at_millis(0));
        let cache = Cache::strict(clock.clone(), SignedDuration::from_mins(5));
        assert_eq!(ask(&cache, 1, Ok(None)).await, Ok(None));
        assert_eq!(ask(&cache, 1, Ok(Some(1))).await, Ok(None));
        clock.advance(UNKNOWN_CACHE_FOR);
        assert_eq!(ask(&cache, 1, Ok(Some(1))).await, Ok(Some(1)));
        for stranger in 0..10_000 {
            assert_eq!(ask(&cache, stranger + 2, Ok(None)).await, Ok(None));
        }
        assert!(cache.entries.lock().unwrap().len() <= CACHE_ENTRIES_MAX);
        assert_eq!(ask(&cache, 1, Err(())).await, Ok(Some(1)), "a flood does not evict what exists");
    }
}
