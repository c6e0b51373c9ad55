//! Work on a conversation: its assignment, labels, notes, and whether it is closed.

use std::collections::BTreeSet;

use jiff::Timestamp;

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
