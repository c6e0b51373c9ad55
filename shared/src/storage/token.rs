//! Tokens of accounts: the one that sends, which app it is of, when it ends and when it is visited next.

use jiff::Timestamp;

use super::item::{number, text, time};
use super::page::LIST;
use super::registry::blob;
use super::update::Updated;
use super::{StorageError, Table, keys};
use crate::domain::ids::{MetaAppId, TenantId, WabaId};
use crate::domain::onboarding::CREDIT_TAKES;
use crate::domain::token::TokenFacts;
use crate::secret::Sealed;

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The owner.
    pub tenant: TenantId,
    /// The app that it is of; `None` for one that was stored by hand.
    pub app: Option<MetaAppId>,
    /// The token.
    pub sealed: Sealed,
    /// How often it was replaced: what is written about a token is conditional on it.
    pub version: i64,
    /// The business that owns the account, as Meta says.
    pub business: Option<String>,
}

/// An account that is connected, or was and is not erased yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The owner.
    pub tenant: TenantId,
    /// The Meta app that it was connected through.
    pub app: Option<MetaAppId>,
    /// The business that owns it, as Meta says.
    pub business: Option<String>,
    /// Who gave us access last, by the app's own id of them.
    pub signer: Option<String>,
    /// When it was connected last.
    pub connected_at: Timestamp,
    /// Whether it has a token now.
    pub has_token: bool,
    /// Since when our credit line pays for it.
    pub credit_at: Option<Timestamp>,
}

impl Table {
    /// Accounts whose token is due to be visited, the longest due first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn tokens_due(&self, now: Timestamp, limit: u16) -> Result<Vec<WabaId>, StorageError> {
        let found = self.oldest(LIST, keys::TOKENS, now, limit).await?;
        found.iter().map(|item| keys::parse_account(item.required("pk")?)).collect()
    }

    /// The token of an account.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn token_record(&self, account: &WabaId) -> Result<Option<TokenRecord>, StorageError> {
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

    /// An account, with a token or without.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn account(&self, account: &WabaId) -> Result<Option<AccountRecord>, StorageError> {
        let Some(item) = self.read(&keys::graph_token(account)).await? else { return Ok(None) };
        Ok(Some(AccountRecord {
            tenant: item.parsed("tenant", TenantId::parse)?,
            app: item.parsed_optional("app", MetaAppId::parse)?,
            business: item.owned("business"),
            signer: item.owned("signer"),
            // An older version noted only when the token was stored.
            connected_at: item.time("connected_at").map_or_else(|| item.required_time("sealed_at"), Ok)?,
            has_token: item.0.contains_key("sealed"),
            credit_at: item.time("credit_at"),
        }))
    }

    /// Forgets the token of an account that leaves, unless a newer one was stored. 1 WRU and 1 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn forget_token(&self, account: &WabaId, known: &TokenRecord) -> Result<(), StorageError> {
        let forgotten = self.update(keys::graph_token(account)).remove(&["sealed", "previous", "list", "list_at"]);
        forgotten.when("#version = :known").value("known", number(known.version)).run().await?;
        Ok(())
    }

    /// Records which business owns an account. 2 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_business(&self, account: &WabaId, business: &str) -> Result<(), StorageError> {
        self.update(keys::business(business)).add("accounts", account.to_string()).run().await?;
        let noted = self.update(keys::graph_token(account)).set("business", text(business));
        noted.when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// The accounts that a business shares with us.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn accounts_of(&self, business: &str) -> Result<Vec<WabaId>, StorageError> {
        let item = self.read(&keys::business(business)).await?.unwrap_or_default();
        Ok(item.set("accounts").iter().filter_map(|id| WabaId::parse(id).ok()).collect())
    }

    /// Takes the sharing of the credit line with an account: `None`: it is ours to ask for now; otherwise it was asked for at that
    /// moment. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn take_credit_share(&self, account: &WabaId, now: Timestamp) -> Result<Option<Timestamp>, StorageError> {
        let long_ago = now.checked_sub(CREDIT_TAKES).unwrap_or(Timestamp::MIN);
        let taken =
            self.update(keys::graph_token(account)).set("credit_at", time(now)).value("long_ago", time(long_ago));
        let free = "attribute_exists(#pk) AND (attribute_not_exists(#credit_at) OR #credit_at <= :long_ago)";
        match taken.when(free).run().await? {
            Updated::Done(_) => Ok(None),
            Updated::Refused(item) => Ok(Some(item.time("credit_at").unwrap_or(now))),
        }
    }

    /// Replaces a token by a newer one of the same account, unless somebody else did, and keeps the old one beside it. The new
    /// version; `None`: nothing was changed. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn replace_graph_token(
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
            // What was forgotten meanwhile stays forgotten.
            .when("#version = :known AND attribute_exists(#sealed)")
            .value("known", number(old.version));
        Ok(matches!(replaced.run().await?, Updated::Done(_)).then_some(version))
    }

    /// Has an account visited now, whoever stored its token. 1 WRU and 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn visit_now(&self, account: &WabaId, now: Timestamp) -> Result<(), StorageError> {
        let update = self.update(keys::graph_token(account)).set("list", text(keys::TOKENS)).set("list_at", time(now));
        update.when("attribute_exists(#sealed)").run().await?;
        Ok(())
    }

    /// Records what a visit found, and when the next one is due. 1 WRU and 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_token(
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

    /// Postpones a visit. 1 WRU and 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn visit_token_again(&self, account: &WabaId, next: Timestamp) -> Result<(), StorageError> {
        let update = self.update(keys::graph_token(account)).set("list", text(keys::TOKENS)).set("list_at", time(next));
        update.when("attribute_exists(#list)").run().await?;
        Ok(())
    }
}
