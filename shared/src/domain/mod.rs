//! Types and rules of the application, without I/O and without AWS. Only message contents serialise: `content` and
//! `outgoing`.
//!
//! A **tenant** owns **numbers**. A **contact** writes to a number. Such a pair of number and contact is a
//! **conversation**, which holds inbound and outbound **messages**. Each fact about a message is written once. The pure
//! functions here derive the displayed state from these facts, so neither order nor repetition matters.

pub mod accounts;
pub mod conversations;
pub mod event;
pub mod ids;
pub mod lifecycle;
pub mod outgoing;
pub mod sending;
