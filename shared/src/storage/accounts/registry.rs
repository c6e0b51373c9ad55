//! Meta apps, numbers, account tokens and system secrets: small items that change rarely. 1 WRU per item written.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use crate::domain::accounts::account::{Aspect, StateChange, Subject};
use crate::domain::accounts::number::Number;
use crate::domain::ids::{MetaAppId, NumberId, TenantId, WabaId};
use crate::keyring::{SystemSecret, SystemSecretName};
use crate::secret::Sealed;
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::page::LIST;
use crate::storage::table::update::Updated;
use crate::storage::{Page, StorageError, Stored, Table, table::keys};

pub(in crate::storage) fn blob(sealed: &Sealed) -> AttributeValue {
    AttributeValue::B(Blob::new(sealed.bytes()))
}

/// Returns the primary key of a Meta app's item, whose attribute `sealed` holds the sealed secrets.
#[must_use]
pub fn meta_app_key(id: &MetaAppId) -> (String, String) {
    let keys::Key { pk, sk } = keys::meta_app(id);
    (pk, sk)
}

impl Table {
    /// Stores a Meta app's sealed secrets, replacing earlier ones. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn meta_app_put(&self, id: &MetaAppId, sealed: &Sealed) -> Result<(), StorageError> {
        self.update(keys::meta_app(id)).set("sealed", blob(sealed)).run().await?;
        Ok(())
    }

    /// Returns a Meta app's sealed secrets.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn meta_app_get(&self, id: &MetaAppId) -> Result<Option<Sealed>, StorageError> {
        self.sealed(&keys::meta_app(id)).await
    }

    /// Stores a system secret unless one exists, so that two concurrent first runs agree on one. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn system_secret_put_once(
        &self,
        name: SystemSecretName,
        sealed: &Sealed,
    ) -> Result<Stored, StorageError> {
        let written = self.update(keys::system_secret(name.as_str())).set_once("sealed", blob(sealed)).run().await?;
        match written {
            Updated::Done(old) if old.0.is_empty() => Ok(Stored::New),
            Updated::Done(_) | Updated::Refused(_) => Ok(Stored::Known),
        }
    }

    /// Returns a system secret.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn system_secret_get(&self, name: SystemSecretName) -> Result<Option<SystemSecret>, StorageError> {
        let item = self.read(&keys::system_secret(name.as_str())).await?.filter(|item| item.0.contains_key("sealed"));
        let read = |item: Item| {
            let previous = item.0.contains_key("previous").then(|| item.bytes("previous").map(Sealed::from_bytes));
            Ok(SystemSecret {
                version: u32::try_from(item.number("version").unwrap_or(1))
                    .map_err(|_| StorageError::Corrupt("version"))?,
                sealed: item.bytes("sealed").map(Sealed::from_bytes)?,
                previous: previous.transpose()?,
            })
        };
        item.map(read).transpose()
    }

    /// Replaces a system secret by `fresh` and keeps the replaced one as the previous secret. `false` if somebody else
    /// replaced it meanwhile. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn system_secret_replace(
        &self,
        name: SystemSecretName,
        known: &SystemSecret,
        fresh: &Sealed,
    ) -> Result<bool, StorageError> {
        let update = self.update(keys::system_secret(name.as_str()));
        let update = update.set("sealed", blob(fresh)).set("previous", blob(&known.sealed));
        let update = update.set("version", number(i64::from(known.version) + 1)).when("#sealed = :known");
        let replaced = update.value("known", blob(&known.sealed)).run().await?;
        Ok(matches!(replaced, Updated::Done(_)))
    }

    /// Removes the previous secret, which is then no longer accepted. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn system_secret_drop_previous(&self, name: SystemSecretName) -> Result<(), StorageError> {
        self.update(keys::system_secret(name.as_str())).remove(&["previous"]).run().await?;
        Ok(())
    }

    /// Connects a number to its tenant. `Known`, with nothing changed, if another tenant has the number or it is being
    /// erased. 2 WRU, and 1 for the list when it is new.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub(in crate::storage) async fn put_number(&self, number: &Number, now: Timestamp) -> Result<Stored, StorageError> {
        let written = self
            .update(keys::number(&number.id))
            .set("tenant", text(number.tenant.to_string()))
            .set("waba", text(number.waba.as_str()))
            .set("display_phone_number", text(&number.display_phone_number))
            .set("coexistence", crate::storage::table::item::number(i64::from(number.coexistence)))
            .set("list", text(keys::numbers(number.tenant)))
            .set("list_at", crate::storage::table::item::number(0))
            .set("connected_at", time(now))
            .remove(&["gone_at", "expires_at"])
            // A number that is being erased cannot be connected; one that was erased has no owner.
            .when(
                "(attribute_not_exists(#tenant) AND attribute_not_exists(#erased_by)) \
                 OR (#tenant = :tenant AND attribute_not_exists(#gone_at))",
            )
            .run()
            .await?;
        if !matches!(written, Updated::Done(_)) {
            return Ok(Stored::Known);
        }
        let digits: String = number.display_phone_number.chars().filter(char::is_ascii_digit).collect();
        let by_digits = self.update(keys::account_number(&number.waba, &digits));
        by_digits.set("number", text(number.id.as_str())).run().await?;
        Ok(Stored::New)
    }

    /// Returns the number of an account that has these digits.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn account_get_number(&self, waba: &WabaId, digits: &str) -> Result<Option<NumberId>, StorageError> {
        let item = self.read(&keys::account_number(waba, digits)).await?;
        item.map(|item| item.parsed("number", NumberId::parse)).transpose()
    }

    /// Returns the tenant of an account.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn account_get_tenant(&self, waba: &WabaId) -> Result<Option<TenantId>, StorageError> {
        let item = self.read(&keys::graph_token(waba)).await?;
        item.map(|item| item.parsed("tenant", TenantId::parse)).transpose()
    }

    /// Returns a tenant's numbers.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn number_list(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Number>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("NUMBER#") && sk == "NUMBER";
        let read = |item: &Item| {
            let id = item.parsed("pk", |pk| NumberId::parse(pk.trim_start_matches("NUMBER#")))?;
            if is_gone(item) { Ok(None) } else { read_number(&id, item).map(Some) }
        };
        let page = self.list(LIST, &keys::numbers(tenant), limit, cursor, accepts, read).await?;
        Ok(Page { items: page.items.into_iter().flatten().collect(), next: page.next })
    }

    /// Returns the number of this id; `None` also for a number that left.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn number_get(&self, id: &NumberId) -> Result<Option<Number>, StorageError> {
        let item = self.read(&keys::number(id)).await?.filter(|item| !is_gone(item));
        item.map(|item| read_number(id, &item)).transpose()
    }

    /// Returns the ids of an account's numbers.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn account_list_numbers(&self, account: &WabaId) -> Result<Vec<NumberId>, StorageError> {
        let items = self.partition(&keys::account_partition(account), "NUMBER#").await?;
        items.iter().map(|item| item.parsed("number", NumberId::parse)).collect()
    }

    /// Returns the account of a number, also while the number is leaving.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn number_get_account(&self, id: &NumberId) -> Result<Option<WabaId>, StorageError> {
        let item = self.read(&keys::number(id)).await?;
        item.map_or(Ok(None), |item| item.parsed_optional("waba", WabaId::parse))
    }

    /// Returns the accounts that a tenant ever connected.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn tenant_list_accounts(&self, tenant: TenantId) -> Result<Vec<WabaId>, StorageError> {
        let item = self.read(&keys::tenant_accounts(tenant)).await?.unwrap_or_default();
        Ok(item.set("accounts").iter().filter_map(|id| WabaId::parse(id).ok()).collect())
    }

    /// Returns whether a number left: later webhooks about it are dropped.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn number_is_gone(&self, id: &NumberId) -> Result<bool, StorageError> {
        Ok(self.read(&keys::number(id)).await?.is_some_and(|item| is_gone(&item)))
    }

    /// Returns whether an account left and has no owner.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_is_gone(&self, id: &WabaId) -> Result<bool, StorageError> {
        Ok(self.read(&keys::gone_account(id)).await?.is_some())
    }

    /// Stores the sealed token that sends for an account, with its app, replacing an earlier token of the same tenant.
    ///
    /// `Known`, with nothing changed, if another tenant has the account. 2 WRU, 1 or 2 for the list, and 1 per state
    /// that is reset.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn graph_token_put(
        &self,
        tenant: TenantId,
        waba: &WabaId,
        sealed: &Sealed,
        app: Option<&MetaAppId>,
        now: Timestamp,
    ) -> Result<Stored, StorageError> {
        // Written first, so that no account of a tenant is ever missing from the tenant's list.
        self.update(keys::tenant_accounts(tenant)).add("accounts", waba.to_string()).run().await?;
        let update = self.update(keys::graph_token(waba));
        // The app of a token that was stored by hand is unknown, so the token cannot be checked.
        let update = match app {
            Some(app) => {
                update.set("app", text(app.to_string())).set("list", text(keys::TOKENS)).set("list_at", time(now))
            }
            None => update.remove(&["app", "list", "list_at"]),
        };
        let written = update
            .set("tenant", text(tenant.to_string()))
            .set("sealed", blob(sealed))
            .set("sealed_at", time(now))
            .set("connected_at", time(now))
            .remove(&["signer"])
            .increase("version")
            .when("attribute_not_exists(#pk) OR #tenant = :tenant")
            .run()
            .await?;
        if !matches!(written, Updated::Done(_)) {
            let listed = self.update(keys::tenant_accounts(tenant));
            listed.delete("accounts", waba.to_string()).run().await?;
            return Ok(Stored::Known);
        }
        // An earlier withdrawal no longer counts, even if it is reported only later. The states of an erased account
        // are gone, so they are written in any case.
        let erased = self.account_is_gone(waba).await?;
        for (aspect, word) in
            [(Aspect::Token, "replaced"), (Aspect::Partner, "added"), (Aspect::PartnerApp, "installed")]
        {
            let subject = Subject::Waba(waba.clone());
            if erased || self.read(&keys::state(&subject, aspect, None)).await?.is_some() {
                let renewed = StateChange {
                    subject,
                    aspect,
                    key: None,
                    word: word.to_owned(),
                    until: None,
                    detail: "{}".to_owned(),
                    at: now,
                    timed: true,
                    alert: None,
                };
                self.state_put(&renewed).await?;
            }
        }
        Ok(Stored::New)
    }

    /// Returns the sealed token that sends for an account.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn graph_token_get(&self, waba: &WabaId) -> Result<Option<Sealed>, StorageError> {
        self.sealed(&keys::graph_token(waba)).await
    }

    async fn sealed(&self, key: &keys::Key) -> Result<Option<Sealed>, StorageError> {
        let item = self.read(key).await?.filter(|item| item.0.contains_key("sealed"));
        item.map(|item| item.bytes("sealed").map(Sealed::from_bytes)).transpose()
    }
}

/// Returns whether the item belongs to a number that left.
pub(in crate::storage) fn is_gone(item: &Item) -> bool {
    item.0.contains_key("gone_at")
}

fn read_number(id: &NumberId, item: &Item) -> Result<Number, StorageError> {
    Ok(Number {
        id: id.clone(),
        tenant: item.parsed("tenant", TenantId::parse)?,
        waba: item.parsed("waba", WabaId::parse)?,
        display_phone_number: item.required("display_phone_number")?.to_owned(),
        coexistence: item.number("coexistence") == Some(1),
        fallback: crate::storage::sending::policy::read_fallback(item),
        settings: crate::storage::accounts::settings::read(item),
    })
}
