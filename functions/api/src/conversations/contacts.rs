//! `/v1/contacts/{id}` and `/v1/erasures`: one person across all numbers of the tenant, and its erasure.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::api::{Caller, Id, List, Manage, Moment, PageQuery, QueryParams, Read, Refusals};
use shared::clock::{SignedDuration, Timestamp};
use shared::domain::ids::{ContactId, ErasureId};
use shared::domain::lifecycle::erasure::Erasure;
use shared::domain::lifecycle::offboarding::SETTLES_IN;
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;
use crate::messages::json::{ContactJson, ConversationJson};

#[derive(Serialize, ToSchema)]
#[schema(as = Contact)]
pub(crate) struct CardJson {
    #[serde(flatten)]
    contact: ContactJson,
    /// One conversation per number, latest activity first.
    conversations: Vec<ConversationJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(crate) struct ErasureJson {
    id: String,
    /// `running`, or `done`: no data of the contact is left in the table.
    status: &'static str,
    /// All ids of the contact.
    contact_ids: Vec<String>,
    asked_at: Moment,
    /// Number of items erased so far, such as messages and notes.
    erased: u64,
    done_at: Option<Moment>,
}

impl ErasureJson {
    fn new(erasure: &Erasure) -> Self {
        Self {
            id: erasure.id.to_string(),
            status: if erasure.done_at.is_some() { "done" } else { "running" },
            contact_ids: erasure.contacts.iter().map(ToString::to_string).collect(),
            asked_at: Moment(erasure.asked_at),
            erased: erasure.erased,
            done_at: erasure.done_at.map(Moment),
        }
    }
}

/// Returns a contact across all your numbers, with its conversations.
#[utoipa::path(
    get,
    path = "/v1/contacts/{id}",
    tag = "Contacts",
    operation_id = "getContact",
    params(("id" = String, Path)),
    responses((status = 200, body = CardJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn get(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ContactId>,
) -> Result<Json<CardJson>, Problem> {
    let person = deps.table.contact_get(tenant, id).await?.ok_or_else(Problem::not_found)?;
    let now = deps.clock.now();
    let conversations = person.conversations.into_iter().map(|one| ConversationJson::new(one, now)).collect();
    Ok(Json(CardJson { contact: ContactJson::new(person.whole), conversations }))
}

/// Erases a contact: its names and its conversations on all your numbers, with all messages and notes.
///
/// The contact is no longer returned from now on, and its data is deleted within half an hour. A later message from the
/// same phone number creates a new contact.
#[utoipa::path(
    delete,
    path = "/v1/contacts/{id}",
    tag = "Contacts",
    operation_id = "deleteContact",
    params(("id" = String, Path)),
    responses((status = 202, body = ErasureJson), Refusals),
    security(("key" = ["manage"])),
)]
pub(crate) async fn erase(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<ContactId>,
) -> Result<(StatusCode, Json<ErasureJson>), Problem> {
    deps.table.contact_get(tenant, id).await?.ok_or_else(Problem::not_found)?;
    let now = deps.clock.now();
    let contacts = deps.table.contact_list_same_person(id).await?;
    let id = ErasureId::generate(now)?;
    let mut erasure = Erasure { id, tenant, contacts, asked_at: now, closed_at: None, erased: 0, done_at: None };
    deps.table.contact_erasure_begin(&erasure).await?;
    deps.table.contact_close_conversations(&erasure, &deps.table.number_list_all(tenant).await?).await?;
    erasure.closed_at = Some(now);
    deps.table.contact_erasure_record(&erasure, settled(now, SETTLES_IN)).await?;
    deps.access.note(Some(tenant), &key, "contact.erased", &erasure.id.to_string()).await?;
    deps.metrics.count("erasure", "started", 1);
    Ok((StatusCode::ACCEPTED, Json(ErasureJson::new(&erasure))))
}

fn settled(now: Timestamp, wait: SignedDuration) -> Timestamp {
    shared::clock::after(now, wait)
}

/// Returns the progress of an erasure.
#[utoipa::path(
    get,
    path = "/v1/erasures/{id}",
    tag = "Contacts",
    operation_id = "getErasure",
    params(("id" = String, Path)),
    responses((status = 200, body = ErasureJson), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn erasure(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<ErasureId>,
) -> Result<Json<ErasureJson>, Problem> {
    let erasure = deps.table.contact_erasure_get(tenant, id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(ErasureJson::new(&erasure)))
}

/// Lists the erasures, latest first. Records are kept for three years.
#[utoipa::path(
    get,
    path = "/v1/erasures",
    tag = "Contacts",
    operation_id = "listErasures",
    params(PageQuery),
    responses((status = 200, body = List<ErasureJson>), Refusals),
    security(("key" = ["read"])),
)]
pub(crate) async fn erasures(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    QueryParams(query): QueryParams<PageQuery>,
) -> Result<Json<List<ErasureJson>>, Problem> {
    let (limit, cursor) = query.read()?;
    let page = deps.table.contact_erasure_list(tenant, limit, cursor.as_deref()).await?;
    let ours = page.items.into_iter().filter(|one| one.tenant == tenant);
    Ok(Json(List { data: ours.map(|one| ErasureJson::new(&one)).collect(), next_cursor: page.next }))
}
