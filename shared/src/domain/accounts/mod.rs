//! Tenants, Meta apps, accounts, numbers, tokens, templates, health and usage.

pub mod account;
pub mod app;
pub mod health;
pub mod number;
pub mod states;
pub mod template;
pub mod tenant;
pub mod token;
pub mod usage;
