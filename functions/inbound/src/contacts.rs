//! Numbers and contacts that an item names.

use shared::clock::Timestamp;
use shared::domain::accounts::number::Number;
use shared::domain::conversations::contact::ContactIdentity;
use shared::domain::ids::{ContactId, ConversationId, NumberId};
use shared::storage::{ConversationUpdate, Resolved, StorageError, Vouched};

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

/// Returns the contact of a card that the provider vouches for. An alias never changes its contact, so the cache is
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
    let by = Vouched::ByProvider;
    let resolve = deps.table.contact_resolve(number.tenant, author.card, author.linked, by, said_at, received_at);
    if !author.linked.is_empty() {
        return resolve.await;
    }
    let fetch = async { resolve.await.map(Some) };
    let known = deps.contacts.get(&(number.tenant, author.card.aliases()), fetch).await?;
    known.ok_or(StorageError::Corrupt("alias"))
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
