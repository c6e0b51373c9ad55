//! Search for conversations by the contact's name or phone number. There is an index entry per word of a name, one for
//! the number's digits, and one for its digits in reverse.
//!
//! Every hit is checked against the current conversation, so entries of an earlier name need no cleanup.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::conversations::conversation::Conversation;
use crate::domain::conversations::filter::ConversationFilter;
use crate::domain::ids::{ConversationId, TenantId};
use crate::storage::table::item::{Item, text};
use crate::storage::table::merge::Fact;
use crate::storage::{Page, StorageError, Table, table::keys, unavailable};

/// Most words indexed per contact.
const WORDS_MAX: usize = 12;
/// Longest indexed part of a word, in characters.
const WORD_MAX: usize = 32;
/// Most entries read for one page.
const ENTRIES_MAX: usize = 500;
/// Entries read by one query.
const ENTRIES_AT_ONCE: usize = 100;
/// Longest sort key, in bytes (DynamoDB).
const KEY_MAX: usize = 1_024;
/// Prefix of a number's reversed digits: people remember the last digits.
const FROM_THE_END: char = '~';

impl Table {
    /// Indexes a conversation under the current names and phone number of its contact. Writes nothing if they are
    /// unchanged; otherwise 1 WRU per word, and 1 to record it.
    pub(in crate::storage) async fn note_names(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        before: &Item,
        told: &[Fact],
    ) -> Result<(), StorageError> {
        let now = |name: &str| {
            let told = told.iter().find_map(|fact| match fact {
                Fact::Latest { name: told, value, .. } if told == name && fact.is_newer(before) => Some(value.clone()),
                _ => None,
            });
            told.or_else(|| before.owned(name))
        };
        let names = ["profile_name", "username", "address_book"].into_iter().filter_map(now);
        let words = words(names, now("phone").as_deref());
        let hash = keys::digest(words.iter().map(String::as_str).collect::<Vec<_>>().join(" ").as_bytes());
        let hash = hash.get(..16).unwrap_or(&hash);
        if words.is_empty() || before.text("found_by") == Some(hash) {
            return Ok(());
        }
        for word in &words {
            self.update(keys::name(tenant, word, id)).set("tenant", text(tenant.to_string())).run().await?;
        }
        // Erasing the contact needs all words ever indexed, also those of earlier names.
        let noted = self.update(keys::conversation(id)).set("found_by", text(hash));
        noted.add_all("words", words.into_iter().collect()).run().await?;
        Ok(())
    }

    /// Returns the conversations that match `asked` and `wanted`, by name. A contact matches if each word of `asked`
    /// begins a word of its names, or if its phone number begins or ends with the digits of `asked`.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn conversation_search(
        &self,
        tenant: TenantId,
        asked: &str,
        wanted: &ConversationFilter,
        now: Timestamp,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Conversation>, StorageError> {
        let asked = SearchQuery::read(asked);
        let Some(mut lists) = asked.lists() else { return Ok(Page { items: Vec::new(), next: None }) };
        let mut start = cursor.map(decode).transpose()?;
        if let Some(start) = &start {
            let place = lists.iter().position(|prefix| start.starts_with(prefix.as_str()));
            lists.drain(..place.ok_or(StorageError::BadCursor)?);
        }
        let (mut items, mut seen) = (Vec::new(), 0);
        for prefix in lists {
            loop {
                let (entries, more) = self.named(tenant, &prefix, start.take()).await?;
                seen += entries.len();
                for sk in &entries {
                    let (word, id) = keys::parse_name(sk)?;
                    let Some(found) = self.conversation_get(tenant, &id).await? else { continue };
                    let known = words_of(&found);
                    // Several entries may lead to one conversation: only the first that the contact still has shows it.
                    let first = known.iter().find(|word| asked.is_begun_by(word)).is_some_and(|first| first == word);
                    let shown = items.iter().any(|item: &Conversation| item.id == found.id);
                    if !shown && first && asked.is_met(&known) && wanted.has(&found, now) {
                        items.push(found);
                    }
                    if items.len() == usize::from(limit) {
                        return Ok(Page { items, next: Some(encode(sk)) });
                    }
                }
                let Some(last) = entries.last().filter(|_| more) else { break };
                if seen >= ENTRIES_MAX {
                    return Ok(Page { items, next: Some(encode(last)) });
                }
                start = Some(last.clone());
            }
        }
        Ok(Page { items, next: None })
    }

    /// Reads entries whose word begins with `prefix`, after `start`, and whether there may be more.
    async fn named(
        &self,
        tenant: TenantId,
        prefix: &str,
        start: Option<String>,
    ) -> Result<(Vec<String>, bool), StorageError> {
        let pk = keys::names(tenant);
        let start = start.map(|sk| keys::Key { pk: pk.clone(), sk }.attributes());
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(pk))
            .expression_attribute_values(":prefix", text(prefix))
            .projection_expression("sk")
            .limit(i32::try_from(ENTRIES_AT_ONCE).unwrap_or(i32::MAX))
            .set_exclusive_start_key(start);
        let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
        let items = answer.items.unwrap_or_default().into_iter().map(Item);
        let entries = items.map(|item| item.required("sk").map(str::to_owned)).collect::<Result<_, _>>()?;
        Ok((entries, answer.last_evaluated_key.is_some()))
    }
}

/// A parsed search.
struct SearchQuery {
    words: BTreeSet<String>,
    digits: Option<String>,
}

impl SearchQuery {
    fn read(text: &str) -> Self {
        let digits: String = text.chars().filter(char::is_ascii_digit).take(WORD_MAX).collect();
        let is_number = !digits.is_empty() && text.chars().all(|c| c.is_ascii_digit() || "+ -.()".contains(c));
        if is_number {
            return Self { words: BTreeSet::new(), digits: Some(digits) };
        }
        Self { words: split(text).collect(), digits: None }
    }

    /// Returns the prefixes of the entries to read, in reading order.
    fn lists(&self) -> Option<Vec<String>> {
        if let Some(digits) = &self.digits {
            return Some(vec![digits.clone(), from_the_end(digits)]);
        }
        let longest = self.words.iter().max_by_key(|word| word.chars().count())?;
        Some(vec![longest.clone()])
    }

    /// Returns whether an entry of this word is among those read.
    fn is_begun_by(&self, word: &str) -> bool {
        self.lists().into_iter().flatten().any(|prefix| word.starts_with(&prefix))
    }

    fn is_met(&self, known: &BTreeSet<String>) -> bool {
        self.words.iter().all(|asked| known.iter().any(|word| word.starts_with(asked.as_str())))
    }
}

pub(in crate::storage) fn words_of(conversation: &Conversation) -> BTreeSet<String> {
    let book = conversation.address_book.iter().flat_map(|book| [&book.full_name, &book.first_name]);
    let names = [&conversation.profile_name, &conversation.username].into_iter().chain(book).flatten().cloned();
    words(names, conversation.phone.as_ref().map(crate::domain::conversations::phone::PhoneNumber::e164))
}

fn words(names: impl Iterator<Item = String>, phone: Option<&str>) -> BTreeSet<String> {
    let names: Vec<String> = names.map(|name| in_words(&name)).collect();
    let mut words: BTreeSet<String> = names.iter().flat_map(|name| split(name)).take(WORDS_MAX).collect();
    let digits: String = phone.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    if !digits.is_empty() {
        words.insert(from_the_end(&digits));
        words.insert(digits);
    }
    words
}

/// Returns the names in an entry of the address book, which is stored as JSON.
fn in_words(name: &str) -> String {
    let Ok(serde_json::Value::Object(book)) = serde_json::from_str(name) else { return name.to_owned() };
    book.values().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(" ")
}

fn split(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word.to_lowercase().chars().take(WORD_MAX).collect())
}

fn from_the_end(digits: &str) -> String {
    std::iter::once(FROM_THE_END).chain(digits.chars().rev()).collect()
}

fn encode(sk: &str) -> String {
    hex::encode(sk)
}

fn decode(cursor: &str) -> Result<String, StorageError> {
    let sk = hex::decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(StorageError::BadCursor)?;
    let fits = keys::parse_name(&sk).is_ok() && sk.len() <= KEY_MAX;
    if !fits {
        return Err(StorageError::BadCursor);
    }
    Ok(sk)
}
