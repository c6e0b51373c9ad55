//! Keys of messages. Both the messages that others wrote and the messages that we sent are in chronological order.

use crate::storage::table::kind::ItemKind;
use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use ulid::Ulid;

use crate::clock::at_millis;
use crate::domain::ids::{ConversationId, MessageId, OutboundId, ProviderMessageId, TenantId};
use crate::storage::StorageError;
use crate::storage::table::keys::{Key, conversation_partition, inbox};

/// Prefix of the sort keys of messages that we sent, with the prefix of their ids.
pub(in crate::storage) const OUR_MESSAGES: &str = "OUT#msg_";
/// Prefix of the sort keys of messages that others wrote; the time and the wamid follow.
pub(in crate::storage) const THEIR_MESSAGES: &str = "IN#";

const MESSAGE_PREFIX: &str = "OUT#";
const SAID_PREFIX: &str = "ANNOTATION#";
/// Characters of a ULID that encode its time.
const TIME_LEN: usize = 10;
/// Sorts after every continuation of a key.
const BEHIND_ALL: &str = "~";

/// Key of a message that we sent.
pub(in crate::storage) fn ours(conversation: &ConversationId, id: OutboundId) -> Key {
    Key::new(ItemKind::OutMessage, conversation_partition(conversation), &format!("{MESSAGE_PREFIX}{id}"))
}

/// Key of a message that somebody else wrote at this time. Redeliveries carry the same timestamp, hence the same key.
/// History synced from a phone may not; such a message is stored twice and merged on read.
pub(in crate::storage) fn theirs(conversation: &ConversationId, at: Timestamp, wamid: &ProviderMessageId) -> Key {
    Key::new(
        ItemKind::InMessage,
        conversation_partition(conversation),
        &format!("{}#{}", theirs_before(at), wamid.as_str()),
    )
}

/// Key of the annotations of a message, whether ours or not, stored or not.
pub(in crate::storage) fn said(conversation: &ConversationId, wamid: &ProviderMessageId) -> Key {
    Key::new(ItemKind::Annotation, conversation_partition(conversation), &format!("{SAID_PREFIX}{}", wamid.as_str()))
}

/// Whether `sk` is the message that somebody else wrote under this wamid.
pub(in crate::storage) fn is_theirs(sk: &str, wamid: &ProviderMessageId) -> bool {
    sk.strip_prefix(THEIR_MESSAGES).and_then(|rest| rest.get(TIME_LEN + 1..)) == Some(wamid.as_str())
}

/// Whether `sk` is the annotations item of this message.
pub(in crate::storage) fn is_said_of(sk: &str, wamid: &ProviderMessageId) -> bool {
    sk.strip_prefix(SAID_PREFIX) == Some(wamid.as_str())
}

/// Sorts before all messages that others wrote in this millisecond, and after all earlier ones.
pub(in crate::storage) fn theirs_before(at: Timestamp) -> String {
    format!("{THEIR_MESSAGES}{}", time(at))
}

/// Sorts after all messages that others wrote in this millisecond, and before all later ones.
pub(in crate::storage) fn theirs_behind(at: Timestamp) -> String {
    format!("{}{BEHIND_ALL}", theirs_before(at))
}

/// Sorts before all messages that we sent in this millisecond, and after all earlier ones.
pub(in crate::storage) fn ours_before(at: Timestamp) -> String {
    format!("{OUR_MESSAGES}{}", time(at))
}

/// Sorts after all messages that we sent in this millisecond, and before all later ones.
pub(in crate::storage) fn ours_behind(at: Timestamp) -> String {
    format!("{}{BEHIND_ALL}", ours_before(at))
}

/// Reads a message's id and time from its sort key.
pub(in crate::storage) fn parse_message(sk: &str) -> Result<(MessageId, Timestamp), StorageError> {
    parse_theirs(sk).or_else(|| parse_ours(sk)).ok_or(StorageError::Corrupt("sk"))
}

fn parse_ours(sk: &str) -> Option<(MessageId, Timestamp)> {
    let id = OutboundId::parse(sk.strip_prefix(MESSAGE_PREFIX)?).ok()?;
    Some((MessageId::Outbound(id), id.made_at()))
}

fn parse_theirs(sk: &str) -> Option<(MessageId, Timestamp)> {
    let (time, wamid) = sk.strip_prefix(THEIR_MESSAGES)?.split_at_checked(TIME_LEN)?;
    let wamid = ProviderMessageId::parse(wamid.strip_prefix('#')?).ok()?;
    Some((MessageId::Inbound(wamid), parse_time(time)?))
}

/// Encodes a time as text that sorts chronologically: the first characters of a ULID.
pub(in crate::storage) fn time(at: Timestamp) -> String {
    let mut text = Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap_or(0), 0).to_string();
    text.truncate(TIME_LEN);
    text
}

/// Decodes such a text.
pub(in crate::storage) fn parse_time(text: &str) -> Option<Timestamp> {
    let id = Ulid::from_string(&format!("{text:0<26}")).ok().filter(|_| text.len() == TIME_LEN)?;
    Some(at_millis(i64::try_from(id.timestamp_ms()).ok()?))
}

/// Key of a tenant's activity in the ten seconds from `begin`.
pub(in crate::storage) fn activity(tenant: TenantId, begin: Timestamp, digest: &str) -> Key {
    Key::new(ItemKind::Activity, inbox(tenant), &format!("{}#{digest}", time(begin)))
}

/// Sorts after all activity in the ten seconds from `begin`, and before all later activity.
pub(in crate::storage) fn behind_activity(tenant: TenantId, begin: Timestamp) -> HashMap<String, AttributeValue> {
    Key::new(ItemKind::Activity, inbox(tenant), &format!("{}{BEHIND_ALL}", time(begin))).attributes()
}

/// Reads the beginning of the ten seconds from a sort key.
pub(in crate::storage) fn parse_activity(sk: &str) -> Result<Timestamp, StorageError> {
    sk.split_once('#').and_then(|(time, _)| parse_time(time)).ok_or(StorageError::Corrupt("sk"))
}
