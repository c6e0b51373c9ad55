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
        self.theirs("number", number, |number| number.tenant == tenant)
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

    fn theirs<T>(&self, what: &str, found: Option<T>, is_theirs: impl Fn(&T) -> bool) -> Result<T, Problem> {
        match found {
            Some(own) if is_theirs(&own) => Ok(own),
            other => Err(self.not_theirs(what, other.is_some())),
        }
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
        self.theirs("account", account, |account| account.tenant == tenant)
    }
}
