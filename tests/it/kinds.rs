//! Every kind of message: accepted by the API, sent in Meta's form, and followed by its statuses. Every limit is
//! refused with the field, the rule, and the error code of Meta's that it prevents.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, change, text_message, webhook_body};

/// Returns messages as kind and content. The content is sent to Meta unchanged, except for file ids.
pub(crate) fn kinds(file: &str) -> Vec<(&'static str, Value)> {
    let interactive = |kind: &str, rest: Value| {
        let mut object = json!({"type": kind, "body": {"text": "Choose"}});
        object.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        ("interactive", object)
    };
    let card = |index: u32, action: Value, kind: &str| {
        json!({"card_index": index, "type": kind, "header": {"type": "image", "image": {"link": "https://shop.example/a.jpg"}},
            "body": {"text": "Model"}, "action": action})
    };
    let open = json!({"name": "cta_url", "parameters": {"display_text": "View", "url": "https://shop.example/a"}});
    let pick = |id: &str| json!({"buttons": [{"type": "quick_reply", "quick_reply": {"id": id, "title": "Take it"}}]});
    let template = |name: &str, components: Value| {
        ("template", json!({"name": name, "language": {"code": "en_US"}, "components": components}))
    };
    vec![
        ("text", json!({"body": "See https://shop.example/17", "preview_url": true})),
        ("text", json!({"body": "Plain 😀 grüße"})),
        ("image", json!({"link": "https://shop.example/a.jpg", "caption": "front view"})),
        ("image", json!({"id": file})),
        ("video", json!({"link": "https://shop.example/a.mp4", "caption": "how to"})),
        ("audio", json!({"link": "https://shop.example/a.ogg", "voice": true})),
        ("document", json!({"link": "https://files.example/q17.pdf", "filename": "q17.pdf", "caption": "your quote"})),
        ("sticker", json!({"link": "https://shop.example/a.webp"})),
        (
            "location",
            json!({"latitude": "-12.0464", "longitude": "-77.0428", "name": "Example Park", "address": "1 Example Street"}),
        ),
        (
            "contacts",
            json!([{"name": {"formatted_name": "Ada Example", "first_name": "Ada"},
            "phones": [{"phone": "+15550002222", "type": "WORK", "wa_id": "15550002222"}],
            "emails": [{"email": "ada@shop.example", "type": "WORK"}], "org": {"company": "Example"},
            "addresses": [{"city": "Lima", "country_code": "PE", "type": "HOME"}],
            "urls": [{"url": "https://shop.example", "type": "WORK"}], "birthday": "1990-12-31"}]),
        ),
        ("reaction", json!({"message_id": "wamid.TESTAAAA0002", "emoji": "👍"})),
        ("reaction", json!({"message_id": "wamid.TESTAAAA0002", "emoji": ""})),
        ("reaction", json!({"message_id": "wamid.TESTAAAA0002", "emoji": "1\u{fe0f}\u{20e3}"})),
        interactive(
            "button",
            json!({"header": {"type": "text", "text": "Order 17"}, "footer": {"text": "Example shop"},
            "action": {"buttons": [{"type": "reply", "reply": {"id": "order:17:keep", "title": "Keep"}},
                                   {"type": "reply", "reply": {"id": "order:17:cancel", "title": "Cancel"}}]}}),
        ),
        interactive(
            "button",
            json!({"header": {"type": "image", "image": {"id": file}},
            "action": {"buttons": [{"type": "reply", "reply": {"id": "a", "title": "A"}}]}}),
        ),
        interactive(
            "list",
            json!({"header": {"type": "text", "text": "Slots"}, "action": {"button": "Choose", "sections": [
            {"title": "Tuesday", "rows": [{"id": "slot-0930", "title": "09:30", "description": "30 minutes"}]},
            {"title": "Friday", "rows": [{"id": "slot-1030", "title": "10:30"}]}]}}),
        ),
        interactive("cta_url", json!({"action": open})),
        interactive("location_request_message", json!({"action": {"name": "send_location"}})),
        interactive("request_contact_info", json!({"action": {"name": "request_contact_info"}})),
        interactive("product", json!({"action": {"catalog_id": "600100200300001", "product_retailer_id": "sku-9"}})),
        interactive(
            "product_list",
            json!({"header": {"type": "text", "text": "New"}, "action": {"catalog_id": "600100200300001",
            "sections": [{"title": "Cups", "product_items": [{"product_retailer_id": "sku-9"}]}]}}),
        ),
        interactive(
            "catalog_message",
            json!({"action": {"name": "catalog_message",
            "parameters": {"thumbnail_product_retailer_id": "sku-9"}}}),
        ),
        interactive(
            "carousel",
            json!({"action": {"cards": [card(0, open.clone(), "cta_url"), card(1, open, "cta_url")]}}),
        ),
        interactive(
            "carousel",
            json!({"action": {"cards": [card(0, pick("a"), "button"), card(1, pick("b"), "button")]}}),
        ),
        interactive(
            "flow",
            json!({"action": {"name": "flow", "parameters": {"flow_message_version": "3", "flow_token": "ft-1",
            "flow_id": "400100200300001", "flow_cta": "Start", "flow_action": "navigate",
            "flow_action_payload": {"screen": "DATE", "data": {"city": "Lima"}}}}}),
        ),
        interactive(
            "address_message",
            json!({"action": {"name": "address_message",
            "parameters": {"country": "IN", "values": {"name": "Ada Example"}}}}),
        ),
        interactive("call_permission_request", json!({"action": {"name": "call_permission_request"}})),
        interactive(
            "voice_call",
            json!({"action": {"name": "voice_call",
            "parameters": {"display_text": "Call us", "ttl_minutes": 100, "payload": "p1"}}}),
        ),
        interactive(
            "order_details",
            json!({"action": {"name": "review_and_pay", "parameters": {"reference_id": "r1"}}}),
        ),
        interactive("order_status", json!({"action": {"name": "review_order", "parameters": {"reference_id": "r1"}}})),
        ("template", json!({"name": "hello_world", "language": {"code": "en_US"}})),
        template(
            "order_ready",
            json!([
            {"type": "header", "parameters": [{"type": "image", "image": {"id": file}}]},
            {"type": "body", "parameters": [{"type": "text", "parameter_name": "first_name", "text": "Ada"},
                                            {"type": "text", "parameter_name": "order", "text": "17"}]},
            {"type": "button", "sub_type": "quick_reply", "index": "0", "parameters": [{"type": "payload", "payload": "confirm:17"}]},
            {"type": "button", "sub_type": "url", "index": "1", "parameters": [{"type": "text", "text": "17"}]}]),
        ),
        template(
            "order_update",
            json!([
            {"type": "header", "parameters": [{"type": "location", "location": {"latitude": "1.5", "longitude": "2", "name": "Shop", "address": "1 Example Street"}}]},
            {"type": "body", "parameters": [{"type": "currency", "currency": {"fallback_value": "€1", "code": "EUR", "amount_1000": 1000}},
                                            {"type": "date_time", "date_time": {"fallback_value": "tomorrow"}}]},
            {"type": "button", "sub_type": "copy_code", "index": "0", "parameters": [{"type": "coupon_code", "coupon_code": "SAVE10"}]},
            {"type": "button", "sub_type": "flow", "index": "1", "parameters": [{"type": "action", "action": {"flow_token": "ft"}}]},
            {"type": "button", "sub_type": "catalog", "index": "2", "parameters": [{"type": "action", "action": {"thumbnail_product_retailer_id": "s"}}]},
            {"type": "button", "sub_type": "mpm", "index": "3", "parameters": [{"type": "action", "action": {"sections": []}}]},
            {"type": "button", "sub_type": "voice_call", "index": "4", "parameters": [{"type": "ttl_minutes", "ttl_minutes": 60}]},
            {"type": "limited_time_offer", "parameters": [{"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": 1795190400000_i64}}]},
            {"type": "tap_target_configuration", "parameters": [{"type": "tap_target_configuration", "tap_target_configuration": [{"url": "https://shop.example", "title": "Shop"}]}]}]),
        ),
        template(
            "otp_login",
            json!([{"type": "body", "parameters": [{"type": "text", "text": "482915"}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "482915"}]}]),
        ),
        template(
            "hello_world",
            json!([{"type": "header", "parameters": [{"type": "product", "product": {"catalog_id": "6", "product_retailer_id": "s"}}]},
            {"type": "carousel", "cards": [
                {"card_index": 0, "components": [{"type": "header", "parameters": [{"type": "video", "video": {"link": "https://shop.example/a.mp4"}}]},
                                                 {"type": "body", "parameters": [{"type": "text", "text": "10%"}]}]},
                {"card_index": 1, "components": [{"type": "header", "parameters": [{"type": "document", "document": {"link": "https://shop.example/a.pdf", "filename": "a.pdf"}}]}]}]}]),
        ),
    ]
}

pub(crate) fn order(kind: &str, object: &Value) -> Value {
    let mut order = json!({"from": NUMBER, "to": format!("+{CUSTOMER}"), "type": kind});
    order[kind] = object.clone();
    order
}

/// Uploads a file through the API.
pub(crate) async fn upload(app: &App, bytes: &[u8], mime: &str) -> (StatusCode, Value) {
    let request = app.api_request("POST", "/v1/media", None, None);
    let (mut parts, _) = request.into_parts();
    parts.headers.insert("content-type", mime.parse().unwrap());
    let request = axum::http::Request::from_parts(parts, axum::body::Body::from(bytes.to_vec()));
    let answer = app.request(request).await;
    (answer.status, answer.json())
}

pub(crate) const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";

#[tokio::test]
async fn every_kind_is_sent_as_meta_wants_it_and_comes_back_as_read() {
    let app = App::start().await;
    app.meta.open_window(NUMBER, CUSTOMER);
    // The message that the reactions name.
    let hello = text_message(CUSTOMER, "wamid.TESTAAAA0002", "hello");
    app.webhook(webhook_body(&[change(NUMBER, json!({"messages": [hello]}))])).await;
    app.drain().await;
    let (status, file) = upload(&app, JPEG, "image/jpeg").await;
    assert_eq!((status, file["mime_type"].as_str()), (StatusCode::CREATED, Some("image/jpeg")), "{file}");
    let file = file["id"].as_str().unwrap().to_owned();
    let all = kinds(&file);
    for (kind, object) in &all {
        app.advance(10);
        let answer = app.api("POST", "/v1/messages", Some(order(kind, object))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{kind} {object}: {}", answer.text);
        app.drain().await;
        let sent = app.meta.sent().pop().unwrap();
        // In the request to Meta, Meta's file id replaces ours.
        let text = sent.body[*kind].to_string();
        let meta_id = text.split("\"id\":\"7001002").nth(1).map(|rest| format!("7001002{}", &rest[..8]));
        let expected = object.to_string().replace(&file, meta_id.as_deref().unwrap_or_default());
        assert_eq!(sent.body[*kind], serde_json::from_str::<Value>(&expected).unwrap(), "{kind}");
        assert_eq!(sent.body["type"], *kind);
        assert_eq!(
            (sent.body["messaging_product"].as_str(), sent.body["to"].as_str()),
            (Some("whatsapp"), Some("+15550002222"))
        );
        sandbox::meta::contract::check(&sent.body).unwrap();
        let shown = app.messages().await.remove(0);
        assert_eq!((shown["status"].as_str(), shown["type"].as_str()), (Some("read"), Some(*kind)), "{shown}");
        assert_eq!(shown[*kind], *object, "shown as it was given");
    }
    assert_eq!(app.meta.sent().len(), all.len());
    assert_eq!(app.meta.files(), 1, "uploaded to Meta once, used three times");
    assert_eq!(app.functions.metrics.total("media"), 3);
    println!("{} messages of {} kinds: on the wire as given, read", all.len(), 11 + 14);
    if let Some(path) = shared::config::optional("META_OPENAPI") {
        let description: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let sent = app.meta.sent();
        let differs: Vec<String> = sent.iter().flat_map(|sent| agrees_with_meta(&description, &sent.body)).collect();
        println!("{} bodies against Meta's description, {} differences: {differs:#?}", sent.len(), differs.len());
    }
}

/// Validates a body against the schema of its kind in Meta's OpenAPI description, and returns the violations. The
/// description is not in the repository: set `META_OPENAPI` to its path, as JSON. The envelope is not validated,
/// because its schema refuses its own fields.
fn agrees_with_meta(description: &Value, body: &Value) -> Vec<String> {
    let kind = body["type"].as_str().unwrap();
    let mut name = kind.to_owned();
    name[..1].make_ascii_uppercase();
    let parts = description["components"]["schemas"][format!("{name}Message")]["allOf"].as_array().unwrap();
    let place = parts.iter().position(|part| !part["properties"][kind].is_null()).unwrap();
    let schema = json!({"$ref": format!("#/components/schemas/{name}Message/allOf/{place}/properties/{kind}"),
        "components": description["components"]});
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(&body[kind]).map(|error| format!("{kind}: {error} at {}", error.instance_path())).collect()
}

#[tokio::test]
async fn every_limit_is_named_before_meta_is_asked() {
    let app = App::start().await;
    app.customer_writes("hello");
    app.drain().await;
    let long = |n: usize| "x".repeat(n);
    let button = |id: &str, title: &str| json!({"type": "reply", "reply": {"id": id, "title": title}});
    let buttons = |buttons: Value| json!({"type": "button", "body": {"text": "b"}, "action": {"buttons": buttons}});
    let list = |sections: Value| json!({"type": "list", "body": {"text": "b"}, "action": {"button": "Go", "sections": sections}});
    let row = |id: &str| json!({"id": id, "title": "t"});
    let rows: Vec<Value> = (0..11).map(|n| row(&n.to_string())).collect();
    let template =
        |components: Value| json!({"name": "order_update", "language": {"code": "en_US"}, "components": components});
    let body = |parameters: Value| template(json!([{"type": "body", "parameters": parameters}]));
    let text = |text: &str| json!({"type": "text", "text": text});
    let flow = |parameters: Value| json!({"type": "flow", "body": {"text": "b"}, "action": {"name": "flow", "parameters": parameters}});
    let card = |index: u32| json!({"card_index": index, "type": "product", "action": {"catalog_id": "1", "product_retailer_id": "s"}});
    let cards = |cards: Value| json!({"type": "carousel", "body": {"text": "b"}, "action": {"cards": cards}});
    let missing = 131_008;
    let value = 131_009;
    let cases: Vec<(&str, Value, &str, i64)> = vec![
        ("text", json!({"body": ""}), "text.body", missing),
        ("text", json!({"body": long(4_097)}), "text.body", value),
        ("text", json!({"body": "😀".repeat(2_049)}), "text.body", value),
        ("text", json!({"body": "a\u{0}b"}), "text.body", value),
        ("text", json!({"body": "hi", "bold": true}), "text.bold", 100),
        ("text", json!({}), "text", missing),
        ("hologram", json!({}), "type", 131_051),
        ("image", json!({}), "image", missing),
        ("image", json!({"id": "1", "link": "https://a.example/b"}), "image", 100),
        ("image", json!({"link": "ftp://a.example/b"}), "image.link", value),
        ("image", json!({"link": "https://"}), "image.link", value),
        ("image", json!({"link": "https://a.example/b", "caption": long(1_025)}), "image.caption", value),
        ("image", json!({"link": "https://a.example/b", "filename": "a.jpg"}), "image.filename", 100),
        ("image", json!({"id": "not an id"}), "image.id", 131_053),
        ("image", json!({"id": "med_01ARZ3NDEKTSV4RRFFQ69G5FAV"}), "image.id", 131_053),
        ("audio", json!({"link": "https://a.example/b", "caption": "no"}), "audio.caption", 100),
        ("sticker", json!({"link": "https://a.example/b", "caption": "no"}), "sticker.caption", 100),
        ("video", json!({"link": "https://a.example/b", "voice": true}), "video.voice", 100),
        ("document", json!({"link": "https://a.example/b", "filename": "../x"}), "document.filename", value),
        ("location", json!({"latitude": 91, "longitude": 0}), "location.latitude", value),
        ("location", json!({"latitude": "north", "longitude": 0}), "location.latitude", value),
        ("location", json!({"latitude": 1}), "location", missing),
        ("contacts", json!([]), "contacts", value),
        ("contacts", json!([{"name": {"formatted_name": "Ada"}}]), "contacts[0].name", missing),
        (
            "contacts",
            json!([{"name": {"formatted_name": "A", "first_name": "A"}, "birthday": "31.12.90"}]),
            "contacts[0].birthday",
            value,
        ),
        (
            "contacts",
            json!([{"name": {"formatted_name": "A", "first_name": "A"}, "phones": [{"fax": "1"}]}]),
            "contacts[0].phones[0].fax",
            100,
        ),
        ("reaction", json!({"message_id": "", "emoji": "👍"}), "reaction.message_id", value),
        ("reaction", json!({"message_id": "wamid.1", "emoji": "yes"}), "reaction.emoji", value),
        ("reaction", json!({"message_id": "wamid.1", "emoji": "👍👍"}), "reaction.emoji", value),
        ("reaction", json!({"message_id": "wamid.1", "emoji": "\u{200b}"}), "reaction.emoji", value),
        ("interactive", json!({"type": "hologram"}), "interactive.type", 100),
        ("interactive", json!({"body": {"text": "b"}}), "interactive.type", missing),
        ("interactive", buttons(json!([])), "interactive.action.buttons", value),
        (
            "interactive",
            buttons(json!([button("1", "a"), button("2", "b"), button("3", "c"), button("4", "d")])),
            "interactive.action.buttons",
            value,
        ),
        ("interactive", buttons(json!([button("1", "a"), button("1", "b")])), "interactive.action.buttons", value),
        ("interactive", buttons(json!([button("1", "a"), button("2", "a")])), "interactive.action.buttons", value),
        ("interactive", buttons(json!([button("1", &long(21))])), "interactive.action.buttons[0].reply.title", value),
        ("interactive", buttons(json!([button(&long(257), "a")])), "interactive.action.buttons[0].reply.id", value),
        ("interactive", buttons(json!([button(" 1", "a")])), "interactive.action.buttons[0].reply.id", value),
        (
            "interactive",
            json!({"type": "button", "body": {"text": long(1_025)}, "action": {"buttons": [button("1", "a")]}}),
            "interactive.body.text",
            value,
        ),
        (
            "interactive",
            json!({"type": "button", "body": {"text": "b"}, "footer": {"text": long(61)}, "action": {"buttons": [button("1", "a")]}}),
            "interactive.footer.text",
            value,
        ),
        (
            "interactive",
            json!({"type": "list", "body": {"text": "b"}, "header": {"type": "image", "image": {"id": "1"}}, "action": {"button": "Go", "sections": [{"rows": [row("1")]}]}}),
            "interactive.header.type",
            100,
        ),
        ("interactive", list(json!([{"rows": rows}])), "interactive.action.sections", value),
        (
            "interactive",
            list(json!([{"rows": [row("1")]}, {"rows": [row("2")]}])),
            "interactive.action.sections[0].title",
            missing,
        ),
        ("interactive", list(json!([{"rows": [row("1"), row("1")]}])), "interactive.action.sections", value),
        (
            "interactive",
            list(json!([{"rows": [{"id": "1", "title": long(25)}]}])),
            "interactive.action.sections[0].rows[0].title",
            value,
        ),
        (
            "interactive",
            list(json!([{"rows": [{"id": "1", "title": "t", "description": long(73)}]}])),
            "interactive.action.sections[0].rows[0].description",
            value,
        ),
        (
            "interactive",
            json!({"type": "product_list", "body": {"text": "b"}, "action": {"catalog_id": "1", "sections": [{"product_items": [{"product_retailer_id": "s"}]}]}}),
            "interactive.header",
            missing,
        ),
        (
            "interactive",
            json!({"type": "location_request_message", "body": {"text": "b"}, "action": {"name": "where"}}),
            "interactive.action.name",
            value,
        ),
        (
            "interactive",
            json!({"type": "cta_url", "body": {"text": "b"}, "action": {"name": "cta_url", "parameters": {"display_text": long(21), "url": "https://a.example"}}}),
            "interactive.action.parameters.display_text",
            value,
        ),
        ("interactive", cards(json!([card(0)])), "interactive.action.cards", value),
        ("interactive", cards(json!([card(0), card(2)])), "interactive.action.cards[1].card_index", value),
        (
            "interactive",
            flow(json!({"flow_message_version": "3", "flow_cta": "Go"})),
            "interactive.action.parameters",
            100,
        ),
        (
            "interactive",
            flow(json!({"flow_message_version": "3", "flow_cta": "Go 🚀", "flow_id": "1"})),
            "interactive.action.parameters.flow_cta",
            value,
        ),
        (
            "interactive",
            flow(
                json!({"flow_message_version": "3", "flow_cta": "Go", "flow_id": "1", "flow_action_payload": {"screen": ""}}),
            ),
            "interactive.action.parameters.flow_action_payload.screen",
            missing,
        ),
        (
            "interactive",
            flow(json!({"flow_message_version": "3", "flow_cta": "x".repeat(31), "flow_id": "1"})),
            "interactive.action.parameters.flow_cta",
            value,
        ),
        (
            "interactive",
            json!({"type": "address_message", "body": {"text": "b"}, "action": {"name": "address_message", "parameters": {"country": "DE"}}}),
            "interactive.action.parameters.country",
            value,
        ),
        (
            "interactive",
            json!({"type": "voice_call", "body": {"text": "b"}, "action": {"name": "voice_call", "parameters": {"ttl_minutes": 43_201}}}),
            "interactive.action.parameters.ttl_minutes",
            value,
        ),
        ("template", json!({"name": "Order Update", "language": {"code": "en_US"}}), "template.name", value),
        ("template", json!({"name": "order_update", "language": {"code": "en-US!"}}), "template.language.code", value),
        ("template", body(json!([text("a\nb")])), "template.components[0].parameters[0].text", 132_012),
        ("template", body(json!([text("a     b")])), "template.components[0].parameters[0].text", 132_012),
        ("template", body(json!([text("")])), "template.components[0].parameters[0].text", 132_012),
        ("template", body(json!([text(&long(600)), text(&long(600))])), "template.components[0].parameters", 132_005),
        (
            "template",
            body(json!([{"type": "text", "text": "a", "parameter_name": "n"}, text("b")])),
            "template.components[0].parameters",
            132_012,
        ),
        (
            "template",
            template(json!([{"type": "header", "parameters": []}])),
            "template.components[0].parameters",
            132_000,
        ),
        (
            "template",
            template(json!([{"type": "button", "sub_type": "quick_reply", "index": 0, "parameters": [text("x")]}])),
            "template.components[0].parameters",
            132_012,
        ),
        (
            "template",
            template(
                json!([{"type": "button", "sub_type": "copy_code", "index": 0, "parameters": [{"type": "coupon_code", "coupon_code": long(16)}]}]),
            ),
            "template.components[0].parameters[0].coupon_code",
            value,
        ),
        (
            "template",
            template(json!([{"type": "body", "parameters": []}, {"type": "body", "parameters": []}])),
            "template.components",
            value,
        ),
    ];
    for (kind, object, field, code) in &cases {
        let answer = app.api("POST", "/v1/messages", Some(order(kind, object))).await;
        let problem = answer.json();
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{kind} {object:.300}: {problem}");
        assert_eq!(
            (problem["field"].as_str(), problem["meta_code"].as_i64()),
            (Some(*field), Some(*code)),
            "{object:.300}: {problem}"
        );
        assert!(problem["rule"].as_str().unwrap().len() > 5);
    }
    app.drain().await;
    assert!(app.meta.sent().is_empty());
    println!("{} limits named, 0 calls to Meta", cases.len());
}

#[tokio::test]
async fn a_reply_quotes_and_a_message_is_read_and_an_answer_announced() {
    let app = App::start().await;
    let wamid = app.customer_writes("hello");
    app.drain().await;
    let id = app.conversations().await[0]["id"].as_str().unwrap().to_owned();
    let mark = async |body: Value| app.api("POST", &format!("/v1/conversations/{id}/read"), Some(body)).await.status;
    assert_eq!(mark(json!({"message_id": wamid})).await, StatusCode::ACCEPTED);
    assert_eq!(mark(json!({"message_id": wamid, "typing": true})).await, StatusCode::ACCEPTED);
    let unseen = json!({"message_id": wamid, "typing": true, "at_meta": false});
    assert_eq!(
        mark(unseen).await,
        StatusCode::UNPROCESSABLE_ENTITY,
        "an answer is announced to who sees that it was read"
    );
    app.drain().await;
    let plain = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    let mut typing = plain.clone();
    typing["typing_indicator"] = json!({"type": "text"});
    assert_eq!(app.meta.marks(), [plain.clone(), typing]);
    for wrong in ["wamid.OTHER", "", "wamid.TESTAAAA0002"] {
        assert_eq!(mark(json!({"message_id": wrong})).await, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    // A typing indicator that is too late is sent as a read receipt only.
    mark(json!({"message_id": wamid, "typing": true})).await;
    app.advance(26);
    app.drain().await;
    assert_eq!(app.meta.marks().pop(), Some(plain));
    let mut quoted = order("text", &json!({"body": "answer"}));
    quoted["context"] = json!({"message_id": wamid});
    app.api("POST", "/v1/messages", Some(quoted)).await;
    app.drain().await;
    assert_eq!(app.meta.sent()[0].body["context"], json!({"message_id": wamid}));
    let mut reaction = order("reaction", &json!({"message_id": wamid, "emoji": "👍"}));
    reaction["context"] = json!({"message_id": wamid});
    assert_eq!(app.api("POST", "/v1/messages", Some(reaction)).await.json()["field"], "context");
}
