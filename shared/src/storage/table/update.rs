//! Builder of one conditional update. It lists the attributes set, set once, added and removed, and the condition.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::TransactWriteItem;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};

use crate::storage::table::item::Item;
use crate::storage::table::keys::Key;
use crate::storage::{StorageError, Table, unavailable};

/// Result of an update.
#[derive(Debug)]
pub(in crate::storage) enum Updated {
    /// The update was written. Contains the item as it was before, empty if it is new.
    Done(Item),
    /// The condition did not hold. Contains the item as it is.
    Refused(Item),
}

/// An update being built. Attribute names are always aliased, so reserved words cause no errors.
pub(in crate::storage) struct Update<'a> {
    table: &'a Table,
    key: Key,
    sets: Vec<String>,
    removes: Vec<String>,
    adds: Vec<String>,
    deletes: Vec<String>,
    condition: Option<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Table {
    pub(in crate::storage) fn update(&self, key: Key) -> Update<'_> {
        Update {
            table: self,
            key,
            sets: Vec::new(),
            removes: Vec::new(),
            adds: Vec::new(),
            deletes: Vec::new(),
            condition: None,
            names: HashMap::new(),
            values: HashMap::new(),
        }
    }
}

impl Update<'_> {
    /// Sets the attribute, whatever its value was.
    pub(in crate::storage) fn set(mut self, name: &str, value: AttributeValue) -> Self {
        self.sets.push(format!("#{name} = :{name}"));
        self.name(name);
        self.value(name, value)
    }

    /// Sets the attribute unless it has a value: a fact.
    pub(in crate::storage) fn set_once(mut self, name: &str, value: AttributeValue) -> Self {
        self.sets.push(format!("#{name} = if_not_exists(#{name}, :{name})"));
        self.name(name);
        self.value(name, value)
    }

    /// Sets the attribute unless it has a value. If `known` has a value, the attribute gets that value instead, so a
    /// new rule does not apply to an existing item.
    pub(in crate::storage) fn set_once_unless(mut self, name: &str, known: &str, value: AttributeValue) -> Self {
        self.sets.push(format!("#{name} = if_not_exists(#{name}, if_not_exists(#{known}, :{name}))"));
        self.name(name);
        self.name(known);
        self.value(name, value)
    }

    /// Like [`Update::set_once`], if there is a value.
    pub(in crate::storage) fn set_once_if(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set_once(name, value),
            None => self,
        }
    }

    /// Sets the attribute to the value, or removes it if there is none.
    pub(in crate::storage) fn put(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self.remove(&[name]),
        }
    }

    /// Adds an element to a string set.
    pub(in crate::storage) fn add(self, name: &str, element: String) -> Self {
        self.add_all(name, vec![element])
    }

    /// Adds elements to a string set. There must be at least one, and no duplicates.
    pub(in crate::storage) fn add_all(mut self, name: &str, elements: Vec<String>) -> Self {
        self.adds.push(format!("#{name} :{name}"));
        self.name(name);
        self.value(name, AttributeValue::Ss(elements))
    }

    /// Removes an element from a string set.
    pub(in crate::storage) fn delete(mut self, name: &str, element: String) -> Self {
        self.deletes.push(format!("#{name} :{name}"));
        self.name(name);
        self.value(name, AttributeValue::Ss(vec![element]))
    }

    /// Increases a counter by one.
    pub(in crate::storage) fn increase(mut self, name: &str) -> Self {
        self.adds.push(format!("#{name} :one"));
        self.name(name);
        self.value("one", crate::storage::table::item::number(1))
    }

    /// Increases a number, which must have a value, by `by`.
    pub(in crate::storage) fn move_by(mut self, name: &str, by: i64) -> Self {
        self.sets.push(format!("#{name} = #{name} + :by"));
        self.name(name);
        self.value("by", crate::storage::table::item::number(by))
    }

    /// Removes attributes.
    pub(in crate::storage) fn remove(mut self, names: &[&str]) -> Self {
        for name in names {
            self.removes.push(format!("#{name}"));
            self.name(name);
        }
        self
    }

    /// Makes the update conditional. Names are written as `#name`, values as `:name` (see [`Update::value`]).
    pub(in crate::storage) fn when(mut self, condition: &str) -> Self {
        for name in condition.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '#')) {
            if let Some(name) = name.strip_prefix('#') {
                self.name(name);
            }
        }
        self.condition = Some(condition.to_owned());
        self
    }

    /// Adds a value for the condition.
    pub(in crate::storage) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        self.values.insert(format!(":{name}"), value);
        self
    }

    fn name(&mut self, name: &str) {
        self.names.insert(format!("#{name}"), name.to_owned());
    }

    fn expression(&self) -> String {
        let clause = |verb: &str, parts: &[String]| match parts {
            [] => String::new(),
            parts => format!("{verb} {} ", parts.join(", ")),
        };
        clause("SET", &self.sets)
            + &clause("REMOVE", &self.removes)
            + &clause("ADD", &self.adds)
            + &clause("DELETE", &self.deletes)
    }

    /// Returns the update as a part of a transaction.
    pub(in crate::storage) fn in_transaction(self) -> Result<TransactWriteItem, StorageError> {
        let expression = self.expression();
        let update = aws_sdk_dynamodb::types::Update::builder()
            .table_name(&self.table.name)
            .set_key(Some(self.key.attributes()))
            .update_expression(expression)
            .set_condition_expression(self.condition)
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(Some(self.values).filter(|values| !values.is_empty()))
            .build()
            .map_err(|_| StorageError::Corrupt("update"))?;
        Ok(TransactWriteItem::builder().update(update).build())
    }

    /// Runs the update.
    pub(in crate::storage) async fn run(self) -> Result<Updated, StorageError> {
        let expression = self.expression();
        let values = Some(self.values).filter(|values| !values.is_empty());
        let answer = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(self.key.attributes()))
            .update_expression(expression)
            .set_condition_expression(self.condition)
            .set_expression_attribute_names(Some(self.names))
            .set_expression_attribute_values(values)
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(Updated::Done(Item(answer.attributes.unwrap_or_default()))),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    Ok(Updated::Refused(Item(refused.item.clone().unwrap_or_default())))
                }
                _ => Err(unavailable("UpdateItem", &error)),
            },
        }
    }
}

impl Table {
    /// Writes all parts, or none of them: `false` if a condition does not hold, or another transaction is in progress.
    /// 2 WRU per part and KB.
    pub(in crate::storage) async fn transact(&self, parts: Vec<TransactWriteItem>) -> Result<bool, StorageError> {
        match self.client.transact_write_items().set_transact_items(Some(parts)).send().await {
            Ok(_) => Ok(true),
            Err(error) if lost_the_race(&error) => Ok(false),
            Err(error) => Err(unavailable("TransactWriteItems", &error)),
        }
    }
}

fn lost_the_race<R>(error: &SdkError<TransactWriteItemsError, R>) -> bool {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
            let race = ["ConditionalCheckFailed", "TransactionConflict"];
            canceled.cancellation_reasons().iter().any(|reason| reason.code().is_some_and(|code| race.contains(&code)))
        }
        Some(other) => other.is_transaction_in_progress_exception(),
        None => false,
    }
}
