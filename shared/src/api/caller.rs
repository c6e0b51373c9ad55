//! Scopes as types: a handler's signature names the scope it needs, and is its only source of the tenant.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;

use crate::domain::accounts::tenant::{ApiKeyRecord, Scope};
use crate::domain::ids::TenantId;
use crate::http::Problem;

/// Marks a type that stands for a required scope.
pub trait Needs {
    /// The scope.
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

/// A tenant's client whose key has the scope `S`.
#[derive(Debug)]
pub struct Caller<S> {
    /// The tenant.
    pub tenant: TenantId,
    /// The id of the API key.
    pub key: String,
    scope: PhantomData<S>,
}

/// An operator, who may create tenants and their keys.
#[derive(Debug)]
pub struct Operator {
    /// The id of the API key.
    pub key: String,
}

/// A tenant's client whose key has the scope `S`, or an operator, who may act for every tenant.
#[derive(Debug)]
pub struct TenantOrOperator<S> {
    /// The tenant; `None` for an operator.
    pub tenant: Option<TenantId>,
    /// The id of the API key.
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

/// The key that [`crate::api::guard`] accepted. A route that is not behind the guard answers 401.
fn key(parts: &Parts) -> Result<Arc<ApiKeyRecord>, Problem> {
    parts.extensions.get::<Arc<ApiKeyRecord>>().cloned().ok_or_else(Problem::unauthorized)
}

fn missing(scope: Scope) -> Problem {
    Problem {
        rule: Some(format!("needs the scope `{}`", scope.as_str())),
        ..Problem::new(StatusCode::FORBIDDEN, "scope_missing", "The API key lacks the scope for this operation.")
            .remedy(if scope == Scope::Operator {
                "Use an operator's API key."
            } else {
                "Use an API key of the tenant that has this scope."
            })
    }
}
