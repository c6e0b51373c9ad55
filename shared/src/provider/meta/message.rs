//! Request bodies for sending messages (`docs/meta/messages.md#section-1` and `docs/meta/messages.md#section-7`). The
//! content's JSON is defined in `domain::outgoing`.

use serde::Serialize;

use crate::domain::ids::ProviderMessageId;
use crate::domain::outgoing::Outgoing;
use crate::domain::sending::outbound::{Intent, Recipient};

/// Returns the JSON body of `POST /{phone-number-id}/messages` for an intent. `says` is the content to send: the
/// intent's own, with Meta's ids in place of ours, or its fallback.
///
/// # Errors
/// Never for the values that these types can hold; the signature is serde_json's.
pub fn body(intent: &Intent, says: &Outgoing, callback_data: &str) -> Result<Vec<u8>, serde_json::Error> {
    let (to, recipient) = match &intent.to {
        Recipient::Phone(phone) => (Some(phone.e164()), None),
        Recipient::UserId(user_id) => (None, Some(user_id.as_str())),
    };
    // Meta refuses a quote on a reaction, which already names its message.
    let quotes = intent.quotes.as_ref().filter(|_| !matches!(says, Outgoing::Reaction(_)));
    serde_json::to_vec(&Envelope {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        to,
        recipient,
        kind: says.kind().as_str(),
        says,
        context: quotes.map(|quoted| Context { message_id: quoted.as_str() }),
        biz_opaque_callback_data: callback_data,
    })
}

/// Returns the JSON body that marks a customer's message as read. With `typing` it also shows the typing indicator, for
/// up to 25 seconds.
///
/// # Errors
/// Never for the values that these types can hold.
pub fn mark_read(message: &ProviderMessageId, typing: bool) -> Result<Vec<u8>, serde_json::Error> {
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
