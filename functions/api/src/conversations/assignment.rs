//! People's work on a conversation: assign, close, label, write notes.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::api::{Caller, Expected, Id, Ids, JsonBody, List, Moment, Read, Refusals, Send, given, named};
use shared::domain::conversations::assignment::{ASSIGNEE_MAX, LABEL_MAX, LABELS_MAX, NOTE_MAX, Note};
use shared::domain::conversations::conversation::Conversation;
use shared::domain::ids::{ConversationId, NoteId};
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;
use crate::conversations::list::{ConversationDetailJson, Shown, StatusQuery, detail};

/// Changes to a conversation. Omitted fields stay unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConversationChange {
    #[schema(inline)]
    status: Option<StatusQuery>,
    /// Assignee, as free text; null: unassigned.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 100)]
    assigned_to: Option<Option<String>>,
    /// Complete list of labels; replaces the existing ones.
    #[schema(max_items = 20)]
    labels: Option<BTreeSet<String>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoteRequest {
    /// Text of the note. The customer never sees it.
    text: String,
    /// Author of the note, as free text.
    author: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NoteJson {
    id: String,
    text: String,
    author: Option<String>,
    key_id: String,
    created_at: Moment,
}

impl NoteJson {
    fn new(note: Note) -> Self {
        Self {
            created_at: Moment(note.id.made_at()),
            id: note.id.to_string(),
            text: note.text,
            author: note.author,
            key_id: note.key,
        }
    }
}

/// Closes, reopens, assigns or labels a conversation.
///
/// A closed conversation reopens when the customer writes. If several people may change it, send the `ETag` of the last
/// read as `If-Match`.
#[utoipa::path(
    patch,
    path = "/v1/conversations/{id}",
    tag = "Conversations",
    operation_id = "changeConversation",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` of the last read.")),
    request_body = ConversationChange,
    responses(
        (status = 200, body = ConversationDetailJson),
        (status = 412, body = Problem, description = "`changed_meanwhile`"),
        Refusals,
    ),
    security(("key" = ["send"])),
)]
pub(crate) async fn change(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Send>,
    Id(id): Id<ConversationId>,
    expected: Expected,
    JsonBody(request): JsonBody<ConversationChange>,
) -> Result<Shown, Problem> {
    let conversation = deps.access.conversation_of(tenant, &id).await?;
    expected.meets(conversation.desk.revision)?;
    let now = deps.clock.now();
    let mut desk = conversation.desk.clone();
    match request.status {
        Some(StatusQuery::Open) => desk.closed_at = None,
        Some(StatusQuery::Closed) => desk.closed_at = Some(now),
        None => {}
    }
    if let Some(who) = request.assigned_to {
        desk.assigned_to = who.map(|who| named("assigned_to", who, ASSIGNEE_MAX)).transpose()?;
    }
    if let Some(labels) = request.labels {
        if labels.len() > LABELS_MAX {
            return Err(Problem::invalid("labels", &format!("must contain at most {LABELS_MAX} labels")));
        }
        desk.labels = labels.into_iter().map(|label| named("labels", label, LABEL_MAX)).collect::<Result<_, _>>()?;
    }
    if !deps.table.assignment_put(tenant, &id, &desk, now).await? {
        return Err(Expected::changed());
    }
    deps.access.note(Some(tenant), &key, "conversation.changed", &id.to_string()).await?;
    desk.revision += 1;
    detail(&deps, Conversation { desk, ..conversation }).await
}

/// Adds an internal note, invisible to the customer.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/notes",
    tag = "Conversations",
    operation_id = "createNote",
    params(("id" = String, Path)),
    request_body = NoteRequest,
    responses((status = 201, body = NoteJson), Refusals),
    security(("key" = ["send"])),
)]
pub(crate) async fn create_note(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Send>,
    Id(id): Id<ConversationId>,
    JsonBody(request): JsonBody<NoteRequest>,
) -> Result<(StatusCode, Json<NoteJson>), Problem> {
    let conversation = deps.access.conversation_of(tenant, &id).await?;
    if request.text.trim().is_empty() || request.text.chars().count() > NOTE_MAX {
        return Err(Problem::invalid("text", &format!("must be 1 to {NOTE_MAX} characters")));
    }
    let author = request.author.map(|author| named("author", author, ASSIGNEE_MAX)).transpose()?;
    let note = Note { id: NoteId::generate(deps.clock.now())?, text: request.text, author, key };
    deps.table.note_put(&conversation.id, &note).await?;
    Ok((StatusCode::CREATED, Json(NoteJson::new(note))))
}

/// Lists the notes of a conversation, latest first, at most 200.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/notes",
    tag = "Conversations",
    operation_id = "listNotes",
    params(("id" = String, Path)),
    responses((status = 200, body = List<NoteJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn notes(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ConversationId>,
) -> Result<Json<List<NoteJson>>, Problem> {
    deps.access.conversation_of(tenant, &id).await?;
    let notes = deps.table.note_list(&id).await?;
    Ok(Json(List { data: notes.into_iter().map(NoteJson::new).collect(), next_cursor: None }))
}

/// Deletes a note.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/notes/{note}",
    tag = "Conversations",
    operation_id = "deleteNote",
    params(("id" = String, Path), ("note" = String, Path)),
    responses((status = 204), Refusals),
    security(("key" = ["send"])),
)]
pub(crate) async fn delete_note(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Send>,
    Ids(id, note): Ids<ConversationId, NoteId>,
) -> Result<StatusCode, Problem> {
    deps.access.conversation_of(tenant, &id).await?;
    if !deps.table.note_delete(&id, note).await? {
        return Err(Problem::not_found());
    }
    deps.access.note(Some(tenant), &key, "note.deleted", &note.to_string()).await?;
    Ok(StatusCode::NO_CONTENT)
}
