//! Shared layer of the functions that serve the JSON API: key authentication and rate limit, scopes as types,
//! extractors, paging, problems, OpenAPI.

mod access;
mod answer;
mod ask;
mod caller;
mod days;
mod describe;
mod edit;
mod key;
mod own;
mod problem;
mod rate;
mod routes;

pub use access::{Access, Guarded, guard};
pub use answer::{List, Moment, Refusals, raw};
pub use ask::{Id, Ids, JsonBody, Named, PageQuery, QueryParams, Upload, limit, named, parse, typed};
pub use caller::{Caller, Manage, Operator, Read, Send, TenantOrOperator};
pub use days::days;
pub use describe::describe;
pub use edit::{Expected, etag, given};
pub use key::{ApiKey, hash};
