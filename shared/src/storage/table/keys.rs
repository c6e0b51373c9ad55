//! The key scheme. All keys are built here and nowhere else.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | tenant | `TENANT#id` | `TENANT` |
//! | accounts that a tenant ever connected | `TENANT#id` | `ACCOUNTS` |
//! | offboarding | `OFFBOARDING#id` | `OFFBOARDING` |
//! | request to delete data, by its code | `DELETION#code` | `DELETION` |
//! | mark of an account that left, of one that a signup is about | `WABA#id` | `GONE`, `CLAIM` |
//! | API key | `KEY#id` | `KEY` |
//! | audit entry | `AUDIT#id` | `AUDIT` |
//! | Meta app | `APP#id` | `APP` |
//! | system secret | `SECRET#name` | `SECRET` |
//! | number | `NUMBER#id` | `NUMBER` |
//! | progress of a number's history sync | `NUMBER#id` | `HISTORY#phase` |
//! | token | `WABA#id` | `TOKEN#purpose` |
//! | an account's number by its digits | `WABA#id` | `NUMBER#digits` |
//! | state of a number, an account, a portfolio | `NUMBER#id`, `WABA#id`, `PORTFOLIO#id` | `STATE#aspect#key` |
//! | state of a template | `WABA#id` | `TEMPLATE#id#aspect` |
//! | alert | `ALERT#hash` | `ALERT` |
//! | contact alias | `ALIAS#tenant#kind#alias` | `ALIAS` |
//! | contact, with the other contacts of the person | `CONTACT#id` | `CONTACT` |
//! | preference of a contact towards an account | `CONTACT#id` | `WANTS#account#category` |
//! | merge of two contacts | `MERGE#one#other` | `MERGE` |
//! | conversation | `CONV#number#contact` | `CONV` |
//! | note about a conversation | `CONV#number#contact` | `NOTE#id` |
//! | search entry: word of a name, or digits of a number | `NAMES#tenant` | `word#conversation` |
//! | activity in a tenant's conversations, per ten seconds | `INBOX#tenant` | `time#digest` |
//! | message that we sent | `CONV#number#contact` | `OUT#id` |
//! | message that somebody else wrote | `CONV#number#contact` | `IN#time#wamid` |
//! | annotations of a message | `CONV#number#contact` | `ANNOTATION#wamid` |
//! | idempotency record | `IDEM#tenant#hash` | `IDEM` |
//! | quarantined item | `QUARANTINE#hash` | `QUARANTINE` |
//! | replay | `REPLAY#id` | `REPLAY` |
//! | erasure of a contact | `ERASURE#id` | `ERASURE` |
//! | usage: statuses of one batch, to be counted | `USAGE#number#day` | hour, time, hash |
//! | pace of a number: schedule, pause, breaker | `RATE#number` | `RATE` |
//! | pace of a number towards one contact | `PAIR#number#contact` | `PAIR` |
//! | restraint that Meta requires towards a contact | `CONTACT#id` | `RESTRAINT#account` |
//! | time of the last fetch of an account's templates | `WABA#id` | `MIRROR` |
//! | template by name and language | `WABA#id` | `NAMED#name#language` |
//! | onboarding | `ONBOARDING#id` | `ONBOARDING` |
//! | PIN of a number, and its count of registrations | `NUMBER#id` | `PIN` |
//! | accounts that a business shares with us | `BUSINESS#id` | `BUSINESS` |
//! | accounts that a user gave an app access to | `SIGNER#app#user` | `SIGNER` |
//! | health of a number: checks and receipts | `NUMBER#id` | `HEALTH` |
//! | broadcast | `BROADCAST#id` | `BROADCAST` |
//! | file to send | `MEDIA#id` | `MEDIA` |
//! | copy of a file that a customer sent | `NUMBER#id` | `FILE#id` |
//! | lease of a job | `LEASE#name` | `LEASE` |
//! | stranded messages that the ledger found | `LEDGER` | `LEDGER` |
//!
//! Messages are in chronological order; the id of a message that we sent begins with its time. Reactions, edits and
//! revocations may arrive before their message, and name it by its wamid only. They are therefore stored under the
//! wamid, and joined with the message when it is read.
//!
//! There are two sparse global indexes, which contain keys only.
//!
//! * `feed` (`feed` + `feed_at`) contains entries that never move: `INBOX#tenant` (one entry per message that we sent),
//!   `BROADCASTS#tenant`, `QUARANTINE#number`, `QUARANTINE#WABA#account`, `ONBOARDINGS#tenant`,
//!   `OFFBOARDINGS#tenant`, `ERASURES#tenant` and `AUDITS#tenant` (`AUDITS#operator`).
//! * `list` (`list` + `list_at`) contains entries that move or leave: `DUE#shard`, `LINE#number` (bulk lane), `LINES`,
//!   `ACCEPTED#number#wamid` (one message that we sent), `TOKENS`, `OFFBOARDINGS`, `ERASURES`, `RUNNING#number`
//!   (broadcasts) and `QUARANTINE#reason`; and short lists: `TENANTS`, `KEYS#tenant` (`KEYS#operator`),
//!   `NUMBERS#tenant`, `ALERTS#tenant` (`ALERTS#operator`) and `MERGES#tenant`.

mod lists;
mod messages;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

pub(in crate::storage) use lists::*;
pub(in crate::storage) use messages::*;

use crate::domain::accounts::account::{Aspect, Subject};
use crate::domain::conversations::contact::Alias;
use crate::domain::ids::{
    BroadcastId, ContactId, ConversationId, ErasureId, MediaId, MessageId, MetaAppId, MetaFileId, NoteId, NumberId,
    OffboardingId, OnboardingId, ReplayId, TenantId, WabaId,
};
use crate::storage::StorageError;
use crate::storage::table::kind::ItemKind;

/// Global index of entries that never move.
pub(in crate::storage) const FEED: &str = "feed";
/// Global index of lists whose entries move or leave.
pub(in crate::storage) const LIST: &str = "list";

/// Prefix of the notes about a conversation.
pub(in crate::storage) const NOTE_PREFIX: &str = "NOTE#";
/// Prefix of the states of a number, an account or a portfolio.
pub(in crate::storage) const STATE_PREFIX: &str = "STATE#";
/// Prefix of the states of an account's templates.
pub(in crate::storage) const TEMPLATE_PREFIX: &str = "TEMPLATE#";
/// Prefix of an account's templates by name and language.
pub(in crate::storage) const NAMED_PREFIX: &str = "NAMED#";
/// Prefix of the phases of a number's history sync.
pub(in crate::storage) const HISTORY_PREFIX: &str = "HISTORY#";
/// Longest part of a key that a provider names, in bytes; a longer one is replaced by its hash.
const NAMED_MAX: usize = 100;

/// The primary key of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Key {
    pub(in crate::storage) pk: String,
    pub(in crate::storage) sk: String,
}

impl Key {
    /// The kind is named where a key is built, so that a new key needs a kind, and a new kind all that matches kinds.
    fn new(kind: ItemKind, pk: String, sk: &str) -> Self {
        debug_assert_eq!(ItemKind::of(&pk, sk), Some(kind), "the form of {kind:?}");
        Self { pk, sk: sk.to_owned() }
    }

    pub(in crate::storage) fn attributes(&self) -> HashMap<String, AttributeValue> {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }
}

pub(in crate::storage) fn tenant(id: TenantId) -> Key {
    Key::new(ItemKind::Tenant, format!("TENANT#{id}"), "TENANT")
}

pub(in crate::storage) fn api_key(id: &str) -> Key {
    Key::new(ItemKind::ApiKey, format!("KEY#{id}"), "KEY")
}

pub(in crate::storage) fn meta_app(id: &MetaAppId) -> Key {
    Key::new(ItemKind::MetaApp, format!("APP#{id}"), "APP")
}

pub(in crate::storage) fn system_secret(name: &str) -> Key {
    Key::new(ItemKind::SystemSecret, format!("SECRET#{name}"), "SECRET")
}

pub(in crate::storage) fn number(id: &NumberId) -> Key {
    Key::new(ItemKind::Number, format!("NUMBER#{id}"), "NUMBER")
}

pub(in crate::storage) fn graph_token(waba: &WabaId) -> Key {
    Key::new(ItemKind::Token, format!("WABA#{waba}"), "TOKEN#messaging")
}

pub(in crate::storage) fn alias(tenant: TenantId, alias: &Alias) -> Key {
    alias_named(tenant, &alias_name(alias))
}

/// Key of an alias by its [`alias_name`].
pub(in crate::storage) fn alias_named(tenant: TenantId, name: &str) -> Key {
    Key::new(ItemKind::Alias, format!("ALIAS#{tenant}#{name}"), "ALIAS")
}

/// Returns the form of an alias in its key: kind and name.
pub(in crate::storage) fn alias_name(alias: &Alias) -> String {
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

pub(in crate::storage) fn account_number(waba: &WabaId, digits: &str) -> Key {
    Key::new(ItemKind::AccountNumber, format!("WABA#{waba}"), &format!("NUMBER#{digits}"))
}

pub(in crate::storage) fn state(subject: &Subject, aspect: Aspect, key: Option<&str>) -> Key {
    let (kind, pk, digits) = match subject {
        Subject::Number(id) => (ItemKind::NumberState, format!("NUMBER#{id}"), None),
        Subject::NumberNamed(waba, digits) => (ItemKind::AccountState, format!("WABA#{waba}"), Some(digits.as_str())),
        Subject::Waba(id) => (ItemKind::AccountState, format!("WABA#{id}"), None),
        Subject::Template(waba, id) => {
            let sk = format!("{TEMPLATE_PREFIX}{}#{}", short(id), aspect.as_str());
            return Key::new(ItemKind::TemplateState, format!("WABA#{waba}"), &sk);
        }
        Subject::Portfolio(id) => (ItemKind::PortfolioState, format!("PORTFOLIO#{}", short(id)), None),
    };
    let parts = [digits, key].into_iter().flatten().map(|part| format!("#{}", short(part))).collect::<String>();
    Key::new(kind, pk, &format!("{STATE_PREFIX}{}{parts}", aspect.as_str()))
}

pub(in crate::storage) fn number_partition(id: &NumberId) -> String {
    format!("NUMBER#{id}")
}

pub(in crate::storage) fn account_partition(id: &WabaId) -> String {
    format!("WABA#{id}")
}

pub(in crate::storage) fn pace(number: &NumberId) -> Key {
    Key::new(ItemKind::Pace, format!("RATE#{number}"), "RATE")
}

/// Reads the account from a key.
pub(in crate::storage) fn parse_account(pk: &str) -> Result<WabaId, StorageError> {
    pk.strip_prefix("WABA#").and_then(|id| WabaId::parse(id).ok()).ok_or(StorageError::Corrupt("pk"))
}

/// Reads the number from the key of a pace.
pub(in crate::storage) fn parse_pace(pk: &str) -> Result<NumberId, StorageError> {
    pk.strip_prefix("RATE#").and_then(|id| NumberId::parse(id).ok()).ok_or(StorageError::Corrupt("pk"))
}

/// Key of the statuses of one batch, for messages that a number had accepted in an hour; for the usage counts.
pub(in crate::storage) fn usage(number: &NumberId, hour: Timestamp, received_at: Timestamp, digest: &str) -> Key {
    let of_hour = format!("{}#{:013}#{digest}", hour.strftime("%H"), received_at.as_millisecond());
    Key::new(ItemKind::Usage, usage_partition(number, crate::storage::day_of(hour)), &of_hour)
}

/// Partition of a number's usage on one day.
pub(in crate::storage) fn usage_partition(number: &NumberId, day: jiff::civil::Date) -> String {
    format!("USAGE#{number}#{day}")
}

pub(in crate::storage) fn pair(conversation: &ConversationId) -> Key {
    Key::new(ItemKind::Pair, format!("PAIR#{}#{}", conversation.number(), conversation.contact()), "PAIR")
}

pub(in crate::storage) fn onboarding(id: OnboardingId) -> Key {
    Key::new(ItemKind::Onboarding, format!("ONBOARDING#{id}"), "ONBOARDING")
}

pub(in crate::storage) fn business(id: &str) -> Key {
    Key::new(ItemKind::Business, format!("BUSINESS#{}", short(id)), "BUSINESS")
}

/// Key of the accounts of a user, who is named by the app-scoped id of a Meta app.
pub(in crate::storage) fn signer(app: &MetaAppId, user: &str) -> Key {
    Key::new(ItemKind::Signer, format!("SIGNER#{app}#{}", short(user)), "SIGNER")
}

pub(in crate::storage) fn pin(number: &NumberId) -> Key {
    Key::new(ItemKind::Pin, format!("NUMBER#{number}"), "PIN")
}

/// Key of an audit entry.
pub(in crate::storage) fn audit(id: &str) -> Key {
    Key::new(ItemKind::Audit, format!("AUDIT#{id}"), "AUDIT")
}

pub(in crate::storage) fn offboarding(id: OffboardingId) -> Key {
    Key::new(ItemKind::Offboarding, format!("OFFBOARDING#{id}"), "OFFBOARDING")
}

/// Key of the erasure of a contact.
pub(in crate::storage) fn erasure(id: ErasureId) -> Key {
    Key::new(ItemKind::Erasure, format!("ERASURE#{id}"), "ERASURE")
}

/// Key of a request to delete data, by the code that the user was given.
pub(in crate::storage) fn deletion(code: OffboardingId) -> Key {
    Key::new(ItemKind::Deletion, format!("DELETION#{code}"), "DELETION")
}

/// Key of the mark of an account that left: nothing is stored for it any more.
pub(in crate::storage) fn gone_account(id: &WabaId) -> Key {
    Key::new(ItemKind::AccountGone, format!("WABA#{id}"), GONE)
}

/// Key of the claim of an account by a signup through one of our pages.
pub(in crate::storage) fn claim(id: &WabaId) -> Key {
    Key::new(ItemKind::AccountClaim, format!("WABA#{id}"), "CLAIM")
}

/// Key of the accounts that a tenant ever connected.
pub(in crate::storage) fn tenant_accounts(id: TenantId) -> Key {
    Key::new(ItemKind::TenantAccounts, format!("TENANT#{id}"), "ACCOUNTS")
}

/// Key of a number's health: checks and receipts.
pub(in crate::storage) fn health(number: &NumberId) -> Key {
    Key::new(ItemKind::Health, format!("NUMBER#{number}"), "HEALTH")
}

pub(in crate::storage) fn broadcast(id: BroadcastId) -> Key {
    Key::new(ItemKind::Broadcast, format!("BROADCAST#{id}"), "BROADCAST")
}

pub(in crate::storage) fn media(id: MediaId) -> Key {
    Key::new(ItemKind::Media, format!("MEDIA#{id}"), "MEDIA")
}

/// Key of a file that a customer sent to a number, by Meta's id.
pub(in crate::storage) fn file(number: &NumberId, id: &MetaFileId) -> Key {
    Key::new(ItemKind::File, format!("NUMBER#{number}"), &format!("FILE#{id}"))
}

pub(in crate::storage) fn lease(name: &str) -> Key {
    Key::new(ItemKind::Lease, format!("LEASE#{name}"), "LEASE")
}

pub(in crate::storage) fn ledger() -> Key {
    Key::new(ItemKind::Ledger, "LEDGER".to_owned(), "LEDGER")
}

/// Key of the restraint that Meta requires towards a contact: pauses of marketing, a block.
pub(in crate::storage) fn restraint(contact: ContactId, waba: &WabaId) -> Key {
    Key::new(ItemKind::Restraint, format!("CONTACT#{contact}"), &format!("RESTRAINT#{waba}"))
}

/// Key of a template by the name and language that a send uses.
pub(in crate::storage) fn template_named(waba: &WabaId, name: &str, language: &str) -> Key {
    Key::new(ItemKind::Template, format!("WABA#{waba}"), &format!("{NAMED_PREFIX}{}#{language}", short(name)))
}

/// Key of the time at which an account's templates were last fetched.
pub(in crate::storage) fn mirror(waba: &WabaId) -> Key {
    Key::new(ItemKind::TemplateMirror, format!("WABA#{waba}"), "MIRROR")
}

pub(in crate::storage) fn history(number: &NumberId, phase: i64) -> Key {
    Key::new(ItemKind::History, format!("NUMBER#{number}"), &format!("{HISTORY_PREFIX}{phase}"))
}

pub(in crate::storage) fn alert(hash: &str) -> Key {
    Key::new(ItemKind::Alert, format!("ALERT#{hash}"), "ALERT")
}

pub(in crate::storage) fn contact(id: ContactId) -> Key {
    Key::new(ItemKind::Contact, format!("CONTACT#{id}"), "CONTACT")
}

pub(in crate::storage) fn contact_partition(id: ContactId) -> String {
    format!("CONTACT#{id}")
}

/// Prefix of a contact's preferences towards an account.
pub(in crate::storage) fn wants_prefix(waba: &WabaId) -> String {
    format!("WANTS#{waba}#")
}

pub(in crate::storage) fn wants(contact: ContactId, waba: &WabaId, category: &str) -> Key {
    Key::new(ItemKind::Preference, format!("CONTACT#{contact}"), &format!("{}{}", wants_prefix(waba), short(category)))
}

/// Key of a merge, the same for both orders of the contacts.
pub(in crate::storage) fn merge(one: ContactId, other: ContactId) -> Key {
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    Key::new(ItemKind::Merge, format!("MERGE#{first}#{second}"), "MERGE")
}

pub(in crate::storage) fn replay(id: ReplayId) -> Key {
    Key::new(ItemKind::Replay, format!("REPLAY#{id}"), "REPLAY")
}

pub(in crate::storage) fn conversation(id: &ConversationId) -> Key {
    Key::new(ItemKind::Conversation, conversation_partition(id), "CONV")
}

/// Key of the entry under which a word finds a conversation.
pub(in crate::storage) fn name(tenant: TenantId, word: &str, conversation: &ConversationId) -> Key {
    Key::new(ItemKind::SearchEntry, names(tenant), &format!("{word}#{conversation}"))
}

/// Partition of a tenant's search entries.
pub(in crate::storage) fn names(tenant: TenantId) -> String {
    format!("NAMES#{tenant}")
}

/// Reads word and conversation from the sort key of [`name`].
pub(in crate::storage) fn parse_name(sk: &str) -> Result<(&str, ConversationId), StorageError> {
    let parts = sk.split_once('#').and_then(|(word, id)| Some((word, ConversationId::parse(id).ok()?)));
    parts.ok_or(StorageError::Corrupt("sk"))
}

/// Key of a note about a conversation.
pub(in crate::storage) fn note(conversation: &ConversationId, id: NoteId) -> Key {
    Key::new(ItemKind::Note, conversation_partition(conversation), &format!("{NOTE_PREFIX}{id}"))
}

pub(in crate::storage) fn conversation_partition(id: &ConversationId) -> String {
    format!("CONV#{}#{}", id.number(), id.contact())
}

/// Reads the conversation from the key of a message or a conversation.
pub(in crate::storage) fn parse_conversation(pk: &str) -> Result<ConversationId, StorageError> {
    let corrupt = StorageError::Corrupt("pk");
    let (number, contact) = pk.strip_prefix("CONV#").and_then(|rest| rest.split_once('#')).ok_or(corrupt.clone())?;
    Ok(ConversationId::new(
        NumberId::parse(number).map_err(|_| corrupt.clone())?,
        crate::domain::ids::ContactId::parse(contact).map_err(|_| corrupt)?,
    ))
}

pub(in crate::storage) fn idempotency(tenant: TenantId, key: &str) -> Key {
    Key::new(ItemKind::Idempotency, format!("IDEM#{tenant}#{}", digest(key.as_bytes())), "IDEM")
}

pub(in crate::storage) fn kept(raw: &[u8]) -> Key {
    kept_of(&digest(raw))
}

pub(in crate::storage) fn kept_of(hash: &str) -> Key {
    Key::new(ItemKind::Quarantined, format!("QUARANTINE#{hash}"), "QUARANTINE")
}

/// Reads a message's conversation and id from an index entry.
pub(in crate::storage) fn parse_feed_entry(pk: &str, sk: &str) -> Result<(ConversationId, MessageId), StorageError> {
    Ok((parse_conversation(pk)?, parse_message(sk)?.0))
}

pub(in crate::storage) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
