//! Settles unknown outcomes with Meta's message history, if enabled (`docs/reliability.md#section-2-3-5`,
//! `docs/reliability.md#e2`).

use std::collections::HashMap;
use std::time::Duration;

use shared::clock::Timestamp;
use shared::domain::accounts::number::Number;
use shared::domain::event::ProviderError;
use shared::domain::ids::NumberId;
use shared::domain::sending::outbound::{Intent, Recipient, SendFacts};
use shared::provider::meta::graph::{CallFailure, GraphClient};
use shared::provider::meta::message_history::{Listed, recipient_of};
use shared::storage::{DeliveryEvidence, StorageError};
use shared::vault::{Context, Vault};

use crate::Deps;

/// Numbers whose list is fetched per run, which has less than a minute.
const LISTS_A_RUN: usize = 3;
/// Timeout of one list.
const LIST_TAKES: Duration = Duration::from_secs(10);

/// Clients for asking Meta.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) graph: GraphClient,
    pub(crate) vault: Vault,
}

/// The lists of one run; each number's list is fetched once.
pub(crate) type Lists = HashMap<NumberId, Option<Vec<Listed>>>;

/// Result of a check.
pub(crate) enum Look {
    /// The message was sent, and that is recorded.
    Settled,
    /// The list does not show the message.
    Nothing,
    /// Meta did not answer; try again later.
    NoAnswer,
}

pub(crate) async fn look(
    deps: &Deps,
    history: &History,
    lists: &mut Lists,
    intent: &Intent,
    facts: &SendFacts,
    now: Timestamp,
) -> Result<Look, StorageError> {
    let (Recipient::Phone(to), Some(claim)) = (&intent.to, facts.claim) else { return Ok(Look::Nothing) };
    let number = intent.conversation.number();
    let Some(known) = deps.table.number_get(number).await?.filter(|known| known.tenant == intent.tenant) else {
        return Ok(Look::Nothing);
    };
    if !lists.contains_key(number) {
        if lists.len() >= LISTS_A_RUN || lists.values().any(Option::is_none) {
            return Ok(Look::NoAnswer);
        }
        lists.insert(number.clone(), list(deps, history, &known).await?);
    }
    let Some(Some(listed)) = lists.get(number) else { return Ok(Look::NoAnswer) };
    let claimed_at = claim.claimed_at();
    let at_that_time: Vec<_> = listed
        .iter()
        .filter(|one| DeliveryEvidence::Listed(one.first_event_at).covers(claimed_at))
        .filter(|one| recipient_of(&one.wamid).is_some_and(|its| its.canonical() == to.canonical()))
        .map(|one| (one.wamid.clone(), one.first_event_at))
        .collect();
    if at_that_time.is_empty() {
        return Ok(Look::Nothing);
    }
    if deps.table.message_settle_listed(&intent.conversation, intent.id, &at_that_time, now).await? {
        deps.metrics.count("unknown_resolved", "history", 1);
        return Ok(Look::Settled);
    }
    Ok(Look::Nothing)
}

/// Returns the number's list, or `None` if Meta does not answer now.
async fn list(deps: &Deps, history: &History, number: &Number) -> Result<Option<Vec<Listed>>, StorageError> {
    let Some(sealed) = deps.table.graph_token_get(&number.waba).await? else { return Ok(None) };
    let context = Context::GraphToken { tenant: number.tenant, waba: number.waba.clone() };
    let token = match history.vault.open_token(&sealed, &context).await {
        Ok(token) => token,
        Err(error) => {
            tracing::error!(event = "sweep.token_not_opened", %error);
            return Ok(None);
        }
    };
    let asked = tokio::time::timeout(LIST_TAKES, history.graph.message_history(&token, &number.id));
    match asked.await.unwrap_or_else(|_| Err(CallFailure::TryLater(ProviderError::ours("no_answer", "too slow")))) {
        Ok(listed) => Ok(Some(listed)),
        Err(CallFailure::TryLater(error)) => {
            tracing::warn!(event = "sweep.history_not_answered", code = error.code);
            Ok(None)
        }
        Err(CallFailure::Refused(error)) => {
            // The account may lack this feature; then the list provides no evidence.
            tracing::warn!(event = "sweep.history_refused", code = error.code);
            deps.metrics.count("message_history", "refused", 1);
            Ok(Some(Vec::new()))
        }
    }
}
