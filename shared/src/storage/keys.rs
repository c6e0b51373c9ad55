//! The key scheme: built here and nowhere else.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | tenant | `TENANT#id` | `TENANT` |
//! | accounts that a tenant ever connected | `TENANT#id` | `ACCOUNTS` |
//! | offboarding | `OFFBOARDING#id` | `OFFBOARDING` |
//! | request to delete data, by its code | `DELETION#code` | `DELETION` |
//! | an account that left, one that a signup is about | `WABA#id` | `GONE`, `CLAIM` |
//! | API key | `KEY#id` | `KEY` |
//! | who changed what | `AUDIT#id` | `AUDIT` |
//! | Meta app | `APP#id` | `APP` |
//! | system secret | `SECRET#name` | `SECRET` |
//! | number | `NUMBER#id` | `NUMBER` |
//! | how far a number's past has come in | `NUMBER#id` | `HISTORY#phase` |
//! | token | `WABA#id` | `TOKEN#purpose` |
//! | an account's number by its digits | `WABA#id` | `NUMBER#digits` |
//! | state of a number, an account, a portfolio | `NUMBER#id`, `WABA#id`, `PORTFOLIO#id` | `STATE#aspect#key` |
//! | state of a template | `WABA#id` | `TEMPLATE#id#aspect` |
//! | alert | `ALERT#hash` | `ALERT` |
//! | contact alias | `ALIAS#tenant#kind#alias` | `ALIAS` |
//! | contact: who else it is | `CONTACT#id` | `CONTACT` |
//! | what a contact wants from an account | `CONTACT#id` | `WANTS#account#category` |
//! | merge of two contacts | `MERGE#one#other` | `MERGE` |
//! | conversation | `CONV#number#contact` | `CONV` |
//! | note about a conversation | `CONV#number#contact` | `NOTE#id` |
//! | who is found by a word of its name or by its digits | `NAMES#tenant` | `word#conversation` |
//! | who wrote when, in a tenant's conversations, by ten seconds | `INBOX#tenant` | `time#digest` |
//! | message that we sent | `CONV#number#contact` | `MSG#id` |
//! | message that somebody else wrote | `CONV#number#contact` | `OTHERS#time#wamid` |
//! | what is said about a message | `CONV#number#contact` | `SAID#wamid` |
//! | idempotency record | `IDEM#tenant#hash` | `IDEM` |
//! | kept raw item | `KEPT#hash` | `KEPT` |
//! | replay | `REPLAY#id` | `REPLAY` |
//! | erasure of a contact | `ERASURE#id` | `ERASURE` |
//! | what a batch of statuses said, for the counting | `USAGE#number#day` | hour, time, hash |
//! | pace of a number: schedule, pause, breaker | `RATE#number` | `RATE` |
//! | pace of a number towards one contact | `PAIR#number#contact` | `PAIR` |
//! | what Meta asked for towards a contact | `CONTACT#id` | `RESTRAINT#account` |
//! | when an account's templates were fetched | `WABA#id` | `MIRROR` |
//! | template by name and language | `WABA#id` | `NAMED#name#language` |
//! | onboarding | `ONBOARDING#id` | `ONBOARDING` |
//! | PIN of a number, and how often it was registered | `NUMBER#id` | `PIN` |
//! | which accounts a business shares with us | `BUSINESS#id` | `BUSINESS` |
//! | accounts that a user gave an app access to | `SIGNER#app#user` | `SIGNER` |
//! | what is known of a number's hops | `NUMBER#id` | `HEALTH` |
//! | broadcast | `BROADCAST#id` | `BROADCAST` |
//! | file to send | `MEDIA#id` | `MEDIA` |
//! | file that a customer sent, copied | `NUMBER#id` | `FILE#id` |
//! | lease of a job | `LEASE#name` | `LEASE` |
//! | what the ledger found stranded | `LEDGER` | `LEDGER` |
//!
//! Messages stand in the order of their time: ours by our id, which begins with it. Reactions, edits and revocations may come before
//! the message that they are about, and name it by its wamid alone: they stand under that, and are joined with it when it is read.
//!
//! Two sparse indexes, keys only: `feed`
//! (global, `feed` + `feed_at`) holds what never moves: `INBOX#tenant` (one entry a message that we sent), `KEPT#number`, `ONBOARDINGS#tenant`, `OFFBOARDINGS#tenant` and `ERASURES#tenant`; `list` (global, `list` + `list_at`) holds what moves or leaves: `DUE#shard`,
//! `LINE#number` (bulk lane), `TOKENS`, `OFFBOARDINGS`, `ERASURES`, `RUNNING#number` (broadcasts), `LINES`, `KEPT#reason`, and short lists: `BROADCASTS#tenant`,
//! `NUMBERS#tenant`, `ALERTS#tenant` (`ALERTS#operator`),
//! `MERGES#tenant`.

mod lists;
mod messages;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub(super) use lists::*;
pub(super) use messages::*;

use super::StorageError;
use crate::domain::account::{Aspect, Subject};
use crate::domain::contact::Alias;
use crate::domain::ids::{
    BroadcastId, ContactId, ConversationId, ErasureId, MediaId, MessageId, MetaAppId, MetaFileId, NoteId,
    OffboardingId, OnboardingId, PhoneNumberId, ReplayId, TenantId, WabaId,
};

/// The global index of what never moves.
pub(super) const FEED: &str = "feed";
/// The global index of lists whose entries move or leave.
pub(super) const LIST: &str = "list";

/// What the notes about a conversation begin with.
pub(super) const NOTE_PREFIX: &str = "NOTE#";
/// What the states of a number or an account begin with.
pub(super) const STATE_PREFIX: &str = "STATE#";
/// What the states of an account's templates begin with.
pub(super) const TEMPLATE_PREFIX: &str = "TEMPLATE#";
/// What the templates of an account by name and language begin with.
pub(super) const NAMED_PREFIX: &str = "NAMED#";
/// What the phases of a number's past begin with.
pub(super) const HISTORY_PREFIX: &str = "HISTORY#";
/// Longest part of a key that a provider names, in bytes; a longer one stands there as its hash.
const NAMED_MAX: usize = 100;

/// The primary key of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) pk: String,
    pub(super) sk: String,
}

impl Key {
    fn new(pk: String, sk: &str) -> Self {
        Self { pk, sk: sk.to_owned() }
    }

    pub(super) fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }
}

pub(super) fn tenant(id: TenantId) -> Key {
    Key::new(format!("TENANT#{id}"), "TENANT")
}

pub(super) fn api_key(id: &str) -> Key {
    Key::new(format!("KEY#{id}"), "KEY")
}

pub(super) fn meta_app(id: &MetaAppId) -> Key {
    Key::new(format!("APP#{id}"), "APP")
}

pub(super) fn system_secret(name: &str) -> Key {
    Key::new(format!("SECRET#{name}"), "SECRET")
}

pub(super) fn number(id: &PhoneNumberId) -> Key {
    Key::new(format!("NUMBER#{id}"), "NUMBER")
}

pub(super) fn graph_token(waba: &WabaId) -> Key {
    Key::new(format!("WABA#{waba}"), "TOKEN#messaging")
}

pub(super) fn alias(tenant: TenantId, alias: &Alias) -> Key {
    alias_named(tenant, &alias_name(alias))
}

/// An alias by its [`alias_name`].
pub(super) fn alias_named(tenant: TenantId, name: &str) -> Key {
    Key::new(format!("ALIAS#{tenant}#{name}"), "ALIAS")
}

/// An alias as it stands in its key: kind and name.
pub(super) fn alias_name(alias: &Alias) -> String {
    match alias {
        Alias::Phone(phone) => format!("PHONE#{}", phone.digits()),
        Alias::UserId(user_id) => format!("USER#{}", short(user_id)),
        Alias::ParentUserId(user_id) => format!("PARENT#{}", short(user_id)),
        Alias::Group(group) => format!("GROUP#{}", short(group)),
    }
}

fn short(name: &str) -> String {
    if name.len() <= NAMED_MAX { name.to_owned() } else { digest(name.as_bytes()) }
}

pub(super) fn account_number(waba: &WabaId, digits: &str) -> Key {
    Key::new(format!("WABA#{waba}"), &format!("NUMBER#{digits}"))
}

pub(super) fn state(subject: &Subject, aspect: Aspect, key: Option<&str>) -> Key {
    let (pk, digits) = match subject {
        Subject::Number(id) => (format!("NUMBER#{id}"), None),
        Subject::NumberNamed(waba, digits) => (format!("WABA#{waba}"), Some(digits.as_str())),
        Subject::Waba(id) => (format!("WABA#{id}"), None),
        Subject::Template(waba, id) => {
            let sk = format!("{TEMPLATE_PREFIX}{}#{}", short(id), aspect.as_str());
            return Key::new(format!("WABA#{waba}"), &sk);
        }
        Subject::Portfolio(id) => (format!("PORTFOLIO#{}", short(id)), None),
    };
    let parts = [digits, key].into_iter().flatten().map(|part| format!("#{}", short(part))).collect::<String>();
    Key::new(pk, &format!("{STATE_PREFIX}{}{parts}", aspect.as_str()))
}

pub(super) fn number_partition(id: &PhoneNumberId) -> String {
    format!("NUMBER#{id}")
}

pub(super) fn account_partition(id: &WabaId) -> String {
    format!("WABA#{id}")
}

pub(super) fn pace(number: &PhoneNumberId) -> Key {
    Key::new(format!("RATE#{number}"), "RATE")
}

/// The account of a key.
pub(super) fn parse_account(pk: &str) -> Result<WabaId, StorageError> {
    pk.strip_prefix("WABA#").and_then(|id| WabaId::parse(id).ok()).ok_or(StorageError::Corrupt("pk"))
}

/// The number of a pace's key.
pub(super) fn parse_pace(pk: &str) -> Result<PhoneNumberId, StorageError> {
    pk.strip_prefix("RATE#").and_then(|id| PhoneNumberId::parse(id).ok()).ok_or(StorageError::Corrupt("pk"))
}

/// What statuses say of the messages that a number had accepted in an hour, for the counting.
pub(super) fn usage(number: &PhoneNumberId, hour: Timestamp, received_at: Timestamp, digest: &str) -> Key {
    let of_hour = format!("{}#{:013}#{digest}", hour.strftime("%H"), received_at.as_millisecond());
    Key::new(usage_partition(number, super::day_of(hour)), &of_hour)
}

/// A day's messages of a number.
pub(super) fn usage_partition(number: &PhoneNumberId, day: jiff::civil::Date) -> String {
    format!("USAGE#{number}#{day}")
}

pub(super) fn pair(conversation: &ConversationId) -> Key {
    Key::new(format!("PAIR#{}#{}", conversation.number(), conversation.contact()), "PAIR")
}

pub(super) fn onboarding(id: OnboardingId) -> Key {
    Key::new(format!("ONBOARDING#{id}"), "ONBOARDING")
}

pub(super) fn business(id: &str) -> Key {
    Key::new(format!("BUSINESS#{}", short(id)), "BUSINESS")
}

/// Who signed up: a user by a Meta app's own id of them.
pub(super) fn signer(app: &MetaAppId, user: &str) -> Key {
    Key::new(format!("SIGNER#{app}#{}", short(user)), "SIGNER")
}

pub(super) fn pin(number: &PhoneNumberId) -> Key {
    Key::new(format!("NUMBER#{number}"), "PIN")
}

/// Who changed what.
pub(super) fn audit(id: &str) -> Key {
    Key::new(format!("AUDIT#{id}"), "AUDIT")
}

pub(super) fn offboarding(id: OffboardingId) -> Key {
    Key::new(format!("OFFBOARDING#{id}"), "OFFBOARDING")
}

/// A contact of which everything is erased.
pub(super) fn erasure(id: ErasureId) -> Key {
    Key::new(format!("ERASURE#{id}"), "ERASURE")
}

/// A request to delete data, by the code that the user was given.
pub(super) fn deletion(code: OffboardingId) -> Key {
    Key::new(format!("DELETION#{code}"), "DELETION")
}

/// An account that left: nothing of it is stored any more.
pub(super) fn gone_account(id: &WabaId) -> Key {
    Key::new(format!("WABA#{id}"), GONE)
}

/// A signup through a page of ours is about an account.
pub(super) fn claim(id: &WabaId) -> Key {
    Key::new(format!("WABA#{id}"), "CLAIM")
}

/// The accounts that a tenant ever connected.
pub(super) fn tenant_accounts(id: TenantId) -> Key {
    Key::new(format!("TENANT#{id}"), "ACCOUNTS")
}

/// What is known of a number's hops.
pub(super) fn health(number: &PhoneNumberId) -> Key {
    Key::new(format!("NUMBER#{number}"), "HEALTH")
}

pub(super) fn broadcast(id: BroadcastId) -> Key {
    Key::new(format!("BROADCAST#{id}"), "BROADCAST")
}

pub(super) fn media(id: MediaId) -> Key {
    Key::new(format!("MEDIA#{id}"), "MEDIA")
}

/// A file that a customer sent to a number, by Meta's id.
pub(super) fn file(number: &PhoneNumberId, id: &MetaFileId) -> Key {
    Key::new(format!("NUMBER#{number}"), &format!("FILE#{id}"))
}

pub(super) fn lease(name: &str) -> Key {
    Key::new(format!("LEASE#{name}"), "LEASE")
}

pub(super) fn ledger() -> Key {
    Key::new("LEDGER".to_owned(), "LEDGER")
}

/// What Meta asked for towards a contact: pauses of marketing, a block.
pub(super) fn restraint(contact: ContactId, waba: &WabaId) -> Key {
    Key::new(format!("CONTACT#{contact}"), &format!("RESTRAINT#{waba}"))
}

/// A template by the name and language that a send uses.
pub(super) fn template_named(waba: &WabaId, name: &str, language: &str) -> Key {
    Key::new(format!("WABA#{waba}"), &format!("{NAMED_PREFIX}{}#{language}", short(name)))
}

/// When an account's templates were last fetched.
pub(super) fn mirror(waba: &WabaId) -> Key {
    Key::new(format!("WABA#{waba}"), "MIRROR")
}

pub(super) fn history(number: &PhoneNumberId, phase: i64) -> Key {
    Key::new(format!("NUMBER#{number}"), &format!("{HISTORY_PREFIX}{phase}"))
}

pub(super) fn alert(hash: &str) -> Key {
    Key::new(format!("ALERT#{hash}"), "ALERT")
}

pub(super) fn contact(id: ContactId) -> Key {
    Key::new(format!("CONTACT#{id}"), "CONTACT")
}

pub(super) fn contact_partition(id: ContactId) -> String {
    format!("CONTACT#{id}")
}

/// What the wishes of a contact towards an account begin with.
pub(super) fn wants_prefix(waba: &WabaId) -> String {
    format!("WANTS#{waba}#")
}

pub(super) fn wants(contact: ContactId, waba: &WabaId, category: &str) -> Key {
    Key::new(format!("CONTACT#{contact}"), &format!("{}{}", wants_prefix(waba), short(category)))
}

/// The same for both orders of the two.
pub(super) fn merge(one: ContactId, other: ContactId) -> Key {
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    Key::new(format!("MERGE#{first}#{second}"), "MERGE")
}

pub(super) fn replay(id: ReplayId) -> Key {
    Key::new(format!("REPLAY#{id}"), "REPLAY")
}

pub(super) fn conversation(id: &ConversationId) -> Key {
    Key::new(conversation_partition(id), "CONV")
}

/// A conversation that is found by a word.
pub(super) fn name(tenant: TenantId, word: &str, conversation: &ConversationId) -> Key {
    Key::new(names(tenant), &format!("{word}#{conversation}"))
}

/// Everybody of a tenant by name.
pub(super) fn names(tenant: TenantId) -> String {
    format!("NAMES#{tenant}")
}

/// Reads word and conversation back out of the key of [`name`].
pub(super) fn parse_name(sk: &str) -> Result<(&str, ConversationId), StorageError> {
    let parts = sk.split_once('#').and_then(|(word, id)| Some((word, ConversationId::parse(id).ok()?)));
    parts.ok_or(StorageError::Corrupt("sk"))
}

/// What people remember of a conversation.
pub(super) fn note(conversation: &ConversationId, id: NoteId) -> Key {
    Key::new(conversation_partition(conversation), &format!("{NOTE_PREFIX}{id}"))
}

pub(super) fn conversation_partition(id: &ConversationId) -> String {
    format!("CONV#{}#{}", id.number(), id.contact())
}

/// Reads the conversation back out of a message's or a conversation's key.
pub(super) fn parse_conversation(pk: &str) -> Result<ConversationId, StorageError> {
    let corrupt = StorageError::Corrupt("pk");
    let (number, contact) = pk.strip_prefix("CONV#").and_then(|rest| rest.split_once('#')).ok_or(corrupt.clone())?;
    Ok(ConversationId::new(
        PhoneNumberId::parse(number).map_err(|_| corrupt.clone())?,
        crate::domain::ids::ContactId::parse(contact).map_err(|_| corrupt)?,
    ))
}

pub(super) fn idempotency(tenant: TenantId, key: &str) -> Key {
    Key::new(format!("IDEM#{tenant}#{}", digest(key.as_bytes())), "IDEM")
}

pub(super) fn kept(raw: &[u8]) -> Key {
    kept_of(&digest(raw))
}

pub(super) fn kept_of(hash: &str) -> Key {
    Key::new(format!("KEPT#{hash}"), "KEPT")
}

/// Reads a message's conversation and id back out of an index entry.
pub(super) fn parse_feed_entry(pk: &str, sk: &str) -> Result<(ConversationId, MessageId), StorageError> {
    Ok((parse_conversation(pk)?, parse_message(sk)?.0))
}

pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
