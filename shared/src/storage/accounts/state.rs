//! States of numbers, accounts and templates; alerts; and the progress of a number's history sync.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::at_millis;
use crate::domain::accounts::account::{StateChange, StoredAlert, StoredState, Subject};
use crate::domain::conversations::message::HistoryChunk;
use crate::domain::ids::{NumberId, TenantId, WabaId};
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::merge::Fact;
use crate::storage::table::page::LIST;
use crate::storage::table::update::Updated;
use crate::storage::{Page, StorageError, Table, table::keys};

const SECONDS_A_DAY: i64 = 86_400;

#[derive(Serialize, Deserialize)]
struct StateWire {
    word: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    detail: String,
}

/// One phase of a number's history sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryPhase {
    /// 0: the last day, 1: up to 90 days, 2: up to 180 days.
    pub phase: i64,
    /// Positions of the chunks that arrived, ascending.
    pub chunks: Vec<i64>,
    /// The greatest progress reported, per cent.
    pub progress: i64,
}

impl Table {
    /// Records a state; the later of two reports counts. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn state_put(&self, change: &StateChange) -> Result<(), StorageError> {
        let wire = StateWire {
            word: change.word.clone(),
            until: change.until.map(Timestamp::as_millisecond),
            detail: change.detail.clone(),
        };
        let json = serde_json::to_string(&wire).map_err(|_| StorageError::Refused("a state"))?;
        let mut once = vec![("aspect", text(change.aspect.as_str()))];
        once.extend(change.key.as_ref().map(|key| ("state_key", text(key))));
        if let Subject::Template(_, id) = &change.subject {
            once.push(("template", text(id)));
        }
        let key = keys::state(&change.subject, change.aspect, change.key.as_deref());
        self.merge(&key, &once, &[Fact::latest("state", json, change.at)]).await?;
        Ok(())
    }

    /// Records an alert, once per report. 1 WRU and 1 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn alert_put(&self, tenant: Option<TenantId>, change: &StateChange) -> Result<(), StorageError> {
        let Some(alert) = change.alert else { return Ok(()) };
        let (kind, id) = change.subject.name();
        let aspect = change.aspect.as_str();
        let key = change.key.as_deref().unwrap_or_default();
        // Reports without a time raise one alert per day, however often they are repeated.
        let at = if change.timed { change.at.as_millisecond() } else { change.at.as_second() / SECONDS_A_DAY };
        let account = match &change.subject {
            Subject::Waba(waba) | Subject::Template(waba, _) | Subject::NumberNamed(waba, _) => Some(waba),
            Subject::Number(_) | Subject::Portfolio(_) => None,
        };
        let report = format!("{kind}|{id}|{aspect}|{key}|{}|{at}|{}", change.word, change.detail);
        self.update(keys::alert(&keys::digest(report.as_bytes())[..32]))
            .set_once("severity", text(alert.severity.as_str()))
            .set_once("title", text(alert.title))
            .set_once("remedy", text(alert.remedy))
            .set_once("subject", text(kind))
            .set_once("subject_id", text(id))
            .set_once("aspect", text(aspect))
            .set_once_if("state_key", change.key.as_ref().map(text))
            .set_once_if("account", account.map(|account| text(account.as_str())))
            .set_once("word", text(&change.word))
            .set_once("detail", text(&change.detail))
            .set_once("list", text(keys::alerts(tenant)))
            .set_once("list_at", time(change.at))
            .run()
            .await?;
        Ok(())
    }

    /// Returns a tenant's alerts, the latest first; without a tenant, those that concern none yet.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn alert_list(
        &self,
        tenant: Option<TenantId>,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<StoredAlert>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("ALERT#") && sk == "ALERT";
        self.list(LIST, &keys::alerts(tenant), limit, cursor, accepts, read_alert).await
    }

    /// Records that somebody has taken charge of an alert of the tenant, or, without a tenant, of one that concerns
    /// none. `None` if there is no such alert. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn alert_acknowledge(
        &self,
        tenant: Option<TenantId>,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<StoredAlert>, StorageError> {
        let seen = self.update(keys::alert(id)).set_once("acknowledged_at", time(now));
        let seen = seen.when("#list = :ours").value("ours", text(keys::alerts(tenant)));
        match seen.run().await? {
            Updated::Done(mut before) => {
                before.0.entry("acknowledged_at".to_owned()).or_insert_with(|| time(now));
                read_alert(&before).map(Some)
            }
            Updated::Refused(_) => Ok(None),
        }
    }

    /// Returns all states of a number.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn number_list_states(&self, id: &NumberId) -> Result<Vec<StoredState>, StorageError> {
        let items = self.partition(&keys::number_partition(id), keys::STATE_PREFIX).await?;
        items.iter().map(read_state).collect()
    }

    /// Returns all states of an account.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn account_list_states(&self, id: &WabaId) -> Result<Vec<StoredState>, StorageError> {
        let items = self.partition(&keys::account_partition(id), keys::STATE_PREFIX).await?;
        items.iter().map(read_state).collect()
    }

    /// Returns all states of an account's templates, each with the template's id, grouped by template.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn template_list_states(&self, id: &WabaId) -> Result<Vec<(String, StoredState)>, StorageError> {
        let items = self.partition(&keys::account_partition(id), keys::TEMPLATE_PREFIX).await?;
        items.iter().map(|item| Ok((item.required("template")?.to_owned(), read_state(item)?))).collect()
    }

    /// Records that a chunk of a number's history is stored. 2 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn history_put_progress(&self, number_id: &NumberId, chunk: HistoryChunk) -> Result<(), StorageError> {
        let key = keys::history(number_id, chunk.phase);
        self.update(key.clone())
            .set_once("phase", number(chunk.phase))
            .add("chunks", chunk.order.to_string())
            .run()
            .await?;
        self.merge(&key, &[], &[Fact::Greatest { name: "progress", value: chunk.progress }]).await?;
        Ok(())
    }

    /// Returns the progress of a number's history sync, by phase.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn history_get(&self, number_id: &NumberId) -> Result<Vec<HistoryPhase>, StorageError> {
        let items = self.partition(&keys::number_partition(number_id), keys::HISTORY_PREFIX).await?;
        let read = |item: &Item| {
            let mut chunks: Vec<i64> = item.set("chunks").iter().filter_map(|chunk| chunk.parse().ok()).collect();
            chunks.sort_unstable();
            let phase = item.number("phase").ok_or(StorageError::Corrupt("phase"))?;
            Ok(HistoryPhase { phase, chunks, progress: item.number("progress").unwrap_or(0) })
        };
        items.iter().map(read).collect()
    }
}

fn read_state(item: &Item) -> Result<StoredState, StorageError> {
    let wire: StateWire = serde_json::from_str(item.required("state")?).map_err(|_| StorageError::Corrupt("state"))?;
    Ok(StoredState {
        aspect: item.required("aspect")?.to_owned(),
        key: item.owned("state_key"),
        word: wire.word,
        until: wire.until.map(at_millis),
        detail: wire.detail,
        at: item.required_time("state_at")?,
    })
}

fn read_alert(item: &Item) -> Result<StoredAlert, StorageError> {
    let owned = |name| item.required(name).map(str::to_owned);
    Ok(StoredAlert {
        id: item.required("pk")?.trim_start_matches("ALERT#").to_owned(),
        severity: owned("severity")?,
        title: owned("title")?,
        remedy: owned("remedy")?,
        subject: (owned("subject")?, owned("subject_id")?),
        aspect: owned("aspect")?,
        key: item.owned("state_key"),
        word: owned("word")?,
        detail: owned("detail")?,
        at: item.required_time("list_at")?,
        acknowledged_at: item.time("acknowledged_at"),
    })
}
