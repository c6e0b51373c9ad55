//! Meta's own figures of what it charged (`docs/meta/messages.md#section-13`), counted from the messages it delivered.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Meta;
use super::payload;

const DAY: i64 = 86_400;
/// Price of a charged message.
const PRICE: f64 = 0.05;

/// Returns the number in `.name(…)` of a field with filters.
fn filter(fields: &str, name: &str) -> Option<i64> {
    let (_, rest) = fields.split_once(&format!(".{name}("))?;
    rest.split(')').next()?.parse().ok()
}

impl Meta {
    /// Returns `pricing_analytics` of an account by day, number, category and pricing type. Without `cost` if a
    /// Solution Partner pays.
    pub(super) fn billed(&self, account: &str, fields: &str, partner_pays: bool) -> Value {
        let (Some(start), Some(end)) = (filter(fields, "start"), filter(fields, "end")) else {
            return json!({"data": []});
        };
        let state = self.lock();
        let mut points: BTreeMap<(i64, String, &str, &str), u64> = BTreeMap::new();
        for sent in &state.sent {
            let Some(number) = state.numbers.get(&sent.phone_number_id).filter(|number| number.waba_id == account)
            else {
                continue;
            };
            let arrived = sent.statuses.iter().any(|status| status == "delivered" || status == "read");
            if arrived && (start..end).contains(&sent.accepted_at) {
                let (_, kind, category) = payload::priced(sent);
                let day = sent.accepted_at - sent.accepted_at.rem_euclid(DAY);
                *points.entry((day, number.display_phone_number.clone(), category, kind)).or_default() += 1;
            }
        }
        let point = |((start, phone, category, kind), volume): ((i64, String, &str, &str), u64)| {
            let mut point = json!({"start": start, "end": start + DAY, "phone_number": phone, "volume": volume,
                "pricing_category": category.to_uppercase(), "pricing_type": kind.to_uppercase()});
            if !partner_pays {
                let cost = if kind == "regular" { PRICE } else { 0.0 };
                point["cost"] = json!(cost * f64::from(u32::try_from(volume).unwrap_or(u32::MAX)));
            }
            point
        };
        json!({"data": [{"data_points": points.into_iter().map(point).collect::<Vec<_>>()}]})
    }
}
