//! What the functions that answer our JSON API have in common: who is asking, what is asked, how it is answered.

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
pub use ask::{Asked, Id, Ids, Named, PageQuery, Said, Upload, limit, named, parse, typed};
pub use caller::{Caller, Manage, Operator, Read, Send, TenantOrOperator};
pub use days::days;
pub use describe::describe;
pub use edit::{Expected, etag, given};
pub use key::{ApiKey, hash};
