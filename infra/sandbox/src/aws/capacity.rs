//! Capacity that the embedded DynamoDB would be charged for: read and write units, as its responses report them.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

/// Units consumed since the meter was started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Capacity {
    /// Read request units.
    pub read: f64,
    /// Write request units, indexes included. A refused conditional write counts as one.
    pub write: f64,
}

/// Counts capacity after [`Meter::start`].
#[derive(Debug, Default)]
pub(super) struct Meter(Mutex<Option<Capacity>>);

impl Meter {
    pub(super) fn start(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Capacity::default());
    }

    pub(super) fn consumed(&self) -> Capacity {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_default()
    }

    fn add(&self, read: f64, write: f64) {
        if let Some(capacity) = self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            capacity.read += read;
            capacity.write += write;
        }
    }

    /// Returns the request, with `ReturnConsumedCapacity` set while the meter runs.
    pub(super) fn asking(&self, operation: &str, body: String) -> String {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let priced = ["GetItem", "BatchGetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems"];
        if !runs || !priced.contains(&operation) {
            return body;
        }
        match serde_json::from_str::<Value>(&body) {
            Ok(mut request) => {
                request["ReturnConsumedCapacity"] = json!("TOTAL");
                request.to_string()
            }
            Err(_) => body,
        }
    }

    /// Adds the consumed capacity that a response reports.
    pub(super) fn read(&self, operation: &str, answer: &str) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return;
        }
        let Ok(answer) = serde_json::from_str::<Value>(answer) else { return };
        let reads = matches!(operation, "GetItem" | "BatchGetItem" | "Query");
        let consumed = match &answer["ConsumedCapacity"] {
            Value::Array(tables) => tables.iter().filter_map(|table| table["CapacityUnits"].as_f64()).sum(),
            one => one["CapacityUnits"].as_f64().unwrap_or(0.0),
        };
        let refused = answer["__type"].as_str().is_some_and(|name| name.ends_with("ConditionalCheckFailedException"));
        if reads { self.add(consumed, 0.0) } else { self.add(0.0, consumed + f64::from(u8::from(refused))) }
    }
}
