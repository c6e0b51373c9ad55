//! Look-ups limited to the caller's tenant. Another tenant's resource is answered 404, like a missing one.

use crate::api::Access;
use crate::domain::accounts::number::Number;
use crate::domain::conversations::conversation::Conversation;
use crate::domain::ids::{ConversationId, NumberId, TenantId, WabaId};
use crate::http::Problem;
use crate::storage::AccountRecord;

impl Access {
    /// Returns the tenant's number, read now.
    ///
    /// # Errors
    /// 404 if the tenant has no such number.
    pub async fn number_of(&self, tenant: TenantId, id: &NumberId) -> Result<Number, Problem> {
        let number = self.table().number_get(id).await?;
        self.theirs("number", number, |number| number.tenant == tenant)
    }

    /// Returns the tenant's conversation.
    ///
    /// # Errors
    /// 404 if the tenant has no such conversation.
    pub async fn conversation_of(&self, tenant: TenantId, id: &ConversationId) -> Result<Conversation, Problem> {
        if let Some(conversation) = self.table().conversation_get(tenant, id).await? {
            return Ok(conversation);
        }
        let number = self.table().number_get(id.number()).await?;
        Err(self.not_theirs("conversation", number.is_some_and(|number| number.tenant != tenant)))
    }

    fn theirs<T>(&self, what: &str, found: Option<T>, is_theirs: impl Fn(&T) -> bool) -> Result<T, Problem> {
        match found {
            Some(own) if is_theirs(&own) => Ok(own),
            other => Err(self.not_theirs(what, other.is_some())),
        }
    }

    /// The same 404 for another tenant's resource and for a missing one; the metric counts only the former.
    fn not_theirs(&self, what: &str, others: bool) -> Problem {
        self.metrics().count("cross_tenant_attempt", what, u64::from(others));
        Problem::not_found()
    }

    /// Returns the tenant's account.
    ///
    /// # Errors
    /// 404 if the tenant has no such account.
    pub async fn account_of(&self, tenant: TenantId, id: &WabaId) -> Result<AccountRecord, Problem> {
        let account = self.table().account_get(id).await?;
        self.theirs("account", account, |account| account.tenant == tenant)
    }
}
