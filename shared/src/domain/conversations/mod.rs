//! Conversations, contacts, messages and their content.

pub mod assignment;
pub mod contact;
pub mod content;
pub mod conversation;
pub mod filter;
pub mod message;
pub mod phone;
