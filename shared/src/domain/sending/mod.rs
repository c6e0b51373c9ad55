//! Messages that leave: state machine of a send, policy, pacing, statuses, broadcasts, files.

pub mod broadcast;
pub mod ledger;
pub mod media;
pub mod outbound;
pub mod outcome;
pub mod pacing;
pub mod policy;
pub mod status;
