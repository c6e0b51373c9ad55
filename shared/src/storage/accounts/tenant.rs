//! Tenants, API keys and the audit log.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use crate::domain::accounts::tenant::{ApiKeyRecord, AuditEntry, BURST_SECONDS, KEY_RATE_DEFAULT, Scope, Tenant};
use crate::domain::ids::TenantId;
use crate::storage::table::item::{Item, expiry, number, text, time};
use crate::storage::table::page::{FEED, LIST};
use crate::storage::table::update::Updated;
use crate::storage::{Page, StorageError, Table, table::keys};

/// How long an audit entry is stored.
const AUDIT_KEPT_FOR: SignedDuration = SignedDuration::from_hours(400 * 24);
/// API keys read at once.
const KEYS_PAGE: u16 = 100;

const MICROS: i64 = 1_000_000;

/// Result of taking requests from a key's token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestsTaken {
    /// The requests were taken.
    Taken {
        /// Requests that are left.
        left: u32,
    },
    /// The bucket has too few requests left; retry after this time.
    Wait(SignedDuration),
}

impl Table {
    /// Stores a tenant; storing it again changes its name. 1 WRU, and 1 for the list when it is new.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn tenant_put(&self, id: TenantId, name: &str, now: Timestamp) -> Result<(), StorageError> {
        let update = self.update(keys::tenant(id)).set("name", text(name)).set_once("created_at", time(now));
        update.set_once("list", text(keys::TENANTS)).set_once("list_at", time(now)).run().await?;
        Ok(())
    }

    /// Marks a tenant as leaving: nothing new is connected for it. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn tenant_close(&self, id: TenantId, now: Timestamp) -> Result<(), StorageError> {
        let closed = self.update(keys::tenant(id)).set_once("closing_at", time(now));
        closed.when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Returns whether a tenant is leaving or does not exist.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn tenant_is_closing(&self, id: TenantId) -> Result<bool, StorageError> {
        Ok(self.read(&keys::tenant(id)).await?.is_none_or(|item| item.0.contains_key("closing_at")))
    }

    /// Returns whether there is such a tenant.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn tenant_exists(&self, id: TenantId) -> Result<bool, StorageError> {
        Ok(self.read(&keys::tenant(id)).await?.is_some())
    }

    /// Stores an API key by its hash; the key itself is not stored. 1 WRU, and 1 for the list when it is new.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn api_key_put(&self, key: &ApiKeyRecord) -> Result<(), StorageError> {
        let scopes = key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
        self.update(keys::api_key(&key.id))
            .set("hash", text(&key.hash))
            .set("pepper", number(i64::from(key.pepper)))
            .set("scopes", AttributeValue::Ss(scopes))
            .set_once("created_at", time(key.created_at))
            .set_once("list", text(keys::keys_of(key.tenant)))
            .set_once("list_at", time(key.created_at))
            .set("rate", number(i64::from(key.requests_per_second)))
            .set_once_if("name", key.name.as_ref().map(text))
            .set_once_if("ends_at", key.expires_at.map(time))
            .set_once_if("tenant", key.tenant.map(|tenant| text(tenant.to_string())))
            .set_once_if("revoked_at", key.revoked_at.map(time))
            .run()
            .await?;
        Ok(())
    }

    /// Stores a key's hash under a newer pepper, unless the hash was changed meanwhile. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn api_key_rehash(&self, known: &ApiKeyRecord, hash: &str, pepper: u32) -> Result<(), StorageError> {
        let update =
            self.update(keys::api_key(&known.id)).set("hash", text(hash)).set("pepper", number(i64::from(pepper)));
        update.when("#hash = :known").value("known", text(&known.hash)).run().await?;
        Ok(())
    }

    /// Returns the API key of this id.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn api_key_get(&self, id: &str) -> Result<Option<ApiKeyRecord>, StorageError> {
        self.read(&keys::api_key(id)).await?.map(|item| read_key(&item)).transpose()
    }

    /// Returns a tenant's API keys, the latest first; without a tenant, those of the operators.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn api_key_list(
        &self,
        tenant: Option<TenantId>,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<ApiKeyRecord>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("KEY#") && sk == "KEY";
        self.list(LIST, &keys::keys_of(tenant), limit, cursor, accepts, read_key).await
    }

    /// Takes `count` requests from the bucket of a key with `rate` requests per second, and records the key's use. 1
    /// WRU, 2 for a busy key.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn api_key_take_requests(
        &self,
        id: &str,
        count: u32,
        rate: u32,
        now: Timestamp,
    ) -> Result<RequestsTaken, StorageError> {
        let interval = MICROS / i64::from(rate);
        let (present, cost) = (now.as_microsecond(), interval * i64::from(count));
        let full = present + MICROS * i64::from(BURST_SECONDS);
        let used = || self.update(keys::api_key(id)).set("used_at", time(now)).value("present", number(present));
        let idle = used().set("due", number(present + cost));
        let idle =
            idle.when("attribute_exists(#hash) AND (attribute_not_exists(#due) OR #due < :present)").run().await?;
        let taken = match idle {
            Updated::Done(_) => Ok(present + cost),
            Updated::Refused(_) => {
                let busy = used().move_by("due", cost).value("latest", number(full - cost));
                match busy.when("#due >= :present AND #due <= :latest").run().await? {
                    Updated::Done(before) => Ok(before.number("due").unwrap_or(present) + cost),
                    Updated::Refused(item) => Err(item.number("due").unwrap_or(full)),
                }
            }
        };
        Ok(match taken {
            Ok(due) => RequestsTaken::Taken { left: u32::try_from((full - due) / interval).unwrap_or(0) },
            Err(due) => RequestsTaken::Wait(SignedDuration::from_micros((due + cost - full).max(0))),
        })
    }

    /// Revokes a key, which is refused within a minute. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn api_key_revoke(&self, id: &str, now: Timestamp) -> Result<(), StorageError> {
        let revoked = self.update(keys::api_key(id)).set_once("revoked_at", time(now));
        revoked.when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Revokes all keys of a leaving tenant. 1 WRU each.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn api_key_revoke_all(&self, tenant: TenantId, now: Timestamp) -> Result<(), StorageError> {
        let mut cursor = None;
        loop {
            let page = self.api_key_list(Some(tenant), KEYS_PAGE, cursor.as_deref()).await?;
            for key in page.items {
                self.api_key_revoke(&key.id, now).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Returns the tenant of this id.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn tenant_get(&self, id: TenantId) -> Result<Option<Tenant>, StorageError> {
        self.read(&keys::tenant(id)).await?.map(|item| read_tenant(&item)).transpose()
    }

    /// Returns all tenants, the latest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn tenant_list(&self, limit: u16, cursor: Option<&str>) -> Result<Page<Tenant>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("TENANT#") && sk == "TENANT";
        self.list(LIST, keys::TENANTS, limit, cursor, accepts, read_tenant).await
    }

    /// Adds an audit entry. 1 WRU and 1 for the feed.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or there is no randomness for an id.
    pub async fn audit_put(&self, tenant: Option<TenantId>, entry: &AuditEntry) -> Result<(), StorageError> {
        let id = crate::random::ulid(entry.at)?.to_string();
        let kept_until = crate::clock::after(entry.at, AUDIT_KEPT_FOR);
        self.update(keys::audit(&id))
            .set("key", text(&entry.key))
            .set("action", text(&entry.action))
            .set("subject", text(&entry.subject))
            .set("feed", text(keys::audits(tenant)))
            .set("feed_at", time(entry.at))
            .set("expires_at", expiry(kept_until))
            .set_once_if("tenant", tenant.map(|tenant| text(tenant.to_string())))
            .run()
            .await?;
        Ok(())
    }

    /// Returns a tenant's audit entries, the latest first; without a tenant, those of the operators.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn audit_list(
        &self,
        tenant: Option<TenantId>,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<AuditEntry>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("AUDIT#") && sk == "AUDIT";
        let read = |item: &Item| {
            Ok(AuditEntry {
                at: item.required_time("feed_at")?,
                key: item.required("key")?.to_owned(),
                action: item.required("action")?.to_owned(),
                subject: item.required("subject")?.to_owned(),
            })
        };
        self.list(FEED, &keys::audits(tenant), limit, cursor, accepts, read).await
    }
}

fn read_key(item: &Item) -> Result<ApiKeyRecord, StorageError> {
    Ok(ApiKeyRecord {
        id: item.required("pk")?.trim_start_matches("KEY#").to_owned(),
        hash: item.required("hash")?.to_owned(),
        pepper: item.number("pepper").and_then(|version| u32::try_from(version).ok()).unwrap_or(1),
        tenant: item.parsed_optional("tenant", TenantId::parse)?,
        scopes: item.texts("scopes")?.iter().filter_map(|word| Scope::from_word(word)).collect(),
        name: item.owned("name"),
        created_at: item.required_time("created_at")?,
        expires_at: item.time("ends_at"),
        revoked_at: item.time("revoked_at"),
        requests_per_second: Some(item.count("rate")).filter(|rate| *rate > 0).unwrap_or(KEY_RATE_DEFAULT),
        last_used_at: item.time("used_at"),
    })
}

fn read_tenant(item: &Item) -> Result<Tenant, StorageError> {
    Ok(Tenant {
        id: item.parsed("pk", |pk| TenantId::parse(pk.trim_start_matches("TENANT#")))?,
        name: item.required("name")?.to_owned(),
        created_at: item.required_time("created_at")?,
        closing_at: item.time("closing_at"),
    })
}
