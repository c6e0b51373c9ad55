//! Onboardings, one item each, with their steps. Their secrets are stored hashed or sealed.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::ids::{MetaAppId, NumberId, OnboardingId, TenantId, WabaId};
use crate::domain::lifecycle::onboarding::{
    CLAIMED_FOR, Onboarding, PopupEnd, REGISTERS_MAX, REGISTERS_WITHIN, Shape, Step, StepRecord, StepState,
};
use crate::secret::Sealed;
use crate::storage::accounts::registry::blob;
use crate::storage::table::item::{Item, expiry, number, text, time};
use crate::storage::table::page::FEED;
use crate::storage::table::update::Updated;
use crate::storage::{Page, StorageError, Stored, Table, table::keys};

/// How long an onboarding is stored, for inspection.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Secrets of an onboarding, which no API returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// SHA-256 of its OAuth state.
    pub state_hash: String,
    /// SHA-256 of its link's secret.
    pub link_hash: Option<String>,
    /// SHA-256 of the authorisation code that is or was exchanged, and when the exchange began.
    pub code: Option<(String, Timestamp)>,
    /// Its access token, sealed for the onboarding.
    pub token: Option<Sealed>,
}

/// Result of beginning a code exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// This caller may make the exchange.
    Ours,
    /// Another exchange was made or is under way.
    Another,
}

#[derive(Serialize, Deserialize)]
struct StepWire {
    at: i64,
    tries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
}

impl Table {
    /// Stores a new onboarding. Repeating it changes nothing. 1 WRU and 1 for the feed.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_put(
        &self,
        onboarding: &Onboarding,
        state_hash: &str,
        link_hash: Option<&str>,
    ) -> Result<(), StorageError> {
        let kept_until = crate::clock::after(onboarding.created_at, KEPT_FOR);
        self.update(keys::onboarding(onboarding.id))
            .set_once("tenant", text(onboarding.tenant.to_string()))
            .set_once("app", text(onboarding.app.to_string()))
            .set_once("created_at", time(onboarding.created_at))
            .set_once("valid_until", time(onboarding.valid_until))
            .set_once("state_hash", text(state_hash))
            .set_once_if("link_hash", link_hash.map(text))
            .set_once_if("link_until", onboarding.link_until.map(time))
            .set_once_if("hosted_by", onboarding.hosted_by.as_ref().map(text))
            .set_once_if("account", onboarding.account.as_ref().map(|id| text(id.as_str())))
            .set_once("feed", text(keys::onboardings(onboarding.tenant)))
            .set_once("feed_at", time(onboarding.created_at))
            .set_once("expires_at", expiry(kept_until))
            .run()
            .await?;
        Ok(())
    }

    /// Returns the onboarding of this id, of any tenant.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn onboarding_get(&self, id: OnboardingId) -> Result<Option<(Onboarding, Keyed)>, StorageError> {
        self.read(&keys::onboarding(id)).await?.map(|item| read(id, &item)).transpose()
    }

    /// Records how the popup ended. Ids that were recorded before are not removed. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_put_popup_end(&self, id: OnboardingId, end: &PopupEnd) -> Result<(), StorageError> {
        let update = self.update(keys::onboarding(id));
        let update = match end {
            PopupEnd::Finished { shape, account, number } => update
                .set("shape", text(shape.as_str()))
                .set_once_if("account", account.as_ref().map(|id| text(id.as_str())))
                .set_once_if("number", number.as_ref().map(|id| text(id.as_str())))
                .remove(&["ended"]),
            PopupEnd::Cancelled(step) => {
                let at = step.as_deref().map(|step| format!(" at {step}")).unwrap_or_default();
                update.set("ended", text(format!("cancelled{at}")))
            }
            PopupEnd::Reported(id, message) => {
                let message = message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
                update.set("ended", text(format!("reported error {id}{message}")))
            }
        };
        update.when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Replaces the state of an onboarding, because its link was opened; a no-op once it has a token. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_renew_state(
        &self,
        id: OnboardingId,
        state_hash: &str,
        valid_until: Timestamp,
    ) -> Result<(), StorageError> {
        let update = self.update(keys::onboarding(id)).set("state_hash", text(state_hash));
        update.set("valid_until", time(valid_until)).when("attribute_not_exists(#token)").run().await?;
        Ok(())
    }

    /// Claims the exchange of a code, which is made only once. After a refusal, another code may be tried; `instead` is
    /// then the hash of the refused one. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_begin_exchange(
        &self,
        id: OnboardingId,
        code_hash: &str,
        instead: Option<&str>,
        now: Timestamp,
    ) -> Result<Begun, StorageError> {
        let update = self
            .update(keys::onboarding(id))
            .set("code_hash", text(code_hash))
            .set("code_at", time(now))
            .value("instead", text(instead.unwrap_or_default()));
        let running = StepRecord::new(StepState::Running, now, 1);
        let update = with_step(update, Step::Exchange.as_str(), &running)?;
        let free = "attribute_exists(#pk) AND attribute_not_exists(#token) AND (attribute_not_exists(#code_hash) OR #code_hash = :instead)";
        Ok(if matches!(update.when(free).run().await?, Updated::Done(_)) { Begun::Ours } else { Begun::Another })
    }

    /// Releases an exchange that did not reach the provider, so the same code may be tried again. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_free_code(&self, id: OnboardingId, code_hash: &str) -> Result<(), StorageError> {
        let step = [state_name(Step::Exchange.as_str()), step_name(Step::Exchange.as_str())];
        let update = self.update(keys::onboarding(id)).remove(&["code_hash", "code_at", &step[0], &step[1]]);
        update.when("#code_hash = :ours AND attribute_not_exists(#token)").value("ours", text(code_hash)).run().await?;
        Ok(())
    }

    /// Stores the token from the exchange, and the exchange as done. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_put_token(
        &self,
        id: OnboardingId,
        sealed: &Sealed,
        record: &StepRecord,
    ) -> Result<(), StorageError> {
        let update = self.update(keys::onboarding(id)).set_once("token", blob(sealed));
        with_step(update, Step::Exchange.as_str(), record)?.when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Records a step, unless it is already done or skipped: a late worker does not undo the result of another one. 1
    /// WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_record_step(
        &self,
        id: OnboardingId,
        step: Step,
        record: &StepRecord,
    ) -> Result<(), StorageError> {
        let state = state_name(step.as_str());
        let update = with_step(self.update(keys::onboarding(id)), step.as_str(), record)?
            .value("done", text(StepState::Done.as_str()))
            .value("skipped", text(StepState::Skipped.as_str()));
        let open = format!(
            "attribute_exists(#pk) AND (attribute_not_exists(#{state}) OR (#{state} <> :done AND #{state} <> :skipped))"
        );
        update.when(&open).run().await?;
        Ok(())
    }

    /// Records the account of the onboarding, or the candidates from which somebody must choose. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_settle_account(
        &self,
        id: OnboardingId,
        account: Option<&WabaId>,
        candidates: &[WabaId],
    ) -> Result<(), StorageError> {
        let update = self.update(keys::onboarding(id));
        let update = match account {
            Some(account) => update.set("account", text(account.as_str())),
            None => {
                let candidates = candidates.iter().map(|one| one.as_str().to_owned()).collect();
                update.set("candidates", AttributeValue::Ss(candidates))
            }
        };
        update.when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Records the number of the onboarding. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_settle_number(&self, id: OnboardingId, settled: &NumberId) -> Result<(), StorageError> {
        let update = self.update(keys::onboarding(id)).set("number", text(settled.as_str()));
        update.when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Records that the onboarding is over, and why. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn onboarding_end(&self, id: OnboardingId, why: &str) -> Result<(), StorageError> {
        self.update(keys::onboarding(id)).set("ended", text(why)).when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Claims accounts for a signup through a page of ours, so that a hosted signup leaves them alone. 1 WRU each.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_claim_all(&self, accounts: &[&WabaId], now: Timestamp) -> Result<(), StorageError> {
        let until = expiry(crate::clock::after(now, CLAIMED_FOR));
        for account in accounts {
            let claim = self.update(keys::claim(account)).set("at", time(now));
            claim.set("expires_at", until.clone()).run().await?;
        }
        Ok(())
    }

    /// Returns whether a signup through a page of ours claimed this account within the last day.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_is_claimed(&self, account: &WabaId, now: Timestamp) -> Result<bool, StorageError> {
        let claim = self.read(&keys::claim(account)).await?;
        Ok(claim.and_then(|claim| claim.time("at")).is_some_and(|at| now.duration_since(at) < CLAIMED_FOR))
    }

    /// Records the user whose token it is, by the app-scoped id. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn signer_add_account(&self, id: OnboardingId, user: &str) -> Result<(), StorageError> {
        self.update(keys::onboarding(id)).set_once("signer", text(user)).when("attribute_exists(#pk)").run().await?;
        Ok(())
    }

    /// Records that the user who signed up gave access to this account: Meta's callbacks name only the user. 2 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn signer_put(&self, id: OnboardingId, app: &MetaAppId, account: &WabaId) -> Result<(), StorageError> {
        let item = self.read(&keys::onboarding(id)).await?.unwrap_or_default();
        if let Some(user) = item.text("signer") {
            self.update(keys::signer(app, user)).add("accounts", account.to_string()).run().await?;
            let update = self.update(keys::graph_token(account)).set("signer", text(user));
            update.when("attribute_exists(#pk)").run().await?;
        }
        Ok(())
    }

    /// Returns the accounts to which a user gave the app access.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn signer_list_accounts(&self, app: &MetaAppId, user: &str) -> Result<Vec<WabaId>, StorageError> {
        let item = self.read(&keys::signer(app, user)).await?.unwrap_or_default();
        Ok(item.set("accounts").iter().filter_map(|id| WabaId::parse(id).ok()).collect())
    }

    /// Returns a tenant's onboardings, the latest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn onboarding_list(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Onboarding>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("ONBOARDING#") && sk == "ONBOARDING";
        let read = |item: &Item| {
            let id = item.parsed("pk", |pk| OnboardingId::parse(pk.trim_start_matches("ONBOARDING#")))?;
            Ok(read(id, item)?.0)
        };
        self.list(FEED, &keys::onboardings(tenant), limit, cursor, accepts, read).await
    }

    /// Takes one registration of a number. `None` if it was taken; otherwise the time before which none is left. 1 or 2
    /// WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pin_take_registration(
        &self,
        id: &NumberId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, StorageError> {
        let since = now.checked_sub(REGISTERS_WITHIN).unwrap_or(Timestamp::MIN);
        let again = self.update(keys::pin(id)).increase("registers").value("since", time(since));
        let again = again.value("most", number(i64::from(REGISTERS_MAX)));
        let known = match again.when("#registers_since > :since AND #registers < :most").run().await? {
            Updated::Done(_) => return Ok(None),
            Updated::Refused(known) => known,
        };
        if let Some(began) = known.time("registers_since").filter(|began| *began > since) {
            return Ok(Some(crate::clock::after(began, REGISTERS_WITHIN)));
        }
        let first = self.update(keys::pin(id)).set("registers", number(1)).set("registers_since", time(now));
        let first = first.when("attribute_not_exists(#registers_since) OR #registers_since <= :since");
        match first.value("since", time(since)).run().await? {
            Updated::Done(_) => Ok(None),
            // Another caller began the count at this moment: a retry sees it.
            Updated::Refused(_) => Ok(Some(now)),
        }
    }

    /// Stores a number's sealed PIN, unless it has one. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn pin_put_once(&self, id: &NumberId, sealed: &Sealed) -> Result<Stored, StorageError> {
        let written = self.update(keys::pin(id)).set_once("sealed", blob(sealed)).run().await?;
        let (Updated::Done(before) | Updated::Refused(before)) = written;
        Ok(if before.0.contains_key("sealed") { Stored::Known } else { Stored::New })
    }

    /// Returns a number's sealed PIN.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn pin_get(&self, id: &NumberId) -> Result<Option<Sealed>, StorageError> {
        let item = self.read(&keys::pin(id)).await?.filter(|item| item.0.contains_key("sealed"));
        item.map(|item| item.bytes("sealed").map(Sealed::from_bytes)).transpose()
    }
}

pub(in crate::storage) fn state_name(step: &str) -> String {
    format!("state_{step}")
}

fn step_name(step: &str) -> String {
    format!("step_{step}")
}

pub(in crate::storage) fn with_step<'a>(
    update: crate::storage::table::update::Update<'a>,
    step: &str,
    record: &StepRecord,
) -> Result<crate::storage::table::update::Update<'a>, StorageError> {
    let wire = StepWire {
        at: record.at.as_millisecond(),
        tries: record.tries,
        code: record.code,
        cause: record.cause.clone(),
        action: record.action.clone(),
    };
    let json = serde_json::to_string(&wire).map_err(|_| StorageError::Refused("a step that is no JSON"))?;
    Ok(update.set(&state_name(step), text(record.state.as_str())).set(&step_name(step), text(json)))
}

/// Reads the record of a step.
pub(in crate::storage) fn read_step(item: &Item, step: &str) -> Result<Option<StepRecord>, StorageError> {
    let (Some(state), Some(json)) = (item.text(&state_name(step)), item.text(&step_name(step))) else {
        return Ok(None);
    };
    let wire: StepWire = serde_json::from_str(json).map_err(|_| StorageError::Corrupt("step"))?;
    Ok(Some(StepRecord {
        state: StepState::from_word(state).ok_or(StorageError::Corrupt("step"))?,
        at: crate::clock::at_millis(wire.at),
        tries: wire.tries,
        code: wire.code,
        cause: wire.cause,
        action: wire.action,
    }))
}

fn read(id: OnboardingId, item: &Item) -> Result<(Onboarding, Keyed), StorageError> {
    let mut steps = Vec::new();
    for step in Step::ALL {
        steps.extend(read_step(item, step.as_str())?.map(|record| (*step, record)));
    }
    let onboarding = Onboarding {
        id,
        tenant: item.parsed("tenant", TenantId::parse)?,
        app: item.parsed("app", MetaAppId::parse)?,
        created_at: item.required_time("created_at")?,
        valid_until: item.required_time("valid_until")?,
        link_until: item.time("link_until"),
        hosted_by: item.owned("hosted_by"),
        shape: item.text("shape").and_then(Shape::from_word),
        account: item.parsed_optional("account", WabaId::parse)?,
        number: item.parsed_optional("number", NumberId::parse)?,
        candidates: item.set("candidates").iter().filter_map(|id| WabaId::parse(id).ok()).collect(),
        ended: item.owned("ended"),
        steps,
    };
    let token = if item.0.contains_key("token") { Some(Sealed::from_bytes(item.bytes("token")?)) } else { None };
    let keyed = Keyed {
        state_hash: item.required("state_hash")?.to_owned(),
        link_hash: item.owned("link_hash"),
        code: item.owned("code_hash").zip(item.time("code_at")),
        token,
    };
    Ok((onboarding, keyed))
}
