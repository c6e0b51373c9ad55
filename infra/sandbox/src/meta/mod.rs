//! The simulated Meta: a Graph API that accepts only what the contract allows, customers' phones, and webhooks signed
//! as Meta signs them.
//!
//! It is stateful, and knows nothing of Switchboard except its webhook URL.
//!
//! Real paths are Meta's own (`POST /{version}/{phone-number-id}/messages`). Paths under `/_sim/` are the control API,
//! described in `docs/sandbox.md`.

mod accounts;
mod answer;
mod assets;
mod billed;
mod business;
pub mod contract;
mod control;
mod deliver;
mod files;
mod graph;
mod kept;
mod limits;
mod partner;
mod payload;
mod request;
mod serve;
mod signup;
mod state;

pub use assets::{MetaTemplate, sample_templates};
pub use business::{BusinessAccount, BusinessNumber, PopupOrder};
pub use control::control_routes;
pub use deliver::deliver_forever;
pub use partner::Partner;
pub use payload::wamid;
pub use serve::serve;

use state::{After, State};
pub use state::{Meta, MetaApp, MetaNumber, PendingWebhook, ScriptedFault, SentMessage, StatusOrder, Undelivered};

/// Returns all routes of the simulated Meta.
pub fn routes(meta: std::sync::Arc<Meta>) -> axum::Router {
    graph::graph_routes(meta.clone())
        .merge(accounts::account_routes(meta.clone()))
        .merge(partner::partner_routes(meta.clone()))
        .merge(kept::kept_routes(meta.clone()))
        .merge(files::file_routes(meta.clone()))
        .merge(control_routes(meta))
}
