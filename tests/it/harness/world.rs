//! Everything that a tenant can read through the API, in a form in which two runs can be compared: random ids are
//! replaced by stable names.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{Answer, App, CUSTOMER, NUMBER};

/// Customers of the fixtures who may be known without having written.
const SILENT: [&str; 3] = [CUSTOMER, "15550004444", "15550003333"];

impl App {
    /// Returns the state that the seeded tenant can read of the seeded number.
    pub(crate) async fn world(&self) -> Value {
        self.world_of(&self.seed.api_key, NUMBER).await
    }

    /// Returns the state that the tenant of this key can read of this number. Empty sections are left out.
    pub(crate) async fn world_of(&self, key: &str, number: &str) -> Value {
        let mut conversations = Vec::new();
        for listed in self.all(key, "/v1/conversations").await {
            let id = listed["id"].as_str().unwrap();
            let mut one = self.read(key, &format!("/v1/conversations/{id}")).await;
            one["messages"] = Value::Array(self.all(key, &format!("/v1/conversations/{id}/messages")).await);
            conversations.push(one);
        }
        let mut silent = Vec::new();
        for phone in SILENT {
            let path = format!("/v1/numbers/{number}/conversation?phone=%2B{phone}");
            let answer = self.get(key, &path).await;
            if answer.status == StatusCode::OK && answer.json()["last_activity_at"].is_null() {
                silent.push(answer.json());
            }
        }
        let number_path = format!("/v1/numbers/{number}");
        let mut world = json!({
            "conversations": conversations,
            "silent_contacts": silent,
            "number": self.read(key, &number_path).await,
            "templates": self.all(key, &format!("{number_path}/templates")).await,
            "kept": self.all(key, &format!("{number_path}/quarantine")).await,
            "alerts": self.all(key, "/v1/alerts").await,
            "merges": self.all(key, "/v1/merges").await,
        });
        for section in ["states", "account_states", "history"] {
            if world["number"][section] == json!([]) {
                world["number"].as_object_mut().unwrap().remove(section);
            }
        }
        world.as_object_mut().unwrap().retain(|_, section| *section != json!([]));
        named(&world)
    }

    async fn all(&self, key: &str, path: &str) -> Vec<Value> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.read(key, &format!("{path}{cursor}")).await;
            all.extend(page["data"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("?cursor={next}"),
                None => return all,
            }
        }
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        let request = Request::get(path).header("authorization", format!("Bearer {key}")).body(Body::empty()).unwrap();
        self.request(request).await
    }

    async fn read(&self, key: &str, path: &str) -> Value {
        let answer = self.get(key, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.json()
    }
}

/// Replaces contact ids everywhere by the contact's phone number, user id or group id.
fn named(world: &Value) -> Value {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let sections = ["conversations", "silent_contacts"].into_iter().filter_map(|section| world[section].as_array());
    for conversation in sections.flatten() {
        let contact = &conversation["contact"];
        let name = ["phone", "user_id", "group_id"].iter().find_map(|key| contact[*key].as_str()).unwrap_or("nobody");
        let ids = contact["merged_contact_ids"].as_array().into_iter().flatten().chain([&contact["id"]]);
        for id in ids {
            names.insert(id.as_str().unwrap().trim_start_matches("con_").to_owned(), format!("<{name}>"));
        }
    }
    let mut text = world.to_string();
    for (id, name) in names {
        text = text.replace(&id, &name);
    }
    serde_json::from_str(&text).unwrap()
}

/// Removes everything that depends on the order of arrival: in another order, other contacts are created first and
/// merged.
pub(crate) fn in_any_order(mut world: Value) -> Value {
    world.as_object_mut().unwrap().remove("merges");
    for conversation in world["silent_contacts"].as_array_mut().into_iter().flatten() {
        conversation["contact"].as_object_mut().unwrap().remove("merged_contact_ids");
    }
    for conversation in world["conversations"].as_array_mut().into_iter().flatten() {
        conversation["contact"].as_object_mut().unwrap().remove("merged_contact_ids");
        conversation["messages"].as_array_mut().unwrap().sort_by_key(|message| message["id"].to_string());
    }
    for section in ["conversations", "silent_contacts", "kept", "alerts"] {
        if let Some(list) = world[section].as_array_mut() {
            list.sort_by_key(ToString::to_string);
        }
    }
    world.as_object_mut().unwrap().retain(|_, section| !section.is_null());
    world
}
