//! Connecting accounts and removing them.

pub(super) mod offboardings;
pub(super) mod onboardings;
