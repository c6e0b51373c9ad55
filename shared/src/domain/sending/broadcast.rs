//! A broadcast: one template to many recipients.

use jiff::Timestamp;

use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::ids::{BroadcastId, NumberId, TenantId};
use crate::domain::outgoing::{Component, Parameter, Template};
use crate::domain::sending::outbound::OnUnknown;
use crate::domain::sending::policy::Category;

/// Most recipients of a broadcast.
pub const RECIPIENTS_MAX: usize = 100_000;
/// Recipients per object in the bucket. Small enough to be read repeatedly, large enough to keep the objects few.
pub const RECIPIENTS_A_CHUNK: usize = 1_000;

/// A broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// Its id.
    pub id: BroadcastId,
    /// Tenant that requested the broadcast.
    pub tenant: TenantId,
    /// The sending number.
    pub number: NumberId,
    /// The template, with the parameters that all recipients share.
    pub template: Template,
    /// Names of the body's variables that differ per recipient; empty if the variables are positional.
    pub value_names: Vec<String>,
    /// Category of the template, if the caller named it.
    pub category: Option<Category>,
    /// Action for a message whose outcome stays unknown.
    pub on_unknown: OnUnknown,
    /// Its recipients.
    pub recipients: Recipients,
    /// Number of recipients released for sending so far, in their order.
    pub released: usize,
    /// Whether further recipients are released.
    pub state: BroadcastState,
    /// Deadline of every message of the broadcast.
    pub send_before: Timestamp,
    /// Time when the broadcast was accepted.
    pub created_at: Timestamp,
}

/// Size of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipients {
    /// Number of distinct recipients.
    pub count: usize,
    /// Number of recipients left out as duplicates.
    pub duplicates: usize,
}

/// One recipient, with the values for the body's variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroadcastRecipient {
    /// The phone number.
    pub to: PhoneNumber,
    /// Values of the body's variables, in the order of [`Broadcast::value_names`] or by position.
    pub values: Vec<String>,
}

/// State of a broadcast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BroadcastState {
    /// Recipients are being released.
    Running,
    /// No recipient is released until the broadcast is resumed.
    Paused,
    /// No further recipient is ever released.
    Cancelled,
    /// Every recipient has been released.
    Done,
}

impl BroadcastState {
    const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Cancelled, Self::Done];

    /// Returns the state's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Done => "done",
        }
    }

    /// Returns the state with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl Broadcast {
    /// Returns the template for one recipient. In the body, the recipient's values follow the parameters shared by all.
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
