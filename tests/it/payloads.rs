//! Payloads as Meta really sends them: lists beside the documented one, odd letters, odd numbers, missing keys.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, change, text_message, webhook_body};

/// Lists that are read in a value of any field, each with an item and the text or word that shows where it went.
fn lists() -> Vec<(&'static str, Value)> {
    vec![
        ("messages", text_message(CUSTOMER, "wamid.list-message", "a customer's text")),
        (
            "message_echoes",
            json!({"from": "15550001111", "to": CUSTOMER, "id": "wamid.list-echo", "timestamp": "1795176000",
            "type": "text", "text": {"body": "an echo"}}),
        ),
        (
            "calls",
            json!({"id": "wacid.1", "from": CUSTOMER, "event": "terminate", "direction": "USER_INITIATED",
            "timestamp": "1795176000"}),
        ),
        ("state_sync", json!({"type": "tomorrow"})),
        ("list_of_tomorrow", json!({"a": 1})),
        ("user_actions", json!({"timestamp": "1795176000", "action_type": "landing_page_view"})),
    ]
}

#[tokio::test]
async fn every_list_of_a_value_is_read_or_quarantined_whatever_its_field_says() {
    let fields = [
        "messages",
        "standby",
        "smb_message_echoes",
        "message_echoes",
        "calls",
        "history",
        "smb_app_state_sync",
        "user_preferences",
        "field_of_tomorrow",
    ];
    for field in fields {
        let app = App::start().await;
        let mut value = json!({});
        for (list, item) in lists() {
            value[list] = json!([item]);
        }
        let mut change = change(NUMBER, value);
        change["field"] = json!(field);
        app.webhook(webhook_body(&[change])).await;
        app.drain().await;
        let texts: Vec<String> =
            app.messages().await.iter().filter_map(|one| Some(one["text"]["body"].as_str()?.to_owned())).collect();
        for text in ["a customer's text", "an echo"] {
            assert!(texts.iter().any(|one| one == text), "{field}: {texts:?}");
        }
        let kept = app.api("GET", &format!("/v1/numbers/{NUMBER}/quarantine"), None).await.json();
        let kept: Vec<String> = kept["data"].as_array().unwrap().iter().map(|one| one["raw"].to_string()).collect();
        for part in ["wacid.1", "tomorrow", "list_of_tomorrow", "landing_page_view"] {
            assert!(kept.iter().any(|raw| raw.contains(part)), "{field}: {part} is invisible: {kept:#?}");
        }
        assert_eq!(app.depth(), (0, 0), "{field}");
    }
}

#[tokio::test]
async fn a_lone_surrogate_changes_nothing_but_itself() {
    // Puts a lone surrogate, as Meta writes it, behind every text that a person wrote.
    fn marked(value: &mut Value, mark: &str) {
        const TEXTS: [&str; 8] = ["body", "caption", "name", "headline", "title", "text", "filename", "description"];
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    match value {
                        Value::String(text) if TEXTS.contains(&key.as_str()) => text.push_str(mark),
                        value => marked(value, mark),
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|value| marked(value, mark)),
            _ => {}
        }
    }
    let names = [
        "text",
        "text_from_ad",
        "image",
        "document",
        "location",
        "contacts",
        "interactive_list_reply",
        "order",
        "button",
        "type_of_tomorrow",
        "unsupported",
        "video",
    ];
    for fixture in crate::harness::fixtures::all().into_iter().filter(|one| names.contains(&one.name.as_str())) {
        let mut worlds = Vec::new();
        for (mark, sent) in [("@@", "\u{fffd}"), ("@@", "\\ud83d")] {
            let app = App::start().await;
            let mut body = fixture.body.clone();
            marked(&mut body, mark);
            assert_eq!(app.webhook(body.to_string().replace(mark, sent)).await, StatusCode::OK);
            app.drain().await;
            worlds.push((app.world().await, app.messages().await.len()));
        }
        assert_eq!(worlds[0], worlds[1], "{}", fixture.name);
        assert!(worlds[0].1 > 0, "{}", fixture.name);
    }
}

#[tokio::test]
async fn a_text_is_measured_in_letters_and_not_in_escapes() {
    let app = App::start().await;
    for (letter, count) in [("\u{645}", 52_000), ("\u{1f600}", 26_000), ("a", 65_000)] {
        let mut message = text_message(CUSTOMER, &format!("wamid.{count}"), "");
        message["text"]["body"] = json!(letter.repeat(count));
        let body = webhook_body(&[change(NUMBER, json!({"messages": [message]}))]);
        // Meta escapes every letter outside ASCII.
        let escaped: String = body
            .chars()
            .flat_map(|letter| {
                let mut units = [0; 2];
                let units = letter.encode_utf16(&mut units);
                if letter.is_ascii() {
                    letter.to_string()
                } else {
                    units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }
                .chars()
                .collect::<Vec<_>>()
            })
            .collect();
        app.webhook(escaped).await;
        app.drain().await;
    }
    let lengths: Vec<usize> = app.texts("inbound").await.iter().map(|text| text.chars().count()).collect();
    let kept = app.api("GET", &format!("/v1/numbers/{NUMBER}/quarantine"), None).await.text;
    assert_eq!(lengths.len(), 3, "{lengths:?} {kept}");
    assert!([52_000, 26_000, 65_000].iter().all(|count| lengths.contains(count)), "{lengths:?}");
}

#[tokio::test]
async fn odd_orders_messages_without_a_type_and_short_numbers_are_read() {
    let app = App::start().await;
    let order = json!({"from": "123456", "id": "wamid.order", "timestamp": "1795176000", "type": "order", "order": {
        "catalog_id": "c", "product_items": [
            {"product_retailer_id": "sku-9", "quantity": 2, "item_price": 12.5, "currency": "EUR"},
            {"quantity": "3", "item_price": "0.10", "currency": "EUR"},
            {"product_retailer_id": "sku-1", "quantity": 123_456_789_012_345_678_u64, "item_price": "X", "currency": "EUR"}]}});
    let order = order.to_string().replace("\"X\"", "1234567890123456789012.5");
    let place = json!({"from": "123456", "id": "wamid.place", "timestamp": "1795176001",
        "location": {"latitude": 1.5, "longitude": 2.5}});
    let body = webhook_body(&[change(NUMBER, json!({"messages": ["ORDER", place]}))]).replace("\"ORDER\"", &order);
    app.webhook(body).await;
    app.drain().await;
    let all = app.messages().await;
    let of = |id: &str| all.iter().find(|one| one["id"] == id).unwrap();
    let items = &of("wamid.order")["order"]["product_items"];
    assert_eq!(items[0]["quantity"], 2);
    assert_eq!(items[0]["item_price"], 12.5);
    assert_eq!((&items[1]["quantity"], &items[1]["item_price"]), (&json!("3"), &json!("0.10")), "{items}");
    assert_eq!(items[2]["quantity"], 123_456_789_012_345_678_u64);
    assert_eq!(items[2]["item_price"], "1234567890123456789012.5", "{items}");
    assert_eq!(
        (&of("wamid.place")["type"], &of("wamid.place")["location"]["latitude"]),
        (&json!("location"), &json!(1.5))
    );
    assert_eq!(app.conversations().await[0]["contact"]["phone"], "+123456");
}
