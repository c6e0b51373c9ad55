//! Erasure after an offboarding. A walk scans the whole table and checks whether each item belongs to the offboarding.
//! Another walk after the erasure confirms that nothing is left. A walk costs one read unit per 4 KB of the table; an
//! erased item costs 1 WRU per KB.

use std::collections::HashSet;

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::domain::ids::{ContactId, ConversationId, NumberId, TenantId, WabaId};
use crate::domain::lifecycle::offboarding::{Offboarding, TOMBSTONE_FOR};
use crate::limits::BATCH_CONCURRENCY;
use crate::storage::table::item::{Item, expiry, text, time};
use crate::storage::table::kind::ItemKind;
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys, unavailable};

/// Scope of an erasure: the accounts, numbers and businesses that leave, and the tenant's numbers that stay.
#[derive(Debug)]
pub struct ErasureScope {
    tenant: Option<TenantId>,
    whole: bool,
    offboarding: String,
    since: Timestamp,
    accounts: HashSet<String>,
    numbers: HashSet<String>,
    businesses: HashSet<String>,
    /// The tenant's numbers that stay. A contact with a conversation on one of them stays too.
    staying: Vec<NumberId>,
}

/// Result of one page of the walk.
#[derive(Debug, Default)]
pub struct Walked {
    /// Number of items in the scope.
    pub found: u64,
    /// Objects of the bucket that belong to these items; a folder ends in `/`.
    pub objects: Vec<String>,
    /// Where the walk continues; `None` at the end.
    pub next: Option<String>,
    /// Items to be erased by [`Table::erasure_erase_found`].
    items: Vec<(keys::Key, How)>,
}

/// How an item is erased.
#[derive(Debug)]
enum How {
    Delete,
    /// Deleted unless all of these contacts stay, which is checked once more just before.
    Forget(Vec<ContactId>),
    /// The item of a number is replaced by its tombstone.
    Tombstone,
    /// Deleted if its set of accounts is empty.
    Sweep,
    /// These elements are removed from the set; without elements, the attribute is removed.
    Trim(&'static str, Vec<String>),
}

/// Whether an item is in the scope.
enum Belongs {
    No,
    Yes(How),
    /// Yes, unless all of these contacts stay.
    WithContact(Vec<ContactId>),
}

impl ErasureScope {
    /// Creates the scope of an offboarding; `staying` are the tenant's other numbers.
    #[must_use]
    pub fn new(offboarding: &Offboarding, staying: Vec<NumberId>) -> Self {
        Self {
            tenant: offboarding.tenant,
            whole: offboarding.whole,
            offboarding: offboarding.id.to_string(),
            since: offboarding.started_at,
            accounts: offboarding.accounts.iter().map(ToString::to_string).collect(),
            numbers: offboarding.numbers.iter().map(ToString::to_string).collect(),
            businesses: offboarding.businesses.iter().cloned().collect(),
            staying,
        }
    }

    /// Returns whether these bytes contain the id of an account or number in the scope.
    #[must_use]
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        let has = |id: &String| memchr::memmem::find(bytes, id.as_bytes()).is_some();
        self.accounts.iter().any(has) || self.numbers.iter().any(has)
    }

    /// Returns whether this account is in the scope.
    #[must_use]
    pub fn has_account(&self, id: &str) -> bool {
        self.accounts.contains(id)
    }

    /// Returns whether this number is in the scope.
    #[must_use]
    pub fn has_number(&self, id: &str) -> bool {
        self.numbers.contains(id)
    }

    fn is_tenants(&self, item: &Item) -> bool {
        let tenant = self.tenant.map(|tenant| tenant.to_string());
        tenant.is_some() && item.text("tenant") == tenant.as_deref()
    }

    /// Decides for each kind of item whether it is in the scope. An item of an unknown kind stops the erasure: it could
    /// belong to the tenant.
    #[expect(clippy::too_many_lines, reason = "one arm per kind of item")]
    fn belongs(&self, item: &Item) -> Result<Belongs, StorageError> {
        let (pk, sk) = (item.required("pk")?, item.required("sk")?);
        let rest = pk.split_once('#').map_or("", |(_, rest)| rest);
        let first = rest.split('#').next().unwrap_or_default();
        let when = |yes: bool| if yes { Belongs::Yes(How::Delete) } else { Belongs::No };
        let of_number = self.numbers.contains(first);
        Ok(match ItemKind::of(pk, sk).ok_or(StorageError::Corrupt("kind"))? {
            ItemKind::Number if of_number && !item.0.contains_key("tenant") => Belongs::No,
            ItemKind::Number if of_number => Belongs::Yes(How::Tombstone),
            ItemKind::Number
            | ItemKind::Pin
            | ItemKind::Health
            | ItemKind::History
            | ItemKind::NumberState
            | ItemKind::File
            | ItemKind::Pace
            | ItemKind::Pair
            | ItemKind::Usage
            | ItemKind::Conversation
            | ItemKind::Note
            | ItemKind::OutMessage
            | ItemKind::InMessage
            | ItemKind::Annotation => when(of_number),
            ItemKind::Activity => self.activity_belongs(item, rest),
            ItemKind::SearchEntry => {
                when(self.owns(rest) && self.numbers.contains(keys::parse_name(sk)?.1.number().as_str()))
            }
            ItemKind::AccountNumber => {
                // The entry is erased with its number, even if the account stays.
                when(self.accounts.contains(rest) || names(item, "number", &self.numbers))
            }
            ItemKind::Token
            | ItemKind::AccountState
            | ItemKind::TemplateState
            | ItemKind::Template
            | ItemKind::TemplateMirror
            | ItemKind::AccountClaim => when(self.accounts.contains(rest)),
            ItemKind::Contact => match ContactId::parse(rest) {
                Ok(contact) if self.is_tenants(item) => Belongs::WithContact(vec![contact]),
                Ok(_) | Err(_) => Belongs::No,
            },
            ItemKind::Preference | ItemKind::Restraint => {
                when(sk.split('#').nth(1).is_some_and(|account| self.accounts.contains(account)))
            }
            ItemKind::Alias if self.owns(first) => match item.parsed_optional("contact", ContactId::parse)? {
                Some(contact) => Belongs::WithContact(vec![contact]),
                // The contact was erased: the alias expires by itself.
                None => when(self.whole),
            },
            ItemKind::Merge if self.is_tenants(item) => {
                let both = [item.parsed("one", ContactId::parse)?, item.parsed("other", ContactId::parse)?];
                Belongs::WithContact(both.to_vec())
            }
            ItemKind::Idempotency => {
                let to = item.text("conversation").and_then(|id| ConversationId::parse(id).ok());
                let to_number = to.is_some_and(|id| self.numbers.contains(id.number().as_str()));
                when(self.owns(first) && (self.whole || to_number))
            }
            ItemKind::Quarantined => {
                let raw = item.0.get("raw").and_then(|raw| raw.as_b().ok());
                // An item with a number belongs to that number only, even if its bytes contain other ids.
                let named = raw.is_some_and(|raw| self.are_in(raw.as_ref())) && item.text("number").is_none();
                when(names(item, "number", &self.numbers) || names(item, "account", &self.accounts) || named)
            }
            ItemKind::Alert => {
                let listed = item.text("list").and_then(|list| list.strip_prefix("ALERTS#"));
                let ours = self.whole && listed.is_some_and(|tenant| self.owns(tenant));
                let about = names(item, "subject_id", &self.numbers) || names(item, "subject_id", &self.accounts);
                when(ours || about || names(item, "account", &self.accounts))
            }
            // An onboarding that began later waits for the end of this erasure. One of another tenant is not in the
            // scope.
            ItemKind::Onboarding => {
                let theirs = self.is_tenants(item) && item.time("created_at") <= Some(self.since);
                when(self.is_tenants(item) && self.whole || theirs && names(item, "account", &self.accounts))
            }
            ItemKind::Broadcast => when(names(item, "number", &self.numbers)),
            ItemKind::Media | ItemKind::Replay | ItemKind::ApiKey | ItemKind::Audit | ItemKind::Erasure => {
                when(self.whole && self.is_tenants(item))
            }
            ItemKind::Offboarding => when(self.whole && self.is_tenants(item) && rest != self.offboarding),
            ItemKind::PortfolioState => when(self.businesses.contains(rest)),
            ItemKind::Tenant => when(self.whole && self.owns(rest)),
            ItemKind::TenantAccounts if self.whole => when(self.owns(rest)),
            ItemKind::TenantAccounts if !self.owns(rest) => Belongs::No,
            ItemKind::TenantAccounts | ItemKind::Business | ItemKind::Signer => self.accounts_belong(item),
            ItemKind::MetaApp if self.whole && item.text("hosted_for").is_some_and(|tenant| self.owns(tenant)) => {
                Belongs::Yes(How::Trim("hosted_for", Vec::new()))
            }
            // Of others, of the installation, or the record that an erasure needs or leaves.
            ItemKind::Alias
            | ItemKind::Merge
            | ItemKind::MetaApp
            | ItemKind::AccountGone
            | ItemKind::SystemSecret
            | ItemKind::Deletion
            | ItemKind::Lease
            | ItemKind::Ledger => Belongs::No,
        })
    }

    /// Inbox activity: the whole tenant's, or the entries of the numbers.
    fn activity_belongs(&self, item: &Item, tenant: &str) -> Belongs {
        if !self.owns(tenant) {
            return Belongs::No;
        }
        if self.whole {
            return Belongs::Yes(How::Delete);
        }
        let of_number = |entry: &String| {
            let parsed = crate::storage::conversations::inbox::parse_entry(entry);
            parsed.is_ok_and(|(_, id)| self.numbers.contains(id.number().as_str()))
        };
        let leaving: Vec<String> = item.set("entries").into_iter().filter(of_number).collect();
        if leaving.is_empty() { Belongs::No } else { Belongs::Yes(How::Trim("entries", leaving)) }
    }

    /// A set of accounts: those in the scope are removed from it.
    fn accounts_belong(&self, item: &Item) -> Belongs {
        let all = item.set("accounts");
        let leaving: Vec<String> = all.iter().filter(|id| self.accounts.contains(*id)).cloned().collect();
        match leaving.is_empty() {
            true if all.is_empty() => Belongs::Yes(How::Sweep),
            true => Belongs::No,
            // An account that is added meanwhile stays in the set.
            false => Belongs::Yes(How::Trim("accounts", leaving)),
        }
    }

    fn owns(&self, tenant: &str) -> bool {
        self.tenant.is_some_and(|ours| ours.to_string() == tenant)
    }
}

/// Returns whether an attribute of an item is one of these ids.
fn names(item: &Item, attribute: &str, of: &HashSet<String>) -> bool {
    item.text(attribute).is_some_and(|id| of.contains(id))
}

impl Table {
    /// Marks the accounts and numbers as gone: nothing is stored for them once all functions have read the mark.
    /// Returns `false` if another offboarding is erasing one of them. 1 WRU each.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_mark_gone(&self, offboarding: &Offboarding, now: Timestamp) -> Result<bool, StorageError> {
        let until = expiry(crate::clock::after(now, TOMBSTONE_FOR));
        for account in &offboarding.accounts {
            let gone = self.update(keys::gone_account(account));
            let gone = gone.set_once("gone_at", time(now)).set("expires_at", until.clone());
            let gone = gone.set("erased_by", text(offboarding.id.to_string()));
            // Two offboardings of one account run one after the other.
            let free = gone.when("attribute_not_exists(#erased_by) OR #erased_by = :erased_by").run().await?;
            if !matches!(free, Updated::Done(_)) {
                return Ok(false);
            }
        }
        for number in &offboarding.numbers {
            let gone = self.update(keys::number(number)).set_once("gone_at", time(now));
            let gone = gone.set("erased_by", text(offboarding.id.to_string()));
            let free = gone.when("attribute_not_exists(#erased_by) OR #erased_by = :erased_by").run().await?;
            if !matches!(free, Updated::Done(_)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns whether this offboarding still holds the marks of its accounts and, if it removes one number, of that
    /// number.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_is_erased_by(&self, offboarding: &Offboarding) -> Result<bool, StorageError> {
        let accounts = offboarding.accounts.iter().map(keys::gone_account);
        for key in accounts.chain(offboarding.number.iter().map(keys::number)) {
            let item = self.read(&key).await?.unwrap_or_default();
            if item.text("erased_by") != Some(&offboarding.id.to_string()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Allows the accounts and numbers to be connected again, by any tenant, after everything was erased. 1 WRU each.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_release_gone(&self, offboarding: &Offboarding) -> Result<(), StorageError> {
        let ours = text(offboarding.id.to_string());
        let accounts = offboarding.accounts.iter().map(keys::gone_account);
        for key in accounts.chain(offboarding.numbers.iter().map(keys::number)) {
            let release = self.update(key).remove(&["erased_by"]);
            release.when("#erased_by = :ours").value("ours", ours.clone()).run().await?;
        }
        Ok(())
    }

    /// Removes the marks before anything was erased. 1 WRU each.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_unmark_gone(&self, offboarding: &Offboarding) -> Result<(), StorageError> {
        let ours = text(offboarding.id.to_string());
        for number in &offboarding.numbers {
            let back = self.update(keys::number(number)).remove(&["gone_at", "erased_by"]);
            let still = "#erased_by = :ours AND attribute_exists(#tenant)";
            back.when(still).value("ours", ours.clone()).run().await?;
        }
        self.account_release_gone(offboarding).await
    }

    /// Returns whether an account is being erased. It cannot be connected until that has ended.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_is_being_erased(&self, account: &WabaId) -> Result<bool, StorageError> {
        Ok(self.read(&keys::gone_account(account)).await?.is_some_and(|item| item.0.contains_key("erased_by")))
    }

    /// Checks one page of the table: up to 1 MB.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn erasure_walk(&self, leavers: &ErasureScope, cursor: Option<&str>) -> Result<Walked, StorageError> {
        let start = cursor.map(|cursor| {
            let (pk, sk) = cursor.split_once('\n').unwrap_or((cursor, ""));
            keys::Key { pk: pk.to_owned(), sk: sk.to_owned() }.attributes()
        });
        let answer =
            self.client.scan().table_name(&self.name).consistent_read(true).set_exclusive_start_key(start).send().await;
        let answer = answer.map_err(|error| unavailable("Scan", &error))?;
        let next = answer.last_evaluated_key.map(|key| Item(key).key()).transpose()?;
        let mut walked = Walked { next: next.map(|key| format!("{}\n{}", key.pk, key.sk)), ..Walked::default() };
        for item in answer.items.unwrap_or_default().into_iter().map(Item) {
            let how = match leavers.belongs(&item)? {
                Belongs::No => continue,
                Belongs::Yes(how) => how,
                Belongs::WithContact(contacts) => match self.all_stay(leavers, &contacts).await? {
                    true => continue,
                    false => How::Forget(contacts),
                },
            };
            if matches!(how, How::Delete) {
                walked.objects.extend(objects_of(&item)?);
            }
            walked.found += 1;
            walked.items.push((item.key()?, how));
        }
        Ok(walked)
    }

    /// Erases the items of a page. Their objects must be deleted before, because only the items lead to them.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn erasure_erase_found(
        &self,
        walked: &Walked,
        leavers: &ErasureScope,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        // Collected first: a stream over a closure that borrows is not `Send`.
        let mut erased = Vec::with_capacity(walked.items.len());
        for (key, how) in &walked.items {
            erased.push(self.erase_item(key, how, leavers, now));
        }
        stream::iter(erased).buffer_unordered(BATCH_CONCURRENCY).try_collect().await
    }

    async fn erase_item(
        &self,
        key: &keys::Key,
        how: &How,
        leavers: &ErasureScope,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let named = || self.client.delete_item().table_name(&self.name);
        match how {
            How::Forget(contacts) if self.all_stay(leavers, contacts).await? => {}
            How::Delete | How::Forget(_) => {
                let deleted = named().set_key(Some(key.attributes())).send().await;
                deleted.map_err(|error| unavailable("DeleteItem", &error))?;
            }
            How::Tombstone => {
                let until = crate::clock::after(now, TOMBSTONE_FOR);
                let mut stone = key.attributes();
                stone.insert("gone_at".to_owned(), time(now));
                stone.insert("expires_at".to_owned(), expiry(until));
                stone.insert("erased_by".to_owned(), text(&leavers.offboarding));
                let put = self.client.put_item().table_name(&self.name).set_item(Some(stone)).send().await;
                put.map_err(|error| unavailable("PutItem", &error))?;
            }
            How::Sweep => self.sweep(key, "accounts").await?,
            How::Trim(attribute, leaving) if leaving.is_empty() => {
                self.update(key.clone()).remove(&[attribute]).run().await?;
            }
            How::Trim(attribute, leaving) => self.trim(key, attribute, leaving.clone()).await?,
        }
        Ok(())
    }

    /// Removes elements from a set, and deletes the item if none is left. 2 WRU per KB.
    pub(in crate::storage) async fn trim(
        &self,
        key: &keys::Key,
        attribute: &str,
        leaving: Vec<String>,
    ) -> Result<(), StorageError> {
        let trim = self.client.update_item().table_name(&self.name).set_key(Some(key.attributes()));
        let trim = trim.update_expression("DELETE #set :leaving").expression_attribute_names("#set", attribute);
        let trim = trim.expression_attribute_values(":leaving", AttributeValue::Ss(leaving));
        trim.send().await.map_err(|error| unavailable("UpdateItem", &error))?;
        self.sweep(key, attribute).await
    }

    /// Deletes an item if this set is empty.
    async fn sweep(&self, key: &keys::Key, attribute: &str) -> Result<(), StorageError> {
        let emptied = self.client.delete_item().table_name(&self.name).set_key(Some(key.attributes()));
        let emptied = emptied.condition_expression("attribute_not_exists(#set)");
        match emptied.expression_attribute_names("#set", attribute).send().await {
            Ok(_) => Ok(()),
            Err(error)
                if error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(unavailable("DeleteItem", &error)),
        }
    }

    /// Returns whether all of these contacts stay.
    async fn all_stay(&self, leavers: &ErasureScope, contacts: &[ContactId]) -> Result<bool, StorageError> {
        for contact in contacts {
            if !self.stays(leavers, *contact).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns whether a contact stays: it has a conversation on a number that stays, even one that only a broadcast
    /// began, or a preference or restraint towards an account that stays.
    async fn stays(&self, leavers: &ErasureScope, contact: ContactId) -> Result<bool, StorageError> {
        for number in &leavers.staying {
            let id = ConversationId::new(number.clone(), contact);
            if self.has_any(&keys::conversation_partition(&id)).await? {
                return Ok(true);
            }
        }
        let wishes = self.partition(&keys::contact_partition(contact), "").await?;
        let towards = |item: &Item| item.text("sk").and_then(|sk| sk.split_once('#')).map(|(_, rest)| rest.to_owned());
        let of = |rest: String| !leavers.accounts.contains(rest.split('#').next().unwrap_or_default());
        Ok(!leavers.whole && !leavers.staying.is_empty() && wishes.iter().filter_map(towards).any(of))
    }

    async fn has_any(&self, partition: &str) -> Result<bool, StorageError> {
        let query = self.client.query().table_name(&self.name).key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", text(partition)).consistent_read(true).limit(1);
        let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
        Ok(answer.items.is_some_and(|items| !items.is_empty()))
    }
}

/// Returns the objects of the bucket that belong to an item.
fn objects_of(item: &Item) -> Result<Vec<String>, StorageError> {
    let pk = item.required("pk")?;
    let mut objects: Vec<String> = item.owned("stored_at").into_iter().collect();
    // Files are keyed by their hash, and a failed upload leaves one without an item. So the tenant's folder goes as a
    // whole.
    if item.text("sk") == Some("TENANT") {
        objects.extend(pk.strip_prefix("TENANT#").map(|id| format!("media/{id}/")));
    }
    objects.extend(pk.strip_prefix("BROADCAST#").map(|id| format!("broadcasts/{id}/")));
    Ok(objects)
}
