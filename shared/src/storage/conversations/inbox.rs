//! The inbox: a tenant's conversations, latest activity first.
//!
//! Messages that others write are recorded once per batch: one entry per conversation, in buckets of ten seconds.
//! Messages that we send are entries of the feed index. A conversation may have many entries; only the one for its
//! latest message is shown. So a new message never moves an old entry.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use crate::clock::at_millis;
use crate::domain::conversations::conversation::Conversation;
use crate::domain::conversations::filter::ConversationFilter;
use crate::domain::ids::{ConversationId, MessageId, TenantId};
use crate::limits::BATCH_CONCURRENCY;
use crate::storage::conversations::conversation::{Part, join};
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::page::{self, FEED, Position};
use crate::storage::{Page, StorageError, Table, table::keys, unavailable};

/// Limit of entries read for one page of conversations: a busy conversation has many entries and is listed once.
const ENTRIES_MAX: usize = 2_000;
/// Limit of entries per read. The first read takes as many as the page has conversations; each further read takes more.
const ENTRIES_AT_ONCE: u16 = 400;
/// Bucket items in the first read. An item has one entry for a quiet tenant and about a hundred for a busy one, for
/// which these are enough.
const ITEMS_AT_FIRST: u16 = 16;
/// Minimum of entries whose conversations are read together.
const LOOKED_AT_MIN: usize = 10;
/// Bucket width: activity within ten seconds shares an item, so a batch writes one or two. A bucket is always read
/// whole.
const TOGETHER: SignedDuration = SignedDuration::from_secs(10);
/// Limit of entries per item: about 60 KB, far below DynamoDB's 400 KB.
const ENTRIES_OF_ITEM_MAX: usize = 1_000;

/// Seconds per day: an entry expires at the end (UTC) of the day on which its message expires.
const DAY: i64 = 86_400;

/// A message that somebody else wrote in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Tenant whose inbox shows it.
    pub tenant: TenantId,
    /// When it was written.
    pub at: Timestamp,
    /// Its conversation.
    pub conversation: ConversationId,
    /// When the message expires.
    pub keep_until: Option<Timestamp>,
}

/// An entry of the inbox.
#[derive(Debug, Clone)]
enum Entry {
    /// Somebody else wrote at this time.
    Theirs(Timestamp, ConversationId),
    /// We wrote at this time; with the entry of the feed.
    Ours(Timestamp, Item),
}

impl Entry {
    fn conversation(&self) -> Result<ConversationId, StorageError> {
        match self {
            Self::Theirs(_, conversation) => Ok(conversation.clone()),
            Self::Ours(_, item) => keys::parse_conversation(item.required("pk")?),
        }
    }

    /// Returns whether the conversation is shown at this entry: only the entry for its latest message is.
    fn stands_for(&self, whole: &Part) -> Result<bool, StorageError> {
        let Some((conversation, last)) = &whole.last else { return Ok(false) };
        if *conversation != self.conversation()? {
            return Ok(false);
        }
        let last = MessageId::parse(last).map_err(|_| StorageError::Corrupt("last_message"))?;
        Ok(match self {
            Self::Theirs(at, _) => matches!(last, MessageId::Inbound(_)) && whole.conversation.last_activity_at == *at,
            Self::Ours(_, item) => keys::parse_message(item.required("sk")?)?.0 == last,
        })
    }
}

/// Merges both lists. At equal times, messages of others come first, in the order of their conversations' ids.
struct Merged<'a> {
    table: &'a Table,
    tenant: TenantId,
    theirs: VecDeque<(Timestamp, ConversationId)>,
    /// Where the messages of others continue; `None` at the end.
    theirs_next: Option<TheirsNext>,
    ours: VecDeque<Item>,
    /// Where our messages continue; `None` at the end.
    ours_next: Option<OursNext>,
    /// Entries per read.
    at_once: u16,
}

#[derive(Debug, Clone)]
enum TheirsNext {
    Newest,
    /// Entries before this time.
    Before(Timestamp),
    /// Entries behind this one.
    Behind(Timestamp, ConversationId),
}

#[derive(Debug, Clone)]
enum OursNext {
    Newest,
    /// Entries at this time or before.
    With(Timestamp),
    /// Entries behind this position of the feed.
    Behind(Position),
}

impl Table {
    /// Records in the inboxes that others wrote. A repetition with the same entries writes the same items. 1 WRU per
    /// about 17 entries of one tenant within ten seconds.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn inbox_put(&self, activity: Vec<Activity>) -> Result<(), StorageError> {
        // Entries that expire on different days do not share an item.
        let mut groups: BTreeMap<(TenantId, i64, Option<i64>), BTreeSet<String>> = BTreeMap::new();
        for one in activity {
            let ends_on = one.keep_until.map(|until| until.as_second().div_euclid(DAY) + 1);
            let group = groups.entry((one.tenant, together(one.at), ends_on)).or_default();
            group.insert(entry(one.at, &one.conversation));
        }
        let mut writes = Vec::new();
        for ((tenant, at, ends_on), entries) in groups {
            let entries: Vec<String> = entries.into_iter().collect();
            for entries in entries.chunks(ENTRIES_OF_ITEM_MAX) {
                let said = format!("{ends_on:?}{}", entries.concat());
                let key = keys::activity(tenant, at_millis(at), &keys::digest(said.as_bytes()));
                let update = self.update(key).set("entries", AttributeValue::Ss(entries.to_vec()));
                let ends_at = ends_on.map(|day| number(day.saturating_mul(DAY)));
                writes.push(update.set_once_if("expires_at", ends_at).run());
            }
        }
        stream::iter(writes).buffer_unordered(BATCH_CONCURRENCY).try_for_each(|_| async { Ok(()) }).await
    }

    /// Returns whether the inbox has an entry for this activity. One read.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn inbox_shows(&self, activity: &Activity) -> Result<bool, StorageError> {
        let wanted = entry(activity.at, &activity.conversation);
        let span = keys::time(at_millis(together(activity.at)));
        let items = self.partition(&keys::inbox(activity.tenant), &span).await?;
        Ok(items.iter().any(|item| item.set("entries").contains(&wanted)))
    }

    /// Removes the entries of a conversation at these times. One read per ten seconds; 2 WRU per KB of an item that has
    /// one.
    pub(in crate::storage) async fn forget_activity(
        &self,
        tenant: TenantId,
        conversation: &ConversationId,
        moments: &[Timestamp],
    ) -> Result<(), StorageError> {
        let entries: BTreeSet<String> = moments.iter().map(|at| entry(*at, conversation)).collect();
        let spans: BTreeSet<i64> = moments.iter().map(|at| together(*at)).collect();
        let entries = &entries;
        let forget = |span: i64| async move {
            for item in self.partition(&keys::inbox(tenant), &keys::time(at_millis(span))).await? {
                let leaving: Vec<String> =
                    item.set("entries").into_iter().filter(|one| entries.contains(one)).collect();
                if !leaving.is_empty() {
                    self.trim(&item.key()?, "entries", leaving).await?;
                }
            }
            Ok::<_, StorageError>(())
        };
        // Collected first: a stream over a closure that borrows is not `Send`.
        let spans: Vec<_> = spans.into_iter().map(forget).collect();
        stream::iter(spans).buffer_unordered(BATCH_CONCURRENCY).try_collect().await
    }

    /// Returns the tenant's conversations that match `wanted`, latest activity first. A page may be shorter than
    /// `limit` although more follow. Reads the entries, the conversations of a page in one batch, the latest message of
    /// each, and each merged person separately.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor belongs to another list.
    pub async fn conversation_list(
        &self,
        tenant: TenantId,
        wanted: &ConversationFilter,
        now: Timestamp,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Conversation>, StorageError> {
        let mut merged = Merged::start(self, tenant, limit, cursor)?;
        let (mut items, mut seen, mut for_each) = (Vec::new(), 0, 1_usize);
        let mut known = Vec::new();
        let mut met = BTreeSet::new();
        let mut last = None;
        while seen < ENTRIES_MAX {
            // As many as the page still lacks, and more each time the matches turn out to be rare.
            let missing = usize::from(limit) - items.len();
            let many = missing.saturating_mul(for_each).clamp(LOOKED_AT_MIN, ENTRIES_AT_ONCE.into());
            let entries = merged.take(many).await?;
            if entries.is_empty() {
                return Ok(Page { items, next: None });
            }
            seen += entries.len();
            for_each = for_each.saturating_mul(2);
            self.look_behind(tenant, &entries, &mut known).await?;
            for entry in entries {
                let id = entry.conversation()?;
                let parts = known.iter().find(|parts| parts.iter().any(|one| one.conversation.id == id));
                // A message is stored shortly before its entry. Until then the first page shows the conversation at its
                // latest entry.
                if let Some(whole) = parts.and_then(|parts| join(parts.clone()))
                    && (entry.stands_for(&whole)? || cursor.is_none())
                    && met.insert(whole.conversation.id.clone())
                    && wanted.has(&whole.conversation, now)
                {
                    items.push(whole.conversation);
                }
                if items.len() == usize::from(limit) {
                    return Ok(Page { items, next: Some(encode(&entry)?) });
                }
                last = Some(entry);
            }
        }
        Ok(Page { items, next: last.as_ref().map(encode).transpose()? })
    }

    /// Adds the conversations of the entries, grouped by person, unless they are in `groups` already.
    async fn look_behind(
        &self,
        tenant: TenantId,
        entries: &[Entry],
        groups: &mut Vec<Vec<Part>>,
    ) -> Result<(), StorageError> {
        let mut seen = BTreeSet::new();
        let mut ids = Vec::new();
        for entry in entries {
            let id = entry.conversation()?;
            if seen.insert(id.clone()) && !groups.iter().flatten().any(|part| part.conversation.id == id) {
                ids.push(id);
            }
        }
        let contacts: Vec<keys::Key> = ids.iter().map(|id| keys::contact(id.contact())).collect();
        let contacts = self.read_all(&contacts).await?;
        let (mut alone, mut merged) = (Vec::new(), Vec::new());
        for id in ids {
            let key = keys::contact(id.contact());
            let contact = contacts.iter().find(|item| item.text("pk") == Some(&key.pk));
            match contact {
                // The contact was erased.
                Some(item) if item.0.contains_key("erased_at") => {}
                Some(item) if !item.set("same_as").is_empty() => merged.push(id),
                _ => alone.push(id),
            }
        }
        groups.extend(self.conversation_parts(&alone).await?.into_iter().map(|part| vec![part]));
        for id in merged {
            if !groups.iter().flatten().any(|part| part.conversation.id == id) {
                groups.push(self.conversation_parts(&self.parts(&id).await?).await?);
            }
        }
        groups.iter_mut().for_each(|parts| parts.retain(|part| part.conversation.tenant == tenant));
        Ok(())
    }
}

impl<'a> Merged<'a> {
    fn start(table: &'a Table, tenant: TenantId, at_once: u16, cursor: Option<&str>) -> Result<Self, StorageError> {
        let (theirs_next, ours_next) = match cursor.map(|cursor| decode(cursor, tenant)).transpose()? {
            None => (TheirsNext::Newest, OursNext::Newest),
            Some(Entry::Theirs(at, conversation)) => (TheirsNext::Behind(at, conversation), OursNext::With(at)),
            Some(Entry::Ours(at, item)) => {
                (TheirsNext::Before(at), OursNext::Behind(page::position_of(&item, FEED, &keys::inbox(tenant))?))
            }
        };
        let (theirs_next, ours_next) = (Some(theirs_next), Some(ours_next));
        Ok(Self { table, tenant, theirs: VecDeque::new(), theirs_next, ours: VecDeque::new(), ours_next, at_once })
    }

    /// Returns the next entries; none at the end.
    async fn take(&mut self, many: usize) -> Result<Vec<Entry>, StorageError> {
        let mut entries = Vec::with_capacity(many);
        while entries.len() < many {
            if self.theirs.is_empty() && self.theirs_next.is_some() {
                self.read_theirs(self.at_once).await?;
                self.at_once = self.at_once.saturating_mul(2).min(ENTRIES_AT_ONCE);
            }
            if self.ours.is_empty() && self.ours_next.is_some() {
                self.read_ours(self.at_once).await?;
            }
            let ours_at = self.ours.front().map(|item| item.required_time("feed_at")).transpose()?;
            let theirs_first = self.theirs.front().is_some_and(|(at, _)| ours_at.is_none_or(|ours| *at >= ours));
            let next = if theirs_first {
                self.theirs.pop_front().map(|(at, conversation)| Entry::Theirs(at, conversation))
            } else {
                self.ours.pop_front().zip(ours_at).map(|(item, at)| Entry::Ours(at, item))
            };
            match next {
                Some(entry) => entries.push(entry),
                None if self.theirs_next.is_none() && self.ours_next.is_none() => break,
                None => {}
            }
        }
        Ok(entries)
    }

    /// Reads whole buckets of ten seconds until there are `at_least` entries.
    async fn read_theirs(&mut self, at_least: u16) -> Result<(), StorageError> {
        let Some(next) = self.theirs_next.take() else { return Ok(()) };
        let newest = match &next {
            TheirsNext::Newest => None,
            TheirsNext::Before(at) => Some(at_millis(at.as_millisecond() - 1)),
            TheirsNext::Behind(at, _) => Some(*at),
        };
        let mut start = newest.map(|at| keys::behind_activity(self.tenant, at_millis(together(at))));
        let mut found: Vec<(Timestamp, ConversationId)> = Vec::new();
        let is_left = |one: &(Timestamp, ConversationId)| match &next {
            TheirsNext::Newest => true,
            TheirsNext::Before(at) => one.0 < *at,
            TheirsNext::Behind(at, conversation) => (one.0, Reverse(&one.1)) < (*at, Reverse(conversation)),
        };
        let mut items_at_once = at_least.min(ITEMS_AT_FIRST);
        loop {
            let (items, more) = self.table.activity_page(self.tenant, items_at_once, start.take()).await?;
            items_at_once = at_least;
            // The bucket of the last item may continue on the next page, which reads it whole.
            let cut = more.as_ref().and(items.last()).map(span_of).transpose()?;
            for item in &items {
                for entry in item.set("entries") {
                    let entry = parse_entry(&entry)?;
                    found.extend(Some(entry).filter(|entry| is_left(entry)));
                }
            }
            let Some(cut) = cut else { break };
            if found.iter().filter(|(at, _)| together(*at) > cut).count() >= usize::from(at_least) {
                found.retain(|(at, _)| together(*at) > cut);
                self.theirs_next = Some(TheirsNext::Before(crate::clock::after(at_millis(cut), TOGETHER)));
                break;
            }
            start = more;
        }
        found.sort_by(|one, other| (other.0, &one.1).cmp(&(one.0, &other.1)));
        found.dedup();
        self.theirs = found.into();
        Ok(())
    }

    async fn read_ours(&mut self, limit: u16) -> Result<(), StorageError> {
        let Some(next) = self.ours_next.take() else { return Ok(()) };
        let feed = keys::inbox(self.tenant);
        let query = self.table.client.query().table_name(&self.table.name).index_name(keys::FEED);
        let query = query.expression_attribute_values(":feed", text(feed));
        let query = match next {
            OursNext::Newest => query.key_condition_expression("feed = :feed"),
            OursNext::With(at) => query
                .key_condition_expression("feed = :feed AND feed_at <= :at")
                .expression_attribute_values(":at", time(at)),
            OursNext::Behind(position) => {
                query.key_condition_expression("feed = :feed").set_exclusive_start_key(Some(position))
            }
        };
        let answer = query.scan_index_forward(false).limit(i32::from(limit)).send().await;
        let answer = answer.map_err(|error| unavailable("Query", &error))?;
        self.ours = answer.items.unwrap_or_default().into_iter().map(Item).collect();
        self.ours_next = answer.last_evaluated_key.map(OursNext::Behind);
        Ok(())
    }
}

impl Table {
    /// Returns items of activity behind `start`, latest first, and where they continue.
    async fn activity_page(
        &self,
        tenant: TenantId,
        limit: u16,
        start: Option<Position>,
    ) -> Result<(Vec<Item>, Option<Position>), StorageError> {
        let query = self.client.query().table_name(&self.name).key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", text(keys::inbox(tenant)));
        let query = query.scan_index_forward(false).limit(i32::from(limit)).set_exclusive_start_key(start);
        let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
        Ok((answer.items.unwrap_or_default().into_iter().map(Item).collect(), answer.last_evaluated_key))
    }
}

/// Returns the beginning of the ten-second bucket of a time, in milliseconds.
fn together(at: Timestamp) -> i64 {
    let span = i64::try_from(TOGETHER.as_millis()).unwrap_or(i64::MAX);
    at.as_millisecond().div_euclid(span) * span
}

fn span_of(item: &Item) -> Result<i64, StorageError> {
    Ok(keys::parse_activity(item.required("sk")?)?.as_millisecond())
}

pub(in crate::storage) fn entry(at: Timestamp, conversation: &ConversationId) -> String {
    format!("{}#{conversation}", keys::time(at))
}

/// Reads time and conversation from an entry.
pub(in crate::storage) fn parse_entry(entry: &str) -> Result<(Timestamp, ConversationId), StorageError> {
    let parts =
        entry.split_once('#').and_then(|(at, id)| Some((keys::parse_time(at)?, ConversationId::parse(id).ok()?)));
    parts.ok_or(StorageError::Corrupt("entries"))
}

/// Encodes an entry as a cursor: the list continues behind it.
fn encode(entry: &Entry) -> Result<String, StorageError> {
    match entry {
        Entry::Theirs(at, conversation) => Ok(page::opaque(&self::entry(*at, conversation))),
        Entry::Ours(_, item) => page::encode(&item.0, FEED).ok_or(StorageError::Corrupt("feed_at")),
    }
}

fn decode(cursor: &str, tenant: TenantId) -> Result<Entry, StorageError> {
    let accepts = |pk: &str, sk: &str| keys::parse_feed_entry(pk, sk).is_ok();
    if let Ok(position) = page::decode(cursor, FEED, &keys::inbox(tenant), accepts) {
        let item = Item(position);
        return Ok(Entry::Ours(item.required_time("feed_at")?, item));
    }
    let (at, conversation) = parse_entry(&page::transparent(cursor)?).map_err(|_| StorageError::BadCursor)?;
    Ok(Entry::Theirs(at, conversation))
}
