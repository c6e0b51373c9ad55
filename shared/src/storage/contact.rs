//! Aliases: the names one contact goes by, each pointing to the same contact id.

use jiff::Timestamp;

use super::item::{Item, text, time};
use super::update::Updated;
use super::{StorageError, Table, keys};
use crate::domain::contact::{Alias, ContactCard};
use crate::domain::ids::{ContactId, TenantId};

impl Table {
    /// The contact behind a card; made if none of its aliases is known. Two callers at once get the same contact,
    /// because the first alias is written conditionally and the loser reads the winner's.
    ///
    /// A card that names two contacts already known apart is not merged here: the phone number decides. Nothing known:
    /// 1 WRU an alias. All known: 1 read unit an alias.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or the card has no alias at all ([`StorageError::Corrupt`]).
    pub async fn resolve_contact(
        &self,
        tenant: TenantId,
        card: &ContactCard,
        now: Timestamp,
    ) -> Result<ContactId, StorageError> {
        let aliases = card.aliases();
        let mut known = None;
        let mut unknown = Vec::new();
        for alias in aliases {
            match self.contact_of(tenant, &alias).await? {
                Some(contact) => known = known.or(Some(contact)),
                None => unknown.push(alias),
            }
        }
        for alias in unknown {
            let candidate = match known {
                Some(contact) => contact,
                None => ContactId::generate(now)?,
            };
            let winner = self.put_alias(tenant, &alias, candidate, now).await?;
            known = known.or(Some(winner));
        }
        known.ok_or(StorageError::Corrupt("alias"))
    }

    async fn contact_of(&self, tenant: TenantId, alias: &Alias) -> Result<Option<ContactId>, StorageError> {
        let item = self.read(&keys::alias(tenant, alias)).await?;
        item.map(|item| contact(&item)).transpose()
    }

    async fn put_alias(
        &self,
        tenant: TenantId,
        alias: &Alias,
        candidate: ContactId,
        now: Timestamp,
    ) -> Result<ContactId, StorageError> {
        let written = self
            .update(keys::alias(tenant, alias))
            .set("contact", text(candidate.to_string()))
            .set("created_at", time(now))
            .when("attribute_not_exists(#pk)")
            .run()
            .await?;
        match written {
            Updated::Done(_) => Ok(candidate),
            Updated::Refused(item) => contact(&item),
        }
    }
}

fn contact(item: &Item) -> Result<ContactId, StorageError> {
    item.parsed("contact", ContactId::parse)
}
