//! Messages, stored as sets of facts. A message that others wrote has its time and the provider's id as its key; one
//! that we sent has our id.
//!
//! Edits, revocations and reactions are items of their own (annotations), because they may arrive before their message.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::conversations::contact::ContactIdentity;
use crate::domain::conversations::content::{Content, Unknown};
use crate::domain::conversations::message::{Amendment, Change, Forwarded, InboundMessage, MessageContext, Origin};
use crate::domain::conversations::phone::PhoneNumber;
use crate::domain::event::Payment;
use crate::domain::ids::{ConversationId, MessageId, OutboundId, ProviderMessageId};
use crate::domain::outgoing::Outgoing;
use crate::domain::sending::outbound::SendFacts;
use crate::limits::MESSAGE_AGE_MAX;
use crate::storage::sending::intent::read_facts;
use crate::storage::sending::status::read_payment;
use crate::storage::table::item::{Item, expiry, number, text, time};
use crate::storage::table::merge::Fact;
use crate::storage::table::update::Updated;
use crate::storage::{StorageError, Stored, Table, table::keys};

/// Attribute of a message that opens the customer service window: the contact that the message names as its author.
pub(in crate::storage) const OPENS: &str = "opened_by";
const REACTION: &str = "reaction_";
pub(in crate::storage) const EDITED: &str = "edited";
const REVOKED: &str = "revoked";
/// Longest time between a message and its edit or revocation. WhatsApp allows about two days, and clocks differ.
const AMENDED_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Statuses that the phone of a coexistence number reports for a message of its history, the furthest last.
const PAST_STATUSES: [&str; 6] = ["error", "pending", "sent", "delivered", "read", "played"];

/// Direction of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// Written by the customer.
    Inbound(Origin),
    /// Written by the business without Switchboard. A message synced from the phone's history also has the furthest
    /// status that the phone reported.
    Echo(Origin, Option<&'static str>),
    /// Sent by Switchboard, with the facts of its sending.
    Outbound(Box<SendFacts>),
}

/// Content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Content of a message that somebody else wrote.
    Theirs(Content),
    /// Content that we were asked to send.
    Ours(Outgoing),
}

/// A message as it is returned to readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub id: MessageId,
    /// Its conversation.
    pub conversation: ConversationId,
    /// When it was written (theirs) or accepted (ours).
    pub at: Timestamp,
    /// Its content, after the latest edit.
    pub body: Body,
    /// Its author, in a group.
    pub author: Option<ContactIdentity>,
    /// References to other messages, products or advertisements.
    pub context: MessageContext,
    /// Its direction.
    pub direction: Direction,
    /// The provider's price facts, JSON.
    pub pricing: Option<String>,
    /// State of the payment that the message asked for, and the time of the report.
    pub payment: Option<(Payment, Timestamp)>,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted for everyone.
    pub revoked_at: Option<Timestamp>,
    /// The latest reaction of each person.
    pub reactions: Vec<Reaction>,
}

/// A person's reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// `customer`, `business`, or in a group a stable name of the member.
    pub by: String,
    /// The emoji.
    pub emoji: String,
    /// When the person reacted.
    pub at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct CardWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    profile_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_id: Option<String>,
}

/// Author side of a list of messages. Within one millisecond, theirs come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::storage) enum Whose {
    Theirs,
    Ours,
}

impl Whose {
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Theirs => keys::THEIR_MESSAGES,
            Self::Ours => keys::OUR_MESSAGES,
        }
    }

    /// Returns a key that sorts before all messages of this millisecond and after all earlier ones.
    pub(super) fn before(self, at: Timestamp) -> String {
        match self {
            Self::Theirs => keys::theirs_before(at),
            Self::Ours => keys::ours_before(at),
        }
    }

    /// Returns a key that sorts after all messages of this millisecond and before all later ones.
    pub(super) fn behind(self, at: Timestamp) -> String {
        match self {
            Self::Theirs => keys::theirs_behind(at),
            Self::Ours => keys::ours_behind(at),
        }
    }
}

impl Table {
    /// Stores a message that somebody else wrote, once; with `keep_until` it expires then.
    ///
    /// `opened_by` is the author of a message that opens the customer service window. An echo of a message that we sent
    /// is stored too, and left out when the conversation is read. 1 WRU per KB.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn inbound_message_put(
        &self,
        conversation: &ConversationId,
        message: &InboundMessage,
        opened_by: Option<&ContactIdentity>,
        received_at: Timestamp,
        keep_until: Option<Timestamp>,
    ) -> Result<Stored, StorageError> {
        let key = keys::theirs(conversation, message.at, &message.id);
        let (origin, context) = (message.origin, &message.context);
        let origin_name = if origin.is_history() { "past_origin" } else { "origin" };
        let mut update = self
            .update(key)
            .set_once(origin_name, text(origin.as_str()))
            .set_once("received_at", time(received_at))
            .set_once_if(OPENS, opened_by.and_then(card_json).map(text))
            .set_once_if("quotes", context.quotes.as_ref().map(|id| text(id.as_str())))
            .set_once_if(
                "forwarded",
                context.forwarded.map(|often| number(if often == Forwarded::Often { 2 } else { 1 })),
            )
            .set_once_if("product_catalog", context.product.as_ref().map(|(catalog, _)| text(catalog)))
            .set_once_if("product", context.product.as_ref().map(|(_, product)| text(product)))
            .set_once_if("referral", context.referral.as_ref().map(text))
            .set_once_if("author", message.author.as_ref().and_then(card_json).map(text));
        if let Some(until) = keep_until {
            update = ends(update, until);
        }
        if let Some(word) = past_status(context.history_status.as_deref()) {
            update = update.set_once(&format!("past_{word}"), number(1));
        }
        if message.content != (Content::MediaPlaceholder {}) {
            update = with_content(update, &message.content)?;
        }
        let (Updated::Done(old) | Updated::Refused(old)) = update.run().await?;
        let new = old.text("origin").is_none() && old.text("past_origin").is_none();
        Ok(if new { Stored::New } else { Stored::Known })
    }

    /// Returns one message that we sent, by our id. 1 read unit, and 1 for its annotations once the provider has
    /// accepted it.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn message_get(
        &self,
        conversation: &ConversationId,
        id: OutboundId,
    ) -> Result<Option<StoredMessage>, StorageError> {
        let Some(mut item) = self.read(&keys::ours(conversation, id)).await? else { return Ok(None) };
        if let Some(wamid) = item.parsed_optional("wamid", ProviderMessageId::parse)? {
            self.add_said(conversation, &wamid, &mut item).await?;
        }
        let mut found = [read(conversation.clone(), &item)?];
        Box::pin(self.name_quoted(&mut found)).await?;
        Ok(found.into_iter().next())
    }

    /// Returns one message that somebody else wrote, in the conversation with any contact of the person. Reads their
    /// messages newest first until the message is found.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn inbound_message_get(
        &self,
        conversation: &ConversationId,
        wamid: &ProviderMessageId,
    ) -> Result<Option<StoredMessage>, StorageError> {
        for part in self.parts(conversation).await? {
            if let Some(mut item) = self.theirs_named(&part, wamid).await? {
                self.add_said(&part, wamid, &mut item).await?;
                let mut found = [read(part, &item)?];
                Box::pin(self.name_quoted(&mut found)).await?;
                return Ok(found.into_iter().next());
            }
        }
        Ok(None)
    }

    /// Returns the item of the message that somebody else wrote under this wamid.
    pub(in crate::storage) async fn theirs_named(
        &self,
        conversation: &ConversationId,
        wamid: &ProviderMessageId,
    ) -> Result<Option<Item>, StorageError> {
        let is_it = |item: &Item| item.text("sk").is_some_and(|sk| keys::is_theirs(sk, wamid));
        let (mut items, found) = self.written_until(conversation, Whose::Theirs, is_it).await?;
        Ok(items.pop().filter(|_| found))
    }

    async fn add_said(
        &self,
        conversation: &ConversationId,
        wamid: &ProviderMessageId,
        item: &mut Item,
    ) -> Result<(), StorageError> {
        let said = self.read(&keys::said(conversation, wamid)).await?;
        said.iter().for_each(|said| amend_by(item, said));
        Ok(())
    }

    /// Merges an annotation (edit, revocation or reaction) under the provider's id of its message. The message may
    /// arrive later; the two are joined when the message is read.
    ///
    /// With `keep_until` the annotation expires. An edit or a revocation is then also written into the message itself,
    /// if that is stored; otherwise the revocation could expire first and the text reappear. 1 WRU; 2 with
    /// `keep_until`, and 1 more if the message is written too.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn annotation_put(
        &self,
        conversation: &ConversationId,
        amendment: &Amendment,
        keep_until: Option<Timestamp>,
    ) -> Result<Stored, StorageError> {
        let (name, value) = match &amendment.change {
            Change::Edited(content) => (EDITED.to_owned(), encode(content)?),
            Change::Revoked => (REVOKED.to_owned(), String::new()),
            Change::Reacted(emoji) => (format!("{REACTION}{}", reactor(amendment)), emoji.clone().unwrap_or_default()),
        };
        let fact = Fact::latest(&name, value, amendment.at);
        let key = keys::said(conversation, &amendment.target);
        // Once one annotation never expires, later ones must not set an expiry.
        let endless = [("endless", number(1))];
        let once = if keep_until.is_none() { endless.as_slice() } else { &[] };
        let merged = self.merge(&key, once, std::slice::from_ref(&fact)).await?;
        let is_endless = merged.before.number("endless").is_some();
        if let Some(until) = keep_until.filter(|_| !is_endless) {
            let takes_back = !matches!(amendment.change, Change::Reacted(_));
            let is_known = !takes_back || self.amend_theirs(conversation, amendment, &fact).await?;
            // A message that is not stored yet may still arrive within this time, and expires that much later.
            let late = if is_known { SignedDuration::ZERO } else { MESSAGE_AGE_MAX };
            let until = crate::clock::after(until, late);
            self.merge(&key, &[], &[Fact::Greatest { name: "expires_at", value: until.as_second() }]).await?;
        }
        Ok(if merged.changed { Stored::New } else { Stored::Known })
    }

    /// Merges an edit or a revocation into the message, if somebody else wrote it. Returns whether the message is
    /// stored.
    async fn amend_theirs(
        &self,
        conversation: &ConversationId,
        amendment: &Amendment,
        fact: &Fact,
    ) -> Result<bool, StorageError> {
        let earliest = amendment.at.checked_sub(AMENDED_WITHIN).unwrap_or(Timestamp::MIN);
        let is_last = |item: &Item| {
            let sk = item.text("sk").unwrap_or_default();
            keys::is_theirs(sk, &amendment.target) || keys::parse_message(sk).is_ok_and(|(_, at)| at < earliest)
        };
        let (items, _) = self.written_until(conversation, Whose::Theirs, is_last).await?;
        let Some(last) = items.last() else { return Ok(false) };
        let key = last.key()?;
        if !keys::is_theirs(&key.sk, &amendment.target) {
            return Ok(false);
        }
        let there = fact.condition().into_iter().chain(["attribute_exists(#pk)".to_owned()]);
        fact.write(self.update(key)).when(&there.collect::<Vec<_>>().join(" AND ")).run().await?;
        Ok(true)
    }
}

/// Sets the expiry of a new item. An item that exists keeps its expiry; one without expiry gets its `received_at`,
/// whose milliseconds read as seconds are in the far future.
fn ends(
    update: crate::storage::table::update::Update<'_>,
    until: Timestamp,
) -> crate::storage::table::update::Update<'_> {
    update.set_once_unless("expires_at", "received_at", expiry(until))
}

/// Sets the content once: its kind and its JSON.
pub(in crate::storage) fn with_content<'a>(
    update: crate::storage::table::update::Update<'a>,
    content: &Content,
) -> Result<crate::storage::table::update::Update<'a>, StorageError> {
    Ok(update.set_once("kind", text(content.kind())).set_once("content", text(encode(content)?)))
}

pub(in crate::storage) fn encode(content: &Content) -> Result<String, StorageError> {
    serde_json::to_string(content).map_err(|_| StorageError::Refused("a content that is no JSON"))
}

pub(in crate::storage) fn read_content(item: &Item, name: &str) -> Option<Content> {
    let json = item.text(name)?;
    // Content that a later version wrote is returned as its JSON.
    let unknown = || Content::Unknown(Unknown { kind: "unknown".to_owned(), raw: json.to_owned() });
    Some(serde_json::from_str(json).unwrap_or_else(|_| unknown()))
}

fn reactor(amendment: &Amendment) -> String {
    let member = amendment.author.as_ref().and_then(|author| author.aliases().into_iter().next());
    match (amendment.by_business, member) {
        (true, _) => "business".to_owned(),
        (false, None) => "customer".to_owned(),
        (false, Some(alias)) => {
            let name = match alias {
                crate::domain::conversations::contact::Alias::Phone(phone) => phone.e164().to_owned(),
                crate::domain::conversations::contact::Alias::UserId(id)
                | crate::domain::conversations::contact::Alias::ParentUserId(id)
                | crate::domain::conversations::contact::Alias::Group(id) => id,
            };
            format!("member_{}", &keys::digest(name.as_bytes())[..16])
        }
    }
}

fn past_status(word: Option<&str>) -> Option<&'static str> {
    PAST_STATUSES.into_iter().find(|known| Some(*known) == word)
}

fn card_json(card: &ContactIdentity) -> Option<String> {
    let wire = CardWire {
        phone: card.phone.as_ref().map(|phone| phone.e164().to_owned()),
        user_id: card.user_id.clone(),
        profile_name: card.profile_name.clone(),
        username: card.username.clone(),
        group_id: card.group_id.clone(),
    };
    serde_json::to_string(&wire).ok()
}

/// Returns when the message was written, if somebody else wrote it.
pub(in crate::storage) fn written_at(item: &Item) -> Option<Timestamp> {
    match keys::parse_message(item.text("sk")?) {
        Ok((MessageId::Inbound(_), at)) => Some(at),
        _ => None,
    }
}

/// Returns the author that a window-opening message names, and when it was written.
pub(in crate::storage) fn names_told(item: &Item) -> Result<Option<(ContactIdentity, Timestamp)>, StorageError> {
    let at = keys::parse_message(item.required("sk")?)?.1;
    Ok(read_card(item, OPENS).map(|card| (card, at)))
}

fn read_card(item: &Item, name: &str) -> Option<ContactIdentity> {
    let wire: CardWire = serde_json::from_str(item.text(name)?).ok()?;
    Some(ContactIdentity {
        phone: wire.phone.and_then(|phone| PhoneNumber::parse_wa_id(&phone).ok()),
        user_id: wire.user_id,
        profile_name: wire.profile_name,
        username: wire.username,
        group_id: wire.group_id,
        ..ContactIdentity::default()
    })
}

/// Returns the names and times of the annotations in an item.
fn amendments(item: &Item) -> Vec<(String, Timestamp)> {
    let is_amendment = |name: &str| name == EDITED || name == REVOKED || name.starts_with(REACTION);
    let names = item.0.keys().filter_map(|name| name.strip_suffix("_at")).filter(|name| is_amendment(name));
    names.filter_map(|name| Some((name.to_owned(), item.time(&format!("{name}_at"))?))).collect()
}

/// Copies the annotations of `other` that are later than those of `item`.
pub(in crate::storage) fn amend_by(item: &mut Item, other: &Item) {
    for (name, at) in amendments(other) {
        let at_name = format!("{name}_at");
        if item.time(&at_name).is_none_or(|known| known < at) {
            for attribute in [&name, &at_name] {
                if let Some(value) = other.0.get(attribute) {
                    item.0.insert(attribute.clone(), value.clone());
                }
            }
        }
    }
}

/// Adds to `item` the attributes that only `other` has: after a merge of contacts each may hold a part of one message.
pub(in crate::storage) fn unite(item: &mut Item, other: &Item) {
    amend_by(item, other);
    for (name, value) in &other.0 {
        if !item.0.contains_key(name) {
            item.0.insert(name.clone(), value.clone());
        }
    }
}

/// Reads a message from its item.
pub(in crate::storage) fn read(conversation: ConversationId, item: &Item) -> Result<StoredMessage, StorageError> {
    let (id, at) = keys::parse_message(item.required("sk")?)?;
    let direction = match &id {
        MessageId::Outbound(_) => Direction::Outbound(Box::new(read_facts(item)?)),
        MessageId::Inbound(_) => foreign_direction(item)?,
    };
    let mut reactions: Vec<Reaction> = amendments(item)
        .into_iter()
        .filter_map(|(name, at)| {
            let emoji = item.owned(&name).filter(|emoji| !emoji.is_empty())?;
            Some(Reaction { by: name.strip_prefix(REACTION)?.to_owned(), emoji, at })
        })
        .collect();
    reactions.sort_by(|one, other| one.by.cmp(&other.by));
    let ours = matches!(id, MessageId::Outbound(_)).then(|| item.text("content")).flatten();
    let body = match ours.and_then(|json| serde_json::from_str(json).ok()) {
        Some(outgoing) => Body::Ours(outgoing),
        None => {
            let content = read_content(item, EDITED).or_else(|| read_content(item, "content"));
            Body::Theirs(content.unwrap_or(Content::MediaPlaceholder {}))
        }
    };
    Ok(StoredMessage {
        id,
        conversation,
        at,
        body,
        author: read_card(item, "author"),
        context: MessageContext {
            quotes: item.parsed_optional("quotes", ProviderMessageId::parse)?,
            quotes_ours: None,
            quoted_author: None,
            forwarded: match item.number("forwarded") {
                Some(2) => Some(Forwarded::Often),
                Some(_) => Some(Forwarded::Once),
                None => None,
            },
            product: item.owned("product_catalog").zip(item.owned("product")),
            referral: item.owned("referral"),
            history_status: None,
        },
        direction,
        // The price is final on delivery; `sent` may report an earlier one.
        pricing: item.owned("pricing").or_else(|| item.owned("pricing_sent")),
        payment: read_payment(item),
        edited_at: item.time("edited_at"),
        revoked_at: item.time("revoked_at"),
        reactions,
    })
}

fn foreign_direction(item: &Item) -> Result<Direction, StorageError> {
    let word = item.text("origin").or_else(|| item.text("past_origin")).ok_or(StorageError::Corrupt("origin"))?;
    let origin = Origin::from_word(word).ok_or(StorageError::Corrupt("origin"))?;
    if origin.is_inbound() {
        return Ok(Direction::Inbound(origin));
    }
    let furthest = PAST_STATUSES.into_iter().rev().find(|word| item.number(&format!("past_{word}")).is_some());
    Ok(Direction::Echo(origin, furthest))
}
