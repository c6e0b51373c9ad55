//! The inbox: a tenant's conversations, the latest activity first.
//!
//! What others write is noted once a batch: an entry for each conversation that moved, together with those of the same ten
//! seconds. What we write stands in the feed. An entry is only a hint: the conversation itself decides whether it is its latest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};

use super::conversation::{Part, join};
use super::item::{Item, number, text, time};
use super::page::{self, FEED, Position};
use super::{Page, StorageError, Table, keys, unavailable};
use crate::clock::at_millis;
use crate::domain::conversation::Conversation;
use crate::domain::desk::Wanted;
use crate::domain::ids::{ConversationId, MessageId, TenantId};
use crate::limits::BATCH_CONCURRENCY;

/// Entries looked at for one page of conversations: a busy conversation has many and stands in the list once.
const ENTRIES_MAX: usize = 2_000;
/// Most entries read at once; the first time as many as the page has items, then ever more.
const ENTRIES_AT_ONCE: u16 = 400;
/// Items of entries read first. A quiet tenant's has one entry, a busy one's a hundred: then these are enough.
const ITEMS_AT_FIRST: u16 = 16;
/// Fewest entries whose conversations are looked at together.
const LOOKED_AT_MIN: usize = 10;
/// Activity of so long stands together: a batch's in one item or two. All of it is read to show any of it.
const TOGETHER: SignedDuration = SignedDuration::from_secs(10);
/// Entries of one item: some 60 KB, far below DynamoDB's 400.
const ENTRIES_OF_ITEM_MAX: usize = 1_000;

/// Seconds of a day: entries end with the day after their message's.
const DAY: i64 = 86_400;

/// Somebody else wrote in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Whose inbox shows it.
    pub tenant: TenantId,
    /// When it was written.
    pub at: Timestamp,
    /// Where.
    pub conversation: ConversationId,
    /// When it ends.
    pub keep_until: Option<Timestamp>,
}

/// An entry of the inbox.
#[derive(Debug, Clone)]
enum Entry {
    /// Somebody else wrote then.
    Theirs(Timestamp, ConversationId),
    /// We wrote then: the feed's entry.
    Ours(Timestamp, Item),
}

impl Entry {
    fn conversation(&self) -> Result<ConversationId, StorageError> {
        match self {
            Self::Theirs(_, conversation) => Ok(conversation.clone()),
            Self::Ours(_, item) => keys::parse_conversation(item.required("pk")?),
        }
    }

    /// Whether a conversation is shown here: of all its entries only at the latest.
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

/// The two lists as one. Of one moment theirs come first, in the order of their conversations' ids.
struct Merged<'a> {
    table: &'a Table,
    tenant: TenantId,
    theirs: VecDeque<(Timestamp, ConversationId)>,
    /// Where theirs go on; `None` at the end.
    theirs_next: Option<TheirsNext>,
    ours: VecDeque<Item>,
    /// Where ours go on; `None` at the end.
    ours_next: Option<OursNext>,
    /// Entries read at once.
    at_once: u16,
}

#[derive(Debug, Clone)]
enum TheirsNext {
    Newest,
    /// With what was written before this moment.
    Before(Timestamp),
    /// Behind this entry.
    Behind(Timestamp, ConversationId),
}

#[derive(Debug, Clone)]
enum OursNext {
    Newest,
    /// With what was written at this moment.
    With(Timestamp),
    /// Behind this position of the feed.
    Behind(Position),
}

impl Table {
    /// Notes in the inboxes that others wrote. The same entries together are the same items. 1 WRU for some 17 entries of one tenant and ten seconds.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_activity(&self, activity: Vec<Activity>) -> Result<(), StorageError> {
        // What ends on different days does not stand together.
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

    /// Whether the inbox has an entry of it. A read.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn shows(&self, activity: &Activity) -> Result<bool, StorageError> {
        let wanted = entry(activity.at, &activity.conversation);
        let span = keys::time(at_millis(together(activity.at)));
        let items = self.partition(&keys::inbox(activity.tenant), &span).await?;
        Ok(items.iter().any(|item| item.set("entries").contains(&wanted)))
    }

    /// Takes back that others wrote in a conversation at these moments. A read for each ten seconds; 2 WRU a KB where something is found.
    pub(super) async fn forget_activity(
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

    /// The tenant's conversations that are wanted, the latest activity first. A page may be shorter than `limit` although there are
    /// more. Reads the entries, the conversations of a page in one batch with the latest message of each, and each merged person on its own.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn conversations(
        &self,
        tenant: TenantId,
        wanted: &Wanted,
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
            // What is missing, and more each time it turns out to be rare.
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
                // A message is stored a moment before its entry: who comes from the top sees the conversation at its latest entry until then.
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

    /// Adds the conversations that entries belong to, those of one person together, unless they are known.
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
                // Nobody's any more.
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

    /// The next entries; none at the end.
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

    /// Whole spans of ten seconds, until there are as many entries as asked for.
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
            // What stands together in the last item may go on on the next page.
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
                self.theirs_next =
                    Some(TheirsNext::Before(at_millis(cut).checked_add(TOGETHER).unwrap_or(Timestamp::MAX)));
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
    /// Items of activity, the latest first, behind `start`; and where they go on.
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

/// The ten seconds that a moment belongs to: their beginning.
fn together(at: Timestamp) -> i64 {
    let span = i64::try_from(TOGETHER.as_millis()).unwrap_or(i64::MAX);
    at.as_millisecond().div_euclid(span) * span
}

fn span_of(item: &Item) -> Result<i64, StorageError> {
    Ok(keys::parse_activity(item.required("sk")?)?.as_millisecond())
}

pub(super) fn entry(at: Timestamp, conversation: &ConversationId) -> String {
    format!("{}#{conversation}", keys::time(at))
}

/// Reads moment and conversation back out of an entry.
pub(super) fn parse_entry(entry: &str) -> Result<(Timestamp, ConversationId), StorageError> {
    let parts =
        entry.split_once('#').and_then(|(at, id)| Some((keys::parse_time(at)?, ConversationId::parse(id).ok()?)));
    parts.ok_or(StorageError::Corrupt("entries"))
}

/// An entry as the text that a caller gives back: a list that stops there continues behind it.
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
