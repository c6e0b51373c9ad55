//! Work on a conversation: its assignment, labels, notes, and whether it is closed. Also the filter of the conversation
//! list.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::domain::conversations::conversation::Conversation;

/// Longest name of an assignee, in characters.
pub const ASSIGNEE_MAX: usize = 100;
/// Most labels of a conversation.
pub const LABELS_MAX: usize = 20;
/// Longest label, in characters.
pub const LABEL_MAX: usize = 50;
/// Longest note, in characters. It fits into a DynamoDB item with room to spare.
pub const NOTE_MAX: usize = 4_000;

/// Assignment, labels and state of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Assignee, in the tenant's own words.
    pub assigned_to: Option<String>,
    /// Time of closing. A later message or call of the customer reopens the conversation.
    pub closed_at: Option<Timestamp>,
    /// Labels of the conversation.
    pub labels: BTreeSet<String>,
    /// Number of changes so far.
    pub revision: u64,
}

/// A note about a conversation, for the tenant's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its id.
    pub id: crate::domain::ids::NoteId,
    /// Text of the note.
    pub text: String,
    /// Author, in the tenant's own words.
    pub author: Option<String>,
    /// Id of the API key that wrote the note.
    pub key: String,
}

/// Filter of the conversation list. Every field that is present must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    /// The number of the conversation.
    pub number: Option<crate::domain::ids::NumberId>,
    /// Whether there are unread messages.
    pub unread: Option<bool>,
    /// Whether the conversation is open.
    pub open: Option<bool>,
    /// Assignee; an empty name selects unassigned conversations.
    pub assigned_to: Option<String>,
    /// A label of the conversation.
    pub label: Option<String>,
    /// Whether the customer service window is open.
    pub window_open: Option<bool>,
}

impl ConversationFilter {
    /// Returns whether the conversation matches the filter.
    #[must_use]
    pub fn has(&self, conversation: &Conversation, now: Timestamp) -> bool {
        let desk = &conversation.desk;
        self.number.as_ref().is_none_or(|number| conversation.id.number() == number)
            && self.unread.is_none_or(|unread| conversation.is_unread() == unread)
            && self.open.is_none_or(|open| conversation.is_open() == open)
            && self.assigned_to.as_ref().is_none_or(|who| desk.assigned_to.as_deref().unwrap_or_default() == who)
            && self.label.as_ref().is_none_or(|label| desk.labels.contains(label))
            && self.window_open.is_none_or(|open| conversation.window_is_open(now) == open)
    }
}
