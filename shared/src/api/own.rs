//! What is the caller's. What is another tenant's is answered like what does not exist.

use super::Access;
use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, PhoneNumberId, TenantId, WabaId};
use crate::domain::number::Number;
use crate::http::Problem;
use crate::storage::AccountRecord;

impl Access {
    /// The tenant's number as it is now.
    ///
    /// # Errors
    /// 404 if it is not the tenant's.
    pub async fn number_of(&self, tenant: TenantId, id: &PhoneNumberId) -> Result<Number, Problem> {
        let number = self.table().number(id).await?;
        let other = number.as_ref().is_some_and(|number| number.tenant != tenant);
        number.filter(|number| number.tenant == tenant).ok_or_else(|| self.not_theirs("number", other))
    }

    /// The tenant's conversation.
    ///
    /// # Errors
    /// 404 if it is not the tenant's.
    pub async fn conversation_of(&self, tenant: TenantId, id: &ConversationId) -> Result<Conversation, Problem> {
        if let Some(conversation) = self.table().conversation(tenant, id).await? {
            return Ok(conversation);
        }
        let number = self.table().number(id.number()).await?;
        Err(self.not_theirs("conversation", number.is_some_and(|number| number.tenant != tenant)))
    }

    /// The same answer whether it is another's or nobody's; only we count the difference.
    fn not_theirs(&self, what: &str, others: bool) -> Problem {
        self.metrics().count("cross_tenant_attempt", what, u64::from(others));
        Problem::not_found()
    }

    /// The tenant's account.
    ///
    /// # Errors
    /// 404 if it is not the tenant's.
    pub async fn account_of(&self, tenant: TenantId, id: &WabaId) -> Result<AccountRecord, Problem> {
        let account = self.table().account(id).await?;
        let other = account.as_ref().is_some_and(|account| account.tenant != tenant);
        account.filter(|account| account.tenant == tenant).ok_or_else(|| self.not_theirs("account", other))
    }
}
