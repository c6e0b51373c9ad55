//! Connects a number to a tenant: the checks, and the two conditional writes.

use jiff::Timestamp;

use crate::domain::accounts::number::Number;
use crate::domain::ids::{MetaAppId, NumberId};
use crate::domain::lifecycle::offboarding::BEING_REMOVED;
use crate::secret::Sealed;
use crate::storage::accounts::registry::is_gone;
use crate::storage::table::item::text;
use crate::storage::{StorageError, Stored, Table, table::keys};

/// Reason why a number cannot be connected to its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    /// Data from an earlier connection of the account or the number is still being erased, which takes minutes.
    BeingErased,
    /// The tenant is leaving, or does not exist.
    TenantLeaves,
    /// Another tenant owns the account.
    AccountTaken,
    /// Another tenant owns the number.
    NumberTaken,
}

/// Failure of [`Table::account_connect`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFailure {
    /// The account or number cannot be connected.
    #[error("refused: {0:?}")]
    Refused(ConnectError),
    /// The table did not answer.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<ConnectError> for ConnectFailure {
    fn from(error: ConnectError) -> Self {
        Self::Refused(error)
    }
}

impl Table {
    /// Returns the reason why a number cannot be connected now, before a token is sealed for it.
    /// [`Table::account_connect`] checks the owner of the account. 3 read units.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_check_connectable(&self, number: &Number) -> Result<Option<ConnectError>, StorageError> {
        let known = self.read(&keys::number(&number.id)).await?.unwrap_or_default();
        if known.0.contains_key("erased_by") || self.account_is_being_erased(&number.waba).await? {
            return Ok(Some(ConnectError::BeingErased));
        }
        if self.tenant_is_closing(number.tenant).await? {
            return Ok(Some(ConnectError::TenantLeaves));
        }
        let tenant = number.tenant.to_string();
        let theirs = !is_gone(&known) && known.text("tenant").is_some_and(|owner| owner != tenant);
        Ok(theirs.then_some(ConnectError::NumberTaken))
    }

    /// Returns whether a number was connected after `since`.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_is_connected_since(&self, number: &NumberId, since: Timestamp) -> Result<bool, StorageError> {
        Ok(self.read(&keys::number(number)).await?.is_some_and(|item| item.time("connected_at") > Some(since)))
    }

    /// Cancels the removal of a number, so that it sends again. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn number_undo_removal(&self, number: &NumberId) -> Result<(), StorageError> {
        let back = self.update(keys::number(number)).remove(&["inactive_since", "inactive_reason"]);
        back.when("#inactive_reason = :removed").value("removed", text(BEING_REMOVED)).run().await?;
        Ok(())
    }

    /// Assigns the account and then the number to the tenant. `token` is the sealed token of the account, `app` the app
    /// of the token. The token is stored first, so a connected number can send. 3 WRU and 2 for the lists.
    ///
    /// # Errors
    /// [`ConnectFailure::Refused`] when another tenant owns one of them, else when DynamoDB does not answer.
    pub async fn account_connect(
        &self,
        number: &Number,
        token: &Sealed,
        app: Option<&MetaAppId>,
        now: Timestamp,
    ) -> Result<(), ConnectFailure> {
        if self.graph_token_put(number.tenant, &number.waba, token, app, now).await? == Stored::Known {
            return Err(ConnectError::AccountTaken.into());
        }
        match self.put_number(number, now).await? {
            Stored::New => Ok(()),
            Stored::Known => Err(ConnectError::NumberTaken.into()),
        }
    }
}
