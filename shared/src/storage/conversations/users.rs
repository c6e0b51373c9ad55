//! Current user ids of contacts. A person has one user id per account at a time; the provider reports the next one when
//! it changes.

use std::collections::HashMap;

use crate::domain::ids::{ContactId, TenantId, WabaId};
use crate::storage::table::item::text;
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys};

/// Beginning of the attributes of a contact with its current user id in an account.
pub(in crate::storage) const USER: &str = "user_";

impl Table {
    /// Records the user id as the contact's current one in the account. `false` if the contact, or another contact of
    /// the person, has a different one: the user id names somebody else.
    pub(super) async fn claim_user(
        &self,
        tenant: TenantId,
        contact: ContactId,
        account: &WabaId,
        user: &str,
    ) -> Result<bool, StorageError> {
        let name = current_user(account);
        if self.read(&keys::contact(contact)).await?.is_some_and(|item| item.text(&name) == Some(user)) {
            return Ok(true);
        }
        Ok(self.may_have_user(contact, account, user).await? && self.put_user(tenant, contact, account, user).await?)
    }

    /// Records the user id as the contact's current one in the account, unless the contact has a different one. 1 WRU.
    pub(super) async fn put_user(
        &self,
        tenant: TenantId,
        contact: ContactId,
        account: &WabaId,
        user: &str,
    ) -> Result<bool, StorageError> {
        let name = current_user(account);
        let claim =
            self.update(keys::contact(contact)).set(&name, text(user)).set_once("tenant", text(tenant.to_string()));
        let claim = claim.when(&format!("attribute_not_exists(#{name}) OR #{name} = :{name}"));
        Ok(matches!(claim.run().await?, Updated::Done(_)))
    }

    /// Returns whether no contact of the person has another current user id in the account.
    pub(super) async fn may_have_user(
        &self,
        contact: ContactId,
        account: &WabaId,
        user: &str,
    ) -> Result<bool, StorageError> {
        let person: Vec<_> = self.group(contact).await?.0.into_iter().map(keys::contact).collect();
        let name = current_user(account);
        Ok(self.read_all(&person).await?.iter().all(|item| item.text(&name).is_none_or(|known| known == user)))
    }

    /// Returns whether two contacts have no different current user ids in any account.
    pub(super) async fn may_be_one_person(&self, one: ContactId, other: ContactId) -> Result<bool, StorageError> {
        let (one, other) = (self.group(one).await?.0, self.group(other).await?.0);
        let both: Vec<_> = one.into_iter().chain(other).map(keys::contact).collect();
        let items = self.read_all(&both).await?;
        let users = items.iter().flat_map(|item| &item.0).filter(|(name, _)| name.starts_with(USER));
        let mut of_account = HashMap::new();
        for (account, user) in users {
            if *of_account.entry(account).or_insert(user) != user {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Replaces the contact's current user id in the account by the one that the provider reports in its place.
    pub(super) async fn replace_user(
        &self,
        contact: ContactId,
        account: &WabaId,
        old: &str,
        new: &str,
    ) -> Result<(), StorageError> {
        let name = current_user(account);
        for member in self.group(contact).await?.0 {
            self.update(keys::contact(member))
                .set(&name, text(new))
                .when(&format!("#{name} = :old"))
                .value("old", text(old))
                .run()
                .await?;
        }
        Ok(())
    }
}

/// Returns the attribute of a contact's current user id in an account.
fn current_user(account: &WabaId) -> String {
    format!("{USER}{account}")
}
