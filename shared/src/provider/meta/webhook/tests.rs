//! Shapes from `docs/meta/webhooks.md#section-5`, `#section-7` and `#section-8`; all names and numbers are invented.

use crate::clock::at_millis;
use crate::domain::conversations::content::Content;
use crate::domain::conversations::message::InboundMessage;
use crate::domain::event::StatusUpdate;
use crate::domain::sending::status::Status;
use crate::provider::meta::webhook::*;

const METADATA: &str = r#""metadata":{"display_phone_number":"15550001111","phone_number_id":"900100200300501"}"#;

fn change(value: &str) -> String {
    format!(r#"{{"field":"messages","value":{{"messaging_product":"whatsapp",{METADATA},{value}}}}}"#)
}

fn body(changes: &[String]) -> String {
    let changes = changes.join(",");
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"900100200300401","changes":[{changes}]}}]}}"#)
}

fn read(body: &str) -> Vec<InboundEvent> {
    parse(body.as_bytes(), at_millis(1_763_800_000_000))
}

fn text(id: &str, said: &str) -> String {
    format!(r#"{{"from":"15550002222","id":"{id}","timestamp":"1763700001","type":"text","text":{{"body":"{said}"}}}}"#)
}

fn message(event: &InboundEvent) -> Option<&InboundMessage> {
    match &event.said {
        InboundEventKind::Message(_, message) => Some(message),
        _ => None,
    }
}

fn only_message(events: &[InboundEvent]) -> &InboundMessage {
    let [event] = events else { panic!("{events:?}") };
    message(event).unwrap()
}

fn only_status(events: &[InboundEvent]) -> &StatusUpdate {
    match events {
        [InboundEvent { said: InboundEventKind::Status(_, update), .. }] => update,
        other => panic!("{other:?}"),
    }
}

/// Reason and kind of each quarantined item.
fn kept_of(events: &[InboundEvent]) -> Vec<(QuarantineReason, String)> {
    events
        .iter()
        .filter_map(|event| match &event.said {
            InboundEventKind::Quarantined(reason, what, _) => Some((*reason, what.clone())),
            _ => None,
        })
        .collect()
}

fn bodies(events: &[InboundEvent]) -> Vec<String> {
    let texts = events.iter().filter_map(message).filter_map(|message| match &message.content {
        Content::Text(text) => Some(text.body.clone()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn a_text_message_with_its_card() {
    let events = read(&body(&[change(
        r#""contacts":[{"profile":{"name":"Ada Example"},"wa_id":"15550002222","user_id":"US.770"}],
           "messages":[{"from":"15550002222","from_user_id":"US.770","id":"wamid.A","timestamp":1763700001,
                        "type":"text","text":{"body":"Hello"},"context":{"from":"1","id":"wamid.Q"}}]"#,
    )]));
    let message = only_message(&events);
    assert_eq!(events[0].said.number().unwrap().as_str(), "900100200300501");
    assert_eq!(message.contact.profile_name.as_deref(), Some("Ada Example"));
    assert_eq!(message.contact.aliases().len(), 2);
    assert_eq!(message.at.as_second(), 1_763_700_001);
    assert_eq!(message.context.quotes.as_ref().map(|id| id.as_str().to_owned()), Some("wamid.Q".to_owned()));
    assert_eq!(bodies(&events), ["Hello"]);
}

#[test]
fn one_broken_item_spoils_no_other() {
    for broken in [r#""no object""#, "null", "[]", "{}", r#"{"id":"wamid.X"}"#, r#"{"id":"","from":"1555000222"}"#] {
        let events = read(&body(&[change(&format!(
            r#""messages":[{},{broken},{}],"statuses":[{{"id":"wamid.S","status":"sent","timestamp":"1"}},{broken}]"#,
            text("wamid.A", "one"),
            text("wamid.B", "two")
        ))]));
        assert_eq!(bodies(&events), ["one", "two"], "{broken}");
        let kept = kept_of(&events).len();
        assert_eq!((events.len(), kept), (5, 2), "{broken}: {events:?}");
    }
}

#[test]
fn odd_bytes_cost_one_item_at_most() {
    let odd = [r"\ud800 lone", "\u{ffff}", r"\u0000", r"\ud83d\ude00 pair", r"\udc00\ud800"];
    for said in odd {
        let events =
            read(&body(&[change(&format!(r#""messages":[{}],"extra":1e400,"extra":2"#, text("wamid.A", said)))]));
        assert_eq!(bodies(&events).len(), 1, "{said}: {events:?}");
    }
    assert_eq!(
        bodies(&read(&body(&[change(&format!(r#""messages":[{}]"#, text("wamid.A", r"\ud800x\\u")))]))),
        ["\u{fffd}x\\u"]
    );
    let mut invalid = body(&[change(&format!(r#""messages":[{}]"#, text("wamid.A", "@")))]).into_bytes();
    let at = invalid.iter().position(|byte| *byte == b'@').unwrap();
    invalid[at] = 0xFF;
    assert_eq!(bodies(&parse(&invalid, at_millis(0))), ["\u{fffd}"]);
    let deep = format!(r#""messages":[{}],"deep":{}{}"#, text("wamid.A", "x"), "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(bodies(&read(&body(&[change(&deep)]))), ["x"]);
}

#[test]
fn what_is_no_webhook_is_kept_whole() {
    for nonsense in ["", "{", "null", "[]", "42", "{}", r#"{"entry":{}}"#, r#"{"entry":[{"changes":7}]}"#] {
        let events = read(nonsense);
        assert_eq!((events.len(), kept_of(&events).len()), (1, 1), "{nonsense}: {events:?}");
    }
    assert!(read(r#"{"object":"whatsapp_business_account","entry":[]}"#).is_empty());
}

#[test]
fn other_fields_and_kinds_are_kept_raw() {
    let events = read(&body(&[
        r#"{"field":"teleports","value":{"event":"ARRIVED"}}"#.to_owned(),
        change(r#""messages":[{"from":"15550002222","id":"wamid.A","timestamp":"1","type":"hologram","hologram":{}}]"#),
        change(r#""statuses":[{"id":"wamid.S","status":"teleported","timestamp":"1"}]"#),
        change(r#""user_actions":[{"action_type":"landing_page_view"}]"#),
    ]));
    let unsupported = |what: &str| (QuarantineReason::Unsupported, what.to_owned());
    assert_eq!(kept_of(&events), [unsupported("teleports"), unsupported("status"), unsupported("user_actions")]);
    let Content::Unknown(content) = &events.iter().find_map(message).unwrap().content else { panic!("{events:?}") };
    assert_eq!(content.kind, "hologram");
    assert!(content.raw.contains("hologram"));
}

#[test]
fn what_is_kept_is_a_webhook_that_says_only_that() {
    let update = |waba: &str| {
        format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"{waba}","time":1763700040,
               "changes":[{{"field":"account_update","value":{{"event":"ACCOUNT_DELETED"}}}}]}}]}}"#
        )
    };
    let raw = |events: Vec<InboundEvent>| {
        let [event] = events.as_slice() else { panic!("{events:?}") };
        String::from_utf8(event.raw.clone()).unwrap()
    };
    let (one, two) = (raw(read(&update("111"))), raw(read(&update("222"))));
    assert_ne!(one, two, "the same event of two accounts is two events");
    assert!(one.contains(r#""id":"111","time":1763700040"#), "{one}");
    for body in [
        update("111"),
        body(&[change(&format!(r#""contacts":[{{"wa_id":"15550002222"}}],"messages":[{}]"#, text("wamid.A", "x")))]),
        body(&[change(r#""statuses":[{"id":"wamid.S","status":"sent","timestamp":"1"}]"#)]),
        body(&[change(r#""messages":[{"id":7}]"#)]),
        body(&[change(r#""messages":7"#)]),
    ] {
        let once = read(&body);
        assert_eq!(raw(read(&raw(once.clone()))), raw(once), "{body}");
    }
}

#[test]
fn a_thousand_messages_beside_a_thousand_cards_stay_small() {
    let numbers = || (0..1_000).map(|index| format!("1555{index:07}"));
    let cards: Vec<String> = numbers()
        .map(|number| format!(r#"{{"wa_id":"{number}","profile":{{"name":"{}"}}}}"#, "n".repeat(1_000)))
        .collect();
    let messages: Vec<String> = numbers()
        .enumerate()
        .map(|(index, number)| text(&format!("wamid.{index}"), "x").replace("15550002222", &number))
        .collect();
    let value = format!(r#""contacts":[{}],"messages":[{}]"#, cards.join(","), messages.join(","));
    let events = read(&body(&[change(&value)]));
    let kept: usize = events
        .iter()
        .map(|event| match event {
            InboundEvent { said: InboundEventKind::Message(_, message), raw } => {
                assert!(message.contact.profile_name.is_some());
                raw.len()
            }
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(events.len(), 1_000);
    assert!(kept < 2 * value.len(), "{kept} bytes of {}", value.len());
}

#[test]
fn a_list_that_is_none_is_kept() {
    let good = text("wamid.A", "x");
    for (value, list) in [
        (format!(r#""messages":[{good}],"statuses":7"#), "statuses"),
        (format!(r#""messages":[{good}],"statuses":{{}}"#), "statuses"),
        (r#""messages":"x","statuses":[{"id":"wamid.S","status":"sent","timestamp":"1"}]"#.to_owned(), "messages"),
    ] {
        let events = read(&body(&[change(&value)]));
        assert_eq!(kept_of(&events), [(QuarantineReason::Malformed, list.to_owned())], "{events:?}");
        assert_eq!(events.len(), 2);
    }
}

#[test]
fn a_group_is_the_other_side_and_its_member_the_author() {
    let group = text("wamid.A", "x").replace(r#""type":"text""#, r#""type":"text","group_id":"g1""#);
    let events = read(&body(&[change(&format!(r#""messages":[{group}]"#))]));
    let message = only_message(&events);
    assert_eq!(message.contact.group_id.as_deref(), Some("g1"));
    assert_eq!(message.contact.aliases().len(), 1);
    assert_eq!(message.author.as_ref().unwrap().phone.as_ref().unwrap().digits(), "15550002222");
}

#[test]
fn a_time_that_cannot_be_is_the_time_of_receipt() {
    for wrong in ["\"99999999999\"", "0", "-5", "\"soon\"", "1e400", "null"] {
        let item = text("wamid.A", "x").replace("\"1763700001\"", wrong);
        let events =
            parse(body(&[change(&format!(r#""messages":[{item}]"#))]).as_bytes(), at_millis(1_763_700_500_000));
        assert_eq!(only_message(&events).at.as_second(), 1_763_700_500, "{wrong}");
    }
    let item = text("wamid.A", "x").replace("\"1763700001\"", "1763700001000");
    let events = parse(body(&[change(&format!(r#""messages":[{item}]"#))]).as_bytes(), at_millis(1_763_700_500_000));
    assert_eq!(only_message(&events).at.as_second(), 1_763_700_001, "milliseconds");
}

#[test]
fn a_failed_status_with_its_reason() {
    let events = read(&body(&[change(
        r#""statuses":[{"id":"wamid.S","status":"failed","timestamp":"1763700021","biz_opaque_callback_data":"cmd-42",
            "pricing":{"billable":true},"errors":[{"code":131047,"title":"Re-engagement message",
            "error_data":{"details":"more than 24 hours"}}]}]"#,
    )]));
    let update = only_status(&events);
    assert_eq!(update.status, Status::Failed);
    assert_eq!(update.unverified_callback_data.as_deref(), Some("cmd-42"));
    assert_eq!(update.pricing.as_deref(), Some(r#"{"billable":true}"#));
    let error = update.error.as_ref().unwrap();
    assert_eq!((error.code, error.details.as_deref()), (131_047, Some("more than 24 hours")));
}

#[test]
fn the_only_card_gives_the_only_sender_a_second_spelling_and_nobody_else() {
    let one = text("wamid.A", "x").replace("15550002222", "541144445555");
    let two = one.replace("541144445555", "15550007777").replace("wamid.A", "wamid.B");
    let card = r#""contacts":[{"wa_id":"5491144445555"}]"#;
    let aliases = |events: &[InboundEvent]| -> Vec<usize> {
        events.iter().filter_map(message).map(|message| message.contact.aliases().len()).collect()
    };
    assert_eq!(aliases(&read(&body(&[change(&format!(r#"{card},"messages":[{one}]"#))]))), [2]);
    let both = read(&body(&[change(&format!(r#"{card},"messages":[{one},{two}]"#))]));
    assert_eq!(aliases(&both), [1, 1], "two senders and a card of neither");
    let stranger = one.replace("541144445555", "15550007777");
    let events = read(&body(&[change(&format!(r#"{card},"messages":[{stranger}]"#))]));
    assert_eq!(aliases(&events), [1], "one sender and the card of somebody else");
}

#[test]
fn a_sender_without_a_phone_number_is_known_by_user_id() {
    let events = read(&body(&[change(
        r#""contacts":[{"user_id":"US.770","profile":{"name":"Bo"}}],
           "messages":[{"from_user_id":"US.770","id":"wamid.A","timestamp":"1","type":"text","text":{"body":"hi"}}]"#,
    )]));
    let message = only_message(&events);
    assert_eq!(message.contact.phone, None);
    assert_eq!(message.contact.user_id.as_deref(), Some("US.770"));
    assert_eq!(message.contact.profile_name.as_deref(), Some("Bo"));
}
