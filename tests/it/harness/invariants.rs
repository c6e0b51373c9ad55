//! Invariants at the end of every run. Each check returns the violations, so that a test with a planted bug can assert
//! that it was detected.

use std::collections::BTreeMap;

use shared::domain::ids::{ConversationId, OutboundId};
use shared::domain::sending::outbound::{SendFacts, SendState};

use super::App;

impl App {
    /// Returns violations of the guarantees about sending, for the accepted messages `promised`.
    pub(crate) async fn send_violations(&self, promised: &[(String, String)]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut accepted: BTreeMap<String, usize> = BTreeMap::new();
        for sent in self.meta.sent() {
            let message = sent.biz_opaque_callback_data.unwrap_or_default();
            let message = message.split('.').nth(2).unwrap_or_default().to_owned();
            *accepted.entry(message).or_default() += 1;
        }
        for (message, count) in accepted.iter().filter(|(_, count)| **count > 1) {
            wrong.push(format!("{message} was accepted {count} times"));
        }
        for (conversation, message) in promised {
            let Some(facts) = self.facts(conversation, message).await else {
                wrong.push(format!("{message} was promised and is lost"));
                continue;
            };
            let sent = accepted.contains_key(message);
            let shown = facts.shown().as_str();
            match (sent, facts.state) {
                (true, _) if shown != "read" => wrong.push(format!("{message} was read but is shown as {shown}")),
                (true, SendState::Sent) => {}
                (true, state) => wrong.push(format!("{message} was sent but is recorded as {state:?}")),
                (false, SendState::Unknown | SendState::Review | SendState::Expired | SendState::Failed) => {}
                (false, state) => wrong.push(format!("{message} was never sent and ends as {state:?}")),
            }
        }
        wrong
    }

    /// Returns violations of the guarantees about receiving: each of these texts is stored once, no other text is
    /// stored, and no queue holds a record.
    pub(crate) async fn receive_violations(&self, mut expected: Vec<String>) -> Vec<String> {
        expected.sort();
        let stored = self.texts("inbound").await;
        let mut wrong = Vec::new();
        if stored != expected {
            wrong.push(format!("stored {stored:?} instead of {expected:?}"));
        }
        if self.depth() != (0, 0) {
            wrong.push(format!("queues are left with {:?}", self.depth()));
        }
        wrong
    }

    /// Returns the send facts of an outbound message in the table.
    pub(crate) async fn facts(&self, conversation: &str, message: &str) -> Option<SendFacts> {
        let conversation = ConversationId::parse(conversation).unwrap();
        let message = OutboundId::parse(message).unwrap();
        let found = self.stack.operator.table.intent_get(&conversation, message).await.unwrap();
        found.map(|(_, facts)| facts)
    }
}
