//! Authorisation of every route of the description (`docs/reliability.md#t1`): every kind of key, with ids of the
//! caller, of another tenant, missing ones and malformed ones. A route that is not in the table below fails.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use shared::domain::accounts::tenant::Scope;

use crate::harness::{App, CUSTOMER, NUMBER, WABA, ask, change, text_message, webhook_body};

/// Ids that are well-formed and do not exist, by path prefix.
const MISSING: [(&str, &str); 15] = [
    ("/v1/contacts/", "con_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/erasures/", "era_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/alerts/", "alr_00000000000000000000000000000000"),
    ("/v1/apps/", "nobodys"),
    ("/v1/accounts/", "900100200300499"),
    ("/v1/conversations/", "conv_900100200300501_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/numbers/", "900100200300599"),
    ("/v1/media/", "med_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/broadcasts/", "brd_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/onboardings/", "onb_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/offboardings/", "off_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/replays/", "rpl_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/tenants/", "ten_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/keys/", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    ("/v1/merges/", "con_01ARZ3NDEKTSV4RRFFQ69G5FAV"),
];
/// Second ids of a path: a missing and a malformed one.
const SECONDS: [(&str, &str, &str); 6] = [
    ("{message}", MISSING_MESSAGE, "msg_%00"),
    ("{note}", MISSING_NOTE, "not_"),
    ("{other}", MISSING_CONTACT, "con_"),
    ("{template}", "nobodys_own.en_US", "No%20Name"),
    ("{link}", "NOBODYSLINK000", "%2e%2e"),
    ("{file}", "900100200309999", "..%2f"),
];

const MISSING_MESSAGE: &str = "msg_01ARZ3NDEKTSV4RRFFQ69G5FAV";
const MISSING_NOTE: &str = "not_01ARZ3NDEKTSV4RRFFQ69G5FAV";
const MISSING_CONTACT: &str = "con_01ARZ3NDEKTSV4RRFFQ69G5FAW";
const USER: &str = "US.77001122334455667788";

/// The tenant that owns all objects, and the keys that call.
struct World {
    app: App,
    ids: BTreeMap<&'static str, String>,
    message: String,
    theirs: String,
    other_contact: String,
    note: String,
    link: String,
    file: String,
    keys: BTreeMap<&'static str, String>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

impl World {
    async fn new() -> Self {
        let app = App::start().await;
        let ended = json!({"scopes": ["read", "send", "manage"], "expires_in_days": 1});
        let ended = ask(&app, &app.seed.api_key, "POST", "/v1/keys", ended).await.json();
        app.advance(86_400);
        app.customer_writes("hello");
        app.drain().await;
        let webhook = |message: Value| webhook_body(&[change(NUMBER, json!({"messages": [message]}))]);
        app.webhook(webhook(text_message(CUSTOMER, "wamid.theirs", "hello"))).await;
        for (id, from) in [("wamid.user", None), ("wamid.both", Some("15550003333"))] {
            let mut message = text_message("15550003333", id, id);
            message["from_user_id"] = json!(USER);
            if from.is_none() {
                message.as_object_mut().unwrap().remove("from");
            }
            app.webhook(webhook(message)).await;
            app.webhook(webhook(text_message("15550003333", "wamid.phone", "by phone"))).await;
            app.drain().await;
        }
        let key = app.seed.api_key.clone();
        let made = async |path: &str, body: Value| {
            let answer = ask(&app, &key, "POST", path, body).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.text);
            answer.json()
        };
        let sent = made("/v1/messages", crate::harness::to_customer("queued")).await;
        let image = Request::post("/v1/media").header("authorization", format!("Bearer {key}"));
        let image = app.request(image.body(Body::from(crate::kinds::JPEG)).unwrap()).await.json();
        let merges = ask(&app, &key, "GET", "/v1/merges", Value::Null).await.json();
        let contacts = &merges["data"][0]["contact_ids"];
        let revocable = made("/v1/keys", json!({"scopes": ["read"]})).await;
        let notes = format!("/v1/conversations/{}/notes", text(&sent["conversation_id"]));
        let note = text(&made(&notes, json!({"text": "hm"})).await["id"]);
        let link = text(&made(&format!("/v1/numbers/{NUMBER}/links"), json!({"message": "Hello"})).await["id"]);
        made(&format!("/v1/accounts/{WABA}/templates/refresh"), Value::Null).await;
        let violation = json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "ADULT"}});
        let report = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA, "time": app.clock.now().as_second(),
            "changes": [{"field": "account_update", "value": violation}]}]});
        app.webhook(report.to_string()).await;
        app.functions.poll_inbound().await;
        let alert = text(&ask(&app, &key, "GET", "/v1/alerts", Value::Null).await.json()["data"][0]["id"]);
        app.webhook(webhook(text_message("15550005555", "wamid.gone", "forget me"))).await;
        app.functions.poll_inbound().await;
        let gone = format!("/v1/numbers/{NUMBER}/conversation?phone=%2B15550005555");
        let gone = text(&ask(&app, &key, "GET", &gone, Value::Null).await.json()["contact"]["id"]);
        let erasure = ask(&app, &key, "DELETE", &format!("/v1/contacts/{gone}"), Value::Null).await.json();
        let ids = BTreeMap::from([
            ("/v1/contacts/", text(&contacts[0])),
            ("/v1/erasures/", text(&erasure["id"])),
            ("/v1/conversations/", text(&sent["conversation_id"])),
            ("/v1/alerts/", alert),
            ("/v1/apps/", "sandbox".to_owned()),
            ("/v1/accounts/", WABA.to_owned()),
            ("/v1/numbers/", NUMBER.to_owned()),
            ("/v1/media/", text(&image["id"])),
            ("/v1/broadcasts/", text(&made("/v1/broadcasts", broadcast(NUMBER)).await["id"])),
            ("/v1/onboardings/", text(&made("/v1/onboardings", json!({"app": "sandbox"})).await["id"])),
            ("/v1/replays/", text(&made("/v1/replays", json!({"source": "archive"})).await["id"])),
            ("/v1/tenants/", app.seed.tenant_id.clone()),
            ("/v1/keys/", text(&revocable["id"])),
            ("/v1/merges/", text(&contacts[0])),
        ]);
        let other = app.stack.operator.create_tenant("Other").await.unwrap();
        let mut keys = BTreeMap::from([("own", key.clone()), ("operator", app.seed.operator_key.clone())]);
        let all = [Scope::Read, Scope::Send, Scope::Manage];
        let own = shared::domain::ids::TenantId::parse(&app.seed.tenant_id).unwrap();
        let make = async |tenant, scopes: &[Scope]| {
            app.stack.operator.create_key(Some(tenant), scopes).await.unwrap().expose().to_owned()
        };
        keys.insert("other", make(other, &all).await);
        for lacking in all {
            let rest: Vec<Scope> = all.into_iter().filter(|scope| *scope != lacking).collect();
            keys.insert(lacking.as_str(), make(own, &rest).await);
        }
        let revoked = made("/v1/keys", json!({"scopes": ["read", "send", "manage"]})).await;
        let revoke = format!("/v1/keys/{}", text(&revoked["id"]));
        ask(&app, &key, "DELETE", &revoke, Value::Null).await;
        keys.insert("expired", text(&ended["key"]));
        keys.insert("revoked", text(&revoked["key"]));
        keys.insert("malformed", format!("{}x", app.seed.api_key));
        let file = app.meta.put_sent_file(NUMBER, "image/jpeg", crate::kinds::JPEG);
        let (message, other_contact) = (text(&sent["id"]), text(&contacts[1]));
        Self { ids, message, theirs: "wamid.theirs".to_owned(), other_contact, note, link, file, keys, app }
    }

    /// Returns an operation's path with the tenant's own id, a missing id, and a malformed id.
    fn paths(&self, path: &str) -> [String; 3] {
        let prefix = MISSING.iter().find(|(prefix, _)| path.starts_with(prefix));
        let Some((prefix, missing)) = prefix else { return [path.to_owned(), path.to_owned(), path.to_owned()] };
        let own = self.ids.get(prefix).map_or(*missing, String::as_str);
        let fill = |id: &str, message: &str, note: &str, other: &str| {
            let second = [
                ("{message}", message),
                ("{note}", note),
                ("{other}", other),
                ("{template}", "order_update.en_US"),
                ("{link}", &self.link),
                ("{file}", &self.file),
            ];
            second
                .into_iter()
                .fold(path.replace("{id}", id).replace("{one}", id), |path, (name, id)| path.replace(name, id))
        };
        [
            fill(own, &self.message, &self.note, &self.other_contact),
            fill(missing, MISSING_MESSAGE, MISSING_NOTE, MISSING_CONTACT),
            fill("%00..%2f'", "msg_", "not_", "con_"),
        ]
    }

    /// Returns paths with the tenant's own first id and a missing or malformed second id.
    fn paths_of_seconds(&self, path: &str) -> Vec<String> {
        let Some((name, missing, malformed)) = SECONDS.iter().find(|(name, ..)| path.contains(name)) else {
            return Vec::new();
        };
        let filled = |second: &str| {
            let [own, ..] = self.paths(&path.replace(name, second));
            own
        };
        vec![filled(missing), filled(malformed)]
    }

    /// Returns the request bodies of an operation: its example, and the example with missing ids.
    fn bodies(&self, name: &str, operation: &Value) -> Option<[Value; 2]> {
        let same = |body: Value| Some([body.clone(), body]);
        let example = operation.pointer("/requestBody/content/application~1json/example").cloned();
        let other = |field: &str, value: &str| {
            let mut nobodys = example.clone()?;
            nobodys[field] = json!(value);
            Some([example.clone()?, nobodys])
        };
        match name {
            "sendMessage" | "createBroadcast" => other("from", "900100200300599"),
            "startOffboarding" => other("waba_id", "900100200300499"),
            "startReplay" => other("number_id", "900100200300599"),
            // A caller with the account's access token learns that the account is taken.
            "addNumber" => {
                let mut known = example?;
                known["access_token"] = json!(self.app.seed.access_token);
                same(known)
            }
            "putApp" => {
                same(json!({"app_secret": self.app.seed.app_secret, "verify_token": self.app.seed.verify_token}))
            }
            "markRead" => Some([json!({"message_id": self.theirs}), json!({"message_id": "wamid.nobody"})]),
            "acknowledgeAlert" => same(Value::Null),
            "refreshTemplates"
            | "deleteTemplate"
            | "deleteLink"
            | "deleteContact"
            | "deleteNumber"
            | "blockContact"
            | "unblockContact"
            | "putProfilePicture"
            | "uploadTemplateSample"
            | "activateNumber"
            | "deleteNote"
            | "uploadMedia"
            | "undoMerge"
            | "retryOnboarding"
            | "lookAtHealth"
            | "cancelMessage"
            | "pauseBroadcast"
            | "resumeBroadcast"
            | "cancelBroadcast"
            | "deleteFallbackTemplate"
            | "revokeKey" => same(Value::Null),
            _ => same(example?),
        }
    }

    async fn ask(&self, key: Option<&str>, method: &str, path: &str, body: &Value, operation: &str) -> (u16, String) {
        let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = match (operation, body) {
            ("uploadMedia" | "putProfilePicture" | "uploadTemplateSample", _) => Body::from(crate::kinds::JPEG),
            (_, Value::Null) => Body::empty(),
            (_, body) => Body::from(body.to_string()),
        };
        let answer = self.app.request(request.body(body).unwrap()).await;
        (answer.status.as_u16(), answer.text)
    }
}

fn broadcast(from: &str) -> Value {
    json!({"from": from, "template": {"name": "order_update", "language": {"code": "en_US"}}, "category": "utility",
        "recipients": [{"to": "+15550004444", "parameters": ["x", "1"]}]})
}

/// Returns the status for the owner's own object, where it is not the success status.
fn expected(operation: &str, success: u16) -> u16 {
    match operation {
        // The object's state does not allow it, which only the owner learns.
        "settleMessage" | "retryOnboarding" | "chooseForOnboarding" => 409,
        // The tenant has none.
        "getOffboarding" => 404,
        _ => success,
    }
}

#[tokio::test]
async fn every_route_answers_every_caller_as_it_should() {
    let world = Box::pin(World::new()).await;
    let described = sandbox::stack::description();
    let paths = described["paths"].as_object().unwrap().iter();
    let mut operations: Vec<(&String, &String, &Value)> = paths
        .flat_map(|(path, methods)| methods.as_object().unwrap().iter().map(move |(method, one)| (path, method, one)))
        .collect();
    // Operations that end something come last.
    let ends = |one: &Value| {
        ["activate", "block", "cancel", "deactivate", "delete", "revoke", "startOff"]
            .iter()
            .any(|verb| one["operationId"].as_str().unwrap().starts_with(verb))
    };
    operations.sort_by_key(|(.., operation)| ends(operation));
    let mut cells = 0_u32;
    for (path, method, operation) in operations {
        // The public endpoint of the signup page takes no key. Its state parameter is tested in `onboarding`.
        if operation["security"] == json!([{}]) {
            assert_eq!(operation["operationId"], "finishOnboarding");
            continue;
        }
        cells += Box::pin(route(&world, path, method, operation)).await;
    }
    println!("matrix: {cells} cells, 0 surprises");
    assert!(cells > 900, "{cells}");
}

async fn route(world: &World, path: &str, method: &str, operation: &Value) -> u32 {
    let name = operation["operationId"].as_str().unwrap();
    let [own, missing, malformed] = if name == "listQuarantine" {
        // Its id is in the query.
        [WABA, "900100200300499", "%00..%2f"].map(|account| format!("{path}?account_id={account}"))
    } else {
        world.paths(path)
    };
    // `PUT` of an app creates it, so the id need not exist.
    let has_id = (own != missing || name == "getOffboarding") && name != "putApp";
    let [own_body, missing_body] = match world.bodies(name, operation) {
        Some(bodies) => bodies,
        None if method == "get" => [Value::Null, Value::Null],
        None => panic!("{name} is not in the matrix"),
    };
    let own = if name == "findConversation" { format!("{own}?phone=%2B{CUSTOMER}") } else { own };
    let scopes: Vec<&str> =
        operation["security"].as_array().unwrap().iter().map(|one| one["key"][0].as_str().unwrap()).collect();
    let mut cells = 0;
    // Calls without a valid key are refused alike, whatever the target.
    for (target, body) in [(&own, &own_body), (&missing, &missing_body), (&malformed, &own_body)] {
        let mut refusals = Vec::new();
        for key in [None, Some("malformed"), Some("revoked"), Some("expired")] {
            let (status, text) = world.ask(key.map(|key| world.keys[key].as_str()), method, target, body, name).await;
            assert_eq!(status, 401, "{name} {target} with {key:?}: {text}");
            refusals.push(text);
        }
        assert!(refusals.iter().all(|text| *text == refusals[0]), "{name}");
        for lacking in scopes.iter().filter(|scope| **scope != "operator") {
            let (status, text) = world.ask(Some(&world.keys[*lacking]), method, target, body, name).await;
            assert_eq!(status, 403, "{name} {target} without {lacking}: {text}");
            cells += 1;
        }
        let wrong = if scopes == ["operator"] { "own" } else { "operator" };
        if !scopes.contains(&"operator") || scopes.len() == 1 {
            let (status, text) = world.ask(Some(&world.keys[wrong]), method, target, body, name).await;
            assert_eq!(status, 403, "{name} {target} with the key of {wrong}: {text}");
        }
        cells += 5;
    }
    // An object of another tenant is refused exactly like a missing one, byte for byte.
    let caller = if scopes == ["operator"] { "operator" } else { "other" };
    let (missing_status, missing_text) =
        world.ask(Some(&world.keys[caller]), method, &missing, &missing_body, name).await;
    if caller == "other" && (has_id || own_body != missing_body) {
        let (status, text) = world.ask(Some(&world.keys["other"]), method, &own, &own_body, name).await;
        assert_eq!((status, text), (missing_status, missing_text.clone()), "{name}: another tenant's");
        assert!(status == 404 || status == 422, "{name}: {missing_text}");
    }
    // A second id that is not the owner's leads to 404.
    for path in if caller == "other" { world.paths_of_seconds(path) } else { Vec::new() } {
        let (status, text) = world.ask(Some(&world.keys["own"]), method, &path, &own_body, name).await;
        assert_eq!(status, 404, "{name} {path}: {text}");
        cells += 1;
    }
    if has_id {
        assert_eq!(missing_status, 404, "{name} {missing}: {missing_text}");
        let (status, text) = world.ask(Some(&world.keys[caller]), method, &malformed, &own_body, name).await;
        assert_eq!((status, text), (missing_status, missing_text), "{name} {malformed}");
    } else if caller == "other" && method == "get" {
        let list: Value = serde_json::from_str(&missing_text).unwrap();
        assert!(!missing_text.contains(&world.app.seed.tenant_id) && !missing_text.contains(NUMBER), "{name}: {list}");
    }
    // The owner's call succeeds, and a change is recorded in the audit log.
    let success = operation["responses"].as_object().unwrap().keys().find(|status| status.starts_with('2')).unwrap();
    let owner = if scopes == ["operator"] { "operator" } else { "own" };
    let before = changes(world).await;
    let (status, text) = world.ask(Some(&world.keys[owner]), method, &own, &own_body, name).await;
    assert_eq!(status, expected(name, success.parse().unwrap()), "{name} {own}: {text}");
    // Messages, broadcasts, files and notes are records themselves, so they have no audit entry.
    let own_record =
        ["previewTemplate", "sendMessage", "createBroadcast", "uploadMedia", "createNote", "markRead"].contains(&name);
    let changes_something = method != "get" && !own_record && status < 300;
    if changes_something {
        assert_eq!(changes(world).await, before + 1, "{name} is not in the audit");
    }
    cells + 4
}

/// Returns the number of audit entries.
async fn changes(world: &World) -> usize {
    world.app.table_items().await.iter().filter(|item| item["sk"]["S"] == "AUDIT").count()
}
