//! Assets of a Solution Partner at Meta: system user, credit line and its shares; and the edges that list a business's
//! accounts.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Meta;
use super::answer::{call, shown};
use super::business::PopupOrder;
use super::request::is_proof;
use super::request::{Refusal, Words, bearer, word};

/// The Solution Partner that owns the app.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Partner {
    /// Valid tokens of the partner's system user; two during a replacement.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// Id of the system user.
    pub user: String,
    /// Id of the credit line.
    pub line: String,
    /// Popup order of businesses that come through Meta's hosted signup; `None` without hosted signup.
    pub hosted: Option<PopupOrder>,
    /// Number of reads of an account until a credit share is visible there.
    #[serde(default)]
    pub slow: usize,
}

/// A share of the credit line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Share {
    business: String,
    account: String,
    credential: String,
    deleted: bool,
}

pub(super) fn partner_routes(meta: Arc<Meta>) -> Router {
    Router::new()
        .route("/{version}/me/businesses", get(businesses))
        .route("/{version}/{number}/owned_whatsapp_business_accounts", get(owned))
        .route("/{version}/{number}/client_whatsapp_business_accounts", get(client))
        .route("/{version}/{number}/assigned_users", post(assign))
        .route("/{version}/{number}/whatsapp_credit_sharing_and_attach", post(share))
        .route("/{version}/{number}/owning_credit_allocation_configs", get(shares))
        .route("/{version}/{number}/system_user_access_tokens", post(business_token))
        .with_state(meta)
}

impl Meta {
    /// Replaces the partner's assets.
    pub fn put_partner(&self, partner: Partner) {
        self.lock().businesses.partner = partner;
    }

    /// Returns the number of credit shares that were not revoked.
    #[must_use]
    pub fn credit_shares(&self) -> usize {
        self.lock().businesses.shares.values().filter(|share| !share.deleted).count()
    }

    fn is_partner(&self, token: &str, proof: Option<&str>) -> Result<(), Refusal> {
        let state = self.lock();
        if !state.businesses.partner.tokens.iter().any(|known| known == token) {
            return Err((200, "Permissions error: not the system user"));
        }
        is_proof(&state, token, proof)
    }

    fn assign(&self, account: &str, user: &str) -> Result<Value, Refusal> {
        let mut state = self.lock();
        if state.businesses.partner.user != user {
            return Err((100, "There is no such system user"));
        }
        let account = state.businesses.accounts.get_mut(account).ok_or((100, "Object does not exist"))?;
        account.managed_by.push(user.to_owned());
        Ok(json!({"success": true}))
    }

    fn share_credit(&self, line: &str, account: &str) -> Result<Value, Refusal> {
        let mut state = self.lock();
        state.serial += 1;
        let (id, credential) = (format!("9004{:011}", state.serial), format!("9005{:011}", state.serial));
        let (known_line, user) = (state.businesses.partner.line.clone(), state.businesses.partner.user.clone());
        let slow = state.businesses.partner.slow;
        let known = state.businesses.accounts.get_mut(account).ok_or((100, "Object does not exist"))?;
        if known_line != line || !known.managed_by.contains(&user) {
            return Err((200, "The system user may not share this line with this account"));
        }
        if slow == 0 {
            known.funding = Some(credential.clone());
        }
        let business = known.owner().to_owned();
        let share = Share { business, account: account.to_owned(), credential, deleted: false };
        state.businesses.shares.insert(id.clone(), share);
        Ok(json!({"allocation_config_id": id, "waba_id": account}))
    }

    /// Whether a partner's credit line pays for the account.
    pub(super) fn partner_pays(&self, account: &str) -> bool {
        self.lock().businesses.shares.values().any(|share| share.account == account && !share.deleted)
    }

    fn shown_shares(&self, line: &str, business: &str) -> Result<Value, Refusal> {
        let state = self.lock();
        if state.businesses.partner.line != line {
            return Err((100, "There is no such credit line"));
        }
        let of = state.businesses.shares.iter().filter(|(_, share)| share.business == business);
        Ok(json!({"data": of.map(|(id, share)| share.shown(id)).collect::<Vec<_>>()}))
    }

    /// Returns the credit share of this id, if there is one.
    pub(super) fn share(&self, id: &str) -> Option<Value> {
        self.lock().businesses.shares.get(id).map(|share| share.shown(id))
    }

    pub(super) fn revoke_share(&self, id: &str) -> Result<Value, Refusal> {
        let mut state = self.lock();
        let share = state.businesses.shares.get_mut(id).filter(|share| !share.deleted);
        let share = share.ok_or((100, "There is no such allocation"))?;
        share.deleted = true;
        let business = share.business.clone();
        for account in state.businesses.accounts.values_mut().filter(|account| account.owner() == business) {
            account.funding = None;
        }
        Ok(json!({"success": true}))
    }

    /// Counts a read of the account. A slow credit share becomes visible at the account after [`Partner::slow`] reads.
    pub(super) fn looked_at(&self, account: &str) {
        let mut state = self.lock();
        let shares = &state.businesses.shares;
        let late = shares.values().find(|share| share.account == account && !share.deleted);
        let Some(credential) = late.map(|share| share.credential.clone()) else { return };
        if state.businesses.partner.slow > 0 {
            state.businesses.partner.slow -= 1;
        } else if let Some(account) = state.businesses.accounts.get_mut(account) {
            account.funding = Some(credential);
        }
    }
}

impl Share {
    fn shown(&self, id: &str) -> Value {
        json!({"id": id, "receiving_credential": {"id": self.credential}, "receiving_business": {"id": self.business},
            "request_status": if self.deleted { "DELETED" } else { "APPROVED" }})
    }
}

fn proof(query: &Words) -> Option<&str> {
    query.get("appsecret_proof").map(String::as_str)
}

/// Answers a call that only the partner's system user may make.
async fn by_partner(
    meta: &Meta,
    name: &str,
    headers: &HeaderMap,
    query: &Words,
    effect: impl FnOnce() -> Result<Value, Refusal>,
) -> Response {
    call(meta, name, || shown(meta.is_partner(&bearer(headers), proof(query)).and_then(|()| effect()))).await
}

type Named = Path<(String, String)>;

async fn assign(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Named,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    by_partner(&meta, "assigned_users", &headers, &query, || meta.assign(&id, word(&query, "user"))).await
}

async fn share(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Named,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    by_partner(&meta, "credit_share", &headers, &query, || meta.share_credit(&id, word(&query, "waba_id"))).await
}

async fn shares(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Named,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let business = word(&query, "receiving_business_id");
    by_partner(&meta, "credit_shares", &headers, &query, || meta.shown_shares(&id, business)).await
}

/// Reads or revokes a credit share.
pub(super) async fn one_share(meta: &Meta, id: &str, headers: &HeaderMap, query: &Words, delete: bool) -> Response {
    let name = if delete { "credit_revoke" } else { "credit_look" };
    by_partner(meta, name, headers, query, || match delete {
        true => meta.revoke_share(id),
        false => meta.share(id).ok_or((100, "Object does not exist")),
    })
    .await
}

async fn business_token(State(meta): State<Arc<Meta>>, Path((_, id)): Named, Form(form): Form<Words>) -> Response {
    let effect = || {
        let fetch = form.contains_key("fetch_only");
        let proved = meta.is_partner(word(&form, "access_token"), proof(&form));
        shown(proved.and_then(|()| meta.business_token(&meta.client_id(), &id, fetch)))
    };
    call(&meta, "business_token", effect).await
}

/// Lists the businesses whose accounts a token can access.
async fn businesses(State(meta): State<Arc<Meta>>, Query(query): Query<Words>, headers: HeaderMap) -> Response {
    let effect = || {
        shown(meta.holder(&bearer(&headers), proof(&query)).map(|order| {
            let state = meta.lock();
            let owners = order.accounts.iter().filter_map(|id| state.businesses.accounts.get(id));
            let mut owners: Vec<String> = owners.map(|account| account.owner().to_owned()).collect();
            owners.dedup();
            json!({"data": owners.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()})
        }))
    };
    call(&meta, "businesses", effect).await
}

async fn owned(
    State(meta): State<Arc<Meta>>,
    Path((_, id)): Named,
    Query(query): Query<Words>,
    headers: HeaderMap,
) -> Response {
    let effect = || {
        shown(meta.holder(&bearer(&headers), proof(&query)).map(|order| {
            let state = meta.lock();
            let owned = |account: &&String| {
                state.businesses.accounts.get(*account).is_some_and(|account| account.owner() == id)
            };
            json!({"data": order.accounts.iter().filter(owned).map(|id| json!({"id": id})).collect::<Vec<_>>()})
        }))
    };
    call(&meta, "owned_accounts", effect).await
}

/// Lists accounts shared by other businesses: always empty here.
async fn client(State(meta): State<Arc<Meta>>, Query(query): Query<Words>, headers: HeaderMap) -> Response {
    let effect = || shown(meta.holder(&bearer(&headers), proof(&query)).map(|_| json!({"data": []})));
    call(&meta, "client_accounts", effect).await
}
