//! Conversations: who, and the latest moments. Every moment only moves forward, by condition, so order cannot matter.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use super::item::{Item, text, time};
use super::update::{Update, Updated};
use super::{Page, StorageError, Table, keys};
use crate::domain::contact::ContactCard;
use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, TenantId};
use crate::domain::phone::PhoneNumber;

impl Table {
    /// Notes that the customer wrote at `at`; `opens_window` unless it is a kind that does not.
    ///
    /// 1 WRU and 2 for the inbox index; a moment older than the latest costs up to two refused writes instead.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_inbound(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        card: &ContactCard,
        at: Timestamp,
        opens_window: bool,
    ) -> Result<(), StorageError> {
        self.note(tenant, id, card, at, opens_window).await
    }

    /// Notes that we wrote, or were asked to write, at `at`.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn note_outbound(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        card: &ContactCard,
        at: Timestamp,
    ) -> Result<(), StorageError> {
        self.note(tenant, id, card, at, false).await
    }

    async fn note(
        &self,
        tenant: TenantId,
        id: &ConversationId,
        card: &ContactCard,
        at: Timestamp,
        opens_window: bool,
    ) -> Result<(), StorageError> {
        const NEWEST: &str = "attribute_not_exists(#last_activity_at) OR #last_activity_at < :last_activity_at";
        const NEWEST_INBOUND: &str = "attribute_not_exists(#last_inbound_at) OR #last_inbound_at < :last_inbound_at";
        let base = || self.update(keys::conversation(id)).set_once("tenant", text(tenant.to_string()));
        let active = || activity(named(base(), card), tenant, at).when(NEWEST);
        if !opens_window {
            active().run().await?;
            return Ok(());
        }
        let both = activity(named(base(), card), tenant, at)
            .set("last_inbound_at", time(at))
            .when(&format!("({NEWEST}) AND ({NEWEST_INBOUND})"));
        if let Updated::Refused(item) = both.run().await? {
            let later_than = |name| item.time(name).is_none_or(|known| known < at);
            if later_than("last_inbound_at") {
                let inbound = named(base(), card).set("last_inbound_at", time(at)).when(NEWEST_INBOUND);
                inbound.run().await?;
            }
            if later_than("last_activity_at") {
                active().run().await?;
            }
        }
        Ok(())
    }

    /// One conversation of this tenant; another tenant's is as if it did not exist.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn conversation(
        &self,
        tenant: TenantId,
        id: &ConversationId,
    ) -> Result<Option<Conversation>, StorageError> {
        let Some(item) = self.read(&keys::conversation(id)).await? else { return Ok(None) };
        let conversation = read(id.clone(), &item)?;
        Ok(Some(conversation).filter(|conversation| conversation.tenant == tenant))
    }

    /// A tenant's conversations, the latest activity first. One index query and one batch read a page.
    ///
    /// # Errors
    /// When DynamoDB does not answer, an item is damaged, or the cursor is not of this list.
    pub async fn conversations(
        &self,
        tenant: TenantId,
        limit: u16,
        cursor: Option<&str>,
    ) -> Result<Page<Conversation>, StorageError> {
        let (found, next) = self.list_page(&keys::inbox(tenant), limit, cursor).await?;
        let mut items = Vec::with_capacity(found.len());
        for item in self.read_all(&found).await? {
            let conversation = read(keys::parse_conversation(item.required("pk")?)?, &item)?;
            if conversation.tenant == tenant {
                items.push(conversation);
            }
        }
        Ok(Page { items, next })
    }
}

fn activity<'a>(update: Update<'a>, tenant: TenantId, at: Timestamp) -> Update<'a> {
    update.set("last_activity_at", time(at)).set("list", text(keys::inbox(tenant))).set("list_at", time(at))
}

/// Adds what the card tells. A name may change; who it is may not.
fn named<'a>(update: Update<'a>, card: &ContactCard) -> Update<'a> {
    let phone: Option<AttributeValue> = card.phone.as_ref().map(|phone| text(phone.e164()));
    let update = update.set_once_if("phone", phone).set_once_if("user_id", card.user_id.as_ref().map(text));
    match &card.profile_name {
        Some(name) => update.set("profile_name", text(name)),
        None => update,
    }
}

fn read(id: ConversationId, item: &Item) -> Result<Conversation, StorageError> {
    Ok(Conversation {
        id,
        tenant: item.parsed("tenant", TenantId::parse)?,
        phone: item.parsed_optional("phone", PhoneNumber::parse)?,
        user_id: item.owned("user_id"),
        profile_name: item.owned("profile_name"),
        last_activity_at: item.time("last_activity_at").or(item.time("last_inbound_at")).unwrap_or_default(),
        last_inbound_at: item.time("last_inbound_at"),
    })
}
