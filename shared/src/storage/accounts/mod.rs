//! Tenants, keys, Meta apps, accounts, numbers, tokens, templates, states and usage.

pub(super) mod connect;
pub(super) mod health;
pub(super) mod registry;
pub(super) mod settings;
pub(super) mod signup_app;
pub(super) mod state;
pub(super) mod template;
pub(super) mod tenant;
pub(super) mod token;
pub(super) mod usage;
