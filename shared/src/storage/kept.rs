//! Items kept raw because they could not be used: nothing that Meta signed is lost. One item for one content, so a
//! repetition changes nothing.

use jiff::Timestamp;

use super::item::{expiry, text, time};
use super::{StorageError, Table, keys};
use crate::domain::event::Kept;
use crate::domain::ids::PhoneNumberId;
use crate::limits::{KEPT_FOR, TABLE_RAW_MAX};

impl Table {
    /// Keeps an item. `stored_at` names the archive object that holds it when it is too large for the table.
    /// 1 WRU for each KB and 1 for the index.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn keep(
        &self,
        kept: &Kept,
        number: Option<&PhoneNumberId>,
        stored_at: Option<&str>,
        received_at: Timestamp,
    ) -> Result<(), StorageError> {
        let expires = received_at.checked_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
        let raw = (kept.raw.len() <= TABLE_RAW_MAX)
            .then(|| aws_sdk_dynamodb::types::AttributeValue::B(kept.raw.clone().into()));
        self.update(keys::kept(&kept.raw))
            .set_once("reason", text(kept.reason.as_str()))
            .set_once("what", text(&kept.what))
            .set_once("received_at", time(received_at))
            .set_once("list", text(keys::kept_list(kept.reason)))
            .set_once("list_at", time(received_at))
            .set_once("expires_at", expiry(expires))
            .set_once_if("raw", raw)
            .set_once_if("stored_at", stored_at.map(text))
            .set_once_if("number", number.map(|number| text(number.as_str())))
            .run()
            .await?;
        Ok(())
    }
}
