//! Numbers, their settings and health.

pub(super) mod cached_numbers;
pub(super) mod health;
pub(super) mod list;
pub(super) mod quarantine;
pub(super) mod settings;
