//! Quarantine: raw items that could not be processed, so that nothing signed by Meta is lost. Equal content is one
//! item, so a repetition changes nothing.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use crate::domain::event::{QuarantineReason, QuarantinedItem};
use crate::domain::ids::{NumberId, WabaId};
use crate::limits::{KEPT_FOR, TABLE_RAW_MAX};
use crate::storage::table::item::{Item, expiry, text, time};
use crate::storage::table::page::{FEED, Index, LIST};
use crate::storage::{Page, StorageError, Table, table::keys, unavailable};

/// A quarantined item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredQuarantinedItem {
    /// Its id: the hash of its content.
    pub id: String,
    /// Reason of the quarantine.
    pub reason: QuarantineReason,
    /// The webhook field, the status word, or the name of the level that did not parse.
    pub what: String,
    /// Number and account that the item concerns, as far as known.
    pub owner: QuarantineOwner,
    /// When it was received.
    pub received_at: Timestamp,
    /// Its bytes, unless they are in the archive.
    pub raw: Option<Vec<u8>>,
    /// Key of the archive object that holds its bytes.
    pub stored_at: Option<String>,
}

/// Number and account that a quarantined item concerns, as far as known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuarantineOwner {
    /// The number.
    pub number: Option<NumberId>,
    /// The account.
    pub account: Option<WabaId>,
}

impl Table {
    /// Quarantines an item. `stored_at` is the key of its archive object, if the item is too large for the table. 1 WRU
    /// per KB and 1 for the list; 1 more for the feed of its number or account.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn quarantine_put(
        &self,
        kept: &QuarantinedItem,
        owner: &QuarantineOwner,
        stored_at: Option<&str>,
        received_at: Timestamp,
    ) -> Result<(), StorageError> {
        let expires = crate::clock::after(received_at, KEPT_FOR);
        let of_account = || owner.account.as_ref().map(keys::quarantine_of_account);
        let feed = match &owner.number {
            // A number that is connected nowhere has no list that anybody could read.
            Some(number) if kept.reason != QuarantineReason::UnknownNumber => Some(keys::kept_feed(number)),
            _ => of_account(),
        };
        let raw = (kept.raw.len() <= TABLE_RAW_MAX).then(|| AttributeValue::B(kept.raw.clone().into()));
        self.update(keys::kept(&kept.raw))
            .set_once("reason", text(kept.reason.as_str()))
            .set_once("what", text(&kept.what))
            .set_once("received_at", time(received_at))
            .set_once("list", text(keys::kept_list(kept.reason)))
            .set_once("list_at", time(received_at))
            .set_once("expires_at", expiry(expires))
            .set_once_if("raw", raw)
            .set_once_if("stored_at", stored_at.map(text))
            .set_once_if("number", owner.number.as_ref().map(|number| text(number.as_str())))
            .set_once_if("account", owner.account.as_ref().map(|account| text(account.as_str())))
            .set_once_if("feed_at", feed.as_ref().map(|_| time(received_at)))
            .set_once_if("feed", feed.map(text))
            .run()
            .await?;
        Ok(())
    }

    /// Returns the id under which these bytes are quarantined.
    #[must_use]
    pub fn quarantine_id(raw: &[u8]) -> String {
        keys::digest(raw)
    }

    /// Returns the items quarantined for a reason, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor belongs to another list.
    pub async fn quarantine_list(
        &self,
        reason: QuarantineReason,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<StoredQuarantinedItem>, StorageError> {
        self.kept_page(LIST, &keys::kept_list(reason), limit, cursor).await
    }

    /// Returns the items quarantined for a number, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor belongs to another list.
    pub async fn quarantine_list_of_number(
        &self,
        number: &NumberId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<StoredQuarantinedItem>, StorageError> {
        self.kept_page(FEED, &keys::kept_feed(number), limit, cursor).await
    }

    /// Returns the items quarantined for an account, without a number that is connected here, newest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor belongs to another list.
    pub async fn quarantine_list_of_account(
        &self,
        account: &WabaId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<StoredQuarantinedItem>, StorageError> {
        self.kept_page(FEED, &keys::quarantine_of_account(account), limit, cursor).await
    }

    async fn kept_page(
        &self,
        index: Index,
        hash: &str,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<StoredQuarantinedItem>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("QUARANTINE#") && sk == "QUARANTINE";
        self.list(index, hash, limit, cursor, accepts, read).await
    }

    /// Deletes a quarantined item after it was processed.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn quarantine_delete(&self, id: &str) -> Result<(), StorageError> {
        let key = keys::kept_of(id);
        let delete = self.client.delete_item().table_name(&self.name).set_key(Some(key.attributes()));
        delete.send().await.map_err(|error| unavailable("DeleteItem", &error))?;
        Ok(())
    }
}

fn read(item: &Item) -> Result<StoredQuarantinedItem, StorageError> {
    Ok(StoredQuarantinedItem {
        id: item.required("pk")?.trim_start_matches("QUARANTINE#").to_owned(),
        reason: item.parsed("reason", |word| QuarantineReason::from_word(word).ok_or(()))?,
        what: item.required("what")?.to_owned(),
        owner: QuarantineOwner {
            number: item.parsed_optional("number", NumberId::parse)?,
            account: item.parsed_optional("account", WabaId::parse)?,
        },
        received_at: item.required_time("received_at")?,
        raw: item.bytes("raw").ok(),
        stored_at: item.owned("stored_at"),
    })
}
