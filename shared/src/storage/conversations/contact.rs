//! Contacts: aliases, each of which points to one contact for ever, and links between contacts that are one person.
//!
//! An alias is never redirected, so redelivered data reaches the same contact as before. The fact that two contacts are
//! one person is stored separately. It can therefore be undone, and is applied when a conversation is read.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::conversations::contact::{Alias, ContactIdentity, Preference};
use crate::domain::ids::{ContactId, TenantId, WabaId};
use crate::storage::table::item::{Item, text, time};
use crate::storage::table::merge::Fact;
use crate::storage::table::page::LIST;
use crate::storage::table::update::Updated;
use crate::storage::{Page, StorageError, Stored, Table, table::keys};

/// Limit of contacts per person; it bounds the cost of one read.
const GROUP_MAX: usize = 20;

/// Source of an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vouched {
    /// The provider reported the alias: it belongs to exactly this account.
    ByProvider,
    /// A person or a program entered the alias: a phone number may be in another spelling.
    Typed,
}

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

/// Result of resolving a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The contact.
    pub contact: ContactId,
    /// Latest erasure of a contact with one of these aliases. Data from before it is not stored again.
    pub erased_at: Option<Timestamp>,
}

/// Stored state of an alias.
#[derive(Default)]
struct Known {
    /// `None`: the alias is unknown, or its contact was erased.
    contact: Option<ContactId>,
    typed: bool,
    erased_at: Option<Timestamp>,
}

impl Resolved {
    /// Returns the contact, unless data from `at` is older than the erasure. Compares whole seconds, as Meta's times
    /// are.
    ///
    /// # Errors
    /// [`StorageError::Erased`] when the data is older.
    pub fn said(self, at: Timestamp) -> Result<ContactId, StorageError> {
        if is_erased(self.erased_at, at) { Err(StorageError::Erased) } else { Ok(self.contact) }
    }
}

fn is_erased(erased_at: Option<Timestamp>, said_at: Timestamp) -> bool {
    erased_at.is_some_and(|erased| said_at.as_second() < erased.as_second())
}

impl Table {
    /// Returns the contact behind the aliases of a card, and creates one if none is known. `said_at` is the time of the
    /// data that names the contact. The strongest alias decides; if a weaker alias leads to another contact, the two
    /// are recorded as one person. Concurrent callers get the same contact: the strongest alias is written
    /// conditionally, and the loser reads the winner's contact.
    ///
    /// 1 WRU per alias if none is known; 1 read unit per alias if all are known.
    ///
    /// # Errors
    /// When DynamoDB does not answer, the card has no alias ([`StorageError::Refused`]), or the contact was erased
    /// after `said_at` ([`StorageError::Erased`]).
    pub async fn contact_resolve(
        &self,
        tenant: TenantId,
        card: &ContactIdentity,
        linked: &[ContactIdentity],
        vouched: Vouched,
        said_at: Timestamp,
        now: Timestamp,
    ) -> Result<Resolved, StorageError> {
        let mut aliases = card.aliases();
        for alias in linked.iter().flat_map(ContactIdentity::aliases) {
            if !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        let known = self.known_aliases(tenant, &aliases).await?;
        let erased_at = known.iter().filter_map(|known| known.erased_at).max();
        if is_erased(erased_at, said_at) {
            return Err(StorageError::Erased);
        }
        let (Some(strongest), Some(strongest_known)) = (aliases.first(), known.first()) else {
            return Err(StorageError::Refused("a contact without a name"));
        };
        let chosen = match strongest_known.contact {
            Some(contact) => contact,
            None => {
                let otherwise = self.spelled_otherwise(tenant, strongest, vouched).await?;
                if let (Some(contact), Vouched::Typed) = (otherwise, vouched) {
                    // Only found by its other spelling: the number as entered may turn out to be another person's, so
                    // it is not stored.
                    return Ok(Resolved { contact, erased_at });
                }
                let known = known.iter().find_map(|known| known.contact);
                let candidate = known.map_or_else(|| ContactId::generate(now), Ok)?;
                let chosen = self.put_alias(tenant, strongest, candidate, vouched, now).await?;
                if let Some(typed) = otherwise.filter(|typed| *typed != chosen) {
                    self.note_same(tenant, chosen, typed, "typed_spelling", now).await?;
                }
                chosen
            }
        };
        for (alias, known) in aliases.iter().zip(&known) {
            if vouched == Vouched::ByProvider && known.typed {
                self.update(keys::alias(tenant, alias)).remove(&["typed"]).run().await?;
                self.tell_apart(tenant, alias, chosen, now).await?;
            }
            let contact = match known.contact {
                Some(contact) => contact,
                None if alias == strongest => chosen,
                None => self.put_alias(tenant, alias, chosen, vouched, now).await?,
            };
            if contact != chosen {
                self.note_same(tenant, chosen, contact, &format!("{}+{}", kind(strongest), kind(alias)), now).await?;
            }
        }
        Ok(Resolved { contact: chosen, erased_at })
    }

    /// Returns the contact that the aliases of a card lead to, if there is one.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn contact_find(
        &self,
        tenant: TenantId,
        card: &ContactIdentity,
    ) -> Result<Option<ContactId>, StorageError> {
        let aliases = card.aliases();
        let known = self.known_aliases(tenant, &aliases).await?;
        match (known.into_iter().find_map(|known| known.contact), aliases.first()) {
            (Some(contact), _) => Ok(Some(contact)),
            (None, Some(alias)) => self.spelled_otherwise(tenant, alias, Vouched::Typed).await,
            (None, None) => Ok(None),
        }
    }

    async fn known_aliases(&self, tenant: TenantId, aliases: &[Alias]) -> Result<Vec<Known>, StorageError> {
        let wanted: Vec<keys::Key> = aliases.iter().map(|alias| keys::alias(tenant, alias)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.read_all(&wanted).await?;
        let known = |key: &keys::Key| {
            let item = found.iter().find(|item| item.text("pk") == Some(key.pk.as_str()));
            let Some(item) = item else { return Ok(Known::default()) };
            Ok(Known {
                contact: contact(item)?,
                typed: item.number("typed").is_some(),
                erased_at: item.time("erased_at"),
            })
        };
        wanted.iter().map(known).collect()
    }

    /// Returns the contact that is known under the other spelling of a phone number. One of the two spellings must have
    /// been entered by hand: the provider reports both only for two different people.
    async fn spelled_otherwise(
        &self,
        tenant: TenantId,
        alias: &Alias,
        vouched: Vouched,
    ) -> Result<Option<ContactId>, StorageError> {
        let Alias::Phone(phone) = alias else { return Ok(None) };
        let Some(other) = phone.other_spelling() else { return Ok(None) };
        let Some(item) = self.read(&keys::alias(tenant, &Alias::Phone(other))).await? else { return Ok(None) };
        let typed = vouched == Vouched::Typed || item.number("typed").is_some();
        if typed { contact(&item) } else { Ok(None) }
    }

    /// Undoes the merge of two contacts after the provider has reported both spellings of the number: they are two
    /// people, who were merged only because one spelling had been entered by hand.
    async fn tell_apart(
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

    async fn put_alias(
        &self,
        tenant: TenantId,
        alias: &Alias,
        candidate: ContactId,
        vouched: Vouched,
        now: Timestamp,
    ) -> Result<ContactId, StorageError> {
        let typed = (vouched == Vouched::Typed).then(|| crate::storage::table::item::number(1));
        let written = self
            .update(keys::alias(tenant, alias))
            .set("contact", text(candidate.to_string()))
            .set("created_at", time(now))
            .set_once_if("typed", typed)
            // A new person may take over the alias of an erased contact. `erased_at` stays, so older data is still not
            // stored.
            .remove(&["expires_at"])
            .when("attribute_not_exists(#contact)")
            .run()
            .await?;
        match written {
            Updated::Done(_) => Ok(candidate),
            Updated::Refused(item) => contact(&item)?.ok_or(StorageError::Corrupt("contact")),
        }
    }

    /// Records once that two contacts are one person, and not again after it was undone. 3 WRU and 1 for the list the
    /// first time.
    async fn note_same(
        &self,
        tenant: TenantId,
        one: ContactId,
        other: ContactId,
        because: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let known = self.read(&keys::contact(other)).await?.unwrap_or_default();
        if known.set("same_as").contains(&one.to_string()) {
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
    async fn group(&self, contact: ContactId) -> Result<(Vec<ContactId>, bool), StorageError> {
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

fn kind(alias: &Alias) -> &'static str {
    match alias {
        Alias::Phone(_) => "phone",
        Alias::UserId(_) => "user_id",
        Alias::ParentUserId(_) => "parent_user_id",
        Alias::Group(_) => "group",
    }
}

fn contact(item: &Item) -> Result<Option<ContactId>, StorageError> {
    item.parsed_optional("contact", ContactId::parse)
}
