//! The caller's account and its access token, and problems for failed calls to Meta.

use axum::http::StatusCode;
use shared::domain::accounts::number::Number;
use shared::domain::accounts::token::AccessToken;
use shared::domain::ids::{NumberId, TenantId, WabaId};
use shared::domain::sending::policy::Consequence;
use shared::http::Problem;
use shared::provider::meta::error::{consequence, remedy};
use shared::provider::meta::graph::CallFailure;
use shared::vault::Context;

use crate::Deps;

impl Deps {
    /// Decrypts the token of the tenant's account.
    pub(crate) async fn token_of(&self, tenant: TenantId, account: &WabaId) -> Result<AccessToken, Problem> {
        let Some(record) = self.table.token_get_record(account).await?.filter(|record| record.tenant == tenant) else {
            self.access.account_of(tenant, account).await?;
            let problem = Problem::conflict("no_token", "The account has no token.");
            return Err(problem.remedy("Connect the account again."));
        };
        Ok(self.vault.open_token(&record.sealed, &Context::GraphToken { tenant, waba: account.clone() }).await?)
    }

    /// Returns the tenant's number with the token of its account.
    pub(crate) async fn opened(&self, tenant: TenantId, id: &NumberId) -> Result<(Number, AccessToken), Problem> {
        let number = self.access.number_of(tenant, id).await?;
        let token = self.token_of(tenant, &number.waba).await?;
        Ok((number, token))
    }
}

/// Problem for an account without a recorded Meta app, because an operator connected it by hand.
pub(crate) fn app_not_known() -> Problem {
    Problem::conflict("app_not_known", "The Meta app of the account is not known.")
        .remedy("Connect it through a signup.")
}

/// Maps a failed call: a refusal with Meta's text, or a request to repeat if Meta did not answer. A token that is no
/// longer valid is never reported as repeatable.
pub(crate) fn refused(failure: CallFailure) -> Problem {
    let reconnect = matches!(consequence(failure.error().code), Some(Consequence::Reconnect(..)));
    match failure {
        CallFailure::TryLater(error) if !reconnect => {
            tracing::warn!(event = "management.not_reached", code = error.code, title = %error.title);
            Problem::new(StatusCode::BAD_GATEWAY, "meta_not_reached", "Meta did not answer, or asked to try again.")
                .remedy("Repeat the request.")
        }
        CallFailure::TryLater(error) | CallFailure::Refused(error) => {
            let said = error.details.unwrap_or(error.title);
            let problem = Problem::conflict("meta_refused", "Meta refused the request.");
            let problem = Problem { rule: Some(said), meta_code: Some(error.code), ..problem };
            match remedy(error.code) {
                Some(cure) => problem.remedy(cure),
                None => problem,
            }
        }
    }
}
