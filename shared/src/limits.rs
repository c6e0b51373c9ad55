//! Limits that concern more than one file, each with its unit and its reason.

use std::time::Duration;

use jiff::SignedDuration;

/// Largest webhook body accepted, in bytes. Meta sends up to 3 MB (`docs/meta/webhooks.md#section-2`), read here as 3
/// MiB.
pub const WEBHOOK_BODY_MAX: usize = 3 * 1024 * 1024;

/// Largest SQS message body sent, in bytes. SQS takes 1 MiB including attributes; the rest is head room for both.
pub const QUEUE_BODY_MAX: usize = 900 * 1024;

/// Largest raw item stored inside a table item, in bytes. DynamoDB takes 400 KB for the whole item.
pub const TABLE_RAW_MAX: usize = 300 * 1024;

/// Largest request body of our own API, in bytes (`docs/reliability.md#a3`).
pub const API_BODY_MAX: usize = 256 * 1024;

/// How long a function caches a record or a plaintext secret. A change takes effect within this time.
pub const CACHE_FOR: SignedDuration = SignedDuration::from_mins(5);

/// How long an API key's record is cached. A revoked key is refused within this time (`docs/reliability.md#k4`).
pub const API_KEY_CACHE_FOR: SignedDuration = SignedDuration::from_secs(60);

/// How long a look-up without a result is cached, so that a flood of unknown names costs few reads.
pub const UNKNOWN_CACHE_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Most entries of one in-memory cache. Bounds the memory that invented names can fill.
pub const CACHE_ENTRIES_MAX: usize = 1_000;

/// Life of an idempotency record. Checked by the clock, because TTL deletes late (`docs/reliability.md#o1`).
pub const IDEMPOTENCY_FOR: SignedDuration = SignedDuration::from_hours(72);

/// Longest `Idempotency-Key`, in bytes: the same as Stripe's, so that clients can reuse theirs.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// Default of `send_before`: a message that was not sent by then expires (`docs/reliability.md#o5`).
pub const SEND_BEFORE_DEFAULT: SignedDuration = SignedDuration::from_hours(24);

/// The same for messages with one-time codes, which are useless later.
pub const AUTHENTICATION_SEND_BEFORE: SignedDuration = SignedDuration::from_mins(10);

/// Latest `send_before` that a caller may choose. Meta also keeps undeliverable messages for 30 days.
pub const SEND_BEFORE_MAX: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Largest file or list of recipients per request, in bytes. Lambda takes 6 MB, and the file arrives in base 64.
pub const UPLOAD_MAX: usize = 4_400_000;

/// Time limit for opening a connection to Graph.
pub const GRAPH_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time limit of one Graph call. Long on purpose: a short one would end more sends with outcome unknown.
pub const GRAPH_TIMEOUT: Duration = Duration::from_secs(20);

/// Timeout of the send-message function. After it, no abandoned invocation can still reach Meta.
pub const SEND_FUNCTION_TIMEOUT: Duration = Duration::from_secs(45);

/// Lease of a claim: the function's timeout plus a margin for clock differences.
pub const CLAIM_LEASE: SignedDuration = SignedDuration::from_secs(60);

/// Lambda time that must be left before a claim: one Graph call, and time to record its result.
pub const CLAIM_NEEDS: Duration = Duration::from_secs(25);

/// Records of one batch that are processed at the same time. Without a bound each would open a TLS connection of its
/// own (`docs/performance.md`).
pub const BATCH_CONCURRENCY: usize = 10;

/// Retention of the raw archive. The lifecycle rule of the bucket in `template.yaml` must match.
pub const ARCHIVE_FOR: SignedDuration = SignedDuration::from_hours(8 * 24);

/// A customer's message older than this on arrival cannot be a redelivery: Meta redelivers for at most seven days.
pub const MESSAGE_AGE_MAX: SignedDuration = SignedDuration::from_hours(8 * 24);

/// Retention of quarantined and unsupported items: 14 days, plus time to notice them
/// (`docs/reliability.md#section-4-6`).
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(35 * 24);

const _: () = assert!(CLAIM_LEASE.as_secs() >= SEND_FUNCTION_TIMEOUT.as_secs() as i64 + 15);
const _: () = assert!(CLAIM_NEEDS.as_secs() >= GRAPH_TIMEOUT.as_secs() + 5);
const _: () = assert!(CLAIM_NEEDS.as_secs() < SEND_FUNCTION_TIMEOUT.as_secs());

/// Longest time from the start of a request until it stores its message; later it never will. Twice the longest that
/// API Gateway lets a function run (30 s).
pub const ACCEPTING_TAKES: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
