//! Tokens of accounts: the sending token, its app, its end, and when it is checked next.

use jiff::Timestamp;

use crate::domain::accounts::token::TokenFacts;
use crate::domain::ids::{MetaAppId, TenantId, WabaId};
use crate::domain::lifecycle::onboarding::CREDIT_TAKES;
use crate::secret::Sealed;
use crate::storage::accounts::registry::blob;
use crate::storage::table::item::{number, text, time};
use crate::storage::table::page::LIST;
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys};

/// A stored token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The owner.
    pub tenant: TenantId,
    /// The app of the token; `None` for one that was stored by hand.
    pub app: Option<MetaAppId>,
    /// The token.
    pub sealed: Sealed,
    /// Counts replacements; writes about a token are conditional on it.
    pub version: i64,
    /// The business that owns the account, according to Meta.
    pub business: Option<String>,
}

/// An account that is connected, or was connected and is not erased yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The owner.
    pub tenant: TenantId,
    /// The Meta app through which it was connected.
    pub app: Option<MetaAppId>,
    /// The business that owns it, according to Meta.
    pub business: Option<String>,
    /// App-scoped id of the user who last gave us access.
    pub signer: Option<String>,
    /// When it was last connected.
    pub connected_at: Timestamp,
    /// Whether it has a token now.
    pub has_token: bool,
    /// When the sharing of our credit line with the account was last begun.
    pub credit_at: Option<Timestamp>,
}

impl Table {
    /// Returns the accounts whose token is due for a check, the longest due first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn token_list_due(&self, now: Timestamp, limit: u16) -> Result<Vec<WabaId>, StorageError> {
        let found = self.oldest(LIST, keys::TOKENS, now, limit).await?;
        found.iter().map(|item| keys::parse_account(item.required("pk")?)).collect()
    }

    /// Returns the token of an account.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn token_get_record(&self, account: &WabaId) -> Result<Option<TokenRecord>, StorageError> {
        let known = self.read(&keys::graph_token(account)).await?;
        let Some(item) = known.filter(|item| item.0.contains_key("sealed")) else { return Ok(None) };
        Ok(Some(TokenRecord {
            tenant: item.parsed("tenant", TenantId::parse)?,
            app: item.parsed_optional("app", MetaAppId::parse)?,
            sealed: Sealed::from_bytes(item.bytes("sealed")?),
            version: item.number("version").unwrap_or(0),
            business: item.owned("business"),
        }))
    }

    /// Returns an account, with a token or without.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn account_get(&self, account: &WabaId) -> Result<Option<AccountRecord>, StorageError> {
        let Some(item) = self.read(&keys::graph_token(account)).await? else { return Ok(None) };
        Ok(Some(AccountRecord {
            tenant: item.parsed("tenant", TenantId::parse)?,
            app: item.parsed_optional("app", MetaAppId::parse)?,
            business: item.owned("business"),
            signer: item.owned("signer"),
            // Older versions recorded only when the token was stored.
            connected_at: item.time("connected_at").map_or_else(|| item.required_time("sealed_at"), Ok)?,
            has_token: item.0.contains_key("sealed"),
            credit_at: item.time("credit_at"),
        }))
    }

    /// Removes the token of a leaving account, unless a newer one was stored. 1 WRU and 1 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn graph_token_delete(&self, account: &WabaId, known: &TokenRecord) -> Result<(), StorageError> {
        let forgotten = self.update(keys::graph_token(account)).remove(&["sealed", "previous", "list", "list_at"]);
        forgotten.when("#version = :known").value("known", number(known.version)).run().await?;
        Ok(())
    }

    /// Records which business owns an account. 2 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_put_business(&self, account: &WabaId, business: &str) -> Result<(), StorageError> {
        self.update(keys::business(business)).add("accounts", account.to_string()).run().await?;
        let noted = self.update(keys::graph_token(account)).set("business", text(business));
        noted.when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Returns the accounts that a business shares with us.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_list_of_tenant(&self, business: &str) -> Result<Vec<WabaId>, StorageError> {
        let item = self.read(&keys::business(business)).await?.unwrap_or_default();
        Ok(item.set("accounts").iter().filter_map(|id| WabaId::parse(id).ok()).collect())
    }

    /// Claims the sharing of our credit line with an account. `None` if the caller may request it now; otherwise the
    /// time of the earlier request. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_take_credit_share(
        &self,
        account: &WabaId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StorageError> {
        let long_ago = now.checked_sub(CREDIT_TAKES).unwrap_or(Timestamp::MIN);
        let taken =
            self.update(keys::graph_token(account)).set("credit_at", time(now)).value("long_ago", time(long_ago));
        let free = "attribute_exists(#pk) AND (attribute_not_exists(#credit_at) OR #credit_at <= :long_ago)";
        match taken.when(free).run().await? {
            Updated::Done(_) => Ok(None),
            Updated::Refused(item) => Ok(Some(item.time("credit_at").unwrap_or(now))),
        }
    }

    /// Replaces a token by a newer one of the same account and stores the old one as `previous`. Returns the new
    /// version; `None`, with nothing changed, if somebody else replaced or removed the token. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn graph_token_replace(
        &self,
        account: &WabaId,
        old: &TokenRecord,
        sealed: &Sealed,
        now: Timestamp,
    ) -> Result<Option<i64>, StorageError> {
        let version = old.version + 1;
        let replaced = self
            .update(keys::graph_token(account))
            .set("sealed", blob(sealed))
            .set("previous", blob(&old.sealed))
            .set("sealed_at", time(now))
            .set("version", number(version))
            // A token that was removed meanwhile stays removed.
            .when("#version = :known AND attribute_exists(#sealed)")
            .value("known", number(old.version));
        Ok(matches!(replaced.run().await?, Updated::Done(_)).then_some(version))
    }

    /// Makes an account due for a check now, even if its token was stored by hand. 1 WRU and 1 or 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn token_check_now(&self, account: &WabaId, now: Timestamp) -> Result<(), StorageError> {
        let update = self.update(keys::graph_token(account)).set("list", text(keys::TOKENS)).set("list_at", time(now));
        update.when("attribute_exists(#sealed)").run().await?;
        Ok(())
    }

    /// Records the token's end, as found by a check, and when the next check is due. 1 WRU and 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn token_put_end(
        &self,
        account: &WabaId,
        version: i64,
        facts: &TokenFacts,
        next: Timestamp,
    ) -> Result<(), StorageError> {
        let update = self.update(keys::graph_token(account)).set("list_at", time(next));
        let update = update.put("ends_at", facts.ends_at().map(time));
        update.when("#version = :known").value("known", number(version)).run().await?;
        Ok(())
    }

    /// Sets when an account is checked next, if it is on the list. 1 WRU and 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn token_check_later(&self, account: &WabaId, next: Timestamp) -> Result<(), StorageError> {
        let update = self.update(keys::graph_token(account)).set("list", text(keys::TOKENS)).set("list_at", time(next));
        update.when("attribute_exists(#list)").run().await?;
        Ok(())
    }
}
