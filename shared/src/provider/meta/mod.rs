//! Meta's WhatsApp Cloud API, as described in `docs/meta/`.

pub mod accounts;
pub mod analytics;
pub mod callback_data;
pub mod credit;
pub mod error;
pub mod files;
pub mod graph;
pub mod message;
pub mod message_history;
pub mod oauth;
pub mod profile;
pub mod signature;
pub mod signed_request;
pub mod signup;
pub mod signup_errors;
pub mod templates;
pub mod webhook;
