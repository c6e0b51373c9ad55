//! Contacts: links between contacts that are one person, and a contact's preferences.
//!
//! The fact that two contacts are one person is stored apart from their aliases. It can therefore be undone, and is
//! applied when a conversation is read.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::conversations::contact::{Alias, Preference};
use crate::domain::ids::{ContactId, TenantId, WabaId};
use crate::storage::table::item::{Item, text, time};
use crate::storage::table::merge::Fact;
use crate::storage::table::page::LIST;
use crate::storage::table::update::Updated;
use crate::storage::{Page, StorageError, Stored, Table, table::keys};

/// Limit of contacts per person; it bounds the cost of one read.
const GROUP_MAX: usize = 20;

/// Two contacts that were found to be one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// One of the contacts.
    pub one: ContactId,
    /// The other contact.
    pub other: ContactId,
    /// When the merge was found.
    pub at: Timestamp,
    /// Kinds of the two aliases that named both contacts, such as `phone+user_id`; or `typed_spelling`.
    pub because: String,
    /// When the merge was undone.
    pub undone_at: Option<Timestamp>,
}

impl Table {
    /// Records once that two contacts are one person, and not again after it was undone. Two contacts with different
    /// current user ids in one account are two people, and stay apart. 3 WRU and 1 for the list the first time.
    pub(super) async fn note_same(
        &self,
        tenant: TenantId,
        one: ContactId,
        other: ContactId,
        because: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let known = self.read(&keys::contact(other)).await?.unwrap_or_default();
        if known.set("same_as").contains(&one.to_string()) || !self.may_be_one_person(one, other).await? {
            return Ok(());
        }
        self.update(keys::merge(one, other))
            .set_once("tenant", text(tenant.to_string()))
            .set_once("one", text(one.min(other).to_string()))
            .set_once("other", text(one.max(other).to_string()))
            .set_once("because", text(because))
            .set_once("list", text(keys::merges(tenant)))
            .set_once("list_at", time(now))
            .run()
            .await?;
        // The item that is checked above is written last: until then the whole call is repeated.
        let owner = text(tenant.to_string());
        let link = |of, to: ContactId| {
            self.update(keys::contact(of)).set("tenant", owner.clone()).add("same_as", to.to_string())
        };
        link(one, other).run().await?;
        link(other, one).run().await?;
        Ok(())
    }

    /// Returns all contacts of a person, including `contact`, oldest first. The oldest one names the conversation.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_list_same_person(&self, contact: ContactId) -> Result<Vec<ContactId>, StorageError> {
        Ok(self.group(contact).await?.0)
    }

    /// Same as [`Table::contact_list_same_person`], but `None` for a contact that is being erased.
    pub(in crate::storage) async fn person(&self, contact: ContactId) -> Result<Option<Vec<ContactId>>, StorageError> {
        let (group, erased) = self.group(contact).await?;
        Ok((!erased).then_some(group))
    }

    /// Returns the items of each contact of a person, including `contact`; `None` for a contact that is being erased. 1
    /// read unit per contact.
    pub(in crate::storage) async fn person_items(
        &self,
        contact: ContactId,
    ) -> Result<Option<Vec<(ContactId, Vec<Item>)>>, StorageError> {
        let (mut person, mut to_read) = (Vec::new(), vec![contact]);
        while let Some(next) = to_read.pop() {
            if person.len() == GROUP_MAX || person.iter().any(|(known, _)| *known == next) {
                continue;
            }
            let items = self.partition(&keys::contact_partition(next), "").await?;
            let own = keys::contact(next);
            if let Some(item) = items.iter().find(|item| item.text("sk") == Some(&own.sk)) {
                if next == contact && item.0.contains_key("erased_at") {
                    return Ok(None);
                }
                to_read.extend(linked_to(item)?);
            }
            person.push((next, items));
        }
        person.sort_by_key(|(contact, _)| *contact);
        Ok(Some(person))
    }

    /// Returns the contacts of a person, and whether `contact` is being erased.
    pub(super) async fn group(&self, contact: ContactId) -> Result<(Vec<ContactId>, bool), StorageError> {
        let Some(item) = self.read(&keys::contact(contact)).await? else { return Ok((vec![contact], false)) };
        let erased = item.0.contains_key("erased_at");
        let mut group = BTreeSet::from([contact]);
        let mut to_read: Vec<ContactId> = linked_to(&item)?;
        while let Some(next) = to_read.pop() {
            if group.len() < GROUP_MAX
                && group.insert(next)
                && let Some(item) = self.read(&keys::contact(next)).await?
            {
                to_read.extend(linked_to(&item)?);
            }
        }
        Ok((group.into_iter().collect(), erased))
    }

    /// Returns the merges of a tenant's contacts, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor belongs to another list.
    pub async fn merge_list(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Merge>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("MERGE#") && sk == "MERGE";
        self.list(LIST, &keys::merges(tenant), limit, cursor, accepts, read_merge).await
    }

    /// Undoes the merge of two contacts for ever: it is not found again. Returns `Known` if there is no such merge.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn merge_undo(
        &self,
        tenant: TenantId,
        one: ContactId,
        other: ContactId,
        now: Timestamp,
    ) -> Result<Stored, StorageError> {
        let undone = self
            .update(keys::merge(one, other))
            .set_once("undone_at", time(now))
            .when("#tenant = :tenant")
            .value("tenant", text(tenant.to_string()));
        if let Updated::Refused(_) = undone.run().await? {
            return Ok(Stored::Known);
        }
        for (of, from) in [(one, other), (other, one)] {
            self.update(keys::contact(of)).add("apart_from", from.to_string()).run().await?;
        }
        Ok(Stored::New)
    }

    /// Records a contact's preference towards an account; the latest one counts. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn preference_put(
        &self,
        contact: ContactId,
        waba: &WabaId,
        preference: &Preference,
        at: Timestamp,
    ) -> Result<(), StorageError> {
        let key = keys::wants(contact, waba, &preference.category);
        let once = [("category", text(&preference.category))];
        let detail = preference.detail.clone().unwrap_or_default();
        let facts = [Fact::latest("wish", &preference.value, at), Fact::latest("detail", detail, at)];
        self.merge(&key, &once, &facts).await?;
        Ok(())
    }

    /// Returns a contact's preferences towards an account, one per category, each with the time it was expressed.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn preference_list(
        &self,
        contact: ContactId,
        waba: &WabaId,
    ) -> Result<Vec<(Preference, Timestamp)>, StorageError> {
        let items = self.partition(&keys::contact_partition(contact), &keys::wants_prefix(waba)).await?;
        items.iter().map(read_preference).collect()
    }
}

/// Reads a preference and the time it was expressed.
pub(in crate::storage) fn read_preference(item: &Item) -> Result<(Preference, Timestamp), StorageError> {
    let preference = Preference {
        category: item.required("category")?.to_owned(),
        value: item.required("wish")?.to_owned(),
        detail: item.owned("detail").filter(|detail| !detail.is_empty()),
    };
    Ok((preference, item.required_time("wish_at")?))
}

fn linked_to(item: &Item) -> Result<Vec<ContactId>, StorageError> {
    let apart = item.set("apart_from");
    let linked = item.set("same_as").into_iter().filter(|id| !apart.contains(id));
    linked.map(|id| ContactId::parse(&id).map_err(|_| StorageError::Corrupt("same_as"))).collect()
}

fn read_merge(item: &Item) -> Result<Merge, StorageError> {
    Ok(Merge {
        one: item.parsed("one", ContactId::parse)?,
        other: item.parsed("other", ContactId::parse)?,
        at: item.required_time("list_at")?,
        because: item.required("because")?.to_owned(),
        undone_at: item.time("undone_at"),
    })
}

pub(super) fn kind(alias: &Alias) -> &'static str {
    match alias {
        Alias::Phone(_) => "phone",
        Alias::UserId(_) => "user_id",
        Alias::ParentUserId(_) => "parent_user_id",
        Alias::Group(_) => "group",
    }
}

pub(super) fn contact(item: &Item) -> Result<Option<ContactId>, StorageError> {
    item.parsed_optional("contact", ContactId::parse)
}
