//! Switchboard on one machine: the functions that ship, over an embedded AWS, talking to a simulated Meta.
//!
//! Used by `cargo run -p sandbox` and by the whole-system tests. Nothing that ships depends on it.

pub mod aws;
pub mod meta;
pub mod sandbox;
pub mod stack;
pub mod state_file;
