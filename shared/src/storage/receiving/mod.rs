//! Received items that cannot be stored, and replays.

pub(super) mod quarantine;
pub(super) mod replay;
