//! The inbox: conversations, contacts, assignment, merges.

pub(super) mod assignment;
pub(super) mod contacts;
pub(super) mod list;
pub(super) mod merges;
