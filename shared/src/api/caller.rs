//! What a caller may do, as a type: a handler names the scope it needs in its signature, and gets the tenant from nowhere
//! else.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

use crate::domain::ids::TenantId;
use crate::domain::tenant::{ApiKeyRecord, Scope};
use crate::http::Problem;

/// A scope that a handler needs.
pub trait Needs {
    /// Which.
    const SCOPE: Scope;
}

macro_rules! scope {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(Debug)]
        pub struct $name;

        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
        }
    };
}

scope!(Read, "Needs the scope `read`.");
scope!(Send, "Needs the scope `send`.");
scope!(Manage, "Needs the scope `manage`.");

/// A tenant's program whose key has the scope `S`.
#[derive(Debug)]
pub struct Caller<S> {
    /// The tenant.
    pub tenant: TenantId,
    /// The id of the key it came with.
    pub key: String,
    scope: PhantomData<S>,
}

/// An operator, who may make tenants and their keys.
#[derive(Debug)]
pub struct Operator {
    /// The id of the key.
    pub key: String,
}

/// A tenant's program whose key has the scope `S`, or an operator, who may do it for everybody.
#[derive(Debug)]
pub struct TenantOrOperator<S> {
    /// The tenant; none for an operator.
    pub tenant: Option<TenantId>,
    /// The id of the key.
    pub key: String,
    scope: PhantomData<S>,
}

impl<S: Needs, D: Sync> FromRequestParts<D> for Caller<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &D) -> Result<Self, Problem> {
        let key = key(parts)?;
        match key.tenant {
            Some(tenant) if key.scopes.contains(&S::SCOPE) => {
                Ok(Self { tenant, key: key.id.clone(), scope: PhantomData })
            }
            _ => Err(missing(S::SCOPE)),
        }
    }
}

impl<D: Sync> FromRequestParts<D> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &D) -> Result<Self, Problem> {
        let key = key(parts)?;
        if is_operators(&key) { Ok(Self { key: key.id.clone() }) } else { Err(missing(Scope::Operator)) }
    }
}

impl<S: Needs, D: Sync> FromRequestParts<D> for TenantOrOperator<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &D) -> Result<Self, Problem> {
        let key = key(parts)?;
        if is_operators(&key) || key.tenant.is_some() && key.scopes.contains(&S::SCOPE) {
            return Ok(Self { tenant: key.tenant, key: key.id.clone(), scope: PhantomData });
        }
        Err(missing(S::SCOPE))
    }
}

fn is_operators(key: &ApiKeyRecord) -> bool {
    key.tenant.is_none() && key.scopes.contains(&Scope::Operator)
}

/// The key that [`super::guard`] found good. A route outside the guard answers nobody.
fn key(parts: &Parts) -> Result<Arc<ApiKeyRecord>, Problem> {
    parts.extensions.get::<Arc<ApiKeyRecord>>().cloned().ok_or_else(Problem::unauthorized)
}

fn missing(scope: Scope) -> Problem {
    Problem {
        rule: Some(format!("needs the scope `{}`", scope.as_str())),
        ..Problem::new(StatusCode::FORBIDDEN, "scope_missing", "The API key may not do this.").remedy(
            if scope == Scope::Operator {
                "Use an operator's key."
            } else {
                "Use a key of a tenant that has this scope."
            },
        )
    }
}
