//! Messages as Meta wants them (`facts/messages.md` §1 and §4).

use serde::Serialize;

use crate::domain::outbound::{Intent, Recipient};

/// Most characters of a text body; counted in UTF-16 units, the stricter reading of Meta's "characters".
pub const TEXT_BODY_MAX: usize = 4_096;

/// The JSON body of `POST /{phone-number-id}/messages` for this intent.
///
/// # Errors
/// Never for the values an [`Intent`] can hold; the signature leaves it to the caller because it is JSON's.
pub fn body(intent: &Intent, callback_data: &str) -> Result<Vec<u8>, serde_json::Error> {
    let (to, recipient) = match &intent.to {
        Recipient::Phone(phone) => (Some(phone.e164()), None),
        Recipient::UserId(user_id) => (None, Some(user_id.as_str())),
    };
    serde_json::to_vec(&Envelope {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        to,
        recipient,
        kind: "text",
        text: TextObject { preview_url: intent.text.preview_url, body: &intent.text.body },
        context: intent.quotes.as_ref().map(|quoted| Context { message_id: quoted.as_str() }),
        biz_opaque_callback_data: callback_data,
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
    text: TextObject<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    biz_opaque_callback_data: &'a str,
}

#[derive(Serialize)]
struct TextObject<'a> {
    preview_url: bool,
    body: &'a str,
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a str,
}
