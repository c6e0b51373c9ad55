//! Metamorphic tests: changes to the delivery of the fixtures do not change the final state.

use axum::http::StatusCode;
use serde_json::{Value, json};
use shared::domain::accounts::number::Number;
use shared::domain::accounts::tenant::Scope;
use shared::domain::ids::{NumberId, TenantId, WabaId};
use shared::secret::Secret;

use crate::harness::fixtures::Fixture;
use crate::harness::world::in_any_order;
use crate::harness::{App, CUSTOMER, NUMBER, WABA, change, effort, fixtures, text_message, webhook_body};

/// Returns the final state after these bodies are delivered in order.
async fn after(bodies: &[Value]) -> Value {
    let app = App::start().await;
    deliver(&app, bodies).await;
    app.world().await
}

async fn deliver(app: &App, bodies: &[Value]) {
    for body in bodies {
        assert_eq!(app.webhook(body.to_string()).await, StatusCode::OK);
        app.drain().await;
    }
    assert_eq!(app.depth(), (0, 0));
    assert_eq!(app.stack.aws.sqs().depth("inbound-dead-letters"), 0);
}

/// Returns the fixtures that are webhooks with entries and changes, which can be merged and modified.
fn enveloped() -> Vec<Fixture> {
    let is_envelope = |fixture: &Fixture| fixture.body["entry"][0]["changes"].is_array();
    fixtures::all().into_iter().filter(is_envelope).collect()
}

fn entries(fixture: &Fixture) -> Vec<Value> {
    fixture.body["entry"].as_array().unwrap().clone()
}

/// A fixed shuffle: the same in every run.
fn shuffled<T>(mut list: Vec<T>, seed: usize) -> Vec<T> {
    let mut state = seed as u64 + 1;
    for index in (1..list.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(index, usize::try_from(state >> 33).unwrap() % (index + 1));
    }
    list
}

#[tokio::test]
async fn delivered_twice_is_byte_for_byte_delivered_once() {
    for fixture in effort::cases(fixtures::all(), 1) {
        let app = App::start().await;
        deliver(&app, std::slice::from_ref(&fixture.body)).await;
        let once = app.table_items().await;
        app.advance(600);
        deliver(&app, std::slice::from_ref(&fixture.body)).await;
        // Events without a time of their own get the time of receipt, so the latest receipt wins. One alert is raised.
        let timeless = ["history_declined", "history_declined_bare", "value_errors"].contains(&fixture.name.as_str());
        let twice = app.table_items().await;
        let facts = |items: &[Value]| -> Vec<Value> {
            let is_state = |item: &&Value| item["sk"]["S"].as_str().unwrap().starts_with("STATE#");
            items.iter().filter(|item| !(timeless && is_state(item))).cloned().collect()
        };
        assert_eq!(facts(&twice), facts(&once), "{}", fixture.name);
        assert_eq!(twice.len(), once.len(), "{}", fixture.name);
    }
}

#[tokio::test]
async fn delivered_eight_times_at_once_is_delivered_once() {
    for fixture in effort::cases(fixtures::all(), 2) {
        let once = after(std::slice::from_ref(&fixture.body)).await;
        let app = App::start().await;
        for _ in 0..8 {
            assert_eq!(app.webhook(fixture.body.to_string()).await, StatusCode::OK);
        }
        let polls = (0..8).map(|_| app.functions.poll_inbound());
        futures_util::future::join_all(polls).await;
        app.drain().await;
        assert_eq!(in_any_order(app.world().await), in_any_order(once), "{}", fixture.name);
    }
}

#[tokio::test]
async fn merged_into_fewer_posts_and_shuffled_is_the_same_world() {
    let all: Vec<Value> = fixtures::all().into_iter().map(|fixture| fixture.body).collect();
    let expected = in_any_order(after(&all).await);
    let (merged, rest): (Vec<Fixture>, Vec<Fixture>) =
        fixtures::all().into_iter().partition(|fixture| fixture.body["entry"][0]["changes"].is_array());
    for (seed, size) in [(0, 2), (1, 3), (2, 7), (3, 20), (4, 200), (5, 1)] {
        let all_entries = shuffled(merged.iter().flat_map(entries).collect(), seed);
        let mut bodies: Vec<Value> = all_entries
            .chunks(size)
            .map(|entries| json!({"object": "whatsapp_business_account", "entry": entries}))
            .collect();
        bodies.extend(rest.iter().map(|fixture| fixture.body.clone()));
        let bodies = shuffled(bodies, seed);
        let world = in_any_order(after(&bodies).await);
        assert_same(&world, &expected, &format!("seed {seed}, {size} entries a POST"));
    }
}

/// Compares section by section, for readable failures.
fn assert_same(world: &Value, expected: &Value, what: &str) {
    for (section, expected) in expected.as_object().unwrap() {
        if let (Some(one), Some(other)) = (world[section].as_array(), expected.as_array()) {
            for (one, other) in one.iter().zip(other) {
                assert_eq!(one, other, "{what}: {section}");
            }
        }
        assert_eq!(&world[section], expected, "{what}: {section}");
    }
    assert_eq!(world, expected, "{what}");
}

const UNKNOWN_KEY: &str = "zz_of_tomorrow";

/// Adds an unknown key to every object.
fn with_unknown_keys(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.values_mut().for_each(with_unknown_keys);
            object.insert(UNKNOWN_KEY.to_owned(), json!({"deep": [1e300, null, {"x": "\u{ffff}"}]}));
        }
        Value::Array(list) => list.iter_mut().for_each(with_unknown_keys),
        _ => {}
    }
}

/// Removes the provider's raw JSON, which does show unknown keys, and ids that are hashes of it.
fn readable(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let hidden = ["raw", "detail", "unknown", "card", "referral", "pricing", UNKNOWN_KEY];
            let is_hash = |id: &Value| id.as_str().is_some_and(|id| id.starts_with("alr_") || id.len() == 64);
            object.retain(|key, value| !(hidden.contains(&key.as_str()) || (key == "id" && is_hash(value))));
            object.values_mut().for_each(readable);
        }
        Value::Array(list) => list.iter_mut().for_each(readable),
        _ => {}
    }
}

#[tokio::test]
async fn unknown_keys_at_every_level_change_nothing() {
    for fixture in effort::cases(fixtures::all(), 3) {
        let mut expected = after(std::slice::from_ref(&fixture.body)).await;
        let mut body = fixture.body.clone();
        with_unknown_keys(&mut body);
        let mut world = after(&[body]).await;
        readable(&mut expected);
        readable(&mut world);
        assert_same(&world, &expected, &fixture.name);
    }
}

/// Removes a key wherever it occurs.
fn without(value: &mut Value, key: &str) {
    match value {
        Value::Object(object) => {
            object.remove(key);
            object.values_mut().for_each(|value| without(value, key));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| without(value, key)),
        _ => {}
    }
}

fn count(world: &Value, what: &str) -> usize {
    match world {
        Value::Object(object) => {
            usize::from(object.contains_key(what)) + object.values().map(|value| count(value, what)).sum::<usize>()
        }
        Value::Array(list) => list.iter().map(|value| count(value, what)).sum(),
        _ => 0,
    }
}

#[tokio::test]
async fn without_contacts_profile_wa_id_or_from_nothing_is_lost() {
    for fixture in effort::cases(fixtures::all(), 0).into_iter().filter(|fixture| fixture.name != "contacts") {
        let whole = after(std::slice::from_ref(&fixture.body)).await;
        for key in ["contacts", "profile", "wa_id", "from", "user_id", "from_user_id"] {
            let mut body = fixture.body.clone();
            without(&mut body, key);
            if body == fixture.body {
                continue;
            }
            let world = after(&[body]).await;
            // A message is stored, or quarantined if no sender remains.
            let stored = |world: &Value| count(world, "direction") + count(world, "received_at");
            let reacted =
                |world: &Value| count(world, "emoji") + count(world, "edited_at") + count(world, "revoked_at");
            assert!(stored(&world) >= stored(&whole), "{} without {key}: {world:#}", fixture.name);
            if key == "contacts" || key == "profile" {
                assert_eq!(reacted(&world), reacted(&whole), "{} without {key}", fixture.name);
            }
        }
    }
}

#[tokio::test]
async fn message_edit_revoke_and_reaction_in_all_24_orders_are_one_item() {
    let said = |id: &str, kind: &str, content: Value| {
        let mut message = json!({"from": CUSTOMER, "id": id, "timestamp": "1795175900", "type": kind});
        message[kind] = content;
        change(NUMBER, json!({"messages": [message]}))
    };
    let reaction = json!({"from": "15550001111", "to": CUSTOMER, "id": "wamid.R", "timestamp": "1795175903",
        "type": "reaction", "reaction": {"message_id": "wamid.M", "emoji": "\u{1f44d}"}});
    let mut reaction = change(NUMBER, json!({"message_echoes": [reaction]}));
    reaction["field"] = json!("smb_message_echoes");
    let edited = json!({"original_message_id": "wamid.M", "message": {"type": "text", "text": {"body": "Monday?"}}});
    let items = [
        said("wamid.M", "text", json!({"body": "Sunday?"})),
        said("wamid.E", "edit", edited),
        said("wamid.V", "revoke", json!({"original_message_id": "wamid.M"})),
        reaction,
    ];
    let (mut worlds, mut tables) = (Vec::new(), Vec::new());
    for order in crate::inbound::permutations(&[0, 1, 2, 3]) {
        let app = App::start().await;
        for index in order {
            deliver(&app, &[serde_json::from_str(&webhook_body(&[items[index].clone()])).unwrap()]).await;
        }
        worlds.push(app.world().await);
        let items = app.table_items().await;
        let message = items.into_iter().find(|item| item["sk"]["S"] == "ANNOTATION#wamid.M").unwrap();
        tables.push(without_contact(&message));
    }
    assert_eq!(worlds.len(), 24);
    let message = &worlds[0]["conversations"][0]["messages"][0];
    assert_eq!(message["text"]["body"], "Monday?");
    assert_eq!(message["reactions"][0]["by"], "business");
    assert!(message["revoked_at"].is_string() && message["edited_at"].is_string());
    for (world, table) in worlds.iter().zip(&tables) {
        assert_eq!(world, &worlds[0]);
        assert_eq!(table, &tables[0]);
    }
}

/// Removes the random ids of contact and tenant from an item.
fn without_contact(item: &Value) -> Value {
    let mut item = item.clone();
    item.as_object_mut().unwrap().retain(|name, _| name != "pk" && name != "feed");
    item
}

/// A reaction to and an echo of a sent message, before and after its wamid is known.
#[tokio::test]
async fn what_is_said_of_our_own_message_finds_it_whenever_it_comes() {
    for order in crate::inbound::permutations(&[0, 1, 2, 3]) {
        let app = App::start().await;
        app.customer_writes("first");
        app.drain().await;
        app.send("answer", None).await;
        app.meta.order_statuses(sandbox::meta::StatusOrder::Withheld);
        // The worker's record is lost, so only webhooks can link the wamid.
        app.stack.aws.set_tap(Some(std::sync::Arc::new(|target, body| {
            let text = String::from_utf8_lossy(&body).into_owned();
            let is_record = target.ends_with("UpdateItem") && text.contains("#wamid = :wamid");
            if is_record { bytes::Bytes::from("{}") } else { body }
        })));
        app.functions.poll_outbound().await;
        app.stack.aws.set_tap(None);
        let sent = app.meta.sent().remove(0);
        let reaction = json!({"from": CUSTOMER, "id": "wamid.R", "timestamp": "1795175903", "type": "reaction",
            "reaction": {"message_id": sent.wamid, "emoji": "\u{2764}"}});
        let status = |step: &str| {
            json!({"id": sent.wamid, "status": step, "timestamp": "1795176001",
                   "biz_opaque_callback_data": sent.biz_opaque_callback_data})
        };
        let echo = json!({"from": "15550001111", "to": CUSTOMER, "id": sent.wamid, "timestamp": "1795176000",
            "type": "text", "text": {"body": "answer"}});
        let mut echo = change(NUMBER, json!({"message_echoes": [echo]}));
        echo["field"] = json!("message_echoes");
        let items = [
            change(NUMBER, json!({"messages": [reaction]})),
            change(NUMBER, json!({"statuses": [status("sent")]})),
            change(NUMBER, json!({"statuses": [status("read")]})),
            echo,
        ];
        for index in &order {
            app.webhook(webhook_body(&[items[*index].clone()])).await;
            app.functions.poll_inbound().await;
        }
        app.recover().await;
        let outbound: Vec<Value> =
            app.messages().await.into_iter().filter(|message| message["direction"] == "outbound").collect();
        assert_eq!(outbound.len(), 1, "{order:?}: {outbound:#?}");
        assert_eq!(outbound[0]["status"], "read", "{order:?}");
        assert_eq!(outbound[0]["reactions"][0]["emoji"], "\u{2764}", "{order:?}: {outbound:#?}");
        assert_eq!(app.conversations().await.len(), 1);
    }
}

#[tokio::test]
async fn one_poisoned_item_harms_no_neighbour() {
    let poison = [
        change(NUMBER, json!({"messages": [{"id": 7}, null, "x", {"id": "", "from": CUSTOMER}]})),
        change(NUMBER, json!({"messages": {}, "statuses": 7})),
        json!({"field": "history", "value": {"history": "x", "metadata": {"phone_number_id": NUMBER}}}),
        json!({"field": "account_update", "value": []}),
        json!({"field": 7, "value": null}),
        json!("nonsense"),
    ];
    for fixture in effort::cases(enveloped(), 4) {
        let mut expected = in_any_order(after(std::slice::from_ref(&fixture.body)).await);
        let mut body = fixture.body.clone();
        let changes = body["entry"][0]["changes"].as_array_mut().unwrap();
        let middle = changes.len() / 2;
        changes.splice(middle..middle, poison.iter().cloned());
        let mut world = in_any_order(after(&[body]).await);
        world.as_object_mut().unwrap().remove("kept");
        expected.as_object_mut().unwrap().remove("kept");
        assert_same(&world, &expected, &fixture.name);
    }
}

#[tokio::test]
async fn another_tenants_number_is_another_tenants_world() {
    let (other_number, other_waba) = ("900100200300599", "900100200300499");
    for fixture in effort::cases(fixtures::all(), 5) {
        let app = App::start().await;
        let tenant = app.stack.operator.create_tenant("Other").await.unwrap();
        let key = app.stack.operator.create_key(Some(tenant), &[Scope::Read]).await.unwrap();
        connect(&app, tenant, other_number, other_waba).await;
        let empty = app.world().await;
        let body = fixture.body.to_string().replace(NUMBER, other_number).replace(WABA, other_waba);
        deliver(&app, &[serde_json::from_str(&body).unwrap()]).await;
        assert_same(&app.world().await, &empty, &fixture.name);
        let expected = after(std::slice::from_ref(&fixture.body)).await.to_string();
        let expected: Value =
            serde_json::from_str(&expected.replace(NUMBER, other_number).replace(WABA, other_waba)).unwrap();
        let (mut world, mut expected) = (app.world_of(key.expose(), other_number).await, expected);
        readable(&mut world);
        readable(&mut expected);
        assert_same(&world, &expected, &fixture.name);
    }
}

async fn connect(app: &App, tenant: TenantId, number: &str, waba: &str) {
    let number = Number {
        id: NumberId::parse(number).unwrap(),
        tenant,
        waba: WabaId::parse(waba).unwrap(),
        display_phone_number: "15550001111".to_owned(),
        coexistence: false,
        fallback: None,
        settings: shared::domain::accounts::number::Settings::default(),
    };
    app.stack.operator.put_number(&number, &Secret::new("t".to_owned()), None).await.unwrap();
}

#[tokio::test]
async fn two_tenants_may_know_the_same_person_apart() {
    let app = App::start().await;
    let tenant = app.stack.operator.create_tenant("Other").await.unwrap();
    connect(&app, tenant, "900100200300599", "900100200300499").await;
    for number in [NUMBER, "900100200300599"] {
        let message = text_message(CUSTOMER, &format!("wamid.{number}"), number);
        app.webhook(webhook_body(&[change(number, json!({"messages": [message]}))])).await;
    }
    app.drain().await;
    assert_eq!(app.conversations().await.len(), 1);
    assert_eq!(app.texts("inbound").await, [NUMBER]);
}
