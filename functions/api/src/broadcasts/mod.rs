//! Creating broadcasts and steering them.

pub(super) mod create;
pub(super) mod manage;
