//! Offboardings, one item each. An ended offboarding records only that nothing is left; that of a whole tenant no
//! longer names the tenant.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};

use crate::domain::accounts::account::{Aspect, StateChange, Subject};
use crate::domain::ids::{NumberId, OffboardingId, TenantId, WabaId};
use crate::domain::lifecycle::offboarding::{Leaving, Offboarding, Why};
use crate::domain::lifecycle::onboarding::StepRecord;
use crate::storage::lifecycle::onboarding::{read_step, with_step};
use crate::storage::table::item::{Item, expiry, number, text, time};
use crate::storage::table::page::{FEED, LIST};
use crate::storage::{Page, StorageError, Table, table::keys};

/// Attributes that an ended offboarding no longer needs.
const LOOKED_UP: [&str; 5] = ["list", "list_at", "cursor", "numbers", "businesses"];
/// How long an offboarding is stored, as evidence that the data was erased.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(3 * 365 * 24);

/// Returns a DynamoDB string set, which must be neither empty nor contain duplicates.
fn texts(mut values: Vec<String>) -> Option<AttributeValue> {
    values.sort_unstable();
    values.dedup();
    (!values.is_empty()).then_some(AttributeValue::Ss(values))
}

fn count(many: u64) -> AttributeValue {
    number(i64::try_from(many).unwrap_or(i64::MAX))
}

impl Table {
    /// Stores a new offboarding, due at once. Repeating it changes nothing. 1 WRU and 2 for its lists.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn offboarding_put(&self, offboarding: &Offboarding) -> Result<(), StorageError> {
        let tenant = offboarding.tenant.map(|tenant| tenant.to_string());
        let kept_until = crate::clock::after(offboarding.started_at, KEPT_FOR);
        self.update(keys::offboarding(offboarding.id))
            .set("why", text(offboarding.why.as_str()))
            .set("started_at", time(offboarding.started_at))
            .set("erase_at", time(offboarding.erase_at))
            .set("whole", number(i64::from(offboarding.whole)))
            .set("list", text(keys::OFFBOARDINGS))
            .set("list_at", time(offboarding.started_at))
            .set("expires_at", expiry(kept_until))
            .set_once_if("tenant", tenant.as_ref().map(text))
            .set_once_if("feed", offboarding.tenant.map(|tenant| text(keys::offboardings(tenant))))
            .set_once_if("feed_at", tenant.is_some().then(|| time(offboarding.started_at)))
            .set_once_if("number", offboarding.number.as_ref().map(|number| text(number.as_str())))
            .set_once_if("number_of", offboarding.number_of.as_ref().map(|account| text(account.as_str())))
            .set_once_if("accounts", texts(offboarding.accounts.iter().map(ToString::to_string).collect()))
            .when("attribute_not_exists(#pk)")
            .run()
            .await?;
        Ok(())
    }

    /// Returns the offboarding of this id, of any tenant.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn offboarding_get(&self, id: OffboardingId) -> Result<Option<Offboarding>, StorageError> {
        self.read(&keys::offboarding(id)).await?.map(|item| read(&item)).transpose()
    }

    /// Returns a tenant's offboardings, the latest first.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn offboarding_list(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Offboarding>, StorageError> {
        let accepts = |pk: &str, sk: &str| pk.starts_with("OFFBOARDING#") && sk == "OFFBOARDING";
        self.list(FEED, &keys::offboardings(tenant), limit, cursor, accepts, read).await
    }

    /// Returns the offboardings that are due to continue, the longest due first.
    ///
    /// # Errors
    /// When DynamoDB does not answer or a key is damaged.
    pub async fn offboarding_list_due(&self, now: Timestamp, limit: u16) -> Result<Vec<OffboardingId>, StorageError> {
        let found = self.oldest(LIST, keys::OFFBOARDINGS, now, limit).await?;
        let id = |item: &Item| item.parsed("pk", |pk| OffboardingId::parse(pk.trim_start_matches("OFFBOARDING#")));
        found.iter().map(id).collect()
    }

    /// Sets when an offboarding continues. 1 WRU and 2 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn offboarding_postpone(&self, id: OffboardingId, until: Timestamp) -> Result<(), StorageError> {
        let update = self.update(keys::offboarding(id)).set("list_at", time(until));
        update.when("attribute_exists(#list)").run().await?;
        Ok(())
    }

    /// Records the result of a step. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn offboarding_record_step(
        &self,
        id: OffboardingId,
        step: Leaving,
        record: &StepRecord,
    ) -> Result<(), StorageError> {
        with_step(self.update(keys::offboarding(id)), step.as_str(), record)?.run().await?;
        Ok(())
    }

    /// Records the accounts, numbers and businesses that leave, as looked up when sending was stopped. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn offboarding_settle(&self, offboarding: &Offboarding) -> Result<(), StorageError> {
        let sets = [
            ("accounts", offboarding.accounts.iter().map(ToString::to_string).collect::<Vec<_>>()),
            ("numbers", offboarding.numbers.iter().map(ToString::to_string).collect()),
            ("businesses", offboarding.businesses.clone()),
        ];
        let mut update = self.update(keys::offboarding(offboarding.id));
        for (name, values) in sets {
            update = update.put(name, texts(values));
        }
        update.run().await?;
        Ok(())
    }

    /// Records the progress of erasing, or of confirming that everything is erased. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn offboarding_put_note(&self, offboarding: &Offboarding) -> Result<(), StorageError> {
        self.update(keys::offboarding(offboarding.id))
            .set("erased", count(offboarding.erased))
            .set("found", count(offboarding.found))
            .set_once_if("marked_at", offboarding.marked_at.map(time))
            .put("cursor", offboarding.cursor.as_ref().map(text))
            .run()
            .await?;
        Ok(())
    }

    /// Records that the business came back, so nothing is erased. 1 WRU and 1 for the list.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn offboarding_cancel(&self, id: OffboardingId, why: &str) -> Result<(), StorageError> {
        self.update(keys::offboarding(id)).set("cancelled", text(why)).remove(&LOOKED_UP).run().await?;
        Ok(())
    }

    /// Ends an offboarding: nothing is left. If a whole tenant left, its id is removed too. 1 WRU and 2 for the lists.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn offboarding_end(&self, offboarding: &Offboarding, proof: &StepRecord) -> Result<(), StorageError> {
        let update = self.update(keys::offboarding(offboarding.id)).remove(&LOOKED_UP);
        let update = if offboarding.whole { update.remove(&["tenant", "feed", "feed_at", "accounts"]) } else { update };
        with_step(update, Leaving::Prove.as_str(), proof)?.run().await?;
        Ok(())
    }

    /// Stops sending for an account, unless it was connected again after `since`. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn account_stop(&self, account: &WabaId, since: Timestamp) -> Result<(), StorageError> {
        let stopped = StateChange {
            subject: Subject::Waba(account.clone()),
            aspect: Aspect::Partner,
            key: None,
            word: "removed".to_owned(),
            until: None,
            detail: "{}".to_owned(),
            at: since,
            timed: true,
            alert: None,
        };
        self.state_put(&stopped).await
    }

    /// Records a request of a user to delete their data, under the code with which the user may ask for its result. 1
    /// WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn deletion_put(
        &self,
        code: OffboardingId,
        offboardings: &[OffboardingId],
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.update(keys::deletion(code))
            .set_once("asked_at", time(now))
            .set_once("expires_at", expiry(crate::clock::after(now, KEPT_FOR)))
            .set_once_if("offboardings", texts(offboardings.iter().map(ToString::to_string).collect()))
            .run()
            .await?;
        Ok(())
    }

    /// Returns when a user asked for their data to be deleted, and the offboardings that do it; `None` for an unknown
    /// code.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn deletion_get(
        &self,
        code: OffboardingId,
    ) -> Result<Option<(Timestamp, Vec<OffboardingId>)>, StorageError> {
        let Some(item) = self.read(&keys::deletion(code)).await? else { return Ok(None) };
        let ids = item.set("offboardings").iter().filter_map(|id| OffboardingId::parse(id).ok()).collect();
        Ok(Some((item.required_time("asked_at")?, ids)))
    }
}

fn read(item: &Item) -> Result<Offboarding, StorageError> {
    let mut steps = Vec::new();
    for step in Leaving::ALL {
        steps.extend(read_step(item, step.as_str())?.map(|record| (step, record)));
    }
    let many = |name: &str| item.number(name).and_then(|many| u64::try_from(many).ok()).unwrap_or(0);
    Ok(Offboarding {
        id: item.parsed("pk", |pk| OffboardingId::parse(pk.trim_start_matches("OFFBOARDING#")))?,
        tenant: item.parsed_optional("tenant", TenantId::parse)?,
        whole: item.number("whole") == Some(1),
        accounts: item.set("accounts").iter().filter_map(|id| WabaId::parse(id).ok()).collect(),
        number: item.parsed_optional("number", NumberId::parse)?,
        number_of: item.parsed_optional("number_of", WabaId::parse)?,
        numbers: item.set("numbers").iter().filter_map(|id| NumberId::parse(id).ok()).collect(),
        businesses: item.set("businesses"),
        why: item.parsed("why", |word| Why::from_word(word).ok_or(()))?,
        started_at: item.required_time("started_at")?,
        erase_at: item.required_time("erase_at")?,
        marked_at: item.time("marked_at"),
        cursor: item.owned("cursor"),
        erased: many("erased"),
        found: many("found"),
        cancelled: item.owned("cancelled"),
        steps,
    })
}
