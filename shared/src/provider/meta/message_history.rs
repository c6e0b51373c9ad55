//! `GET /{phone-number-id}/message_history`: the messages of a number that Meta knows, with their events; and the
//! recipient contained in a message id.
//!
//! This is the second kind of evidence about a send with outcome unknown (`docs/reliability.md#e2`). The shape is from
//! Meta's own OpenAPI description. No response of a live account has been seen, so a setting must switch it on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;

use crate::domain::accounts::token::AccessToken;
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::event::ProviderError;
use crate::domain::ids::{NumberId, ProviderMessageId};
use crate::provider::meta::accounts::Paged;
use crate::provider::meta::graph::{CallFailure, GraphClient, call};

/// Messages per page (Meta: at most 100).
const PAGE: usize = 100;
/// Fields to request; by default Meta returns only ids.
const FIELDS: &str = "id,message_id,events{delivery_status,timestamp}";
/// Most pages read. Meta documents neither how far back the list goes nor its order.
const PAGES_MAX: usize = 10;

/// A message that Meta knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The message's id.
    pub wamid: ProviderMessageId,
    /// Time of its first event, to the second.
    pub first_event_at: Timestamp,
}

#[derive(Deserialize)]
struct Message {
    message_id: String,
    #[serde(default)]
    events: Events,
}

#[derive(Default, Deserialize)]
struct Events {
    #[serde(default)]
    data: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    timestamp: i64,
}

impl GraphClient {
    /// Returns the messages of a number that have at least one event.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed with a complete list that has events.
    pub async fn message_history(&self, token: &AccessToken, number: &NumberId) -> Result<Vec<Listed>, CallFailure> {
        let (mut listed, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let mut query = vec![("limit", PAGE.to_string()), ("fields", FIELDS.to_owned())];
            query.extend(after.take().map(|after| ("after", after)));
            let request = self.with_token_or_refusal(Method::GET, &format!("{number}/message_history"), token)?;
            let answer = call(request.query(&query)).await?;
            let page: Paged<Message> =
                serde_json::from_slice(&answer).map_err(|_| cut("Meta's answer has no list of messages"))?;
            let found: Vec<Listed> = page.data.iter().filter_map(read).collect();
            if found.is_empty() && !page.data.is_empty() {
                return Err(cut("Meta's list has no events"));
            }
            listed.extend(found);
            after = page.next();
            if after.is_none() {
                return Ok(listed);
            }
        }
        Err(cut("Meta's list is longer than what is read of it"))
    }
}

fn cut(why: &'static str) -> CallFailure {
    CallFailure::TryLater(ProviderError::ours("history_unusable", why))
}

fn read(message: &Message) -> Option<Listed> {
    let first = message.events.data.iter().map(|event| event.timestamp).min()?;
    let first_event_at = Timestamp::from_second(first).ok()?;
    Some(Listed { wamid: ProviderMessageId::parse(&message.message_id).ok()?, first_event_at })
}

/// Returns the phone number contained in a message id: base 64 of a record in which the recipient's digits follow their
/// count.
///
/// The format is not documented; three published samples decode this way. `None` for an id of another form, or of a
/// customer without a phone number.
#[must_use]
pub fn recipient_of(wamid: &ProviderMessageId) -> Option<PhoneNumber> {
    let record = STANDARD.decode(wamid.as_str().strip_prefix("wamid.")?).ok()?;
    let digits = (0..record.len()).find_map(|start| {
        let count = usize::from(*record.get(start)?);
        let digits = record.get(start + 1..start + 1 + count)?;
        ((7..=15).contains(&count) && digits.iter().all(u8::is_ascii_digit)).then_some(digits)
    })?;
    PhoneNumber::parse_wa_id(std::str::from_utf8(digits).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_as_meta_prints_it_holds_its_recipient() {
        // The sample id of Meta's page "Send messages" (Cloud API), with an invented number.
        let sample = ProviderMessageId::parse("wamid.HBgLMTY0NjcwNDM1OTUVAgARGBI1RjQyNUE3NEYxMzAzMzQ5MkEA").unwrap();
        assert_eq!(recipient_of(&sample).unwrap().e164(), "+16467043595");
        for other in ["wamid.HBgL", "wamid.!!", "wamid.", "msg", "wamid.QUFBQUFBQUFBQUFBQUFB"] {
            assert_eq!(ProviderMessageId::parse(other).ok().and_then(|id| recipient_of(&id)), None, "{other}");
        }
    }
}
