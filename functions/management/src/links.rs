//! Short links and QR codes that open a conversation with a number.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::api::{Caller, Id, Ids, JsonBody, List, Manage, Read};
use shared::domain::ids::NumberId;
use shared::http::Problem;
use shared::provider::meta::profile::ShortLink;
use utoipa::ToSchema;

use crate::Deps;
use crate::account::refused;
use crate::described::AtMeta;

/// Longest message of a link, in characters (Meta).
const MESSAGE_MAX: usize = 140;

#[derive(Serialize, ToSchema)]
pub(crate) struct ShortLinkJson {
    /// Meta's code of the link.
    id: String,
    /// Text prefilled in the customer's message field.
    message: String,
    url: String,
    /// Image of the QR code, if requested.
    qr_image_url: Option<String>,
}

impl ShortLinkJson {
    fn new(link: ShortLink) -> Self {
        Self {
            id: link.code,
            message: link.prefilled_message,
            url: link.deep_link_url,
            qr_image_url: link.qr_image_url,
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkRequest {
    /// Text to prefill in the customer's message field.
    #[schema(min_length = 1, max_length = 140)]
    message: String,
    /// `SVG` or `PNG` to create a QR code too.
    qr_image: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkChange {
    /// Text to prefill in the customer's message field.
    #[schema(min_length = 1, max_length = 140)]
    message: String,
}

fn checked(message: &str) -> Result<(), Problem> {
    let fits = (1..=MESSAGE_MAX).contains(&message.chars().count());
    if fits { Ok(()) } else { Err(Problem::invalid("message", &format!("must be 1 to {MESSAGE_MAX} characters"))) }
}

/// Lists the short links of a number.
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}/links",
    tag = "Numbers",
    operation_id = "listLinks",
    params(("id" = String, Path)),
    responses((status = 200, body = List<ShortLinkJson>), AtMeta),
    security(("key" = ["read"])),
)]
pub(crate) async fn list(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Read>,
    Id(id): Id<NumberId>,
) -> Result<Json<List<ShortLinkJson>>, Problem> {
    let (number, token) = deps.opened(tenant, &id).await?;
    let links = deps.graph.short_links(&token, &number.id).await.map_err(refused)?;
    Ok(Json(List { data: links.into_iter().map(ShortLinkJson::new).collect(), next_cursor: None }))
}

/// Creates a short link, optionally with a QR code. Meta allows 2,000 links per number.
#[utoipa::path(
    post,
    path = "/v1/numbers/{id}/links",
    tag = "Numbers",
    operation_id = "createLink",
    params(("id" = String, Path)),
    request_body = LinkRequest,
    responses((status = 201, body = ShortLinkJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn create(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
    JsonBody(request): JsonBody<LinkRequest>,
) -> Result<(StatusCode, Json<ShortLinkJson>), Problem> {
    let (number, token) = deps.opened(tenant, &id).await?;
    checked(&request.message)?;
    let image = request.qr_image.as_deref();
    if image.is_some_and(|kind| !["SVG", "PNG"].contains(&kind)) {
        return Err(Problem::invalid("qr_image", "must be SVG or PNG"));
    }
    let link = deps.graph.put_short_link(&token, &number.id, &request.message, None, image).await.map_err(refused)?;
    deps.access.note(Some(tenant), &key, "link.created", &link.code).await?;
    Ok((StatusCode::CREATED, Json(ShortLinkJson::new(link))))
}

/// Changes the message of a short link.
#[utoipa::path(
    patch,
    path = "/v1/numbers/{id}/links/{link}",
    tag = "Numbers",
    operation_id = "changeLink",
    params(("id" = String, Path), ("link" = String, Path)),
    request_body = LinkChange,
    responses((status = 200, body = ShortLinkJson), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn change(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Ids(id, link): Ids<NumberId, String>,
    JsonBody(request): JsonBody<LinkChange>,
) -> Result<Json<ShortLinkJson>, Problem> {
    let (number, token) = deps.opened(tenant, &id).await?;
    checked(&request.message)?;
    is_code(&link)?;
    let changed =
        deps.graph.put_short_link(&token, &number.id, &request.message, Some(&link), None).await.map_err(refused)?;
    deps.access.note(Some(tenant), &key, "link.changed", &link).await?;
    Ok(Json(ShortLinkJson::new(changed)))
}

/// Deletes a short link, which then stops working.
#[utoipa::path(
    delete,
    path = "/v1/numbers/{id}/links/{link}",
    tag = "Numbers",
    operation_id = "deleteLink",
    params(("id" = String, Path), ("link" = String, Path)),
    responses((status = 204), AtMeta),
    security(("key" = ["manage"])),
)]
pub(crate) async fn delete(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Ids(id, link): Ids<NumberId, String>,
) -> Result<StatusCode, Problem> {
    let (number, token) = deps.opened(tenant, &id).await?;
    is_code(&link)?;
    deps.graph.delete_short_link(&token, &number.id, &link).await.map_err(refused)?;
    deps.access.note(Some(tenant), &key, "link.deleted", &link).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Accepts only Meta's format, 14 characters of base 32; other text could change the path of the request to Meta.
fn is_code(code: &str) -> Result<(), Problem> {
    let spelled = code.len() == 14 && code.bytes().all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b));
    if spelled { Ok(()) } else { Err(Problem::not_found()) }
}
