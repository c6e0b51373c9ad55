//! Messages that leave: intents, attempts, statuses, pace, broadcasts, the due list and the ledger.

pub(super) mod attempt;
pub(super) mod broadcast;
pub(super) mod due;
pub(super) mod evidence;
pub(super) mod intent;
pub(super) mod ledger;
pub(super) mod media;
pub(super) mod pace;
pub(super) mod policy;
pub(super) mod recipients;
pub(super) mod status;
