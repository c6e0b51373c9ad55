//! Facts of which only the latest or the greatest counts. A fact is written only over an older one, so the order of
//! writes does not matter. The value itself breaks a tie.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;

use crate::storage::table::item::{Item, number, text, time};
use crate::storage::table::keys::Key;
use crate::storage::table::update::{Update, Updated};
use crate::storage::{StorageError, Table};

/// A fact, and how it merges with earlier ones.
#[derive(Debug, Clone)]
pub(in crate::storage) enum Fact {
    /// The latest value: attributes `name` and `name_at`.
    Latest { name: String, value: String, at: Timestamp },
    /// The greatest number: attribute `name`.
    Greatest { name: &'static str, value: i64 },
    /// Elements of the set `name`, which only grows.
    Among { name: &'static str, values: Vec<String> },
}

impl Fact {
    pub(in crate::storage) fn latest(name: &str, value: impl Into<String>, at: Timestamp) -> Self {
        Self::Latest { name: name.to_owned(), value: value.into(), at }
    }

    pub(in crate::storage) fn moment(name: &'static str, at: Timestamp) -> Self {
        Self::Greatest { name, value: at.as_millisecond() }
    }

    /// Returns the condition for writing the fact. It also holds for an identical fact, so a repetition costs one write
    /// instead of a refused write and one per fact. `None`: there is no condition.
    pub(in crate::storage) fn condition(&self) -> Option<String> {
        match self {
            Self::Latest { name, .. } => Some(format!(
                "(attribute_not_exists(#{name}_at) OR #{name}_at < :{name}_at OR (#{name}_at = :{name}_at AND #{name} <= :{name}))"
            )),
            Self::Greatest { name, .. } => Some(format!("(attribute_not_exists(#{name}) OR #{name} <= :{name})")),
            Self::Among { .. } => None,
        }
    }

    pub(in crate::storage) fn write<'a>(&self, update: Update<'a>) -> Update<'a> {
        match self {
            Self::Latest { name, value, at } => update.set(name, text(value)).set(&format!("{name}_at"), time(*at)),
            Self::Greatest { name, value } => update.set(name, number(*value)),
            Self::Among { name, values } => update.add_all(name, values.clone()),
        }
    }

    /// Returns the name of the attribute.
    pub(in crate::storage) fn name(&self) -> &str {
        match self {
            Self::Latest { name, .. } => name,
            Self::Greatest { name, .. } | Self::Among { name, .. } => name,
        }
    }

    /// Returns whether `item` already has this value, of whatever time.
    pub(in crate::storage) fn is_said_by(&self, item: &Item) -> bool {
        match self {
            Self::Latest { name, value, .. } => item.text(name) == Some(value),
            _ => !self.is_newer(item),
        }
    }

    /// Returns whether the fact would change `item`.
    pub(in crate::storage) fn is_newer(&self, item: &Item) -> bool {
        match self {
            Self::Latest { name, value, at } => {
                let known = item.time(&format!("{name}_at"));
                known.is_none_or(|known| {
                    known < *at || (known == *at && item.text(name).is_some_and(|it| it < value.as_str()))
                })
            }
            Self::Greatest { name, value } => item.number(name).is_none_or(|known| known < *value),
            Self::Among { name, values } => {
                let known = item.set(name);
                values.iter().any(|value| !known.contains(value))
            }
        }
    }
}

/// Result of a merge.
#[derive(Debug)]
pub(in crate::storage) struct Merged {
    /// The item before the merge; empty if it is new.
    pub(in crate::storage) before: Item,
    /// Whether any fact was new.
    pub(in crate::storage) changed: bool,
}

impl Table {
    /// Merges facts into an item: `once` if the attribute has no value, `facts` where they are newer. One write if all
    /// of them are newer; otherwise one refused write, and one per newer fact.
    pub(in crate::storage) async fn merge(
        &self,
        key: &Key,
        once: &[(&str, AttributeValue)],
        facts: &[Fact],
    ) -> Result<Merged, StorageError> {
        let mut update = self.update(key.clone());
        for (name, value) in once {
            update = update.set_once(name, value.clone());
        }
        for fact in facts {
            update = fact.write(update);
        }
        let condition: Vec<String> = facts.iter().filter_map(Fact::condition).collect();
        if !condition.is_empty() {
            update = update.when(&condition.join(" AND "));
        }
        let before = match update.run().await? {
            Updated::Done(before) => {
                let changed = facts.iter().any(|fact| fact.is_newer(&before));
                return Ok(Merged { before, changed });
            }
            Updated::Refused(before) => before,
        };
        let mut changed = false;
        for fact in facts.iter().filter(|fact| facts.len() > 1 && fact.is_newer(&before)) {
            let alone = fact.write(self.update(key.clone()));
            let alone = if let Some(condition) = fact.condition() { alone.when(&condition) } else { alone };
            changed |= matches!(alone.run().await?, Updated::Done(_));
        }
        Ok(Merged { before, changed })
    }
}
