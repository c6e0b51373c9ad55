//! `POST /v1/broadcasts`: one template to up to 100,000 recipients, requested as JSON or as CSV.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::Value;
use shared::api::{Caller, Refusals, Send, Upload, parse, typed};
use shared::domain::accounts::number::Number;
use shared::domain::conversations::phone::PhoneNumber;
use shared::domain::ids::BroadcastId;
use shared::domain::outgoing::{Outgoing, Template};
use shared::domain::sending::broadcast::{
    Broadcast, BroadcastRecipient, BroadcastState, RECIPIENTS_A_CHUNK, RECIPIENTS_MAX, Recipients,
};
use shared::domain::sending::pacing::Lane;
use shared::domain::sending::policy::{Facts, MessageClass, Reason, Verdict, decide};
use shared::http::Problem;
use shared::limits::BATCH_CONCURRENCY;
use shared::storage::Accepted;
use utoipa::{IntoParams, ToSchema};

use crate::Deps;
use crate::broadcasts::manage::BroadcastJson;
use crate::messages::request::{Chosen, Options};
use crate::messages::send::{accepted_response, ask_for_release, files, idempotency, key_reused, own_number};
use crate::messages::template_check::{Known, look_up};

/// A broadcast as JSON. A CSV request has the same fields, except the recipients, in its query.
#[derive(Deserialize, ToSchema)]
#[schema(as = BroadcastRequest)]
pub(crate) struct BroadcastRequest {
    from: String,
    #[schema(value_type = Template)]
    template: Value,
    #[serde(default)]
    parameter_names: Vec<String>,
    /// Each recipient is a phone number, or an object with values for the variables of the template's body.
    #[schema(value_type = Vec<RecipientRequest>)]
    recipients: Vec<Value>,
    #[serde(flatten)]
    options: Options,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RecipientRequest {
    to: String,
    #[serde(default)]
    parameters: Vec<String>,
}

/// Query parameters of a CSV request.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CsvQuery {
    from: Option<String>,
    template: Option<String>,
    language: Option<String>,
    category: Option<String>,
    on_unknown: Option<String>,
    send_before: Option<String>,
}

/// Recipients as given in the request: position, phone number and values of each.
struct Rows {
    names: Vec<String>,
    rows: Vec<(String, String, Vec<String>)>,
}

/// Sends a template to up to 100,000 recipients, once per recipient.
///
/// A CSV request requires `from`, `template` and `language` in the query.
#[utoipa::path(
    post,
    path = "/v1/broadcasts",
    tag = "Broadcasts",
    operation_id = "createBroadcast",
    request_body(content((BroadcastRequest = "application/json"), (String = "text/csv"))),
    params(
        CsvQuery,
        (
            "Idempotency-Key" = Option<String>,
            Header,
            description = "Within 72 hours, the same key with the same request returns the existing broadcast.",
        ),
    ),
    responses(
        (status = 202, body = BroadcastJson),
        (
            status = 409,
            body = Problem,
            description = "The rules do not allow this broadcast now; `code` is the reason.",
        ),
        Refusals,
    ),
    security(("key" = ["send"])),
)]
pub(crate) async fn create(
    State(deps): State<Arc<Deps>>,
    Caller { tenant, .. }: Caller<Send>,
    headers: HeaderMap,
    RawQuery(raw_query): RawQuery,
    query: Result<Query<CsvQuery>, QueryRejection>,
    Upload(body): Upload,
) -> Result<Response, Problem> {
    // The query belongs to the hash, because a CSV request has its fields there.
    let idempotency = idempotency(&headers, &[raw_query.unwrap_or_default().as_bytes(), &body])?;
    let now = deps.clock.now();
    // A repetition returns the first response, even if the rules refuse the broadcast by now.
    if let Some(idempotency) = &idempotency {
        let earlier = deps.table.broadcast_by_idempotency_key(tenant, idempotency, now).await;
        if let Some(earlier) = earlier? {
            return answer(&deps, earlier, None, true).await;
        }
    }
    let is_csv = headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/csv"));
    let (from, template, options, rows) = if is_csv { from_csv(query, &body)? } else { from_json(&body)? };
    let chosen = Chosen::read(&options, MessageClass::Template(None), now)?;
    if chosen.lane != Lane::Live || options.lane.is_some() {
        return Err(Problem::invalid("lane", "is not allowed for broadcasts: they always use the bulk lane"));
    }
    let number = own_number(&deps, tenant, &from).await?;
    let mut said = Outgoing::read("template", template)?;
    files(&deps, tenant, &mut said).await?;
    let Outgoing::Template(template) = said else { return Err(Problem::invalid("template", "must be a template")) };
    let id = BroadcastId::generate(now)?;
    let mut broadcast = Broadcast {
        id,
        tenant,
        number: number.id.clone(),
        template,
        value_names: rows.names.clone(),
        category: chosen.category,
        on_unknown: chosen.on_unknown,
        recipients: Recipients { count: 0, duplicates: 0 },
        released: 0,
        state: BroadcastState::Running,
        send_before: chosen.send_before,
        created_at: now,
    };
    let recipients = recipients(&broadcast, rows)?;
    broadcast.recipients = Recipients { count: recipients.0.len(), duplicates: recipients.1 };
    let known = look_up(&deps, &number, &broadcast.template).await?;
    for (place, recipient) in recipients.0.iter().enumerate() {
        known.check(&broadcast.template_for(recipient)).map_err(|problem| of_recipient(problem, place))?;
    }
    allowed(&deps, &number, &broadcast, known).await?;

    // Stores the recipients first, so that every stored broadcast is complete.
    let all = &recipients.0;
    let put = |page: usize| {
        let end = all.len().min((page + 1) * RECIPIENTS_A_CHUNK);
        deps.files.put_recipients(id, page, &all[page * RECIPIENTS_A_CHUNK..end])
    };
    let puts = stream::iter(0..all.len().div_ceil(RECIPIENTS_A_CHUNK)).map(put).buffer_unordered(BATCH_CONCURRENCY);
    puts.try_collect::<Vec<()>>().await?;
    // Opens the lane before the broadcast is stored, so that a stored broadcast is released even after a crash.
    let opened = deps.table.bulk_lane_open(&number.id, now).await?;
    let accepted = deps.table.broadcast_put(&broadcast, idempotency.as_ref(), now).await?;
    if opened {
        ask_for_release(&deps, &number.id).await;
    }
    answer(&deps, accepted, Some(&broadcast), idempotency.is_some()).await
}

async fn answer(
    deps: &Deps,
    accepted: Accepted<BroadcastId>,
    new: Option<&Broadcast>,
    keyed: bool,
) -> Result<Response, Problem> {
    match (accepted, new) {
        (Accepted::New, Some(new)) => Ok(accepted_response(BroadcastJson::new(new), false, keyed)),
        (Accepted::Replayed(earlier), _) => {
            let known = deps.table.broadcast_get(earlier).await?;
            let known = known.ok_or_else(Problem::unavailable)?;
            Ok(accepted_response(BroadcastJson::new(&known), true, keyed))
        }
        (Accepted::KeyReused, _) => Err(key_reused()),
        (Accepted::New, None) => Err(Problem::unavailable()),
    }
}

fn from_json(body: &[u8]) -> Result<(String, Value, Options, Rows), Problem> {
    let json = parse(body)?;
    known_fields(&json)?;
    let request: BroadcastRequest = typed(json)?;
    let row = |(place, one): (usize, Value)| match one {
        Value::String(to) => Ok((format!("recipients[{place}]"), to, Vec::new())),
        one => {
            let field = format!("recipients[{place}]");
            let read: Result<RecipientRequest, _> = serde_json::from_value(one);
            let read = read.map_err(|error| Problem::invalid(&field, &error.to_string()))?;
            Ok((field, read.to, read.parameters))
        }
    };
    let rows = request.recipients.into_iter().enumerate().map(row).collect::<Result<_, Problem>>()?;
    Ok((request.from, request.template, request.options, Rows { names: request.parameter_names, rows }))
}

fn known_fields(json: &Value) -> Result<(), Problem> {
    const FIELDS: [&str; 7] =
        ["from", "template", "parameter_names", "recipients", "category", "on_unknown", "send_before"];
    let object = json.as_object().ok_or_else(|| Problem::invalid("body", "must be an object"))?;
    match object.keys().find(|key| !FIELDS.contains(&key.as_str()) && key.as_str() != "lane") {
        Some(key) => Err(Problem::invalid(key, "is no field of this request")),
        None => Ok(()),
    }
}

/// Parses a CSV request. The first column is `to`; each other column is a variable of the template's body, identified
/// by name or number.
fn from_csv(
    query: Result<Query<CsvQuery>, QueryRejection>,
    body: &[u8],
) -> Result<(String, Value, Options, Rows), Problem> {
    let rule = "takes only `from`, `template`, `language`, `category`, `on_unknown` and `send_before`";
    let Query(query) = query.map_err(|_| Problem::invalid("query", rule))?;
    let required = |field: &str, value: Option<String>| {
        value.ok_or_else(|| Problem::invalid(field, "is required in the query of a CSV request"))
    };
    let template = serde_json::json!({
        "name": required("template", query.template)?,
        "language": {"code": required("language", query.language)?},
    });
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(body);
    let bad = |error: csv::Error| Problem::invalid("body", &format!("must be CSV: {error}"));
    let columns: Vec<String> = reader.headers().map_err(bad)?.iter().map(str::to_owned).collect();
    if columns.first().map(String::as_str) != Some("to") {
        return Err(Problem::invalid("body", "must be CSV whose first column is called `to`"));
    }
    let names: Vec<String> = columns.into_iter().skip(1).collect();
    let order = variables(&names)?;
    let mut rows = Vec::new();
    for (place, row) in reader.records().enumerate() {
        let row = row.map_err(bad)?;
        let values = order.iter().map(|column| row.get(column + 1).unwrap_or_default().to_owned()).collect();
        rows.push((format!("line {}", place + 2), row.get(0).unwrap_or_default().to_owned(), values));
    }
    let numbered = names.iter().all(|name| name.parse::<usize>().is_ok());
    let names = if numbered { Vec::new() } else { names };
    let options =
        Options { category: query.category, on_unknown: query.on_unknown, send_before: query.send_before, lane: None };
    Ok((required("from", query.from)?, template, options, Rows { names, rows }))
}

/// Returns the column indexes in the order of the template's variables. Numeric names must be 1 to their count.
fn variables(names: &[String]) -> Result<Vec<usize>, Problem> {
    let numbers: Vec<usize> = names.iter().filter_map(|name| name.parse().ok()).collect();
    if numbers.len() != names.len() {
        return Ok((0..names.len()).collect());
    }
    let column = |number: usize| numbers.iter().position(|known| *known == number);
    let order: Vec<usize> = (1..=names.len()).filter_map(column).collect();
    let rule = "must number its columns from 1 without gaps or repetitions";
    if order.len() == names.len() { Ok(order) } else { Err(Problem::invalid("body", rule)) }
}

/// Returns the unique recipients and the number of duplicates.
fn recipients(broadcast: &Broadcast, rows: Rows) -> Result<(Vec<BroadcastRecipient>, usize), Problem> {
    if rows.rows.is_empty() || rows.rows.len() > RECIPIENTS_MAX {
        return Err(Problem::invalid("recipients", &format!("must be 1 to {RECIPIENTS_MAX}")));
    }
    let expected = rows.rows.first().map_or(0, |(.., values)| values.len());
    let mut seen = BTreeSet::new();
    let (mut recipients, mut duplicates) = (Vec::with_capacity(rows.rows.len()), 0);
    for (field, to, values) in rows.rows {
        let to = PhoneNumber::parse(&to).map_err(|rule| Problem::invalid(&format!("{field}.to"), &rule.to_string()))?;
        if values.len() != expected || (!rows.names.is_empty() && values.len() != rows.names.len()) {
            let rule = "must have as many parameters as the first recipient, and as many as `parameter_names`";
            return Err(Problem::violates(&field, rule, 132_000));
        }
        if !seen.insert(to.canonical().e164().to_owned()) {
            duplicates += 1;
            continue;
        }
        let recipient = BroadcastRecipient { to, values };
        let template: Template = broadcast.template_for(&recipient);
        Outgoing::Template(template)
            .check()
            .map_err(|broken| Problem::violates(&format!("{field}: {}", broken.field), &broken.rule, broken.code))?;
        recipients.push(recipient);
    }
    Ok((recipients, duplicates))
}

/// Adds the recipient's position to a problem with its parameters.
fn of_recipient(problem: Problem, place: usize) -> Problem {
    let field = problem.field.as_ref().map(|field| format!("recipients[{place}]: {field}"));
    Problem { field, ..problem }
}

/// Checks the rules that apply to all recipients. Each customer's preferences are checked just before sending.
async fn allowed(deps: &Deps, number: &Number, broadcast: &Broadcast, known: Known) -> Result<(), Problem> {
    let standing = deps.table.number_status_get(number).await?;
    known.check_flows(&standing)?;
    let facts = Facts { standing, template: known.facts, ..Facts::default() };
    match decide(&facts, MessageClass::Template(broadcast.category), deps.clock.now()) {
        Verdict::Allowed | Verdict::Blocked(Reason::NoToken | Reason::TokenWithdrawn, _) => Ok(()),
        Verdict::Blocked(_, Some(until)) if until < broadcast.send_before => Ok(()),
        Verdict::Blocked(reason, _) | Verdict::TemplateOnly(reason) => {
            let title = "The rules do not allow this broadcast now.";
            Err(Problem::conflict(reason.as_str(), title).remedy(reason.remedy()))
        }
    }
}
