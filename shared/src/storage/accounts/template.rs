//! Mirror of an account's templates, by name and language, with which messages refer to them.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;

use crate::domain::accounts::template::{ListedTemplate, TemplateRecord};
use crate::domain::ids::WabaId;
use crate::limits::BATCH_CONCURRENCY;
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::merge::Fact;
use crate::storage::{Page, StorageError, Table, table::keys, unavailable};

/// Status of a template that Meta no longer lists.
const DELETED: &str = "DELETED";

impl Table {
    /// Mirrors the complete list of templates that Meta had at `began`; a template that is not in it is marked as
    /// deleted.
    ///
    /// An unchanged template costs nothing, a changed one 2 to 4 WRU per KB, a deleted one 1 WRU per KB; 1 WRU records
    /// the fetch.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn template_put_all(
        &self,
        account: &WabaId,
        listed: &[ListedTemplate],
        began: Timestamp,
    ) -> Result<(), StorageError> {
        let known = self.partition(&keys::account_partition(account), keys::NAMED_PREFIX).await?;
        let as_known = |template: &ListedTemplate| known.iter().map(read).any(|record| is_as_listed(&record, template));
        let mut puts = Vec::new();
        for template in listed.iter().filter(|template| !as_known(template)) {
            puts.push(self.template_put(account, template, began));
        }
        stream::iter(puts).buffer_unordered(BATCH_CONCURRENCY).try_collect::<Vec<()>>().await?;
        for known in known {
            let (name, language) = (known.required("name")?, known.required("language")?);
            let is_listed = listed.iter().any(|one| one.name == name && one.language == language);
            let newer = known.time("status_at").is_some_and(|at| at >= began);
            if !is_listed && !newer && known.text("status") != Some(DELETED) {
                self.template_delete(account, name, language, began).await?;
            }
        }
        let mirror = self.update(keys::mirror(account)).set("fetched_at", time(began));
        mirror.set("count", number(i64::try_from(listed.len()).unwrap_or(i64::MAX))).run().await?;
        Ok(())
    }

    /// Mirrors one template as Meta described it at `at`. 2 to 4 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn template_put(
        &self,
        account: &WabaId,
        template: &ListedTemplate,
        at: Timestamp,
    ) -> Result<(), StorageError> {
        let key = keys::template_named(account, &template.name, &template.language);
        self.update(key.clone())
            .set("name", text(&template.name))
            .set("language", text(&template.language))
            .set("id", text(&template.id))
            .set("named", number(i64::from(template.named)))
            .set("components", text(&template.components))
            .set("fetched_at", time(at))
            .put("rejected_reason", template.rejected_reason.as_ref().map(text))
            .when("attribute_not_exists(#fetched_at) OR #fetched_at <= :fetched_at")
            .run()
            .await?;
        let mut facts =
            vec![Fact::latest("status", &template.status, at), Fact::latest("category", &template.category, at)];
        facts.extend(template.quality.as_ref().map(|quality| Fact::latest("quality", quality, at)));
        self.merge(&key, &[], &facts).await?;
        Ok(())
    }

    /// Records that a template is deleted. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn template_delete(
        &self,
        account: &WabaId,
        name: &str,
        language: &str,
        at: Timestamp,
    ) -> Result<(), StorageError> {
        let key = keys::template_named(account, name, language);
        self.merge(&key, &[], &[Fact::latest("status", DELETED, at)]).await?;
        Ok(())
    }

    /// Returns when all templates of an account were last fetched; `None` if never.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn template_get_fetched_at(&self, account: &WabaId) -> Result<Option<Timestamp>, StorageError> {
        Ok(self.read(&keys::mirror(account)).await?.and_then(|item| item.time("fetched_at")))
    }

    /// Returns a template by name and language.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn template_get(
        &self,
        account: &WabaId,
        name: &str,
        language: &str,
    ) -> Result<Option<TemplateRecord>, StorageError> {
        let item = self.read(&keys::template_named(account, name, language)).await?;
        Ok(item.map(|item| read(&item)))
    }

    /// Returns an account's templates by name, without the deleted ones.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn template_list(
        &self,
        account: &WabaId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<TemplateRecord>, StorageError> {
        let pk = keys::account_partition(account);
        let start = cursor.map(decode).transpose()?.map(|sk| keys::Key { pk: pk.clone(), sk }.attributes());
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":pk", text(pk.clone()))
            .expression_attribute_values(":prefix", text(keys::NAMED_PREFIX))
            .limit(i32::from(limit))
            .set_exclusive_start_key(start);
        let answer = query.send().await.map_err(|error| unavailable("Query", &error))?;
        let next = answer.last_evaluated_key.and_then(|key| Item(key).text("sk").map(hex::encode));
        let items = answer.items.unwrap_or_default().into_iter().map(Item);
        let shown = items.filter(|item| item.text("status") != Some(DELETED));
        Ok(Page { items: shown.map(|item| read(&item)).collect(), next })
    }
}

/// Returns whether the mirrored template equals the listed one, as most do at most times.
fn is_as_listed(record: &TemplateRecord, listed: &ListedTemplate) -> bool {
    (&record.name, &record.language) == (&listed.name, &listed.language)
        && record.id.as_ref() == Some(&listed.id)
        && record.status.as_ref() == Some(&listed.status)
        && record.category.as_ref() == Some(&listed.category)
        && record.quality == listed.quality
        && record.rejected_reason == listed.rejected_reason
        && record.named == listed.named
        && record.components.as_ref() == Some(&listed.components)
}

fn decode(cursor: &str) -> Result<String, StorageError> {
    let sk = hex::decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    sk.filter(|sk| sk.starts_with(keys::NAMED_PREFIX)).ok_or(StorageError::BadCursor)
}

pub(in crate::storage) fn read(item: &Item) -> TemplateRecord {
    let key = item.text("sk").and_then(|sk| sk.strip_prefix(keys::NAMED_PREFIX)).and_then(|rest| rest.rsplit_once('#'));
    let (name, language) = key.unwrap_or_default();
    TemplateRecord {
        name: item.owned("name").unwrap_or_else(|| name.to_owned()),
        language: item.owned("language").unwrap_or_else(|| language.to_owned()),
        id: item.owned("id"),
        status: item.owned("status"),
        status_at: item.time("status_at"),
        category: item.owned("category"),
        quality: item.owned("quality"),
        rejected_reason: item.owned("rejected_reason"),
        named: item.number("named") == Some(1),
        components: item.owned("components"),
        fetched_at: item.time("fetched_at"),
    }
}
