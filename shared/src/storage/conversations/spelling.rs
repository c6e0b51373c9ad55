//! Other spellings of a phone number that a person entered (Argentina).

use jiff::Timestamp;

use crate::domain::conversations::contact::Alias;
use crate::domain::ids::{ContactId, TenantId};
use crate::storage::conversations::alias::Vouched;
use crate::storage::conversations::contact::contact;
use crate::storage::{StorageError, Table, table::keys};

impl Table {
    /// Returns the contact that is known under the other spelling of a phone number. One of the two spellings must have
    /// been entered by hand: the provider reports both only for two different people.
    pub(super) async fn spelled_otherwise(
        &self,
        tenant: TenantId,
        alias: &Alias,
        vouched: Vouched<'_>,
    ) -> Result<Option<ContactId>, StorageError> {
        let Alias::Phone(phone) = alias else { return Ok(None) };
        let Some(other) = phone.other_spelling() else { return Ok(None) };
        let Some(item) = self.read(&keys::alias(tenant, &Alias::Phone(other))).await? else { return Ok(None) };
        let typed = vouched == Vouched::Typed || item.number("typed").is_some();
        if typed { contact(&item) } else { Ok(None) }
    }

    /// Undoes the merge of two contacts after the provider has reported both spellings of the number: they are two
    /// people, who were merged only because one spelling had been entered by hand.
    pub(super) async fn tell_apart(
        &self,
        tenant: TenantId,
        alias: &Alias,
        contact_of_alias: ContactId,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        if let Some(other) = self.spelled_otherwise(tenant, alias, Vouched::Typed).await?
            && other != contact_of_alias
        {
            self.merge_undo(tenant, contact_of_alias, other, now).await?;
        }
        Ok(())
    }
}
