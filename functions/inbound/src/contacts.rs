//! Numbers and contacts that an item names.

use shared::clock::Timestamp;
use shared::domain::accounts::account::{Alert, Aspect, Severity, StateChange, Subject};
use shared::domain::accounts::number::Number;
use shared::domain::conversations::contact::ContactIdentity;
use shared::domain::ids::{ContactId, ConversationId, NumberId};
use shared::storage::{ConversationUpdate, Naming, Resolved, StorageError, Vouched};

use crate::Deps;
use crate::outcome::NotStored;

/// Names the author of an item: the identity in the item, and identities that the same body links to it.
#[derive(Clone, Copy)]
pub(crate) struct Author<'a> {
    pub(crate) card: &'a ContactIdentity,
    pub(crate) linked: &'a [ContactIdentity],
}

impl<'a> Author<'a> {
    pub(crate) fn only(card: &'a ContactIdentity) -> Self {
        Self { card, linked: &[] }
    }
}

/// Returns the number, cached for five minutes. A missing number is not cached, because it may be connected at any
/// moment and no event for it may be missed.
pub(crate) async fn known_number(deps: &Deps, id: Option<&NumberId>) -> Result<Option<Number>, StorageError> {
    let Some(id) = id else { return Ok(None) };
    let known = deps.numbers.get(id, deps.table.number_get(id)).await?;
    if known.is_none() {
        deps.numbers.forget(id);
    }
    Ok(known)
}

/// Returns the contact of a card that the provider vouches for. A user id never changes its contact, so the cache is
/// right unless the contact was erased (see [`touch`]).
pub(crate) async fn contact_of(
    deps: &Deps,
    number: &Number,
    author: Author<'_>,
    said_at: Timestamp,
    received_at: Timestamp,
) -> Result<ContactId, StorageError> {
    resolved(deps, number, author, said_at, received_at).await?.said(said_at)
}

pub(crate) async fn resolved(
    deps: &Deps,
    number: &Number,
    author: Author<'_>,
    said_at: Timestamp,
    received_at: Timestamp,
) -> Result<Resolved, StorageError> {
    let vouched = Vouched::ByProvider(&number.waba);
    let naming = Naming { card: author.card, linked: author.linked, vouched, said_at };
    let resolve = Box::pin(deps.table.contact_resolve(number.tenant, naming, received_at));
    // A phone number alone may have moved to another person meanwhile.
    let is_lasting = author.card.user_id.is_some() || author.card.phone.is_none();
    let resolved = if author.linked.is_empty() && is_lasting {
        let fetch = async { resolve.await.map(Some) };
        let known = deps.contacts.get(&(number.tenant, author.card.aliases()), fetch).await?;
        known.ok_or(StorageError::Corrupt("alias"))?
    } else {
        resolve.await?
    };
    if resolved.is_disputed {
        deps.table.alert_put(Some(number.tenant), &disputed(number, said_at)).await?;
        deps.metrics.count("contact_disputed", "phone", 1);
    }
    Ok(resolved)
}

/// Returns the alert about two people who were reported with one phone number for the same second.
fn disputed(number: &Number, at: Timestamp) -> StateChange {
    StateChange {
        subject: Subject::Number(number.id.clone()),
        aspect: Aspect::Identity,
        key: None,
        word: "disputed".to_owned(),
        until: None,
        detail: "{}".to_owned(),
        at,
        timed: true,
        alert: Some(Alert {
            severity: Severity::Warning,
            title: "Meta reported two people with one phone number for the same second.",
            remedy: "Answer in the conversation in which each wrote. Ask before you write to the phone number.",
        }),
    }
}

/// Records what changed a conversation. If the cached contact is being erased, the cache entry is dropped and the
/// record is redelivered. The sender then becomes a new contact, and nothing is lost.
pub(crate) async fn touch(
    deps: &Deps,
    number: &Number,
    conversation: &ConversationId,
    card: &ContactIdentity,
    noted: &ConversationUpdate<'_>,
) -> Result<(), NotStored> {
    still_there(deps, number, card, deps.table.conversation_touch(number.tenant, conversation, card, noted).await)
}

pub(crate) fn still_there(
    deps: &Deps,
    number: &Number,
    card: &ContactIdentity,
    noted: Result<(), StorageError>,
) -> Result<(), NotStored> {
    match noted {
        Err(StorageError::Erased) => {
            deps.contacts.forget(&(number.tenant, card.aliases()));
            Err(NotStored::ContactErased)
        }
        noted => Ok(noted?),
    }
}
