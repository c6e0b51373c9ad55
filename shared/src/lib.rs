//! Code that the Lambda functions share, in reading order.
//!
//! * [`domain`]: nouns and rules. No I/O, no AWS, no HTTP client. It uses the vocabulary of WhatsApp's Cloud API
//!   (wamid, WABA), and `content` and `outgoing` serialise to its message JSON.
//! * [`provider`]: everything that Meta can change without asking us.
//! * [`storage`]: persistent state, in one DynamoDB table and one S3 bucket.
//! * [`queue`]: job formats, the queues, and the batch runner, which reports each record's result.
//! * [`vault`]: secrets sealed by KMS under an encryption context.
//! * [`api`]: the shared layer of the functions that serve the JSON API, on top of the modules above.
//!
//! The other files are the foundation layer: small modules that every other one may use. The modules `provider`,
//! `storage`, `queue` and `vault` do not import each other; only a function combines them, or `api` for several
//! functions.

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
