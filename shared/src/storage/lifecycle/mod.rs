//! Beginnings and ends: onboarding, offboarding, erasure of accounts and of contacts.

pub(super) mod account_erasure;
pub(super) mod contact_erasure;
pub(super) mod offboarding;
pub(super) mod onboarding;
