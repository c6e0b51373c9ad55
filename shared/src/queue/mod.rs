//! Deferred work: job formats, the queues that carry them, and the batch runner.

mod batch;
mod job;
mod onboarding;
mod outbound;
mod sender;

pub use batch::{Outcome, come_again, run_fifo, run_standard};
pub use job::{BadJob, InboundJob, InboundWork, Packed, Payload, ReplayJob, ReplaySource};
pub use onboarding::OnboardingJob;
pub use outbound::{MarkJob, OutboundWork, RecipientJob, ReleaseJob, SendJob};
pub use sender::{Queue, QueueError, Received};
