//! Types and rules of the application, without I/O and without AWS. Only message contents serialise: `content` and
//! `outgoing`.
//!
//! A **tenant** owns **numbers**. A **contact** writes to a number. Such a pair of number and contact is a
//! **conversation**, which holds inbound and outbound **messages**. Each fact about a message is written once. The pure
//! functions here derive the displayed state from these facts, so neither order nor repetition matters.

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
