//! A Solution Partner's credit line: shared with a business, attached to its account, looked at, taken back
//! (`facts/onboarding.md` §7.1). All with the token of our own system user.

use reqwest::Method;
use serde::Deserialize;

use super::graph::{CallFailure, GraphClient, call};
use crate::domain::app::CreditLine;
use crate::domain::ids::WabaId;
use crate::domain::token::AccessToken;

/// What a share says when it was taken back.
const DELETED: &str = "DELETED";

/// A share of the line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CreditShare {
    /// Its id: the allocation configuration's.
    pub id: String,
    /// What it is for the account that it pays for; its `primary_funding_id` is the same.
    #[serde(default)]
    receiving_credential: Option<Credential>,
    #[serde(default)]
    request_status: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Credential {
    id: String,
}

#[derive(Deserialize)]
struct Shares {
    data: Vec<CreditShare>,
}

impl CreditShare {
    /// Whether it is what pays for an account with this `primary_funding_id`.
    #[must_use]
    pub fn pays(&self, primary_funding_id: Option<&str>) -> bool {
        let ours = self.receiving_credential.as_ref().map(|credential| credential.id.as_str());
        ours.is_some() && ours == primary_funding_id && !self.is_deleted()
    }

    /// Whether it was taken back.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.request_status.as_deref() == Some(DELETED)
    }
}

impl GraphClient {
    /// `POST /{account}/assigned_users`: our system user may manage a shared account. Repeating it changes nothing.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn assign_user(&self, system: &AccessToken, account: &WabaId, user: &str) -> Result<(), CallFailure> {
        let request = self.with_token_or_refusal(Method::POST, &format!("{account}/assigned_users"), system)?;
        call(request.query(&[("user", user), ("tasks", "['MANAGE']")])).await?;
        Ok(())
    }

    /// `POST /{line}/whatsapp_credit_sharing_and_attach`: the line pays for the account from now on, for ever. It has no idempotency key:
    /// whoever calls this looks first whether it was done.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn share_credit(
        &self,
        system: &AccessToken,
        line: &CreditLine,
        account: &WabaId,
    ) -> Result<(), CallFailure> {
        let request = self.with_token_or_refusal(
            Method::POST,
            &format!("{}/whatsapp_credit_sharing_and_attach", line.id),
            system,
        )?;
        let query = [("waba_currency", line.currency.as_str()), ("waba_id", account.as_str())];
        call(request.query(&query)).await?;
        Ok(())
    }

    /// The shares of the line that a business has.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn credit_shares(
        &self,
        system: &AccessToken,
        line: &CreditLine,
        business: &str,
    ) -> Result<Vec<CreditShare>, CallFailure> {
        let query = [("receiving_business_id", business), ("fields", "id,receiving_credential{id},request_status")];
        let shares: Shares = self.ask(system, &format!("{}/owning_credit_allocation_configs", line.id), &query).await?;
        Ok(shares.data)
    }

    /// One share.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn credit_share(&self, system: &AccessToken, share: &str) -> Result<CreditShare, CallFailure> {
        self.ask(system, share, &[("fields", "id,receiving_credential{id},request_status")]).await
    }

    /// `DELETE /{share}`: the line pays for none of the business's accounts any more.
    ///
    /// # Errors
    /// How the call ended otherwise.
    pub async fn revoke_credit(&self, system: &AccessToken, share: &str) -> Result<(), CallFailure> {
        self.change(Method::DELETE, system, share, None).await
    }
}
