//! Sending, reading and settling messages.

pub(super) mod fallback;
pub(super) mod get;
pub(super) mod json;
pub(super) mod list;
pub(super) mod mark_read;
pub(super) mod openapi_message;
pub(super) mod policy;
pub(super) mod request;
pub(super) mod send;
pub(super) mod template_check;
