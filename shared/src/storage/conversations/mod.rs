//! Conversations, their messages and contacts, the inbox and its search.

pub(super) mod alias;
pub(super) mod assignment;
pub(super) mod contact;
pub(super) mod conversation;
pub(super) mod inbox;
pub(super) mod message;
pub(super) mod search;
pub(super) mod spelling;
pub(super) mod timeline;
pub(super) mod users;
