//! Switchboard on one machine: the shipped functions over an embedded AWS, calling a simulated Meta.
//!
//! Used by `cargo run -p sandbox` and by the whole-system tests. No shipped crate depends on it.

pub mod aws;
pub mod meta;
pub mod sandbox;
pub mod stack;
pub mod state_file;
