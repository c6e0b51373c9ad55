//! Limits that are not one file's own business: each with its unit and its reason.

use std::time::Duration;

use jiff::SignedDuration;

/// Largest webhook body accepted, in bytes. Meta sends up to 3 MB (`facts/webhooks.md` §2); read as MiB to be generous.
pub const WEBHOOK_BODY_MAX: usize = 3 * 1024 * 1024;

/// Largest SQS message body we send, in bytes. SQS takes 1 MiB with attributes; the rest is head room for both.
pub const QUEUE_BODY_MAX: usize = 900 * 1024;

/// Largest raw item stored inside a table item, in bytes: DynamoDB takes 400 KB for the whole item.
pub const TABLE_RAW_MAX: usize = 300 * 1024;

/// Largest request body of our own API, in bytes (`reliability.md` A3).
pub const API_BODY_MAX: usize = 256 * 1024;

/// How long a function keeps a record or a plaintext secret in memory: the bound on how late it sees a change.
pub const CACHE_FOR: SignedDuration = SignedDuration::from_mins(5);

/// How long an API key's record is trusted without reading it again: a revoked key dies within this (K4).
pub const API_KEY_CACHE_FOR: SignedDuration = SignedDuration::from_secs(60);

/// How long we remember that something does not exist, so a flood of unknown names costs few reads.
pub const UNKNOWN_CACHE_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Entries of one in-memory cache: bounds memory when names are invented by a stranger.
pub const CACHE_ENTRIES_MAX: usize = 1_000;

/// Life of an idempotency record, by the clock and not by TTL (`reliability.md` O1).
pub const IDEMPOTENCY_FOR: SignedDuration = SignedDuration::from_hours(72);

/// Longest `Idempotency-Key`, in bytes: what Stripe allows, so clients' habits fit.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// A message not sent by then is stale and expires (`reliability.md` O5).
pub const SEND_BEFORE_DEFAULT: SignedDuration = SignedDuration::from_hours(24);

/// The same for one-time codes, which are of no use later.
pub const AUTHENTICATION_SEND_BEFORE: SignedDuration = SignedDuration::from_mins(10);

/// Furthest `send_before` a caller may choose: Meta keeps what cannot be delivered for 30 days too.
pub const SEND_BEFORE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Largest file or list of recipients in one call, in bytes: Lambda takes 6 MB, in which a file travels as base 64.
pub const UPLOAD_MAX: usize = 4_400_000;

/// Time to open a connection to Graph.
pub const GRAPH_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Whole time of one Graph call. Long on purpose: a short timeout manufactures doubtful sends.
pub const GRAPH_TIMEOUT: Duration = Duration::from_secs(20);

/// Timeout of the send-message function: after it no zombie can still reach Meta.
pub const SEND_FUNCTION_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a claim holds: the function's timeout and a margin for clocks.
pub const CLAIM_LEASE: SignedDuration = SignedDuration::from_secs(60);

/// Lambda time that must be left before a claim: one Graph call and room to record its result.
pub const CLAIM_NEEDS: Duration = Duration::from_secs(25);

/// Records of one batch worked on at the same time: unbounded puts open a TLS connection each (`performance.md` §4).
pub const BATCH_CONCURRENCY: usize = 10;

/// How long the raw archive is kept; `template.yaml` has the same in the bucket's lifecycle.
pub const ARCHIVE_FOR: SignedDuration = SignedDuration::from_hours(8 * 24);

/// A customer's message older than this when it comes is no repetition of Meta's, who repeats for seven days.
pub const MESSAGE_AGE_MAX: SignedDuration = SignedDuration::from_hours(8 * 24);

/// Days that quarantined and unsupported items stay (`reliability.md` §4.6: 14 d, plus time to notice).
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(35 * 24);

const _: () = assert!(CLAIM_LEASE.as_secs() >= SEND_FUNCTION_TIMEOUT.as_secs() as i64 + 15);
const _: () = assert!(CLAIM_NEEDS.as_secs() >= GRAPH_TIMEOUT.as_secs() + 5);
const _: () = assert!(CLAIM_NEEDS.as_secs() < SEND_FUNCTION_TIMEOUT.as_secs());

/// A request that stores a message does so this soon after it began, or never: twice the longest that API Gateway lets a
/// function answer (30 s).
pub const ACCEPTING_TAKES: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
