//! Contacts: aliases, each of which points to one contact for ever, and the knowledge that two contacts are one person.
//!
//! An alias is never pointed elsewhere: what is received again lands where it landed before. That two contacts are one
//! person is a fact beside them, so it can be taken back, and is joined when a conversation is read.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::facts::Fact;
use super::item::{Item, text, time};
use super::page::LIST;
use super::update::Updated;
use super::{Page, StorageError, Stored, Table, keys};
use crate::domain::contact::{Alias, ContactCard, Preference};
use crate::domain::ids::{ContactId, TenantId, WabaId};

/// Most contacts that one person may be known as: a bound on what one reading costs.
const GROUP_MAX: usize = 20;

/// How a name became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vouched {
    /// The provider wrote it: it is exactly this account's.
    ByProvider,
    /// A person or a program typed it: it may be spelled as people do.
    Typed,
}

/// Two contacts that turned out to be one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// One of them.
    pub one: ContactId,
    /// The other.
    pub other: ContactId,
    /// When that was found.
    pub at: Timestamp,
    /// What named both: the kinds of the two aliases.
    pub because: String,
    /// When somebody took it back.
    pub undone_at: Option<Timestamp>,
}

/// Who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The contact.
    pub contact: ContactId,
    /// Somebody of this name was erased then: what was said before it is not stored again.
    pub erased_at: Option<Timestamp>,
}

/// What an alias leads to.
#[derive(Default)]
struct Known {
    /// `None`: who had it was erased.
    contact: Option<ContactId>,
    typed: bool,
    erased_at: Option<Timestamp>,
}

impl Resolved {
    /// Refuses what was said before the contact was erased. Times of Meta's are whole seconds.
    ///
    /// # Errors
    /// [`StorageError::Erased`].
    pub fn said(self, at: Timestamp) -> Result<ContactId, StorageError> {
        if is_erased(self.erased_at, at) { Err(StorageError::Erased) } else { Ok(self.contact) }
    }
}

fn is_erased(erased_at: Option<Timestamp>, said_at: Timestamp) -> bool {
    erased_at.is_some_and(|erased| said_at.as_second() < erased.as_second())
}

impl Table {
    /// The contact behind the aliases of a card, of which something was said at `said_at`; made if none is known. Two callers at once get the same contact,
    /// because the strongest alias is written conditionally and the loser reads the winner's. The strongest alias
    /// decides; where a weaker one leads to another contact, the two are recorded as one person.
    ///
    /// Nothing known: 1 WRU an alias. All known: 1 read unit an alias.
    ///
    /// # Errors
    /// When DynamoDB does not answer, there is no alias at all ([`StorageError::Refused`]), or the contact was erased after it was said
    /// ([`StorageError::Erased`]).
    pub async fn resolve_contact(
        &self,
        tenant: TenantId,
        (card, linked): (&ContactCard, &[ContactCard]),
        vouched: Vouched,
        said_at: Timestamp,
        now: Timestamp,
    ) -> Result<Resolved, StorageError> {
        let mut aliases = card.aliases();
        for alias in linked.iter().flat_map(ContactCard::aliases) {
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
                    // Found, not named: the number as it was typed may yet turn out to be somebody else's.
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

    /// The contact of this name, if there is one.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn find_contact(&self, tenant: TenantId, card: &ContactCard) -> Result<Option<ContactId>, StorageError> {
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

    /// Who is known under the number as people spell it too. What the provider tells apart stays apart: one of the two
    /// spellings must have been typed.
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

    /// Both spellings turned out to be the provider's: two people, who were taken for one while one of them was typed.
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
            self.undo_merge(tenant, contact_of_alias, other, now).await?;
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
        let typed = (vouched == Vouched::Typed).then(|| super::item::number(1));
        let written = self
            .update(keys::alias(tenant, alias))
            .set("contact", text(candidate.to_string()))
            .set("created_at", time(now))
            .set_once_if("typed", typed)
            // Somebody new may have the name of who was erased; what was said before that is still not stored again.
            .remove(&["expires_at"])
            .when("attribute_not_exists(#contact)")
            .run()
            .await?;
        match written {
            Updated::Done(_) => Ok(candidate),
            Updated::Refused(item) => contact(&item)?.ok_or(StorageError::Corrupt("contact")),
        }
    }

    /// Records that two contacts are one person, once; not again after somebody took it back. 3 WRU and 1 for the list
    /// the first time.
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
        // The one that is asked above is written last: until then the whole is done again.
        let owner = text(tenant.to_string());
        let link = |of, to: ContactId| {
            self.update(keys::contact(of)).set("tenant", owner.clone()).add("same_as", to.to_string())
        };
        link(one, other).run().await?;
        link(other, one).run().await?;
        Ok(())
    }

    /// All contacts that are this person, itself included, the oldest first: that one names the conversation.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn same_person(&self, contact: ContactId) -> Result<Vec<ContactId>, StorageError> {
        Ok(self.group(contact).await?.0)
    }

    /// As [`Table::same_person`]; `None` of a contact that is being erased.
    pub(super) async fn person(&self, contact: ContactId) -> Result<Option<Vec<ContactId>>, StorageError> {
        let (group, erased) = self.group(contact).await?;
        Ok((!erased).then_some(group))
    }

    /// What stands with each contact of this person, itself included; `None` of a contact that is being erased. A read unit for each of them.
    pub(super) async fn person_items(
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

    /// The contacts of a person, and whether this one is being erased.
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

    /// Merged contacts of a tenant, the latest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn merges(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Merge>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("MERGE#") && sk == "MERGE";
        self.list(LIST, &keys::merges(tenant), limit, cursor, accepts, read_merge).await
    }

    /// Takes back that two contacts are one person; it is not found out again. `Known` if there is no such merge.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn undo_merge(
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

    /// Records what a contact wants from an account; of two wishes the later counts. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn put_preference(
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

    /// What a contact wants from an account, by category, with the time it was said.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn preferences(
        &self,
        contact: ContactId,
        waba: &WabaId,
    ) -> Result<Vec<(Preference, Timestamp)>, StorageError> {
        let items = self.partition(&keys::contact_partition(contact), &keys::wants_prefix(waba)).await?;
        items.iter().map(read_preference).collect()
    }
}

/// What a contact wants, and when it was said.
pub(super) fn read_preference(item: &Item) -> Result<(Preference, Timestamp), StorageError> {
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
