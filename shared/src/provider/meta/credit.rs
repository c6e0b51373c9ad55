//! A Solution Partner's credit line: sharing it with a business's account, checking a share, revoking it
//! (`docs/meta/onboarding.md#section-7-1`). All calls use the token of our own system user.

use reqwest::Method;
use serde::Deserialize;

use crate::domain::accounts::app::CreditLine;
use crate::domain::accounts::token::AccessToken;
use crate::domain::ids::WabaId;
use crate::provider::meta::graph::{CallFailure, GraphClient, call};

/// `request_status` of a revoked share.
const DELETED: &str = "DELETED";

/// A share of the credit line with one business.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct CreditShare {
    /// Id of the share, which Meta calls an allocation configuration.
    pub id: String,
    /// The receiving credential. An account that the share pays for has the same id as its `primary_funding_id`.
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
    /// Whether the share pays for an account with this `primary_funding_id`.
    #[must_use]
    pub fn pays(&self, primary_funding_id: Option<&str>) -> bool {
        let ours = self.receiving_credential.as_ref().map(|credential| credential.id.as_str());
        ours.is_some() && ours == primary_funding_id && !self.is_deleted()
    }

    /// Whether the share was revoked.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.request_status.as_deref() == Some(DELETED)
    }
}

impl GraphClient {
    /// Calls `POST /{account}/assigned_users`: lets our system user manage a shared account. May be repeated.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn assign_user(&self, system: &AccessToken, account: &WabaId, user: &str) -> Result<(), CallFailure> {
        let request = self.with_token_or_refusal(Method::POST, &format!("{account}/assigned_users"), system)?;
        call(request.query(&[("user", user), ("tasks", "['MANAGE']")])).await?;
        Ok(())
    }

    /// Calls `POST /{line}/whatsapp_credit_sharing_and_attach`: the line pays for the account from now on. An account's
    /// line can never be replaced by another one. The call has no idempotency key, so the caller must first check
    /// whether it was made.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
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

    /// Returns the shares of the line that a business has.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
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

    /// Returns one share.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn credit_share(&self, system: &AccessToken, share: &str) -> Result<CreditShare, CallFailure> {
        self.ask(system, share, &[("fields", "id,receiving_credential{id},request_status")]).await
    }

    /// Calls `DELETE /{share}`: the line stops paying for all accounts of the business.
    ///
    /// # Errors
    /// A [`CallFailure`] when the call did not succeed.
    pub async fn revoke_credit(&self, system: &AccessToken, share: &str) -> Result<(), CallFailure> {
        self.change(Method::DELETE, system, share, None).await
    }
}
