//! A tenant's settings for a number.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::{Deserialize, Serialize};
use shared::api::{Caller, Expected, Id, JsonBody, Manage, Moment, Refusals, etag, given, named};
use shared::domain::accounts::number::{Inactive, LABEL_MAX, Number, RETENTION_DAYS_MAX, RETENTION_DAYS_MIN, Settings};
use shared::domain::ids::{NumberId, TenantId};
use shared::http::Problem;
use utoipa::ToSchema;

use crate::Deps;

#[derive(Serialize, ToSchema)]
pub(crate) struct SettingsJson {
    label: Option<String>,
    /// Whether the number may send messages.
    active: bool,
    inactive_since: Option<Moment>,
    inactive_reason: Option<String>,
    auto_reply: bool,
    agent_id: Option<String>,
    read_receipts: bool,
    retention_days: Option<u32>,
    revision: u64,
}

impl SettingsJson {
    pub(crate) fn new(settings: &Settings) -> Self {
        let inactive = settings.inactive.as_ref();
        Self {
            label: settings.label.clone(),
            active: inactive.is_none(),
            inactive_since: inactive.map(|inactive| Moment(inactive.since)),
            inactive_reason: inactive.and_then(|inactive| inactive.reason.clone()),
            auto_reply: settings.auto_reply,
            agent_id: settings.agent.clone(),
            read_receipts: settings.read_receipts,
            retention_days: settings.retention_days,
            revision: settings.revision,
        }
    }
}

/// Changes to a number's settings. Omitted fields stay unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NumberChange {
    /// Name given by the tenant; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 100)]
    label: Option<Option<String>>,
    /// Whether the agent `agent_id` answers automatically.
    auto_reply: Option<bool>,
    /// Agent that answers automatically, by your own id; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, max_length = 100)]
    agent_id: Option<Option<String>>,
    /// Whether marking as read is visible to customers by default.
    read_receipts: Option<bool>,
    /// Retention in days of messages stored from now on; null: unlimited.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 30, maximum = 3650)]
    retention_days: Option<Option<u32>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deactivation {
    /// Reason, as free text.
    reason: Option<String>,
}

type Shown = ([(HeaderName, String); 1], Json<SettingsJson>);

/// Changes the settings of a number.
///
/// If several people may change them, send the `ETag` of the last read as `If-Match`. Changes take full effect within
/// five minutes.
#[utoipa::path(
    patch,
    path = "/v1/numbers/{id}",
    tag = "Numbers",
    operation_id = "changeNumber",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` of the last read.")),
    request_body = NumberChange,
    responses(
        (status = 200, body = SettingsJson),
        (status = 412, body = Problem, description = "`changed_meanwhile`"),
        Refusals,
    ),
    security(("key" = ["manage"])),
)]
pub(crate) async fn change(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
    expected: Expected,
    JsonBody(request): JsonBody<NumberChange>,
) -> Result<Shown, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let mut settings = number.settings.clone();
    let name = |field: &str, name: Option<String>| name.map(|name| named(field, name, LABEL_MAX)).transpose();
    if let Some(label) = request.label {
        settings.label = name("label", label)?;
    }
    if let Some(agent) = request.agent_id {
        settings.agent = name("agent_id", agent)?;
    }
    if let Some(days) = request.retention_days {
        if days.is_some_and(|days| !(RETENTION_DAYS_MIN..=RETENTION_DAYS_MAX).contains(&days)) {
            let rule = format!("must be {RETENTION_DAYS_MIN} to {RETENTION_DAYS_MAX}, or null");
            return Err(Problem::invalid("retention_days", &rule));
        }
        settings.retention_days = days;
    }
    settings.auto_reply = request.auto_reply.unwrap_or(settings.auto_reply);
    settings.read_receipts = request.read_receipts.unwrap_or(settings.read_receipts);
    if settings.auto_reply && settings.agent.is_none() {
        return Err(Problem::invalid("agent_id", "is required for `auto_reply`"));
    }
    deps.decide(&number, &settings, &expected, tenant, &key, "number.changed").await
}

/// Deactivates sending from a number. Receiving and storing continue.
///
/// New messages are refused with `number_inactive`, and waiting messages fail with the same code.
#[utoipa::path(
    post,
    path = "/v1/numbers/{id}/deactivate",
    tag = "Numbers",
    operation_id = "deactivateNumber",
    params(("id" = String, Path)),
    request_body = Deactivation,
    responses(
        (status = 200, body = SettingsJson),
        (status = 412, body = Problem, description = "`changed_meanwhile`"),
        Refusals,
    ),
    security(("key" = ["manage"])),
)]
pub(crate) async fn deactivate(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
    expected: Expected,
    JsonBody(request): JsonBody<Deactivation>,
) -> Result<Shown, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let reason = request.reason.map(|reason| named("reason", reason, LABEL_MAX)).transpose()?;
    let inactive = Some(Inactive { since: deps.clock.now(), reason });
    let settings = Settings { inactive, ..number.settings.clone() };
    deps.decide(&number, &settings, &expected, tenant, &key, "number.deactivated").await
}

/// Reactivates sending from a number.
#[utoipa::path(
    post,
    path = "/v1/numbers/{id}/activate",
    tag = "Numbers",
    operation_id = "activateNumber",
    params(("id" = String, Path)),
    responses(
        (status = 200, body = SettingsJson),
        (status = 412, body = Problem, description = "`changed_meanwhile`"),
        Refusals,
    ),
    security(("key" = ["manage"])),
)]
pub(crate) async fn activate(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, key, .. }: Caller<Manage>,
    Id(id): Id<NumberId>,
    expected: Expected,
) -> Result<Shown, Problem> {
    let number = deps.access.number_of(tenant, &id).await?;
    let settings = Settings { inactive: None, ..number.settings.clone() };
    deps.decide(&number, &settings, &expected, tenant, &key, "number.activated").await
}

impl Deps {
    async fn decide(
        &self,
        number: &Number,
        settings: &Settings,
        expected: &Expected,
        tenant: TenantId,
        key: &str,
        action: &str,
    ) -> Result<Shown, Problem> {
        expected.meets(number.settings.revision)?;
        if !self.table.number_put_settings(number, settings).await? {
            return Err(Expected::changed());
        }
        self.numbers.forget(&number.id);
        self.standings.forget(&number.id);
        self.access.note(Some(tenant), key, action, number.id.as_str()).await?;
        let decided = Settings { revision: settings.revision + 1, ..settings.clone() };
        Ok(([(header::ETAG, etag(decided.revision))], Json(SettingsJson::new(&decided))))
    }
}
