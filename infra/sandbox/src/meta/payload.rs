//! Webhook bodies, in Meta's form and with Meta's escaping.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use shared::clock::Timestamp;

use super::{MetaNumber, SentMessage};

/// Returns a message id in Meta's form: base 64 of a record that contains the customer's number.
#[must_use]
pub fn wamid(customer: &str, serial: u64) -> String {
    let mut record = vec![0x1C, 0x18, u8::try_from(customer.len()).unwrap_or(u8::MAX)];
    record.extend_from_slice(customer.as_bytes());
    record.extend_from_slice(&[0x15, 0x02, 0x00, 0x11, 0x18, 0x12]);
    record.extend_from_slice(format!("{serial:018X}").as_bytes());
    record.push(0);
    format!("wamid.{}", STANDARD.encode(record))
}

/// Returns the webhook `value` of a customer's message.
pub(super) fn message(
    number: &MetaNumber,
    customer: &str,
    wamid: &str,
    now: Timestamp,
    mut message: Map<String, Value>,
) -> Value {
    message.insert("from".to_owned(), json!(customer));
    message.insert("id".to_owned(), json!(wamid));
    message.insert("timestamp".to_owned(), json!(now.as_second().to_string()));
    json!({
        "messaging_product": "whatsapp",
        "metadata": metadata(number),
        "contacts": [{"profile": {"name": name_of(customer)}, "wa_id": customer}],
        "messages": [message],
    })
}

/// Returns the webhook `value` of a status.
pub(super) fn status(number: &MetaNumber, sent: &SentMessage, step: &str, now: Timestamp) -> Value {
    let mut status = json!({
        "id": sent.wamid,
        "status": step,
        "timestamp": now.as_second().to_string(),
        "recipient_id": sent.to,
    });
    if let Some(opaque) = &sent.biz_opaque_callback_data {
        status["biz_opaque_callback_data"] = json!(opaque);
    }
    if !["read", "failed"].contains(&step) {
        let (billable, kind, category) = priced(sent);
        status["pricing"] = json!({"billable": billable, "pricing_model": "PMP", "type": kind, "category": category});
    }
    json!({"messaging_product": "whatsapp", "metadata": metadata(number), "statuses": [status]})
}

/// Returns whether a message is billable, its pricing type and its category: templates are billable, other messages are
/// not.
pub(super) fn priced(sent: &SentMessage) -> (bool, &'static str, &'static str) {
    match sent.body.get("template") {
        Some(_) => (true, "regular", "utility"),
        None => (false, "free_customer_service", "service"),
    }
}

/// Returns a complete webhook body, escaped.
pub(super) fn envelope(waba: &str, field: &str, value: &Value) -> String {
    escape(
        &json!({
            "object": "whatsapp_business_account",
            "entry": [{"id": waba, "changes": [{"value": value, "field": field}]}],
        })
        .to_string(),
    )
}

fn metadata(number: &MetaNumber) -> Value {
    json!({"display_phone_number": number.display_phone_number, "phone_number_id": number.phone_number_id})
}

fn name_of(customer: &str) -> String {
    let last = customer.get(customer.len().saturating_sub(4)..).unwrap_or(customer);
    format!("Customer {last}")
}

/// Escapes as Meta does: slashes, and everything except ASCII as `\uXXXX` in lower case.
fn escape(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 8);
    for character in json.chars() {
        match character {
            '/' => out.push_str("\\/"),
            ' '..='~' => out.push(character),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out
}
