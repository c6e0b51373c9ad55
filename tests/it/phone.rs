//! Spellings of phone numbers: accepted are `+`, a country code and 7 to 15 ASCII digits in all. Everything else is
//! refused with its reason, and nothing is guessed.

use serde_json::{Value, json};
use shared::domain::conversations::phone::PhoneNumber;

use crate::harness::{App, NUMBER};

/// Text, parsed number (null: refused), and reason.
const TABLE: &str = include_str!("tables/phones.jsonl");

fn rows() -> Vec<(String, Option<String>, String)> {
    TABLE.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns whether the text is a `+`, a digit other than 0, and 6 to 14 more digits.
fn is_international(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn every_line_of_the_table_is_read_as_it_says() {
    let rows = rows();
    for (text, expected, why) in &rows {
        let read = PhoneNumber::parse(text).ok().map(|phone| phone.e164().to_owned());
        assert_eq!(read, *expected, "{text:?}: {why}");
        assert!(read.as_deref().is_none_or(is_international));
        if let Some(read) = read {
            assert_eq!(PhoneNumber::parse(&read).unwrap().e164(), read, "reading it again changes nothing");
        }
    }
    assert!(rows.len() >= 300);
    println!("phones: {} lines as they should be", rows.len());
}

#[tokio::test]
async fn the_api_refuses_what_the_table_refuses_and_names_the_rule() {
    let app = App::start().await;
    for (text, expected, why) in rows() {
        let order = json!({"from": NUMBER, "to": text, "type": "text", "text": {"body": "x"}});
        let answer = app.api("POST", "/v1/messages", Some(order)).await;
        // A valid number is refused only because the window is closed.
        let refused = if expected.is_some() { (409, Value::Null) } else { (422, json!("to")) };
        assert_eq!((answer.status.as_u16(), answer.json()["field"].clone()), refused, "{text:?}: {why}");
    }
}

#[test]
fn a_million_odd_strings_are_a_number_or_none() {
    // Characters that occur in numbers, and characters that must not.
    let pieces: Vec<char> =
        "+00112233445566778899 -.()xX,;/\u{660}\u{661}\u{ff11}\u{ff0b}\u{200b}\u{202e}\0\n\u{1d7d8}é".chars().collect();
    let (mut state, mut read) = (0x2545_f491_4f6c_dd1d_u64, 0_u32);
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below).unwrap()).unwrap()
    };
    for _ in 0..1_000_000 {
        let mut text = if next(2) == 0 { "+".to_owned() } else { String::new() };
        // Every other text consists mostly of digits.
        let tame = next(2) == 0;
        for _ in 0..next(20) {
            text.push(pieces[next(if tame { 26 } else { pieces.len() })]);
        }
        if let Ok(phone) = PhoneNumber::parse(&text) {
            assert!(is_international(phone.e164()), "{text:?} was read as {}", phone.e164());
            assert_eq!(PhoneNumber::parse(phone.e164()).unwrap(), phone);
            assert!(is_international(phone.canonical().e164()), "{text:?}");
            read += 1;
        }
    }
    println!("phones: 1000000 strings, {read} read, all international");
    assert!(read > 50_000, "{read}");
}
