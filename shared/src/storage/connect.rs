//! Connecting a number to a tenant: what may hinder it, and the two conditional writes that make it so.

use jiff::Timestamp;

use super::item::text;
use super::registry::is_gone;
use super::{StorageError, Stored, Table, keys};
use crate::domain::ids::{MetaAppId, PhoneNumberId};
use crate::domain::number::Number;
use crate::domain::offboarding::BEING_REMOVED;
use crate::secret::Sealed;

/// Why a number cannot be connected to its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hindrance {
    /// What was stored when the account or the number left is being erased: minutes.
    BeingErased,
    /// The tenant is leaving.
    TenantLeaves,
    /// Another tenant has the account.
    AccountTaken,
    /// Another tenant has the number.
    NumberTaken,
}

impl Table {
    /// What hinders the connection now, before a token is sealed for it. 3 read units.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn hindrance(&self, number: &Number) -> Result<Option<Hindrance>, StorageError> {
        let known = self.read(&keys::number(&number.id)).await?.unwrap_or_default();
        if known.0.contains_key("erased_by") || self.is_being_erased(&number.waba).await? {
            return Ok(Some(Hindrance::BeingErased));
        }
        if self.is_closing(number.tenant).await? {
            return Ok(Some(Hindrance::TenantLeaves));
        }
        let tenant = number.tenant.to_string();
        let theirs = !is_gone(&known) && known.text("tenant").is_some_and(|owner| owner != tenant);
        Ok(theirs.then_some(Hindrance::NumberTaken))
    }

    /// Whether a number was connected after that moment.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn is_connected_since(&self, number: &PhoneNumberId, since: Timestamp) -> Result<bool, StorageError> {
        Ok(self.read(&keys::number(number)).await?.is_some_and(|item| item.time("connected_at") > Some(since)))
    }

    /// A number that was to be removed sends again. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn undo_removal(&self, number: &PhoneNumberId) -> Result<(), StorageError> {
        let back = self.update(keys::number(number)).remove(&["inactive_since", "inactive_reason"]);
        back.when("#inactive_reason = :removed").value("removed", text(BEING_REMOVED)).run().await?;
        Ok(())
    }

    /// The account with its sealed token and the app that it is of, then the number, become the tenant's. The token is stored first, so a number
    /// that is connected can send. 3 WRU and 2 for the lists.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn connect(
        &self,
        number: &Number,
        token: (&Sealed, Option<&MetaAppId>),
        now: Timestamp,
    ) -> Result<Result<(), Hindrance>, StorageError> {
        if self.put_graph_token(number.tenant, &number.waba, token, now).await? == Stored::Known {
            return Ok(Err(Hindrance::AccountTaken));
        }
        Ok(match self.put_number(number, now).await? {
            Stored::New => Ok(()),
            Stored::Known => Err(Hindrance::NumberTaken),
        })
    }
}
