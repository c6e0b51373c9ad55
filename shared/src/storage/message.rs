//! Messages: each a set of facts under its time and the provider's id (what others wrote) or under ours (what we sent). Edits,
//! revocations and reactions stand by themselves, because they may come before the message they speak of.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::facts::Fact;
use super::intent::read_facts;
use super::item::{Item, expiry, number, text, time};
use super::thread::Whose;
use super::update::Updated;
use super::{StorageError, Stored, Table, keys};
use crate::domain::contact::ContactCard;
use crate::domain::content::{Content, Unknown};
use crate::domain::ids::{ConversationId, MessageId, OutboundId, Wamid};
use crate::domain::message::{Amendment, Change, ForeignMessage, Forwarded, MessageContext, Origin};
use crate::domain::outbound::SendFacts;
use crate::domain::outgoing::Outgoing;
use crate::domain::phone::PhoneNumber;
use crate::limits::MESSAGE_AGE_MAX;

/// The attribute of a message that opens the customer service window: whom it names as its writer.
pub(super) const OPENS: &str = "opened_by";
const REACTION: &str = "reaction_";
pub(super) const EDITED: &str = "edited";
const REVOKED: &str = "revoked";
/// Longest after it was written that a message is edited or revoked: WhatsApp allows some two days, and clocks differ.
const AMENDED_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Words that the phone of a coexistence number has for the fate of a past message, the furthest last.
const PAST_STATUSES: [&str; 6] = ["error", "pending", "sent", "delivered", "read", "played"];

/// Who wrote a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Direction {
    /// The customer.
    Inbound(Origin),
    /// The business, but not by us; with the furthest step that its phone knew of, for past messages.
    Echo(Origin, Option<&'static str>),
    /// Us; with what became of it.
    Outbound(Box<SendFacts>),
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// As somebody else wrote it.
    Theirs(Content),
    /// As we were asked to send it.
    Ours(Outgoing),
}

/// A message as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its id.
    pub id: MessageId,
    /// Where it belongs.
    pub conversation: ConversationId,
    /// When it was written (theirs) or accepted (ours).
    pub at: Timestamp,
    /// What it says, after the last edit.
    pub body: Body,
    /// Who wrote it, in a group.
    pub author: Option<ContactCard>,
    /// What it refers to.
    pub context: MessageContext,
    /// Who wrote it.
    pub direction: Direction,
    /// The provider's price facts, JSON.
    pub pricing: Option<String>,
    /// When it was last edited.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted for everyone.
    pub revoked_at: Option<Timestamp>,
    /// Who reacted how: each person's last reaction.
    pub reactions: Vec<Reaction>,
}

/// A person's reaction to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// `customer`, `business`, or in a group a stable name of the member.
    pub by: String,
    /// The emoji.
    pub emoji: String,
    /// When.
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

impl Table {
    /// Stores a message that somebody else wrote, once, to be kept until `keep_until` if that is given. With `opened_by` it opens the
    /// customer service window, and this is who wrote it. 1 WRU for each KB. What we sent ourselves is left out when it is read.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn put_message(
        &self,
        conversation: &ConversationId,
        message: &ForeignMessage,
        opened_by: Option<&ContactCard>,
        (received_at, keep_until): (Timestamp, Option<Timestamp>),
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

    /// One message that we sent, by our id. 1 read unit, and 1 for what was said of it once the provider took it.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn message(
        &self,
        conversation: &ConversationId,
        id: OutboundId,
    ) -> Result<Option<StoredMessage>, StorageError> {
        let Some(mut item) = self.read(&keys::ours(conversation, id)).await? else { return Ok(None) };
        if let Some(wamid) = item.parsed_optional("wamid", Wamid::parse)? {
            self.add_said(conversation, &wamid, &mut item).await?;
        }
        read(conversation.clone(), &item).map(Some)
    }

    /// One message that somebody else wrote, of whichever contact of the person. Looks through what they wrote, the newest first, until it
    /// is found.
    ///
    /// # Errors
    /// When DynamoDB does not answer or the item is damaged.
    pub async fn foreign_message(
        &self,
        conversation: &ConversationId,
        wamid: &Wamid,
    ) -> Result<Option<StoredMessage>, StorageError> {
        for part in self.parts(conversation).await? {
            if let Some(mut item) = self.theirs_named(&part, wamid).await? {
                self.add_said(&part, wamid, &mut item).await?;
                return read(part, &item).map(Some);
            }
        }
        Ok(None)
    }

    /// What somebody else wrote under this wamid.
    pub(super) async fn theirs_named(
        &self,
        conversation: &ConversationId,
        wamid: &Wamid,
    ) -> Result<Option<Item>, StorageError> {
        let is_it = |item: &Item| item.text("sk").is_some_and(|sk| keys::is_theirs(sk, wamid));
        let (mut items, found) = self.written_until(conversation, Whose::Theirs, is_it).await?;
        Ok(items.pop().filter(|_| found))
    }

    async fn add_said(
        &self,
        conversation: &ConversationId,
        wamid: &Wamid,
        item: &mut Item,
    ) -> Result<(), StorageError> {
        let said = self.read(&keys::said(conversation, wamid)).await?;
        said.iter().for_each(|said| amend_by(item, said));
        Ok(())
    }

    /// Merges what was said about a message, under the provider's id for it; the message itself may come later, and is joined with it when
    /// it is read. 1 WRU; 2 with `keep_until`. An edit or a revocation that ends, with `keep_until`, is also written to the message, if that is there: what was
    /// taken back must not be shown again when what took it back has ended.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn amend(
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
        // Whatever is said of it later, what was to be kept for ever is.
        let endless = [("endless", number(1))];
        let once = if keep_until.is_none() { endless.as_slice() } else { &[] };
        let merged = self.merge(&key, once, std::slice::from_ref(&fact)).await?;
        let is_endless = merged.before.number("endless").is_some();
        if let Some(until) = keep_until.filter(|_| !is_endless) {
            let takes_back = !matches!(amendment.change, Change::Reacted(_));
            let is_known = !takes_back || self.amend_theirs(conversation, amendment, &fact).await?;
            // The message may come as late as this, and end as much later.
            let late = if is_known { SignedDuration::ZERO } else { MESSAGE_AGE_MAX };
            let until = until.checked_add(late).unwrap_or(Timestamp::MAX);
            self.merge(&key, &[], &[Fact::Greatest { name: "expires_at", value: until.as_second() }]).await?;
        }
        Ok(if merged.changed { Stored::New } else { Stored::Known })
    }

    /// Merges an edit or a revocation into the message that somebody else wrote; whether that is there.
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

/// When an item ends that is new. One that was there before keeps its own end, or gets one that never comes: the milliseconds of
/// its receipt, which as seconds are in a far future.
fn ends(update: super::update::Update<'_>, until: Timestamp) -> super::update::Update<'_> {
    update.set_once_unless("expires_at", "received_at", expiry(until))
}

/// Sets the content once: its kind and its JSON.
pub(super) fn with_content<'a>(
    update: super::update::Update<'a>,
    content: &Content,
) -> Result<super::update::Update<'a>, StorageError> {
    Ok(update.set_once("kind", text(content.kind())).set_once("content", text(encode(content)?)))
}

pub(super) fn encode(content: &Content) -> Result<String, StorageError> {
    serde_json::to_string(content).map_err(|_| StorageError::Refused("a content that is no JSON"))
}

pub(super) fn read_content(item: &Item, name: &str) -> Option<Content> {
    let json = item.text(name)?;
    // What a later version wrote is shown as it stands.
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
                crate::domain::contact::Alias::Phone(phone) => phone.e164().to_owned(),
                crate::domain::contact::Alias::UserId(id)
                | crate::domain::contact::Alias::ParentUserId(id)
                | crate::domain::contact::Alias::Group(id) => id,
            };
            format!("member_{}", &keys::digest(name.as_bytes())[..16])
        }
    }
}

fn past_status(word: Option<&str>) -> Option<&'static str> {
    PAST_STATUSES.into_iter().find(|known| Some(*known) == word)
}

fn card_json(card: &ContactCard) -> Option<String> {
    let wire = CardWire {
        phone: card.phone.as_ref().map(|phone| phone.e164().to_owned()),
        user_id: card.user_id.clone(),
        profile_name: card.profile_name.clone(),
        username: card.username.clone(),
        group_id: card.group_id.clone(),
    };
    serde_json::to_string(&wire).ok()
}

/// When it was written, if it is a message that somebody else wrote.
pub(super) fn written_at(item: &Item) -> Option<Timestamp> {
    match keys::parse_message(item.text("sk")?) {
        Ok((MessageId::Inbound(_), at)) => Some(at),
        _ => None,
    }
}

/// Whom a message that opens the window names as its writer, and when.
pub(super) fn names_told(item: &Item) -> Result<Option<(ContactCard, Timestamp)>, StorageError> {
    let at = keys::parse_message(item.required("sk")?)?.1;
    Ok(read_card(item, OPENS).map(|card| (card, at)))
}

fn read_card(item: &Item, name: &str) -> Option<ContactCard> {
    let wire: CardWire = serde_json::from_str(item.text(name)?).ok()?;
    Some(ContactCard {
        phone: wire.phone.and_then(|phone| PhoneNumber::parse(&phone).ok()),
        user_id: wire.user_id,
        profile_name: wire.profile_name,
        username: wire.username,
        group_id: wire.group_id,
        ..ContactCard::default()
    })
}

/// The names and times of the amendments an item holds.
fn amendments(item: &Item) -> Vec<(String, Timestamp)> {
    let is_amendment = |name: &str| name == EDITED || name == REVOKED || name.starts_with(REACTION);
    let names = item.0.keys().filter_map(|name| name.strip_suffix("_at")).filter(|name| is_amendment(name));
    names.filter_map(|name| Some((name.to_owned(), item.time(&format!("{name}_at"))?))).collect()
}

/// Takes over what `other` says later about the message.
pub(super) fn amend_by(item: &mut Item, other: &Item) {
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

/// Takes over what `other` knows better about the same message: of two merged contacts each may have a part.
pub(super) fn unite(item: &mut Item, other: &Item) {
    amend_by(item, other);
    for (name, value) in &other.0 {
        if !item.0.contains_key(name) {
            item.0.insert(name.clone(), value.clone());
        }
    }
}

/// A message.
pub(super) fn read(conversation: ConversationId, item: &Item) -> Result<StoredMessage, StorageError> {
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
            quotes: item.parsed_optional("quotes", Wamid::parse)?,
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
        // The charge is decided on delivery; `sent` may say it first.
        pricing: item.owned("pricing").or_else(|| item.owned("pricing_sent")),
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
