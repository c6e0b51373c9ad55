//! What the Lambda functions share, in reading order.
//!
//! * [`domain`]: our nouns and rules. No I/O, no serialisation, no AWS, no vendor.
//! * [`provider`]: everything Meta can change without asking us.
//! * [`storage`]: what we remember, in one DynamoDB table and one S3 bucket.
//! * [`queue`]: what we will do later, and the runner that answers per record.
//! * [`vault`]: secrets sealed by KMS under an encryption context.
//!
//! * [`api`]: what the functions that answer our JSON API have in common, on top of these.
//!
//! The other files are the *hall*: small things every room may use. The four rooms `provider`, `storage`, `queue` and
//! `vault` do not import each other; only a function combines them, or `api` for several functions.

pub mod api;
pub mod domain;

pub mod provider;
pub mod queue;
pub mod storage;
pub mod vault;

pub mod aws;
pub mod cache;
pub mod clock;
pub mod config;
pub mod http;
pub mod keyring;
pub mod limits;
pub mod random;
pub mod secret;
pub mod telemetry;
