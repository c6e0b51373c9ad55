//! Collects the inputs of a policy decision: the status of the number, of the template and of the contact. Applies the
//! consequences of Meta's errors.

use jiff::{SignedDuration, Timestamp};

use crate::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use crate::domain::accounts::number::Number;
use crate::domain::accounts::template::TemplateRecord;
use crate::domain::conversations::contact::Preference;
use crate::domain::event::ProviderError;
use crate::domain::ids::{ContactId, ConversationId, WabaId};
use crate::domain::outgoing::Template;
use crate::domain::sending::policy::{
    Category, Consequence, Facts, MessageClass, NumberStatus, STOPPED, TemplateFacts,
};
use crate::storage::conversations::contact::read_preference;
use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::merge::Fact;
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Table, table::keys};

/// The preference with which a customer opts out of marketing.
const MARKETING: &str = "marketing_messages";
/// Pause of a number after a rate-limit refusal.
const SPEED_PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// Pause of a number whose token is refused, before it is tried again.
const RECONNECT_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// How long we assume that a customer is still blocked after Meta reported it: the end of a block is not reported.
const BLOCKED_FOR: SignedDuration = SignedDuration::from_hours(1);
/// A marketing pause doubles at most this many times.
const COOL_DOWNS_MAX: i64 = 7;

impl Table {
    /// Returns the status of a number, independent of the recipient. Four reads.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged.
    pub async fn number_status_get(&self, number: &Number) -> Result<NumberStatus, StorageError> {
        let fresh = self.number_get(&number.id).await?.filter(|fresh| fresh.tenant == number.tenant);
        Ok(NumberStatus {
            connected: fresh.is_some(),
            active: fresh.as_ref().is_some_and(|fresh| fresh.settings.inactive.is_none()),
            has_token: self.graph_token_get(&number.waba).await?.is_some(),
            number: self.number_list_states(&number.id).await?,
            account: self.account_list_states(&number.waba).await?,
            has_fallback: fresh.is_some_and(|fresh| fresh.fallback.is_some()),
        })
    }

    /// Returns the facts about a template by its name and language, and its mirrored record. 1 read unit per 4 KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn template_get_facts(
        &self,
        waba: &WabaId,
        name: &str,
        language: &str,
    ) -> Result<(TemplateFacts, Option<TemplateRecord>), StorageError> {
        let Some(item) = self.read(&keys::template_named(waba, name, language)).await? else {
            return Ok((TemplateFacts::default(), None));
        };
        let facts = TemplateFacts {
            status: item.owned("status"),
            until: item.time("stopped_until").filter(|_| item.time("stopped_until") > item.time("status_at")),
            category: item.text("category").and_then(Category::from_word),
        };
        Ok((facts, Some(crate::storage::accounts::template::read(&item))))
    }

    /// Returns all policy inputs for a message of this class in this conversation. One read per contact of the person,
    /// and two more for a free-form message or during a marketing pause.
    ///
    /// # Errors
    /// When DynamoDB does not answer or an item is damaged; [`StorageError::Erased`] if the contact is being erased.
    pub async fn policy_get_facts(
        &self,
        number: &Number,
        conversation: &ConversationId,
        class: MessageClass,
        standing: NumberStatus,
        template: TemplateFacts,
    ) -> Result<Facts, StorageError> {
        let mut facts = Facts { standing, template, ..Facts::default() };
        let person = self.person_items(conversation.contact()).await?.ok_or(StorageError::Erased)?;
        add_wishes(&mut facts, &person, number)?;
        if class == MessageClass::FreeForm || facts.cool_down_until.is_some() {
            let part = |contact: &ContactId| ConversationId::new(number.id.clone(), *contact);
            let parts: Vec<ConversationId> = person.iter().map(|(contact, _)| part(contact)).collect();
            let known = self.conversation_of(number.tenant, conversation, &parts).await?;
            facts.last_inbound_at = known.as_ref().and_then(|known| known.last_inbound_at);
            facts.entry_point_until = known.and_then(|known| known.entry_point_until);
        }
        Ok(facts)
    }

    /// Applies the consequence of an answer of Meta's to later messages. 1 to 3 WRU, and 1 for the list if an alert is
    /// new; rarely needed.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn consequence_put(
        &self,
        number: &Number,
        contact: ContactId,
        template: Option<&Template>,
        error: &ProviderError,
        consequence: Consequence,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let after = |wait| crate::clock::after(now, wait);
        match consequence {
            Consequence::Pause(wait) => self.pace_pause(&number.id, after(wait), &error.code.to_string()).await,
            Consequence::SlowDown => {
                self.pace_pause(&number.id, after(SPEED_PAUSE), &error.code.to_string()).await?;
                self.pace_slow_down(&number.id, now).await
            }
            Consequence::Stop(wait, title, remedy) => {
                self.raise(number, error, STOPPED, Some(after(wait)), critical(title, remedy), now).await
            }
            Consequence::Reconnect(title, remedy) => {
                self.pace_pause(&number.id, after(RECONNECT_PAUSE), &error.code.to_string()).await?;
                self.raise(number, error, "reconnect", None, critical(title, remedy), now).await
            }
            Consequence::Unknown => {
                let remedy = "Look the code up in Meta's list of error codes, and update Switchboard.";
                let title = "Meta answered with an error code that this version does not know.";
                self.raise(number, error, "unknown_code", None, critical(title, remedy), now).await
            }
            Consequence::Distrust => {
                self.pace_distrust(&number.id, now).await?;
                let title = "Meta sent a message that it had answered with \"something went wrong, try again\".";
                let remedy = "Look for doubles. Such messages are no longer tried again by themselves on this number.";
                self.raise(number, error, "distrusted", None, critical(title, remedy), now).await
            }
            Consequence::CoolDown(wait) => self.cool_down(contact, &number.waba, wait, now).await,
            Consequence::OptedOut => {
                let detail = Some("Meta refused marketing: the customer stopped it".to_owned());
                let stop = Preference { category: MARKETING.to_owned(), value: "stop".to_owned(), detail };
                self.preference_put(contact, &number.waba, &stop, now).await
            }
            Consequence::Block => {
                let blocked = self.update(keys::restraint(contact, &number.waba));
                blocked.set("blocked_until", time(after(BLOCKED_FOR))).run().await.map(|_| ())
            }
            Consequence::StopTemplate(wait, title, remedy) => {
                let Some(template) = template else { return Ok(()) };
                self.stop_template(&number.waba, template, error.code, wait, now).await?;
                self.raise(number, error, &template.name, None, critical(title, remedy), now).await
            }
        }
    }

    /// Records that a number blocked a customer, or unblocked them. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn contact_put_blocked(
        &self,
        contact: ContactId,
        number: &Number,
        blocked: bool,
    ) -> Result<(), StorageError> {
        let restraint = self.update(keys::restraint(contact, &number.waba));
        let id = number.id.to_string();
        let restraint = match blocked {
            true => restraint.add("blocked_by", id),
            // An earlier answer of Meta's that the customer is blocked no longer counts either.
            false => restraint.delete("blocked_by", id).remove(&["blocked_until"]),
        };
        restraint.run().await?;
        Ok(())
    }

    /// Records trouble with a number and an alert of it: at most one alert per day for the same report.
    async fn raise(
        &self,
        number: &Number,
        error: &ProviderError,
        word: &str,
        until: Option<Timestamp>,
        alert: Alert,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let detail = serde_json::json!({"code": error.code, "title": error.title, "details": error.details});
        let change = StateChange {
            subject: Subject::Number(number.id.clone()),
            aspect: Aspect::Trouble,
            key: Some(error.code.to_string()),
            word: word.to_owned(),
            until,
            detail: detail.to_string(),
            at: now,
            timed: false,
            alert: Some(alert),
        };
        self.state_put(&change).await?;
        self.alert_put(Some(number.tenant), &change).await
    }

    /// Pauses marketing to a customer. Each further pause is twice as long.
    async fn cool_down(
        &self,
        contact: ContactId,
        waba: &WabaId,
        first: SignedDuration,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let key = keys::restraint(contact, waba);
        let before = self.read(&key).await?.unwrap_or_default();
        let count = before.number("cool_downs").unwrap_or(0).min(COOL_DOWNS_MAX);
        let wait = first.saturating_mul(2_i32.saturating_pow(u32::try_from(count).unwrap_or(0)));
        let until = crate::clock::after(now, wait);
        // A refusal during the pause belongs to a message from before the pause.
        let cool = self.update(key).set("cool_until", time(until)).set("cool_downs", number(count + 1));
        cool.when("attribute_not_exists(#cool_until) OR #cool_until <= :now").value("now", time(now)).run().await?;
        Ok(())
    }

    /// Stops a template for new messages, until Meta reports another status or the time is over. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    async fn stop_template(
        &self,
        waba: &WabaId,
        template: &Template,
        code: i64,
        stop_for: Option<SignedDuration>,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let key = keys::template_named(waba, &template.name, &template.language.code);
        let stop = Fact::latest("status", format!("REFUSED_{code}"), now);
        let until = stop_for.and_then(|wait| now.checked_add(wait).ok());
        let until = until.map(|until| Fact::moment("stopped_until", until));
        let named = named(&template.name, &template.language.code);
        self.merge(&key, &named, &[Some(stop), until].into_iter().flatten().collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Records a template's status, category or quality under its name and language too, with which messages refer to
    /// it. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn template_put_state(&self, change: &StateChange) -> Result<(), StorageError> {
        let Subject::Template(waba, _) = &change.subject else { return Ok(()) };
        let Ok(detail) = serde_json::from_str::<serde_json::Value>(&change.detail) else { return Ok(()) };
        let part = |key: &str| detail.get(key).and_then(serde_json::Value::as_str);
        let (Some(name), Some(language)) = (part("message_template_name"), part("message_template_language")) else {
            return Ok(());
        };
        let fact = |name: &str, value: &str| Fact::latest(name, value, change.at);
        let mut facts = Vec::new();
        match change.aspect {
            Aspect::TemplateStatus => {
                facts.push(fact("status", &change.word));
                facts.extend(part("message_template_category").map(|category| fact("category", category)));
            }
            Aspect::TemplateCategory => facts.push(fact("category", &change.word)),
            Aspect::TemplateQuality => facts.push(fact("quality", &change.word)),
            _ => return Ok(()),
        }
        // Webhooks write `en-US` where the API has `en_US`.
        let language = language.replace('-', "_");
        let key = keys::template_named(waba, name, &language);
        self.merge(&key, &named(name, &language), &facts).await?;
        Ok(())
    }
}

impl Table {
    /// Sets or removes the template that a number sends instead of a message that is too late. `false` if there is no
    /// such number. 1 WRU.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn number_put_fallback(
        &self,
        number: &Number,
        fallback: Option<&Template>,
    ) -> Result<bool, StorageError> {
        let fallback = fallback.map(serde_json::to_string).transpose();
        let fallback = fallback.map_err(|_| StorageError::Refused("a template"))?;
        let update = self.update(keys::number(&number.id)).put("fallback", fallback.map(text));
        Ok(matches!(update.when("attribute_exists(#pk)").run().await?, Updated::Done(_)))
    }
}

/// Attributes for name and language, because the key holds only a hash of a long name.
fn named(name: &str, language: &str) -> [(&'static str, aws_sdk_dynamodb::types::AttributeValue); 2] {
    [("name", text(name)), ("language", text(language))]
}

/// Returns the fallback template from a number's item.
pub(in crate::storage) fn read_fallback(item: &Item) -> Option<Template> {
    serde_json::from_str(item.text("fallback")?).ok()
}

/// Adds the preferences of one person's contacts, and the restraints that Meta asked for, to the facts.
fn add_wishes(facts: &mut Facts, person: &[(ContactId, Vec<Item>)], number: &Number) -> Result<(), StorageError> {
    let wants = keys::wants_prefix(&number.waba);
    let mut latest: Option<(Timestamp, String)> = None;
    for (contact, items) in person {
        let restraint = keys::restraint(*contact, &number.waba);
        for item in items {
            let sk = item.required("sk")?;
            if sk == restraint.sk {
                facts.cool_down_until = facts.cool_down_until.max(item.time("cool_until"));
                facts.blocked_until = facts.blocked_until.max(item.time("blocked_until"));
                if item.set("blocked_by").iter().any(|by| by == number.id.as_str()) {
                    facts.blocked_until = Some(Timestamp::MAX);
                }
            } else if sk.starts_with(&wants) {
                let (preference, at) = read_preference(item)?;
                if preference.category == MARKETING && latest.as_ref().is_none_or(|(known, _)| *known <= at) {
                    latest = Some((at, preference.value));
                }
            }
        }
    }
    facts.opted_out = latest.is_some_and(|(_, value)| value == "stop");
    Ok(())
}

fn critical(title: &'static str, remedy: &'static str) -> Alert {
    Alert { severity: Severity::Critical, title, remedy }
}
