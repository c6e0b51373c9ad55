//! Templates: mirrored completely, changed at Meta, and every parameter mistake refused before Meta is called.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use sandbox::meta::MetaTemplate;
use serde_json::{Value, json};

use crate::harness::{App, CUSTOMER, NUMBER, WABA};

fn path(rest: &str) -> String {
    format!("/v1/accounts/{WABA}/templates{rest}")
}

#[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
fn put(app: &App, name: &str, variables: &[&str], components: Value) {
    app.meta.put_template(MetaTemplate {
        name: name.to_owned(),
        language: "en_US".to_owned(),
        status: "APPROVED".to_owned(),
        variables: variables.iter().map(|name| (*name).to_owned()).collect(),
        components: components.as_array().cloned().unwrap_or_default(),
        ..MetaTemplate::default()
    });
}

async fn refresh(app: &App) -> Value {
    let answer = app.api("POST", &path("/refresh"), None).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}

async fn names(app: &App, query: &str) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.api("GET", &path(&format!("?limit=100{query}{cursor}")), None).await.json();
        names.extend(page["data"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { return names };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn all_pages_are_mirrored_and_what_meta_lists_no_more_goes() {
    let app = App::start().await;
    for place in 0..260 {
        put(&app, &format!("campaign_{place:03}"), &["1"], Value::Null);
    }
    assert_eq!(refresh(&app).await["templates"], 265, "three pages, and the samples");
    let listed = names(&app, "").await;
    assert_eq!(listed.len(), 265);
    assert!(listed.is_sorted());
    let one = app.api("GET", &path("/campaign_007.en_US"), None).await.json();
    assert_eq!((&one["status"], &one["category"]), (&json!("APPROVED"), &json!("UTILITY")));
    assert_eq!(one["components"][0]["type"], "BODY");
    assert_eq!(names(&app, "&status=paused").await, Vec::<String>::new());
    // One template is deleted, and a webhook reports another as paused.
    let key = one["template_id"].as_str().unwrap().to_owned();
    app.api("DELETE", &path("/campaign_007.en_US"), None).await;
    assert_eq!(app.api("GET", &path("/campaign_007.en_US"), None).await.status, StatusCode::NOT_FOUND, "{key}");
    let event = json!({"event": "PAUSED", "message_template_id": 1, "message_template_name": "campaign_008",
        "message_template_language": "en-US", "reason": "NONE", "message_template_category": "MARKETING"});
    app.advance(1);
    let change = json!({"field": "message_template_status_update", "value": event});
    let at = app.clock.now().as_second();
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA, "time": at, "changes": [change]}]});
    app.webhook(body.to_string()).await;
    app.drain().await;
    let told = app.api("GET", &path("/campaign_008.en_US"), None).await.json();
    assert_eq!((&told["status"], &told["category"]), (&json!("PAUSED"), &json!("MARKETING")));
    app.advance(60);
    // A new fetch overwrites the report: at Meta all are approved.
    assert_eq!(refresh(&app).await["templates"], 264);
    assert_eq!(names(&app, "").await.len(), 264);
    assert_eq!(app.api("GET", &path("/campaign_008.en_US"), None).await.json()["status"], "APPROVED");
}

#[tokio::test]
async fn a_report_of_meta_has_the_templates_fetched_within_minutes() {
    let app = App::start().await;
    put(&app, "brand_new", &["1"], Value::Null);
    let event = json!({"event": "APPROVED", "message_template_id": 1, "message_template_name": "brand_new",
        "message_template_language": "en_US", "reason": "NONE"});
    let change = json!({"field": "message_template_status_update", "value": event});
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA, "time": app.clock.now().as_second(), "changes": [change]}]});
    app.webhook(body.to_string()).await;
    app.drain().await;
    assert_eq!(app.api("GET", &path("/brand_new.en_US"), None).await.json()["components"], Value::Null);
    app.advance(300);
    app.functions.visit_tokens().await.unwrap();
    assert_eq!(app.api("GET", &path("/brand_new.en_US"), None).await.json()["components"][0]["type"], "BODY");
}

#[tokio::test]
async fn a_template_is_created_edited_shown_and_deleted_at_meta() {
    let app = App::start().await;
    refresh(&app).await;
    let body = json!({"type": "BODY", "text": "Hi {{first_name}}, your table is ready.",
        "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Ada"}]}});
    let buttons = json!({"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Menu", "url": "https://shop.example/{{1}}", "example": ["x"]}]});
    let new = json!({"name": "table_ready", "language": "en_US", "category": "utility", "parameter_format": "NAMED", "components": [body, buttons]});
    let made = app.api("POST", &path(""), Some(new.clone())).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!((&made.json()["status"], &made.json()["id"]), (&json!("PENDING"), &json!("table_ready.en_US")));
    let again = app.api("POST", &path(""), Some(new)).await;
    assert_eq!((again.status.as_u16(), &again.json()["meta_code"]), (409, &json!(2_388_024)));
    // Meta decides the category.
    let offer = json!({"name": "sale", "language": "en_US", "category": "UTILITY", "components": [{"type": "BODY", "text": "An offer for you."}]});
    assert_eq!(app.api("POST", &path(""), Some(offer)).await.json()["category"], "MARKETING");
    let early = app
        .api("PATCH", &path("/table_ready.en_US"), Some(json!({"components": [{"type": "BODY", "text": "Come in."}]})))
        .await;
    assert_eq!((early.status.as_u16(), &early.json()["code"]), (409, &json!("meta_refused")), "under review");

    let empty = app.api("POST", &path("/table_ready.en_US/preview"), Some(json!({"components": []}))).await.json();
    assert!(empty["field"].as_str().unwrap().starts_with("components"), "{empty}");
    let filled = json!({"components": [
        {"type": "body", "parameters": [{"type": "text", "parameter_name": "first_name", "text": "Grace"}]},
        {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "lunch"}]}]});
    let shown = app.api("POST", &path("/table_ready.en_US/preview"), Some(filled)).await.json();
    assert_eq!(shown["body"], "Hi Grace, your table is ready.");
    assert_eq!(shown["buttons"][0], json!({"text": "Menu", "url": "https://shop.example/lunch"}));
    let edited = app
        .api("PATCH", &path("/hello_world.en_US"), Some(json!({"components": [{"type": "BODY", "text": "Good day."}]})))
        .await;
    assert_eq!(edited.json()["components"][0]["text"], "Good day.", "{}", edited.text);
    assert_eq!(app.api("DELETE", &path("/table_ready.en_US"), None).await.status, StatusCode::NO_CONTENT);
    assert_eq!(refresh(&app).await["templates"], 6);
    let actions = app.api("GET", "/v1/audit", None).await.text;
    for action in ["template.created", "template.edited", "template.deleted", "templates.refreshed"] {
        assert!(actions.contains(action), "{action}");
    }
}

#[tokio::test]
async fn a_template_with_a_picture_is_made_from_a_sample_that_was_uploaded() {
    let app = App::start().await;
    let upload = async |file: Vec<u8>| {
        let request = Request::post(path("/samples")).header("authorization", format!("Bearer {}", app.seed.api_key));
        app.request(request.body(Body::from(file)).unwrap()).await
    };
    let refused = upload(b"no picture".to_vec()).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["field"]), (422, &json!("body")));
    let sample = upload(crate::kinds::JPEG.to_vec()).await;
    assert_eq!(
        (sample.status, &sample.json()["mime_type"]),
        (StatusCode::CREATED, &json!("image/jpeg")),
        "{}",
        sample.text
    );
    let made = async |handle: &Value| {
        let header = json!({"type": "HEADER", "format": "IMAGE", "example": {"header_handle": [handle]}});
        let components = json!([header, {"type": "BODY", "text": "Your parcel is here."}]);
        let new = json!({"name": "parcel", "language": "en_US", "category": "UTILITY", "components": components});
        app.api("POST", &path(""), Some(new)).await
    };
    assert_eq!(made(&json!("4::of-somebody-else")).await.json()["code"], "meta_refused");
    let made = made(&sample.json()["handle"]).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert!(app.api("GET", "/v1/audit", None).await.text.contains("template.sample_uploaded"));
}

#[tokio::test]
async fn a_draft_that_meta_would_refuse_is_refused_here_and_named() {
    let app = App::start().await;
    let long = "x".repeat(1_025);
    let body = |text: &str| json!([{"type": "BODY", "text": text}]);
    let with = |component: Value| json!([{"type": "BODY", "text": "Good day."}, component]);
    let buttons = |buttons: Value| with(json!({"type": "BUTTONS", "buttons": buttons}));
    let quick = json!({"type": "QUICK_REPLY", "text": "Yes"});
    let url = |url: &str| json!({"type": "URL", "text": "Go", "url": url});
    let cases = [
        (json!([]), "components"),
        (json!([{"type": "FOOTER", "text": "x"}]), "components"),
        (body(""), "components[0].text"),
        (body(&long), "components[0].text"),
        (body("{{1}} is ready for you now"), "components[0].text"),
        (body("Ready for you now: {{1}}"), "components[0].text"),
        (body("Hi {{1}} {{2}} bye"), "components[0].text"),
        (body("Dear {{name}}, it is ready."), "components[0].text"),
        (body("Dear {{2}}, it is ready."), "components[0].text"),
        (body("Dear {{1}}, it is ready."), "components[0].example.body_text"),
        (with(json!({"type": "BODY", "text": "twice"})), "components[1].type"),
        (with(json!({"text": "x"})), "components[1].type"),
        (with(json!({"type": "HEADER", "format": "TEXT", "text": "y".repeat(61)})), "components[1].text"),
        (with(json!({"type": "HEADER", "format": "IMAGE"})), "components[1].example"),
        (with(json!({"type": "HEADER", "format": "SONG"})), "components[1].format"),
        (with(json!({"type": "FOOTER", "text": "for {{1}} only"})), "components[1].text"),
        (buttons(json!([])), "components[1].buttons"),
        (buttons(json!([quick, url("https://shop.example"), quick])), "components[1].buttons"),
        (
            buttons(json!([url("https://a.example"), url("https://b.example"), url("https://c.example")])),
            "components[1].buttons",
        ),
        (buttons(json!([{"type": "QUICK_REPLY", "text": "z".repeat(26)}])), "components[1].buttons[0].text"),
        (buttons(json!([url("ftp://a.example")])), "components[1].buttons[0].url"),
        (buttons(json!([url("https://a.example/{{1}}/b")])), "components[1].buttons[0].url"),
        (buttons(json!([url("https://a.example/{{1}}")])), "components[1].buttons[0].example"),
    ];
    for (components, field) in &cases {
        let new = json!({"name": "draft", "language": "en_US", "category": "UTILITY", "components": components});
        let refused = app.api("POST", &path(""), Some(new)).await;
        assert_eq!(
            (refused.status.as_u16(), refused.json()["field"].as_str()),
            (422, Some(*field)),
            "{components}: {}",
            refused.text
        );
    }
    for (name, value) in [
        ("name", json!("Draft")),
        ("language", json!("english!")),
        ("category", json!("NEWS")),
        ("parameter_format", json!("BOTH")),
        ("message_send_ttl_seconds", json!(1)),
    ] {
        let mut new =
            json!({"name": "draft", "language": "en_US", "category": "UTILITY", "components": body("Good day.")});
        new[name] = value;
        assert_eq!(app.api("POST", &path(""), Some(new)).await.json()["field"], name);
    }
    println!("templates: {} drafts refused by name", cases.len() + 5);
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn named(name: &str, value: &str) -> Value {
    json!({"type": "text", "parameter_name": name, "text": value})
}

#[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
fn of_body(parameters: Value) -> Value {
    json!({"type": "body", "parameters": parameters})
}

fn image() -> Value {
    json!({"type": "header", "parameters": [{"type": "image", "image": {"link": "https://shop.example/a.jpg"}}]})
}

#[expect(clippy::needless_pass_by_value, reason = "JSON is written where it is passed")]
fn button(sub_type: &str, index: u32, parameters: Value) -> Value {
    json!({"type": "button", "sub_type": sub_type, "index": index.to_string(), "parameters": parameters})
}

/// Stores templates of every form.
fn shapes(app: &App) {
    let body = |text: &str| json!({"type": "BODY", "text": text});
    put(app, "plain", &[], json!([body("Good day.")]));
    put(app, "two", &["1", "2"], json!([body("Hello {{1}}, order {{2}} is ready.")]));
    put(app, "by_name", &["first_name", "order"], json!([body("Hello {{first_name}}, order {{order}} is ready.")]));
    put(app, "long", &["1"], json!([body(&format!("{} {{{{1}}}} end", "w".repeat(1_000)))]));
    put(
        app,
        "titled",
        &[],
        json!([{"type": "HEADER", "format": "TEXT", "text": "Order {{1}} of the day"}, body("Good day.")]),
    );
    put(app, "pictured", &[], json!([{"type": "HEADER", "format": "IMAGE"}, body("Good day.")]));
    put(app, "filed", &[], json!([{"type": "HEADER", "format": "DOCUMENT"}, body("Good day.")]));
    let buttons = json!({"type": "BUTTONS", "buttons": [
        {"type": "QUICK_REPLY", "text": "Yes"},
        {"type": "URL", "text": "Track", "url": "https://shop.example/t/{{1}}"},
        {"type": "URL", "text": "Shop", "url": "https://shop.example"},
        {"type": "COPY_CODE", "text": "Copy"}]});
    put(app, "buttoned", &[], json!([body("Good day."), buttons]));
    let otp = json!({"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}]});
    put(app, "login", &["1"], json!([body("{{1}} is your verification code."), otp]));
    let flow = json!({"type": "BUTTONS", "buttons": [{"type": "FLOW", "text": "Book", "flow_id": "400100200300001"}]});
    put(app, "booking", &[], json!([body("Good day."), flow]));
    let card = json!({"components": [{"type": "HEADER", "format": "IMAGE"}, body("Card {{1}} here.")]});
    put(app, "cards", &[], json!([body("Two models."), {"type": "CAROUSEL", "cards": [card, card]}]));
    let offer =
        json!({"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Ends soon", "has_expiration": true}});
    put(app, "offered", &[], json!([body("Good day."), offer]));
}

/// Returns template name, components, the error code that Meta would answer, and the field.
fn corpus() -> Vec<(&'static str, Value, i64, &'static str)> {
    let two = |parameters: Value| json!([of_body(parameters)]);
    let all = "template.components";
    let b0 = "template.components[0].parameters";
    let long = text(&"v".repeat(40));
    let fine = json!([
        button("url", 1, json!([text("17")])),
        button("copy_code", 3, json!([{"type": "coupon_code", "coupon_code": "SAVE"}]))
    ]);
    let with = |at: usize, one: Value| {
        let mut all = fine.clone();
        all[at] = one;
        all
    };
    let card = |place: u32, components: Value| json!({"card_index": place, "components": components});
    let full = json!([image(), of_body(json!([text("a")]))]);
    let carousel = |cards: Value| json!([{"type": "carousel", "cards": cards}]);
    vec![
        // 132000: wrong number of parameters.
        ("plain", two(json!([text("x")])), 132_000, b0),
        ("two", json!([]), 132_000, all),
        ("two", two(json!([])), 132_000, b0),
        ("two", two(json!([text("a")])), 132_000, b0),
        ("two", two(json!([text("a"), text("b"), text("c")])), 132_000, b0),
        ("by_name", two(json!([named("first_name", "a")])), 132_000, b0),
        ("titled", json!([]), 132_000, all),
        ("plain", json!([{"type": "header", "parameters": [text("x")]}]), 132_000, b0),
        ("buttoned", json!([fine[1]]), 132_000, all),
        ("buttoned", json!([fine[0]]), 132_000, all),
        (
            "buttoned",
            json!([fine[0], fine[1], button("url", 2, json!([text("x")]))]),
            132_000,
            "template.components[2].parameters",
        ),
        (
            "buttoned",
            json!([fine[0], fine[1], button("quick_reply", 7, json!([{"type": "payload", "payload": "p"}]))]),
            132_000,
            "template.components[2].index",
        ),
        ("login", two(json!([text("123456")])), 132_000, all),
        ("cards", carousel(json!([card(0, full.clone())])), 132_000, "template.components[0].cards"),
        ("cards", json!([]), 132_000, all),
        (
            "cards",
            carousel(json!([card(0, full.clone()), card(1, json!([image()]))])),
            132_000,
            "template.components[0].cards[1].components",
        ),
        // 132001: no such template in this language.
        ("nobody_knows", json!([]), 132_001, "template.name"),
        ("two.de", two(json!([text("a"), text("b")])), 132_001, "template.name"),
        // 132005: too long when filled in.
        ("long", two(json!([long])), 132_005, b0),
        ("titled", json!([{"type": "header", "parameters": [text(&"h".repeat(60))]}]), 132_005, b0),
        ("two", two(json!([text(&"v".repeat(1_025)), text("b")])), 132_005, b0),
        // 132012: wrong parameter format.
        (
            "two",
            two(json!([named("first_name", "a"), named("order", "b")])),
            132_012,
            "template.components[0].parameters[0].parameter_name",
        ),
        ("by_name", two(json!([text("a"), text("b")])), 132_012, "template.components[0].parameters[0].parameter_name"),
        (
            "by_name",
            two(json!([named("first_name", "a"), named("size", "b")])),
            132_012,
            "template.components[0].parameters[1].parameter_name",
        ),
        ("by_name", two(json!([named("first_name", "a"), text("b")])), 132_012, b0),
        ("two", two(json!([text("a\nb"), text("b")])), 132_012, "template.components[0].parameters[0].text"),
        ("two", two(json!([text("a\tb"), text("b")])), 132_012, "template.components[0].parameters[0].text"),
        ("two", two(json!([text("a     b"), text("b")])), 132_012, "template.components[0].parameters[0].text"),
        ("two", two(json!([text(""), text("b")])), 132_012, "template.components[0].parameters[0].text"),
        (
            "two",
            two(json!([{"type": "image", "image": {"link": "https://shop.example/a.jpg"}}, text("b")])),
            132_012,
            "template.components[0].parameters[0]",
        ),
        ("pictured", json!([]), 132_012, all),
        ("pictured", json!([{"type": "header", "parameters": [text("x")]}]), 132_012, b0),
        ("filed", json!([image()]), 132_012, b0),
        ("titled", json!([image()]), 132_012, "template.components[0].parameters[0]"),
        (
            "buttoned",
            with(0, button("quick_reply", 1, json!([{"type": "payload", "payload": "p"}]))),
            132_012,
            "template.components[0].sub_type",
        ),
        (
            "buttoned",
            with(0, button("url", 1, json!([{"type": "payload", "payload": "p"}]))),
            132_012,
            "template.components[0].parameters",
        ),
        ("offered", json!([]), 132_012, all),
        (
            "cards",
            carousel(json!([card(0, full.clone()), card(1, json!([of_body(json!([text("a")]))]))])),
            132_012,
            "template.components[0].cards[1].components",
        ),
        // 132068: the template's flow is blocked.
        ("booking", json!([]), 132_068, "template.name"),
    ]
}

async fn send(app: &App, name: &str, components: &Value) -> (u16, Value) {
    let (name, language) = name.split_once('.').unwrap_or((name, "en_US"));
    let template = json!({"name": name, "language": {"code": language}, "components": components});
    let order = json!({"from": NUMBER, "to": format!("+{CUSTOMER}"), "type": "template", "template": template});
    let answer = app.api("POST", "/v1/messages", Some(order)).await;
    (answer.status.as_u16(), answer.json())
}

#[tokio::test]
async fn every_parameter_mistake_is_caught_before_meta_is_asked() {
    let app = App::start().await;
    shapes(&app);
    refresh(&app).await;
    let blocked = json!({"event": "FLOW_STATUS_CHANGE", "flow_id": "400100200300001", "new_status": "BLOCKED", "old_status": "PUBLISHED"});
    let change = json!({"field": "flows", "value": blocked});
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": WABA, "time": app.clock.now().as_second(), "changes": [change]}]});
    app.webhook(body.to_string()).await;
    app.drain().await;
    let corpus = corpus();
    for (name, components, code, field) in &corpus {
        let (status, refused) = send(&app, name, components).await;
        let told = (status, refused["meta_code"].as_i64(), refused["field"].as_str());
        assert_eq!(told, (422, Some(*code), Some(*field)), "{name} with {components}: {refused}");
        assert!(refused["rule"].is_string());
    }
    assert_eq!(app.meta.sent().len(), 0, "Meta was not asked");
    // Correct parameters are sent and delivered.
    let fine = json!([
        button("url", 1, json!([text("17")])),
        button("copy_code", 3, json!([{"type": "coupon_code", "coupon_code": "SAVE"}]))
    ]);
    for (name, components) in [
        ("plain", json!([])),
        ("two", json!([of_body(json!([text("a"), text("b")]))])),
        ("by_name", json!([of_body(json!([named("order", "17"), named("first_name", "Ada")]))])),
        ("pictured", json!([image()])),
        ("buttoned", fine),
        ("login", json!([of_body(json!([text("123456")])), button("url", 0, json!([text("123456")]))])),
        (
            "offered",
            json!([{"type": "limited_time_offer", "parameters": [{"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": 1_800_000_000_000_i64}}]}]),
        ),
    ] {
        let (status, accepted) = send(&app, name, &components).await;
        assert_eq!(status, 202, "{name}: {accepted}");
        app.advance(10);
    }
    println!("templates: {} parameter mistakes caught here, 0 at Meta", corpus.len());
}

#[tokio::test]
async fn a_broadcast_names_the_recipient_whose_values_do_not_fit() {
    let app = App::start().await;
    shapes(&app);
    refresh(&app).await;
    let order = json!({"from": NUMBER, "category": "utility", "template": {"name": "long", "language": {"code": "en_US"}},
        "recipients": [{"to": "+15550002222", "parameters": ["short"]}, {"to": "+15550003333", "parameters": ["v".repeat(40)]}]});
    let refused = app.api("POST", "/v1/broadcasts", Some(order)).await.json();
    assert_eq!(refused["field"], "recipients[1]: template.components[0].parameters");
    assert_eq!(refused["meta_code"], 132_005);
}
