//! Our nouns and rules: no I/O, no AWS, no vendor; only what a message says serialises: `content` and `outgoing`.
//!
//! A **tenant** owns **numbers**. A **contact** writes to a number: that pair is a **conversation**, and it holds
//! **messages**, inbound and outbound. Everything stored about a message is a write-once fact; what we show is derived
//! from the facts by the pure functions here, so order and repetition cannot matter.

pub mod account;
pub mod app;
pub mod broadcast;
pub mod contact;
pub mod content;
pub mod conversation;
pub mod desk;
pub mod erasure;
pub mod event;
pub mod health;
pub mod ids;
pub mod ledger;
pub mod media;
pub mod message;
pub mod number;
pub mod offboarding;
pub mod onboarding;
pub mod outbound;
pub mod outgoing;
pub mod pacing;
pub mod phone;
pub mod policy;
pub mod status;
pub mod template;
pub mod tenant;
pub mod token;
pub mod usage;
