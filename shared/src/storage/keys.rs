//! The key scheme: built here and nowhere else.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | tenant | `TENANT#id` | `TENANT` |
//! | API key | `KEY#id` | `KEY` |
//! | Meta app | `APP#id` | `APP` |
//! | system secret | `SECRET#name` | `SECRET` |
//! | number | `NUMBER#id` | `NUMBER` |
//! | token | `WABA#id` | `TOKEN#purpose` |
//! | contact alias | `ALIAS#tenant#kind#alias` | `ALIAS` |
//! | conversation | `CONV#number#contact` | `CONV` |
//! | message | `CONV#number#contact` | `MSG#id` |
//! | idempotency record | `IDEM#tenant#hash` | `IDEM` |
//! | kept raw item | `KEPT#hash` | `KEPT` |
//!
//! Two sparse indexes, keys only: `by_time` (local, `pk` + `at`) orders the messages of a conversation; `list` (global,
//! `list` + `list_at`) holds every list that crosses partitions: `INBOX#tenant`, `DUE#shard`, `KEPT#reason`.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    LocalSecondaryIndex, Projection, ProjectionType, ScalarAttributeType,
};
use sha2::{Digest, Sha256};

use super::StorageError;
use crate::domain::contact::Alias;
use crate::domain::event::KeptReason;
use crate::domain::ids::{ConversationId, MessageId, MetaAppId, OutboundId, PhoneNumberId, TenantId, WabaId};

/// The local index that orders a conversation's messages.
pub(super) const BY_TIME: &str = "by_time";
/// The global index of every list that crosses partitions.
pub(super) const LIST: &str = "list";
/// Partitions of the due list: one would be a hot key at a few hundred sends a second.
pub(super) const DUE_SHARDS: u64 = 4;

const MESSAGE_PREFIX: &str = "MSG#";

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
    let name = match alias {
        Alias::Phone(phone) => format!("PHONE#{}", phone.digits()),
        Alias::UserId(user_id) => format!("USER#{user_id}"),
    };
    Key::new(format!("ALIAS#{tenant}#{name}"), "ALIAS")
}

pub(super) fn conversation(id: &ConversationId) -> Key {
    Key::new(conversation_partition(id), "CONV")
}

pub(super) fn message(conversation: &ConversationId, id: &MessageId) -> Key {
    Key::new(conversation_partition(conversation), &format!("{MESSAGE_PREFIX}{}", id.to_text()))
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

/// Reads the message back out of its key.
pub(super) fn parse_message(sk: &str) -> Result<MessageId, StorageError> {
    sk.strip_prefix(MESSAGE_PREFIX).and_then(|id| MessageId::parse(id).ok()).ok_or(StorageError::Corrupt("sk"))
}

pub(super) fn idempotency(tenant: TenantId, key: &str) -> Key {
    Key::new(format!("IDEM#{tenant}#{}", digest(key.as_bytes())), "IDEM")
}

pub(super) fn kept(raw: &[u8]) -> Key {
    Key::new(format!("KEPT#{}", digest(raw)), "KEPT")
}

/// The list of a tenant's conversations by last activity.
pub(super) fn inbox(tenant: TenantId) -> String {
    format!("INBOX#{tenant}")
}

/// The list of intents that somebody must look at again.
pub(super) fn due(shard: u64) -> String {
    format!("DUE#{}", shard % DUE_SHARDS)
}

/// The shard of one intent: any stable spread will do.
pub(super) fn due_shard(id: OutboundId) -> u64 {
    id.to_string().bytes().map(u64::from).sum()
}

/// The list of kept items.
pub(super) fn kept_list(reason: KeptReason) -> String {
    format!("KEPT#{}", reason.as_str())
}

pub(super) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The table's definition, for the sandbox and tests; `template.yaml` says the same to CloudFormation.
///
/// # Errors
/// When the SDK refuses a definition, which it does not for this constant one.
pub async fn schema(client: &aws_sdk_dynamodb::Client, table: &str) -> Result<(), aws_sdk_dynamodb::Error> {
    let attribute = |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    let part = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let keys_only = || Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("sk", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("at", ScalarAttributeType::N)?)
        .attribute_definitions(attribute("list", ScalarAttributeType::S)?)
        .attribute_definitions(attribute("list_at", ScalarAttributeType::N)?)
        .key_schema(part("pk", KeyType::Hash)?)
        .key_schema(part("sk", KeyType::Range)?)
        .local_secondary_indexes(
            LocalSecondaryIndex::builder()
                .index_name(BY_TIME)
                .key_schema(part("pk", KeyType::Hash)?)
                .key_schema(part("at", KeyType::Range)?)
                .projection(keys_only())
                .build()?,
        )
        .global_secondary_indexes(
            GlobalSecondaryIndex::builder()
                .index_name(LIST)
                .key_schema(part("list", KeyType::Hash)?)
                .key_schema(part("list_at", KeyType::Range)?)
                .projection(keys_only())
                .build()?,
        )
        .send()
        .await?;
    Ok(())
}
