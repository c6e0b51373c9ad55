//! Messages as Meta wants them (`facts/messages.md` §1 and §7). What they say has its format from the domain.

use serde::Serialize;

use crate::domain::ids::Wamid;
use crate::domain::outbound::{Intent, Recipient};
use crate::domain::outgoing::Outgoing;

/// The JSON body of `POST /{phone-number-id}/messages` for this intent. `says` is the intent's body with Meta's ids in
/// place of ours, or what is sent instead.
///
/// # Errors
/// Never for the values these types can hold; the signature leaves it to the caller because it is JSON's.
pub fn body(intent: &Intent, says: &Outgoing, callback_data: &str) -> Result<Vec<u8>, serde_json::Error> {
    let (to, recipient) = match &intent.to {
        Recipient::Phone(phone) => (Some(phone.e164()), None),
        Recipient::UserId(user_id) => (None, Some(user_id.as_str())),
    };
    // Meta refuses a quote on a reaction: the reaction names its message itself.
    let quotes = intent.quotes.as_ref().filter(|_| !matches!(says, Outgoing::Reaction(_)));
    serde_json::to_vec(&Envelope {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        to,
        recipient,
        kind: says.kind(),
        says,
        context: quotes.map(|quoted| Context { message_id: quoted.as_str() }),
        biz_opaque_callback_data: callback_data,
    })
}

/// The JSON body that marks a customer's message as read, and with `typing` shows for up to 25 seconds that an answer is
/// being written.
///
/// # Errors
/// Never for the values these types can hold.
pub fn mark_read(message: &Wamid, typing: bool) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Mark {
        messaging_product: "whatsapp",
        status: "read",
        message_id: message.as_str(),
        typing_indicator: typing.then_some(Typing { kind: "text" }),
    })
}

#[derive(Serialize)]
struct Envelope<'a> {
    messaging_product: &'a str,
    recipient_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(flatten)]
    says: &'a Outgoing,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    biz_opaque_callback_data: &'a str,
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a str,
}

#[derive(Serialize)]
struct Mark<'a> {
    messaging_product: &'a str,
    status: &'a str,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    typing_indicator: Option<Typing>,
}

#[derive(Serialize)]
struct Typing {
    #[serde(rename = "type")]
    kind: &'static str,
}
