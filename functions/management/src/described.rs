//! OpenAPI description of errors that any route of this function may return because of Meta.

use std::collections::BTreeMap;

use shared::api::Refusals;
use utoipa::IntoResponses;
use utoipa::openapi::response::Response;
use utoipa::openapi::{Ref, RefOr};

/// The common error responses, with those that originate at Meta.
pub(crate) struct AtMeta;

impl IntoResponses for AtMeta {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = Refusals::responses();
        for (status, name) in [("409", "RefusedByMeta"), ("502", "MetaNotReached")] {
            all.insert(status.to_owned(), RefOr::Ref(Ref::from_response_name(name)));
        }
        all
    }
}
