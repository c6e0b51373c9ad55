//! Health of a number: Meta's answers at the last check, and facts from the table itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::at_millis;
use crate::domain::accounts::health::{Finding, Health, HealthCheck, LOOK_GOOD_FOR, Seen, Verdict};
use crate::domain::accounts::number::Number;
use crate::domain::ids::NumberId;
use crate::domain::sending::policy::{self, Category, MessageClass};
use crate::storage::table::item::{Item, text, time};
use crate::storage::table::merge::Fact;
use crate::storage::{StorageError, Table, table::keys};

/// Resolution of recorded receipts: one write per hour from each function instance, however much is received.
const SEEN_EVERY_MILLIS: i64 = 3_600_000;

#[derive(Serialize, Deserialize)]
struct Wire {
    verdict: String,
    seen: String,
}

impl Table {
    /// Stores Meta's answers to the checks of a number. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn health_put_checks(
        &self,
        number: &NumberId,
        findings: &[Finding],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let wire = |finding: &Finding| {
            (finding.hop.as_str(), Wire { verdict: finding.verdict.as_str().to_owned(), seen: finding.seen.clone() })
        };
        let wires: BTreeMap<&str, Wire> = findings.iter().map(wire).collect();
        let json = serde_json::to_string(&wires).map_err(|_| StorageError::Refused("findings"))?;
        self.update(keys::health(number)).set("findings", text(json)).set("looked_at", time(now)).run().await?;
        Ok(())
    }

    /// Records that something of this kind was received for a number in this hour. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn health_put_receipt(&self, number: &NumberId, hour: Timestamp, kind: Seen) -> Result<(), StorageError> {
        self.merge(&keys::health(number), &[], &[Fact::moment(attribute(kind), hour)]).await?;
        Ok(())
    }

    /// Returns the health of a number. Reads two items and two small partitions.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn health_get(&self, number: &Number, now: Timestamp) -> Result<Health, StorageError> {
        let item = self.read(&keys::health(&number.id)).await?.unwrap_or_default();
        let looked_at = item.time("looked_at");
        let stale = looked_at.is_none_or(|at| now.duration_since(at) > LOOK_GOOD_FOR);
        let said: BTreeMap<String, Wire> =
            item.text("findings").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let mut findings = Vec::new();
        for hop in HealthCheck::ALL.iter().copied() {
            findings.push(match hop {
                HealthCheck::Sending => self.sending(number, now).await?,
                HealthCheck::Webhooks => webhooks(&item),
                HealthCheck::Coexistence => coexistence(number, &item),
                hop => match said.get(hop.as_str()) {
                    Some(wire) if !stale => Finding {
                        hop,
                        verdict: Verdict::from_word(&wire.verdict).unwrap_or(Verdict::Unknown),
                        seen: wire.seen.clone(),
                    },
                    _ => Finding::unknown(hop, "Meta was not asked within two days."),
                },
            });
        }
        Ok(Health { looked_at, findings })
    }

    async fn sending(&self, number: &Number, now: Timestamp) -> Result<Finding, StorageError> {
        let standing = self.number_status_get(number).await?;
        let template = MessageClass::Template(Some(Category::Utility));
        Ok(match policy::hindrance(&standing, template, now) {
            None => Finding::new(HealthCheck::Sending, true, "nothing stops it"),
            Some((reason, _)) => Finding::new(HealthCheck::Sending, false, reason.as_str()),
        })
    }
}

/// Returns the beginning of the hour that contains `at`.
#[must_use]
pub fn hour_of(at: Timestamp) -> Timestamp {
    let millis = at.as_millisecond();
    at_millis(millis - millis.rem_euclid(SEEN_EVERY_MILLIS))
}

fn attribute(kind: Seen) -> &'static str {
    match kind {
        Seen::Messages => "seen_messages",
        Seen::Statuses => "seen_statuses",
        Seen::Echoes => "seen_echoes",
        Seen::History => "seen_history",
        Seen::AddressBook => "seen_address_book",
    }
}

fn seen(item: &Item) -> Vec<(Seen, Timestamp)> {
    Seen::ALL.into_iter().filter_map(|kind| Some((kind, item.time(attribute(kind))?))).collect()
}

fn webhooks(item: &Item) -> Finding {
    let all = seen(item);
    if all.is_empty() {
        return Finding::unknown(HealthCheck::Webhooks, "no webhook of this number was stored yet");
    }
    let words: Vec<String> =
        all.iter().map(|(kind, at)| format!("{} {}", kind.as_str(), at.strftime("%Y-%m-%dT%HZ"))).collect();
    Finding::new(HealthCheck::Webhooks, true, words.join(", "))
}

fn coexistence(number: &Number, item: &Item) -> Finding {
    if !number.coexistence {
        return Finding::new(HealthCheck::Coexistence, true, "the number is not in the WhatsApp Business app");
    }
    let kinds = [Seen::Echoes, Seen::History, Seen::AddressBook];
    let known = |kind: &Seen| seen(item).iter().any(|(known, _)| known == kind);
    let missing: Vec<&str> = kinds.into_iter().filter(|kind| !known(kind)).map(Seen::as_str).collect();
    if missing.is_empty() {
        return Finding::new(HealthCheck::Coexistence, true, "echoes, history and address book were seen");
    }
    // Not a fault: the owner may have shared nothing.
    Finding::unknown(HealthCheck::Coexistence, format!("not seen yet: {}", missing.join(", ")))
}
