//! Every accepted message is accepted by Meta: every value of every kind of message is replaced by values of other
//! types, and the bodies that pass our checks are validated against the simulated Meta's contract.

use serde_json::{Value, json};
use shared::domain::outgoing::Outgoing;

use crate::kinds::kinds;

/// Collects the JSON pointers of all values in a value.
fn places(value: &Value, here: &str, all: &mut Vec<String>) {
    all.push(here.to_owned());
    match value {
        Value::Object(map) => {
            for (key, inside) in map {
                places(inside, &format!("{here}/{key}"), all);
            }
        }
        Value::Array(items) => {
            for (index, inside) in items.iter().enumerate() {
                places(inside, &format!("{here}/{index}"), all);
            }
        }
        _ => {}
    }
}

fn strangers() -> Vec<Value> {
    let long = |length: usize| json!("x".repeat(length));
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(""),
        json!(" "),
        json!("\u{0}"),
        json!("https://"),
        json!("\u{202e}\u{200d}😀"),
        long(21),
        long(61),
        long(300),
        long(5_000),
        json!([]),
        json!([null]),
        json!({}),
        json!({"surprise": 1}),
    ]
}

#[test]
fn what_our_checks_let_through_satisfies_the_contract() {
    let (mut tried, mut accepted, mut wrong) = (0, 0, Vec::new());
    for (kind, object) in kinds("700100200300001") {
        let mut all = Vec::new();
        places(&object, "", &mut all);
        for place in &all {
            for stranger in strangers() {
                let mut changed = object.clone();
                *changed.pointer_mut(place).unwrap() = stranger;
                tried += 1;
                let Ok(said) = Outgoing::read(kind, changed.clone()) else { continue };
                accepted += 1;
                let mut wire = serde_json::to_value(&said).unwrap();
                wire["messaging_product"] = json!("whatsapp");
                wire["to"] = json!("+15550002222");
                wire["type"] = json!(kind);
                if sandbox::meta::contract::check(&wire).is_err() {
                    let there = changed.pointer(place).unwrap().to_string();
                    wrong.push(format!("{kind} {} at {place}: {there:.40}", object["type"]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} that Meta would refuse: {wrong:#?}", wrong.len());
    assert!(tried > 5_000 && accepted > 100, "{tried}, {accepted}");
    println!("{tried} changed messages: {accepted} accepted, all of them as Meta wants them");
}
