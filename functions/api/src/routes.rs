//! Every route, once: for the router and for the description.

use std::sync::Arc;

use axum::Router;
use axum::routing;
use utoipa::OpenApi;

use crate::Deps;
use crate::{
    alerts, broadcast, broadcasts, conversations, desk, fallback, health, keys, media, merges, message, messages,
    numbers, offboardings, onboardings, policy, read, replays, send, settings, usage,
};

macro_rules! routes {
    ($($method:ident $path:literal => $room:ident::$handler:ident,)*) => {
        /// Method and path of each.
        pub const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        pub(crate) fn routes() -> Router<Arc<Deps>> {
            Router::new()$(.route($path, routing::$method($room::$handler)))*
        }

        #[derive(OpenApi)]
        #[openapi(paths($($room::$handler),*))]
        struct Described;
    };
}

/// What each takes and answers.
#[must_use]
pub fn described() -> utoipa::openapi::OpenApi {
    Described::openapi()
}

routes! {
    get "/v1/conversations" => conversations::list,
    get "/v1/conversations/{id}" => conversations::get,
    patch "/v1/conversations/{id}" => desk::change,
    get "/v1/conversations/{id}/notes" => desk::notes,
    post "/v1/conversations/{id}/notes" => desk::create_note,
    delete "/v1/conversations/{id}/notes/{note}" => desk::delete_note,
    get "/v1/conversations/{id}/export" => messages::export,
    get "/v1/conversations/{id}/messages" => messages::list,
    get "/v1/conversations/{id}/messages/{message}" => message::get,
    post "/v1/conversations/{id}/messages/{message}/cancel" => message::cancel,
    post "/v1/conversations/{id}/messages/{message}/settle" => message::settle,
    post "/v1/conversations/{id}/read" => read::read,
    get "/v1/conversations/{id}/send-options" => policy::options,
    post "/v1/messages" => send::send,
    post "/v1/media" => media::upload,
    get "/v1/media/{id}" => media::get,
    get "/v1/broadcasts" => broadcast::list,
    post "/v1/broadcasts" => broadcasts::create,
    get "/v1/broadcasts/{id}" => broadcast::get,
    get "/v1/broadcasts/{id}/recipients" => broadcast::recipients,
    post "/v1/broadcasts/{id}/pause" => broadcast::pause,
    post "/v1/broadcasts/{id}/resume" => broadcast::resume,
    post "/v1/broadcasts/{id}/cancel" => broadcast::cancel,
    get "/v1/numbers" => numbers::list,
    get "/v1/numbers/{id}" => numbers::get,
    patch "/v1/numbers/{id}" => settings::change,
    post "/v1/numbers/{id}/activate" => settings::activate,
    post "/v1/numbers/{id}/deactivate" => settings::deactivate,
    put "/v1/numbers/{id}/fallback-template" => fallback::put,
    delete "/v1/numbers/{id}/fallback-template" => fallback::delete,
    get "/v1/numbers/{id}/health" => health::get,
    post "/v1/numbers/{id}/health" => health::look,
    get "/v1/numbers/{id}/conversation" => numbers::conversation,
    get "/v1/numbers/{id}/templates" => numbers::templates,
    get "/v1/numbers/{id}/kept" => numbers::kept,
    get "/v1/usage" => usage::get,
    get "/v1/alerts" => alerts::list,
    post "/v1/alerts/{id}/acknowledge" => alerts::acknowledge,
    get "/v1/merges" => merges::list,
    post "/v1/merges/{one}/{other}/undo" => merges::undo,
    get "/v1/onboardings" => onboardings::list,
    post "/v1/onboardings" => onboardings::start,
    get "/v1/onboardings/{id}" => onboardings::get,
    post "/v1/onboardings/{id}/retry" => onboardings::retry,
    post "/v1/onboardings/{id}/choose" => onboardings::choose,
    get "/v1/offboardings" => offboardings::list,
    post "/v1/offboardings" => offboardings::start,
    get "/v1/offboardings/{id}" => offboardings::get,
    get "/v1/tenants" => keys::tenants,
    post "/v1/tenants" => keys::create_tenant,
    get "/v1/tenants/{id}" => keys::tenant,
    get "/v1/keys" => keys::list,
    post "/v1/keys" => keys::create,
    delete "/v1/keys/{id}" => keys::revoke,
    get "/v1/audit" => keys::audit,
    post "/v1/replays" => replays::start,
    get "/v1/replays/{id}" => replays::get,
}
