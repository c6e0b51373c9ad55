//! One outbound message: read, taken back, settled by a person.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use shared::domain::event::ProviderError;
use shared::domain::ids::{ConversationId, OutboundId, TenantId};
use shared::domain::outbound::{Intent, SendFacts, SendState};
use shared::domain::tenant::Scope;
use shared::http::Problem;
use shared::storage::Ending;

use crate::auth::Caller;
use crate::json::{self, MessageJson};
use crate::{Deps, storage_problem};

type Ids = Result<Path<(String, String)>, PathRejection>;

pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Ids,
) -> Result<Json<MessageJson>, Problem> {
    let (conversation, id, ..) = find(&deps, caller.tenant(Scope::Read)?, path).await?;
    shown(&deps, &conversation, id).await
}

/// Takes a message back that nobody has tried yet.
pub(crate) async fn cancel(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Ids,
) -> Result<Json<MessageJson>, Problem> {
    let (conversation, id, _, facts) = find(&deps, caller.tenant(Scope::Send)?, path).await?;
    let ended = deps.table.end(&conversation, id, &Ending::Cancelled, deps.clock.now()).await;
    if !ended.map_err(|error| storage_problem(&error))? && facts.state != SendState::Cancelled {
        let title = "The message is not waiting any more.";
        return Err(Problem::new(StatusCode::CONFLICT, "not_queued", title).remedy("Read the message for its state."));
    }
    deps.metrics.count("cancelled", "api", 1);
    shown(&deps, &conversation, id).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settlement {
    outcome: String,
}

/// Settles a doubt in words of a person, who looked at the customer's phone or asked.
pub(crate) async fn settle(
    State(deps): State<Arc<Deps>>,
    caller: Caller,
    path: Ids,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<MessageJson>, Problem> {
    let (conversation, id, ..) = find(&deps, caller.tenant(Scope::Send)?, path).await?;
    let body = body.map_err(|_| Problem::too_large())?;
    let settlement: Settlement = json::typed(json::parse(&body)?)?;
    let ending = match settlement.outcome.as_str() {
        "sent" => Ending::SaidSent,
        "not_sent" => Ending::GivenUp(ProviderError::ours("settled_not_sent", "a person says that it was not sent")),
        _ => return Err(Problem::invalid("outcome", "must be sent or not_sent")),
    };
    let ended = deps.table.end(&conversation, id, &ending, deps.clock.now()).await;
    if !ended.map_err(|error| storage_problem(&error))? {
        let title = "The message is not in doubt.";
        return Err(Problem::new(StatusCode::CONFLICT, "not_in_doubt", title).remedy("Read the message for its state."));
    }
    deps.metrics.count("unknown_resolved", "person", 1);
    shown(&deps, &conversation, id).await
}

/// A message of ours; what is another tenant's is as if it did not exist.
async fn find(
    deps: &Deps,
    tenant: TenantId,
    path: Ids,
) -> Result<(ConversationId, OutboundId, Intent, SendFacts), Problem> {
    let Path((conversation, id)) = path.map_err(|_| Problem::not_found())?;
    let conversation = ConversationId::parse(&conversation).map_err(|_| Problem::not_found())?;
    let id = OutboundId::parse(&id).map_err(|_| Problem::not_found())?;
    let found = deps.table.intent(&conversation, id).await.map_err(|error| storage_problem(&error))?;
    let (intent, facts) = found.filter(|(intent, _)| intent.tenant == tenant).ok_or_else(Problem::not_found)?;
    Ok((conversation, id, intent, facts))
}

async fn shown(deps: &Deps, conversation: &ConversationId, id: OutboundId) -> Result<Json<MessageJson>, Problem> {
    let found = deps.table.message(conversation, id).await.map_err(|error| storage_problem(&error))?;
    found.map(|message| Json(MessageJson::new(message))).ok_or_else(Problem::not_found)
}
