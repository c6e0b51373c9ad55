//! Whole-system tests through the real doors. This list is their table of contents.

mod harness;

mod api;
mod architecture;
mod canary;
mod conversation;
mod crash;
mod embedded_aws;
mod idempotency;
mod inbound;
mod send;
mod template;
mod webhook;
