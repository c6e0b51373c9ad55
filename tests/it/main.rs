//! Whole-system tests through the public interfaces. This list is their table of contents.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise, in its helpers as well"
)]
#![expect(clippy::too_many_lines, reason = "the cases of one table stay together")]

mod harness;

mod account_states;
mod api;
mod architecture;
mod broadcast;
mod canary;
mod client;
mod cloudformation;
mod control;
mod conversation;
mod crash;
mod desk;
mod documents;
mod embedded_aws;
mod erasure;
mod erasure_races;
mod events;
mod fixtures;
mod fuzz;
mod health;
mod history;
mod iam;
mod idempotency;
mod identity;
mod imports;
mod inbound;
mod inbox;
mod item_kinds;
mod keys;
mod kinds;
mod ledger;
mod matrix;
mod media;
mod message_history;
mod metamorphic;
mod model;
mod offboarding;
mod offboarding_races;
mod onboarding;
mod onboarding_faults;
mod outgoing;
mod pacing;
mod partner;
mod payloads;
mod people;
mod phone;
mod policy;
mod quotes;
mod replay;
mod requests;
mod restore;
mod rotation;
mod send;
mod send_simulation;
mod signup_page;
mod signup_ways;
mod simulation;
mod status;
mod template;
mod templates;
mod tenants;
mod token_refresh;
mod usage;
mod webhook;
mod words;
