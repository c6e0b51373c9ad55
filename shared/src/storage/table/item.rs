//! Reads attributes of items. An error names the attribute that is missing or malformed.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use crate::clock::at_millis;
use crate::storage::{StorageError, Table, table::keys, unavailable};

/// An item as DynamoDB returned it.
#[derive(Debug, Clone, Default)]
pub(in crate::storage) struct Item(pub(in crate::storage) HashMap<String, AttributeValue>);

impl Item {
    pub(in crate::storage) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
    }

    /// Returns the primary key of the item.
    pub(in crate::storage) fn key(&self) -> Result<keys::Key, StorageError> {
        Ok(keys::Key { pk: self.required("pk")?.to_owned(), sk: self.required("sk")?.to_owned() })
    }

    /// Returns a set of texts; empty if there is none.
    pub(in crate::storage) fn set(&self, name: &str) -> Vec<String> {
        self.0.get(name).and_then(|value| value.as_ss().ok()).cloned().unwrap_or_default()
    }

    pub(in crate::storage) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub(in crate::storage) fn required(&self, name: &'static str) -> Result<&str, StorageError> {
        self.text(name).ok_or(StorageError::Corrupt(name))
    }

    pub(in crate::storage) fn parsed<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, StorageError> {
        parse(self.required(name)?).map_err(|_| StorageError::Corrupt(name))
    }

    pub(in crate::storage) fn parsed_optional<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, StorageError> {
        self.text(name).map(parse).transpose().map_err(|_| StorageError::Corrupt(name))
    }

    pub(in crate::storage) fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok())
    }

    /// Returns a small count; 0 if there is none.
    pub(in crate::storage) fn count(&self, name: &str) -> u32 {
        self.number(name).and_then(|count| u32::try_from(count).ok()).unwrap_or(0)
    }

    pub(in crate::storage) fn time(&self, name: &str) -> Option<Timestamp> {
        self.number(name).map(at_millis)
    }

    pub(in crate::storage) fn required_time(&self, name: &'static str) -> Result<Timestamp, StorageError> {
        self.time(name).ok_or(StorageError::Corrupt(name))
    }

    pub(in crate::storage) fn bytes(&self, name: &'static str) -> Result<Vec<u8>, StorageError> {
        let value = self.0.get(name).and_then(|value| value.as_b().ok());
        value.map(|blob| blob.as_ref().to_vec()).ok_or(StorageError::Corrupt(name))
    }

    pub(in crate::storage) fn texts(&self, name: &'static str) -> Result<Vec<String>, StorageError> {
        self.0.get(name).and_then(|value| value.as_ss().ok()).cloned().ok_or(StorageError::Corrupt(name))
    }
}

pub(in crate::storage) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(in crate::storage) fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(in crate::storage) fn time(value: Timestamp) -> AttributeValue {
    number(value.as_millisecond())
}

/// Returns a TTL in whole seconds, as DynamoDB requires.
pub(in crate::storage) fn expiry(value: Timestamp) -> AttributeValue {
    number(value.as_second())
}

impl Table {
    /// Deletes one item and returns whether it existed. 1 WRU per KB.
    pub(in crate::storage) async fn delete(&self, key: &keys::Key) -> Result<bool, StorageError> {
        let delete = self.client.delete_item().table_name(&self.name).set_key(Some(key.attributes()));
        let old = delete.return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld).send().await;
        Ok(old.map_err(|error| unavailable("DeleteItem", &error))?.attributes.is_some())
    }

    /// Reads one item with strong consistency, because a decision follows. 1 read unit per 4 KB.
    pub(in crate::storage) async fn read(&self, key: &keys::Key) -> Result<Option<Item>, StorageError> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| unavailable("GetItem", &error))?;
        Ok(answer.item.map(Item))
    }
}
