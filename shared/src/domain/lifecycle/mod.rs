//! Beginnings and ends: onboarding, offboarding, erasure of contacts.

pub mod erasure;
pub mod offboarding;
pub mod onboarding;
