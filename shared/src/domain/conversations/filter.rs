//! Filter of the conversation list.

use jiff::Timestamp;

use crate::domain::conversations::conversation::Conversation;

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
