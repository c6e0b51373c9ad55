//! Assets that a business stores at Meta besides messages: templates, profiles, QR codes, blocked customers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Meta;
use super::answer::{call, shown};
use super::assets::MetaTemplate;
use super::request::{Refusal, Words, reach, word};

/// Default number of templates per page (Meta: 25).
const PAGE: usize = 25;

/// Assets per number, by the number's id.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    profiles: BTreeMap<String, serde_json::Map<String, Value>>,
    codes: BTreeMap<String, BTreeMap<String, Value>>,
    blocked: BTreeMap<String, BTreeSet<String>>,
    /// Handles of completely uploaded files.
    handles: BTreeSet<String>,
    uploads: BTreeMap<String, usize>,
}

pub(super) fn kept_routes(meta: Arc<Meta>) -> Router {
    Router::new()
        .route("/{version}/{id}/message_templates", get(templates).post(create_template).delete(delete_template))
        .route("/{version}/{id}/whatsapp_business_profile", get(profile).post(change_profile))
        .route("/{version}/{id}/message_qrdls", get(codes).post(put_code))
        .route("/{version}/{id}/message_qrdls/{code}", get(code).delete(delete_code))
        .route("/{version}/{id}/block_users", get(blocked).post(block).delete(unblock))
        .route("/{version}/{id}/uploads", post(begin_upload))
        .with_state(meta)
}

type Called = (State<Arc<Meta>>, Path<(String, String)>, Query<Words>, HeaderMap);

/// Checks that the caller's token can access the account `id`, or the account of the number `id`.
fn may(meta: &Meta, headers: &HeaderMap, query: &Words, id: &str) -> Result<(), Refusal> {
    let account = meta.account_of(id).unwrap_or_else(|| id.to_owned());
    reach(meta, headers, query, &account).map(drop)
}

fn parsed(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|_| (100, "Invalid parameter"))
}

const DONE: fn() -> Value = || json!({"success": true});

async fn templates((State(meta), Path((_, id)), Query(query), headers): Called) -> Response {
    let effect = || {
        shown(may(&meta, &headers, &query, &id).map(|()| {
            let state = meta.lock();
            let after: usize = word(&query, "after").parse().unwrap_or(0);
            let limit: usize = word(&query, "limit").parse().unwrap_or(PAGE);
            let all: Vec<Value> = state.templates.values().map(MetaTemplate::listed).collect();
            let data: Vec<&Value> = all.iter().skip(after).take(limit).collect();
            let end = after + data.len();
            let mut answer =
                json!({"data": data, "paging": {"cursors": {"before": after.to_string(), "after": end.to_string()}}});
            if end < all.len() {
                answer["paging"]["next"] = json!("https://graph.example/next?access_token=not-to-be-followed");
            }
            answer
        }))
    };
    call(&meta, "templates", effect).await
}

async fn create_template((State(meta), Path((_, id)), Query(query), headers): Called, body: Bytes) -> Response {
    let effect = || {
        let created = || {
            may(&meta, &headers, &query, &id)?;
            let asked = parsed(&body)?;
            let text = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
            let (name, language) = (text("name"), text("language"));
            if meta.lock().templates.contains_key(&format!("{name}/{language}")) {
                return Err((2_388_024, "There is already content in this language"));
            }
            let components = asked["components"].as_array().cloned().unwrap_or_default();
            let body = components.iter().find(|one| one["type"] == "BODY").ok_or((100, "A body is required"))?;
            let samples = components.iter().filter_map(|one| one["example"]["header_handle"].as_array()).flatten();
            if samples.into_iter().any(|handle| !meta.lock().kept.handles.contains(handle.as_str().unwrap_or_default()))
            {
                return Err((100, "Invalid handle"));
            }
            let variables = variables(body["text"].as_str().unwrap_or_default());
            // A text with "offer" becomes marketing, whatever category was requested.
            let offer = body["text"].as_str().unwrap_or_default().contains("offer");
            let category = if offer { "MARKETING".to_owned() } else { text("category") };
            let status = "PENDING".to_owned();
            meta.put_template(MetaTemplate {
                name: name.clone(),
                language: language.clone(),
                status,
                variables,
                category: category.clone(),
                components,
                id: String::new(),
            });
            let id = meta.lock().templates.get(&format!("{name}/{language}")).map(|one| one.id.clone());
            Ok(json!({"id": id, "status": "PENDING", "category": category}))
        };
        shown(created())
    };
    call(&meta, "create_template", effect).await
}

fn variables(text: &str) -> Vec<String> {
    let names = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Answers `POST /{template}`, which replaces all components; and `POST /upload:…`, the second part of an upload.
pub(super) async fn edit_template((State(meta), Path((_, id)), _, headers): Called, body: Bytes) -> Response {
    let effect = || {
        if id.starts_with("upload:") {
            return shown(take_upload(&meta, &id, &body));
        }
        let edited = || {
            if super::request::bearer(&headers).is_empty() {
                return Err((190, "Error validating access token."));
            }
            let asked = parsed(&body)?;
            let mut state = meta.lock();
            let known = state.templates.values_mut().find(|one| one.id == id).ok_or((100, "Object does not exist"))?;
            if !["APPROVED", "REJECTED", "PAUSED"].contains(&known.status.as_str()) {
                return Err((2_388_025, "A template under review cannot be edited"));
            }
            if let Some(components) = asked["components"].as_array() {
                let body = components.iter().find(|one| one["type"] == "BODY").ok_or((100, "A body is required"))?;
                known.variables = variables(body["text"].as_str().unwrap_or_default());
                known.components.clone_from(components);
            }
            if let Some(category) = asked["category"].as_str() {
                known.category = category.to_owned();
            }
            Ok(DONE())
        };
        shown(edited())
    };
    call(&meta, "edit_template", effect).await
}

async fn delete_template((State(meta), Path((_, id)), Query(query), headers): Called) -> Response {
    let effect = || {
        shown(may(&meta, &headers, &query, &id).map(|()| {
            let wanted = word(&query, "hsm_id").to_owned();
            meta.lock().templates.retain(|_, one| one.id != wanted);
            DONE()
        }))
    };
    call(&meta, "delete_template", effect).await
}

async fn profile((State(meta), Path((_, id)), Query(query), headers): Called) -> Response {
    let effect = || {
        shown(may(&meta, &headers, &query, &id).map(|()| {
            let mut profile = meta.lock().kept.profiles.get(&id).cloned().unwrap_or_default();
            profile.insert("messaging_product".to_owned(), json!("whatsapp"));
            json!({"data": [profile]})
        }))
    };
    call(&meta, "profile", effect).await
}

async fn change_profile((State(meta), Path((_, id)), Query(query), headers): Called, body: Bytes) -> Response {
    let effect = || {
        let changed = || {
            may(&meta, &headers, &query, &id)?;
            let Value::Object(mut asked) = parsed(&body)? else { return Err((100, "Invalid parameter")) };
            if asked.remove("messaging_product") != Some(json!("whatsapp")) {
                return Err((100, "messaging_product is required"));
            }
            let mut state = meta.lock();
            if let Some(handle) = asked.remove("profile_picture_handle") {
                let known = state.kept.handles.contains(handle.as_str().unwrap_or_default());
                let url = known.then(|| json!("https://media.example/profile.jpg")).ok_or((100, "Invalid handle"))?;
                asked.insert("profile_picture_url".to_owned(), url);
            }
            if asked
                .get("about")
                .is_some_and(|about| about.as_str().is_none_or(|text| text.is_empty() || text.len() > 139))
            {
                return Err((100, "about must be 1 to 139 characters"));
            }
            state.kept.profiles.entry(id.clone()).or_default().extend(asked);
            Ok(DONE())
        };
        shown(changed())
    };
    call(&meta, "change_profile", effect).await
}

async fn codes((State(meta), Path((_, id)), Query(query), headers): Called) -> Response {
    let effect = || {
        shown(may(&meta, &headers, &query, &id).map(|()| {
            let all = meta.lock().kept.codes.get(&id).cloned().unwrap_or_default();
            json!({"data": all.into_values().collect::<Vec<_>>()})
        }))
    };
    call(&meta, "codes", effect).await
}

async fn put_code((State(meta), Path((_, id)), Query(query), headers): Called, body: Bytes) -> Response {
    let effect = || {
        let put = || {
            may(&meta, &headers, &query, &id)?;
            let asked = parsed(&body)?;
            let text = asked["prefilled_message"].as_str().filter(|text| (1..=140).contains(&text.chars().count()));
            let text = text.ok_or((100, "prefilled_message must be 1 to 140 characters"))?;
            let mut state = meta.lock();
            state.serial += 1;
            let serial = state.serial;
            let codes = state.kept.codes.entry(id.clone()).or_default();
            let code = match asked["code"].as_str() {
                Some(code) if codes.contains_key(code) => code.to_owned(),
                Some(_) => return Err((100, "There is no such code")),
                None => coded(serial),
            };
            let mut made = json!({"code": code, "prefilled_message": text, "deep_link_url": format!("https://wa.me/message/{code}")});
            if let Some(format) = asked["generate_qr_image"].as_str() {
                made["qr_image_url"] = json!(format!("https://media.example/{code}.{}", format.to_lowercase()));
            }
            codes.insert(code, made.clone());
            Ok(made)
        };
        shown(put())
    };
    call(&meta, "put_code", effect).await
}

/// Returns 14 characters of base 32, the form of Meta's codes.
fn coded(mut serial: u64) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut code = Vec::new();
    for _ in 0..14 {
        code.push(char::from(DIGITS[usize::try_from(serial % 32).unwrap_or(0)]));
        serial /= 32;
    }
    code.into_iter().collect()
}

type CalledOfCode = (State<Arc<Meta>>, Path<(String, String, String)>, Query<Words>, HeaderMap);

async fn code((State(meta), Path((_, id, code)), Query(query), headers): CalledOfCode) -> Response {
    let effect = || {
        shown(may(&meta, &headers, &query, &id).and_then(|()| {
            let known = meta.lock().kept.codes.get(&id).and_then(|codes| codes.get(&code)).cloned();
            known.map(|known| json!({"data": [known]})).ok_or((100, "There is no such code"))
        }))
    };
    call(&meta, "code", effect).await
}

async fn delete_code((State(meta), Path((_, id, code)), Query(query), headers): CalledOfCode) -> Response {
    let effect = || {
        shown(may(&meta, &headers, &query, &id).and_then(|()| {
            let gone = meta.lock().kept.codes.get_mut(&id).and_then(|codes| codes.remove(&code));
            gone.map(|_| DONE()).ok_or((100, "There is no such code"))
        }))
    };
    call(&meta, "delete_code", effect).await
}

fn users(body: &[u8]) -> Result<Vec<String>, Refusal> {
    let asked = parsed(body)?;
    let users = asked["block_users"].as_array().cloned().unwrap_or_default();
    let name = |one: &Value| one["user"].as_str().or(one["user_id"].as_str()).map(str::to_owned);
    Ok(users.iter().filter_map(name).collect())
}

async fn blocked((State(meta), Path((_, id)), Query(query), headers): Called) -> Response {
    let effect = || {
        shown(may(&meta, &headers, &query, &id).map(|()| {
            let all = meta.lock().kept.blocked.get(&id).cloned().unwrap_or_default();
            let data: Vec<Value> = all
                .iter()
                .map(|user| json!({"messaging_product": "whatsapp", "wa_id": user.trim_start_matches('+')}))
                .collect();
            json!({"data": data})
        }))
    };
    call(&meta, "blocked", effect).await
}

/// Blocks customers. Only a customer who wrote within the last 24 hours can be blocked; the others are returned as
/// failed, with HTTP 400.
async fn block((State(meta), Path((_, id)), Query(query), headers): Called, body: Bytes) -> Response {
    let mut failed = Vec::new();
    let effect = || {
        let mut blocked = || {
            may(&meta, &headers, &query, &id)?;
            let mut added = Vec::new();
            for user in users(&body)? {
                if meta.window_is_open(&id, user.trim_start_matches('+')) {
                    meta.lock().kept.blocked.entry(id.clone()).or_default().insert(user.clone());
                    added.push(json!({"input": user, "wa_id": user.trim_start_matches('+')}));
                } else {
                    let why = json!({"message": "User has not messaged in the last 24 hours", "code": 139_101});
                    failed.push(json!({"input": user, "errors": [why]}));
                }
            }
            Ok(json!({"messaging_product": "whatsapp", "block_users": {"added_users": added, "failed_users": failed}}))
        };
        let answer = blocked();
        match answer {
            Ok(answer) if !failed.is_empty() => {
                let mut answer = answer;
                answer["error"] = json!({"message": "(#139100) Failed to block/unblock some users", "code": 139_100});
                (axum::http::StatusCode::BAD_REQUEST, Json(answer)).into_response()
            }
            answer => shown(answer),
        }
    };
    call(&meta, "block", effect).await
}

async fn unblock((State(meta), Path((_, id)), Query(query), headers): Called, body: Bytes) -> Response {
    let effect = || {
        let unblocked = || {
            may(&meta, &headers, &query, &id)?;
            let mut removed = Vec::new();
            for user in users(&body)? {
                meta.lock().kept.blocked.entry(id.clone()).or_default().remove(&user);
                removed.push(json!({"input": user}));
            }
            Ok(json!({"messaging_product": "whatsapp", "block_users": {"removed_users": removed}}))
        };
        shown(unblocked())
    };
    call(&meta, "unblock", effect).await
}

/// Answers `POST /{app}/uploads` with the id of an upload session.
async fn begin_upload((State(meta), _, Query(query), _): Called) -> Response {
    let effect = || {
        let length = word(&query, "file_length").parse().unwrap_or(0);
        let mut state = meta.lock();
        state.serial += 1;
        let id = format!("upload:{:024}", state.serial);
        state.kept.uploads.insert(id.clone(), length);
        shown(Ok(json!({"id": id})))
    };
    call(&meta, "begin_upload", effect).await
}

/// Answers `POST /upload:…`: stores the file and returns its handle.
fn take_upload(meta: &Meta, id: &str, file: &[u8]) -> Result<Value, Refusal> {
    let mut state = meta.lock();
    let length = state.kept.uploads.remove(id).ok_or((100, "There is no such upload"))?;
    if length != file.len() {
        return Err((100, "The file is not as long as was said"));
    }
    let handle = format!("4::{id}");
    state.kept.handles.insert(handle.clone());
    Ok(json!({"h": handle}))
}
