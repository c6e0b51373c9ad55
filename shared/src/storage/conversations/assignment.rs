//! Assignment, labels and closing of a conversation, and the notes about it.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use crate::domain::conversations::assignment::{Assignment, Note};
use crate::domain::ids::{ConversationId, NoteId, TenantId};
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::merge::Fact;
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys, unavailable};

/// Limit of notes that are returned per conversation item: the latest ones.
const NOTES_MAX: i32 = 200;

impl Table {
    /// Stores assignment, labels and closing of a conversation. Returns `false` if they changed since `desk` was read;
    /// `desk.revision` is the revision that was read. 1 WRU, and 1 read unit per contact of the person.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn assignment_put(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        desk: &Assignment,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let parts = self.parts(id).await?;
        let first = parts.first().unwrap_or(id);
        let others: Vec<keys::Key> = parts.iter().skip(1).map(keys::conversation).collect();
        let others = self.read_all(&others).await?.iter().map(|item| read(item).revision).sum::<u64>();
        let known = desk.revision.saturating_sub(others);
        let revision = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
        let update = self
            .update(keys::conversation(first))
            .set_once("tenant", text(tenant.to_string()))
            .set("desk_at", time(now))
            .set("desk_revision", revision(known + 1))
            .put("assigned_to", desk.assigned_to.as_ref().map(text))
            .put("closed_at", desk.closed_at.map(time))
            .put("labels", Some(&desk.labels).filter(|labels| !labels.is_empty()).map(set));
        let unchanged = if known == 0 { "attribute_not_exists(#desk_revision)" } else { "#desk_revision = :known" };
        let update = update.when(unchanged);
        let update = if known == 0 { update } else { update.value("known", revision(known)) };
        Ok(matches!(update.run().await?, Updated::Done(_)))
    }

    /// Records until when a conversation was read; this time only moves forward. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn conversation_mark_read(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        let owner = [("tenant", text(tenant.to_string()))];
        self.merge(&keys::conversation(id), &owner, &[Fact::moment("read_until", until)]).await?;
        Ok(())
    }

    /// Stores a note. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_put(&self, id: &ConversationId, note: &Note) -> Result<(), StorageError> {
        let put = self.update(keys::note(id, note.id)).set("text", text(&note.text)).set("key", text(&note.key));
        put.set_once_if("author", note.author.as_ref().map(text)).run().await?;
        Ok(())
    }

    /// Returns the notes about a conversation, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn note_list(&self, id: &ConversationId) -> Result<Vec<Note>, StorageError> {
        let mut notes = Vec::new();
        for part in self.parts(id).await? {
            let query = self
                .client
                .query()
                .table_name(&self.name)
                .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", text(keys::conversation_partition(&part)))
                .expression_attribute_values(":prefix", text(keys::NOTE_PREFIX))
                .scan_index_forward(false)
                .consistent_read(true)
                .limit(NOTES_MAX);
            let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
            for item in answer.items.unwrap_or_default().into_iter().map(Item) {
                notes.push(Note {
                    id: item.parsed("sk", |sk| NoteId::parse(sk.trim_start_matches(keys::NOTE_PREFIX)))?,
                    text: item.required("text")?.to_owned(),
                    author: item.owned("author"),
                    key: item.required("key")?.to_owned(),
                });
            }
        }
        notes.sort_by_key(|note| std::cmp::Reverse(note.id));
        Ok(notes)
    }

    /// Deletes a note. Returns `false` if there is none. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_delete(&self, id: &ConversationId, note: NoteId) -> Result<bool, StorageError> {
        for part in self.parts(id).await? {
            if self.delete(&keys::note(&part, note)).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn set(labels: &BTreeSet<String>) -> AttributeValue {
    AttributeValue::Ss(labels.iter().cloned().collect())
}

/// Reads assignment, labels and closing from one item of a conversation.
pub(in crate::storage) fn read(item: &Item) -> Assignment {
    Assignment {
        assigned_to: item.owned("assigned_to"),
        closed_at: item.time("closed_at"),
        labels: item.set("labels").into_iter().collect(),
        revision: item.number("desk_revision").and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
    }
}
