//! Aliases: identifiers that lead to a contact.
//!
//! A user id leads to one contact for ever, so redelivered data reaches the same contact as before. A phone number
//! leads to the person who has it: WhatsApp gives a number that one person left to another. Two different current user
//! ids in one account are therefore two people, even if both were reported with one phone number.

use jiff::Timestamp;

use crate::domain::conversations::contact::{Alias, ContactIdentity};
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{ContactId, TenantId, WabaId};
use crate::storage::conversations::contact::{contact, kind};
use crate::storage::table::item::{text, time};
use crate::storage::table::update::{Update, Updated};
use crate::storage::{StorageError, Table, table::keys};

/// Tries while other reports about the same new person are being stored.
const CHOOSE_TRIES: u32 = 8;

/// Source of an alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Vouched<'a> {
    /// The provider reported the alias to a number of this account. User ids of one account name different people.
    ByProvider(&'a WabaId),
    /// A person or a program entered the alias: a phone number may be in another spelling.
    Typed,
}

/// Result of resolving a contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The contact.
    pub contact: ContactId,
    /// Latest erasure of a contact with one of these aliases. Data from before it is not stored again.
    pub erased_at: Option<Timestamp>,
    /// Whether two people were reported with one phone number for the same second, so that nothing shows who has it.
    pub is_disputed: bool,
}

/// Stored state of an alias.
#[derive(Default)]
struct Known {
    /// `None`: the alias is unknown, its contact was erased, or its person gave it up.
    contact: Option<ContactId>,
    /// Since when the contact has the alias.
    since: Option<Timestamp>,
    /// The contact that had the alias until `moved_at`.
    former: Option<ContactId>,
    moved_at: Option<Timestamp>,
    typed: bool,
    erased_at: Option<Timestamp>,
}

impl Known {
    /// Returns the contact that had the alias at this time.
    fn holder(&self, at: Timestamp) -> Option<ContactId> {
        if self.is_late(at) { self.former } else { self.contact }
    }

    /// Whether data from this time is older than the latest change of the alias's contact.
    fn is_late(&self, at: Timestamp) -> bool {
        self.moved_at.is_some_and(|moved_at| at.as_second() < moved_at.as_second())
    }
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

/// The identities that one item of a webhook, or a caller, gives of a person.
#[derive(Debug, Clone, Copy)]
pub struct Naming<'a> {
    /// The identity in the item.
    pub card: &'a ContactIdentity,
    /// Later identities of the same person.
    pub linked: &'a [ContactIdentity],
    /// Source of the identities.
    pub vouched: Vouched<'a>,
    /// Time of the data.
    pub said_at: Timestamp,
}

impl Naming<'_> {
    /// Returns the person's latest user id.
    fn user(&self) -> Option<&String> {
        self.linked.iter().rev().find_map(|linked| linked.user_id.as_ref()).or(self.card.user_id.as_ref())
    }
}

/// Result of assigning a phone number to a contact.
enum Assigned {
    /// The number leads to the contact, or the data is older than what is known.
    Settled,
    /// Another person was reported with the number for the same second.
    Disputed,
}

impl Table {
    /// Returns the contact of a person, and creates one if none of the aliases is known.
    ///
    /// The phone number decides, unless its contact has another current user id in the account; then the user id does,
    /// and the number moves to its contact. If a further alias leads to another contact, the two are recorded as one
    /// person. Concurrent callers get the same contact: the deciding alias is written conditionally, and the loser
    /// reads the winner's contact.
    ///
    /// 2 WRU per alias if none is known, and 1 for the user id; 1 read unit per alias if all are known.
    ///
    /// # Errors
    /// When DynamoDB does not answer, the card has no alias ([`StorageError::Refused`]), or the contact was erased
    /// after the time of the data ([`StorageError::Erased`]).
    pub async fn contact_resolve(
        &self,
        tenant: TenantId,
        naming: Naming<'_>,
        now: Timestamp,
    ) -> Result<Resolved, StorageError> {
        let Naming { card, linked, said_at, .. } = naming;
        let own = card.aliases();
        let mut aliases = own.clone();
        for alias in linked.iter().flat_map(ContactIdentity::aliases) {
            if !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
        let mut known = self.known_aliases(tenant, &aliases).await?;
        let erased_at = known.iter().filter_map(|known| known.erased_at).max();
        // Data from before a number moved, about a person who was erased since, must not reach the number's next owner.
        let is_orphan = |known: &Known| known.is_late(said_at) && known.former.is_none();
        if is_erased(erased_at, said_at) || card.user_id.is_none() && known.iter().any(is_orphan) {
            return Err(StorageError::Erased);
        }
        if own.is_empty() {
            return Err(StorageError::Refused("a contact without a name"));
        }
        let mut resolved = Resolved { contact: ContactId::generate(now)?, erased_at, is_disputed: false };
        let mut tries = CHOOSE_TRIES;
        let stored = loop {
            // Boxed, here and below, because a thread's stack may be small.
            match Box::pin(self.choose(tenant, naming, &own, &known, now)).await? {
                Chosen::Known(contact) => {
                    resolved.contact = contact;
                    break Vec::new();
                }
                Chosen::Stored(contact, stored) => {
                    resolved.contact = contact;
                    break stored;
                }
                Chosen::LostTheRace if tries > 0 => {
                    tries -= 1;
                    known = self.known_aliases(tenant, &aliases).await?;
                }
                Chosen::LostTheRace => {
                    let code = "TransactionConflict".to_owned();
                    return Err(StorageError::Unavailable { operation: "TransactWriteItems", code });
                }
                // Only found by its other spelling: the number as entered may turn out to be another person's, so it is
                // not stored.
                Chosen::OtherSpelling(contact) => return Ok(Resolved { contact, ..resolved }),
            }
        };
        if let (Vouched::ByProvider(account), Some(old)) = (naming.vouched, &card.user_id) {
            for new in linked.iter().filter_map(|identity| identity.user_id.as_ref()).filter(|new| *new != old) {
                self.replace_user(resolved.contact, account, old, new).await?;
            }
        }
        let others = aliases.iter().zip(&known).filter(|(alias, _)| !stored.contains(alias));
        for (alias, known) in others {
            let assigned = Box::pin(self.assign(tenant, naming, alias, known, resolved.contact, now)).await?;
            resolved.is_disputed |= matches!(assigned, Assigned::Disputed);
        }
        Ok(resolved)
    }

    /// Returns the contact that decides, and stores the deciding alias if no contact is known.
    async fn choose(
        &self,
        tenant: TenantId,
        naming: Naming<'_>,
        own: &[Alias],
        known: &[Known],
        now: Timestamp,
    ) -> Result<Chosen, StorageError> {
        let held = |is_it: fn(&Alias) -> bool| {
            let mut found = own.iter().zip(known).filter(|(alias, _)| is_it(alias));
            found.find_map(|(_, known)| known.holder(naming.said_at))
        };
        let by_phone = held(|alias| matches!(alias, Alias::Phone(_)));
        let by_id = held(|alias| !matches!(alias, Alias::Phone(_)));
        let user = naming.card.user_id.as_ref();
        if let (Vouched::ByProvider(account), Some(user)) = (naming.vouched, user) {
            if let Some(contact) = by_phone
                && (by_id == Some(contact) || self.claim_user(tenant, contact, account, user).await?)
            {
                return Ok(Chosen::Known(contact));
            }
            if let Some(contact) = by_id {
                return Ok(Chosen::Known(contact));
            }
            let fresh = ContactId::generate(now)?;
            let free = own.iter().zip(known);
            let free = free.filter(|(_, known)| known.contact.is_none() && !known.is_late(naming.said_at));
            let free: Vec<Alias> = free.map(|(alias, _)| alias.clone()).collect();
            if !self.put_person(tenant, fresh, &free, naming, now).await? {
                return Ok(Chosen::LostTheRace);
            }
            self.put_user(tenant, fresh, account, user).await?;
            return Ok(Chosen::Stored(fresh, free));
        }
        let Some(strongest) = own.first() else { return Err(StorageError::Refused("a contact without a name")) };
        if let Some(contact) = by_phone {
            return Ok(Chosen::Known(contact));
        }
        let linked = known.iter().skip(own.len()).find_map(|known| known.holder(naming.said_at));
        let is_left = known.first().is_some_and(|known| known.contact.is_none() && known.moved_at.is_some());
        if let (Some(contact), true) = (linked, is_left) {
            // A repetition of the report that the person gave up the number.
            return Ok(Chosen::Known(contact));
        }
        let otherwise = self.spelled_otherwise(tenant, strongest, naming.vouched).await?;
        if let (Some(contact), Vouched::Typed) = (otherwise, naming.vouched) {
            return Ok(Chosen::OtherSpelling(contact));
        }
        let candidate = match by_id {
            Some(contact) => contact,
            None => linked.map_or_else(|| ContactId::generate(now), Ok)?,
        };
        let chosen = self.put_alias(tenant, strongest, candidate, naming, now).await?;
        if let Some(typed) = otherwise.filter(|typed| *typed != chosen) {
            self.note_same(tenant, chosen, typed, "typed_spelling", now).await?;
        }
        Ok(Chosen::Stored(chosen, vec![strongest.clone()]))
    }

    /// Stores the aliases of a new person, all or none of them, so that two reports of one person at the same time make
    /// one contact. `false` if another report was first. 2 WRU per alias.
    async fn put_person(
        &self,
        tenant: TenantId,
        contact: ContactId,
        aliases: &[Alias],
        naming: Naming<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let parts = aliases.iter().map(|alias| self.new_alias(tenant, alias, contact, naming, now).in_transaction());
        self.transact(parts.collect::<Result<_, _>>()?).await
    }

    /// Makes an alias of a person lead to the chosen contact, or records the two contacts as one person.
    async fn assign(
        &self,
        tenant: TenantId,
        naming: Naming<'_>,
        alias: &Alias,
        known: &Known,
        chosen: ContactId,
        now: Timestamp,
    ) -> Result<Assigned, StorageError> {
        if matches!(naming.vouched, Vouched::ByProvider(_)) && known.typed {
            self.update(keys::alias(tenant, alias)).remove(&["typed"]).run().await?;
            self.tell_apart(tenant, alias, chosen, now).await?;
        }
        if known.is_late(naming.said_at) {
            return Ok(Assigned::Settled);
        }
        let is_left = !naming.linked.is_empty() && naming.card.aliases().contains(alias);
        if is_left && known.contact.is_none() && known.moved_at.is_some() {
            // A repetition of the report that the person gave up the number.
            return Ok(Assigned::Settled);
        }
        let holder = match known.contact {
            Some(contact) => contact,
            None => self.put_alias(tenant, alias, chosen, naming, now).await?,
        };
        if let (Vouched::ByProvider(account), Alias::UserId(id), None) = (naming.vouched, alias, known.contact)
            && naming.user() == Some(id)
            && naming.card.user_id.as_ref() != Some(id)
        {
            self.put_user(tenant, holder, account, id).await?;
        }
        if holder == chosen {
            return Ok(Assigned::Settled);
        }
        if is_left {
            // The old number of a person who moved may belong to somebody else by now.
            return Ok(Assigned::Settled);
        }
        let is_moved = match (naming.vouched, naming.user(), alias) {
            (Vouched::ByProvider(account), Some(user), Alias::Phone(_)) => {
                !self.may_have_user(holder, account, user).await?
            }
            _ => false,
        };
        if is_moved {
            return self.move_phone(tenant, naming, alias, known, chosen).await;
        }
        let strongest = naming.card.aliases();
        let because = strongest.first().map_or("", kind);
        self.note_same(tenant, chosen, holder, &format!("{because}+{}", kind(alias)), now).await?;
        Ok(Assigned::Settled)
    }

    /// Makes a phone number lead to the person who has it now.
    async fn move_phone(
        &self,
        tenant: TenantId,
        naming: Naming<'_>,
        alias: &Alias,
        known: &Known,
        chosen: ContactId,
    ) -> Result<Assigned, StorageError> {
        let Some(former) = known.contact else { return Ok(Assigned::Settled) };
        let since = known.since.map_or(i64::MIN, Timestamp::as_second);
        if naming.said_at.as_second() < since {
            return Ok(Assigned::Settled);
        }
        if naming.said_at.as_second() == since {
            return Ok(Assigned::Disputed);
        }
        self.update(keys::alias(tenant, alias))
            .set("contact", text(chosen.to_string()))
            .set("since", time(naming.said_at))
            .set("former", text(former.to_string()))
            .set("moved_at", time(naming.said_at))
            .when("#contact = :former")
            .run()
            .await?;
        Ok(Assigned::Settled)
    }

    /// Releases a phone number that its owner gave up at this time. Later data with the number is about somebody else.
    /// It is released also if it leads to an earlier owner, because the report shows that it was not theirs any more. 1
    /// WRU and 1 read unit.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_release(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
        at: Timestamp,
    ) -> Result<(), StorageError> {
        let alias = Alias::Phone(phone.canonical());
        let known = self.known_aliases(tenant, std::slice::from_ref(&alias)).await?;
        let Some(holder) = known.into_iter().find_map(|known| known.contact) else { return Ok(()) };
        self.update(keys::alias(tenant, &alias))
            .remove(&["contact"])
            .set("former", text(holder.to_string()))
            .set("moved_at", time(at))
            .when("#contact = :former AND (attribute_not_exists(#since) OR #since <= :moved_at)")
            .run()
            .await?;
        Ok(())
    }

    /// Returns who has a phone number. 1 read unit.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn contact_get_phone_holder(
        &self,
        tenant: TenantId,
        phone: &PhoneNumber,
    ) -> Result<PhoneHolder, StorageError> {
        let found = self.known_aliases(tenant, &[Alias::Phone(phone.canonical())]).await?;
        let Some(known) = found.into_iter().next() else { return Ok(PhoneHolder::default()) };
        Ok(PhoneHolder { contact: known.contact, has_moved: known.moved_at.is_some() })
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
                since: item.time("since"),
                former: item.parsed_optional("former", ContactId::parse)?,
                moved_at: item.time("moved_at"),
                typed: item.number("typed").is_some(),
                erased_at: item.time("erased_at"),
            })
        };
        wanted.iter().map(known).collect()
    }

    fn new_alias(
        &self,
        tenant: TenantId,
        alias: &Alias,
        candidate: ContactId,
        naming: Naming<'_>,
        now: Timestamp,
    ) -> Update<'_> {
        let typed = (naming.vouched == Vouched::Typed).then(|| crate::storage::table::item::number(1));
        let by_provider = naming.vouched != Vouched::Typed;
        let mut update = self
            .update(keys::alias(tenant, alias))
            .set("contact", text(candidate.to_string()))
            .set("created_at", time(now))
            .set_once_if("typed", typed)
            // A new person may take over the alias of an erased contact. `erased_at` stays, so older data is still not
            // stored.
            .remove(&["expires_at"])
            .when("attribute_not_exists(#contact)");
        if by_provider {
            update = update.set("since", time(naming.said_at));
        }
        update
    }

    async fn put_alias(
        &self,
        tenant: TenantId,
        alias: &Alias,
        candidate: ContactId,
        naming: Naming<'_>,
        now: Timestamp,
    ) -> Result<ContactId, StorageError> {
        match self.new_alias(tenant, alias, candidate, naming, now).run().await? {
            Updated::Done(_) => Ok(candidate),
            Updated::Refused(item) => contact(&item)?.ok_or(StorageError::Corrupt("contact")),
        }
    }
}

/// The contact that a person's aliases lead to.
enum Chosen {
    /// A contact that was known.
    Known(ContactId),
    /// A contact that is stored now, under these aliases.
    Stored(ContactId, Vec<Alias>),
    /// Another report about the person was first.
    LostTheRace,
    /// Found by another spelling of a number that was entered by hand.
    OtherSpelling(ContactId),
}

/// The contact that has a phone number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PhoneHolder {
    /// The contact; `None` if the number is unknown here, or its person gave it up.
    pub contact: Option<ContactId>,
    /// Whether the number ever moved from one person to another.
    pub has_moved: bool,
}
