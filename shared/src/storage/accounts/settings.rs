//! Settings of a number, which its tenant decides.

use crate::domain::accounts::number::{Inactive, Number, Settings};
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys};

impl Table {
    /// Writes the settings of a number. `false` if somebody else changed them since they were read, or the number has
    /// another tenant. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn number_put_settings(&self, of: &Number, settings: &Settings) -> Result<bool, StorageError> {
        let revision = |count: u64| number(i64::try_from(count).unwrap_or(i64::MAX));
        let inactive = settings.inactive.as_ref();
        let update = self
            .update(keys::number(&of.id))
            .set("settings_revision", revision(settings.revision + 1))
            .put("label", settings.label.as_ref().map(text))
            .put("auto_reply", settings.auto_reply.then(|| number(1)))
            .put("agent", settings.agent.as_ref().map(text))
            .put("no_read_receipts", (!settings.read_receipts).then(|| number(1)))
            .put("retention_days", settings.retention_days.map(|days| number(i64::from(days))))
            .put("inactive_since", inactive.map(|inactive| time(inactive.since)))
            .put("inactive_reason", inactive.and_then(|inactive| inactive.reason.as_ref()).map(text))
            .value("tenant", text(of.tenant.to_string()));
        let update = if settings.revision == 0 {
            update.when("#tenant = :tenant AND attribute_not_exists(#settings_revision)")
        } else {
            let update = update.when("#tenant = :tenant AND #settings_revision = :known");
            update.value("known", revision(settings.revision))
        };
        Ok(matches!(update.run().await?, Updated::Done(_)))
    }
}

/// Reads the settings from a number's item.
pub(in crate::storage) fn read(item: &Item) -> Settings {
    Settings {
        label: item.owned("label"),
        auto_reply: item.number("auto_reply") == Some(1),
        agent: item.owned("agent"),
        read_receipts: item.number("no_read_receipts").is_none(),
        retention_days: Some(item.count("retention_days")).filter(|days| *days > 0),
        inactive: item.time("inactive_since").map(|since| Inactive { since, reason: item.owned("inactive_reason") }),
        revision: item.number("settings_revision").and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
    }
}
