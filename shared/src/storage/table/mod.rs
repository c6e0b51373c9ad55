//! The table itself: keys, reading, updating and merging of items, pages, schema.

pub(super) mod item;
pub(super) mod keys;
pub(super) mod kind;
pub(super) mod merge;
pub(super) mod page;
pub(super) mod schema;
pub(super) mod update;
