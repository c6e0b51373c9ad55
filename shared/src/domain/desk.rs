//! What people decided about a conversation: who sees to it, whether it is settled, how it is sorted.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::conversation::Conversation;

/// Longest name of whom a conversation is assigned to, in characters.
pub const ASSIGNEE_MAX: usize = 100;
/// Most labels of a conversation.
pub const LABELS_MAX: usize = 20;
/// Longest label, in characters.
pub const LABEL_MAX: usize = 50;
/// Longest note, in characters: an item of DynamoDB holds it with room to spare.
pub const NOTE_MAX: usize = 4_000;

/// What people decided about a conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desk {
    /// Who sees to it, in the tenant's own words.
    pub assigned_to: Option<String>,
    /// When it was closed; a customer who writes after that opens it again.
    pub closed_at: Option<Timestamp>,
    /// How it is sorted.
    pub labels: BTreeSet<String>,
    /// Counts the changes.
    pub revision: u64,
}

/// What people remember of a conversation, for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its id.
    pub id: super::ids::NoteId,
    /// What it says.
    pub text: String,
    /// Who wrote it, in the tenant's own words.
    pub author: Option<String>,
    /// The key that it was written with.
    pub key: String,
}

/// Which conversations are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this number.
    pub number: Option<super::ids::PhoneNumberId>,
    /// With something unread, or without.
    pub unread: Option<bool>,
    /// Open, or closed.
    pub open: Option<bool>,
    /// Assigned to this one; an empty name: to nobody.
    pub assigned_to: Option<String>,
    /// With this label.
    pub label: Option<String>,
    /// With an open customer service window, or without.
    pub window_open: Option<bool>,
}

impl Wanted {
    /// Whether it is one of them.
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
