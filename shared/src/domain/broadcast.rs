//! A template to many recipients.

use jiff::Timestamp;

use super::ids::{BroadcastId, PhoneNumberId, TenantId};
use super::outbound::OnUnknown;
use super::outgoing::{Component, Parameter, Template};
use super::phone::PhoneNumber;
use super::policy::Category;

/// Recipients of one broadcast.
pub const RECIPIENTS_MAX: usize = 100_000;
/// Recipients of one object in the bucket: small enough to be read again and again, large enough to be few.
pub const RECIPIENTS_A_CHUNK: usize = 1_000;

/// A broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Its id.
    pub id: BroadcastId,
    /// Who asked.
    pub tenant: TenantId,
    /// The number it goes out from.
    pub number: PhoneNumberId,
    /// The template, with the parameters that all recipients share.
    pub template: Template,
    /// Names of the body's variables that each recipient has values for; empty if they count by their order.
    pub value_names: Vec<String>,
    /// What kind of template it is, where the caller said so.
    pub category: Option<Category>,
    /// What to do with a message of which nobody knows whether it was sent.
    pub on_unknown: OnUnknown,
    /// Its recipients.
    pub recipients: Recipients,
    /// Recipients whose turn has come, in their order.
    pub released: usize,
    /// Whether it goes on.
    pub state: BroadcastState,
    /// From when on it is stale.
    pub send_before: Timestamp,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// How many recipients a broadcast has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipients {
    /// Each once.
    pub count: usize,
    /// Left out because they were named before.
    pub duplicates: usize,
}

/// One recipient: whom, and the values of the body's variables that are theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroadcastRecipient {
    /// The phone number.
    pub to: PhoneNumber,
    /// Values of the body's variables, in the broadcast's order.
    pub values: Vec<String>,
}

/// Whether a broadcast goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BroadcastState {
    /// Recipients get their turn.
    Running,
    /// No new recipient gets a turn.
    Paused,
    /// No recipient gets a turn any more.
    Cancelled,
    /// Every recipient had a turn.
    Done,
}

impl BroadcastState {
    const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Cancelled, Self::Done];

    /// The state's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl Broadcast {
    /// The template for one recipient. Their values follow the parameters that all share, in the body.
    #[must_use]
    pub fn template_for(&self, recipient: &BroadcastRecipient) -> Template {
        let mut template = self.template.clone();
        if recipient.values.is_empty() {
            return template;
        }
        let place = template.components.iter().position(|component| matches!(component, Component::Body { .. }));
        let place = place.unwrap_or_else(|| {
            template.components.push(Component::Body { parameters: Vec::new() });
            template.components.len() - 1
        });
        if let Some(Component::Body { parameters }) = template.components.get_mut(place) {
            let own = recipient.values.iter().enumerate().map(|(place, text)| Parameter::Text {
                text: text.clone(),
                parameter_name: self.value_names.get(place).cloned(),
            });
            parameters.extend(own);
        }
        template
    }
}
